//! `keel login`.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::registry::{Server, Transport, shown};
use super::{Globals, Outcome, terminal};
use crate::image::registry::{Client, Credentials, Kept};

/// Remember name and password for a registry, after it has taken them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel login                                        to Docker Hub; asks for both
  keel login -u me --password-stdin registry.example.org < secret

They are kept where Docker keeps them: with the credential helper that `config.json` names, or else
in that file, which only you can read. Its folder is ~/.docker, or what DOCKER_CONFIG names.")]
pub(super) struct Args {
    /// The name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password; others can see it here
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// The registry, `host[:port]` [default: Docker Hub]
    server: Option<Server>,
    #[command(flatten)]
    transport: Transport,
}

/// Passwords are no longer than this.
const MAX_PASSWORD: u64 = 64 << 10;

/// Logs in.
pub(super) fn run(args: Args, _globals: &Globals) -> Outcome {
    let Server(server) = args.server.unwrap_or_default();
    let settings = args.transport.settings(&server);
    let user = match args.username {
        Some(user) => user,
        None => terminal::ask("Username: ", terminal::Echo::On)?,
    };
    let password = if let Some(password) = args.password {
        terminal::message("WARNING! Using --password is insecure. Use --password-stdin.");
        password
    } else if args.password_stdin {
        from_stdin()?
    } else {
        terminal::ask("Password: ", terminal::Echo::Off)?
    };
    if user.is_empty() || password.is_empty() {
        return Err(anyhow::anyhow!("a name and a password are needed").into());
    }
    let credentials = Credentials::Password { user, password };
    Client::with_credentials(&server, &settings, Some(credentials.clone()))?
        .check()
        .with_context(|| format!("login to `{}` failed", shown(&server)))?;
    match settings.config.store(&server, &credentials)? {
        Kept::InFile(path) => terminal::message(&format!(
            "WARNING! Your credentials are stored unencrypted in `{}`; a credential helper keeps them better.",
            path.display()
        )),
        Kept::WithHelper(_) => {}
    }
    terminal::answer("Login Succeeded\n")?;
    Ok(ExitCode::SUCCESS)
}

/// All of standard input but for the end of its last line.
fn from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
