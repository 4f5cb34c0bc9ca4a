//! The verbs, as people call them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::fake::{Fake, Reply, Served};
use super::real::{PASSWORD, Protection, Registry, USER};
use super::scene::sample::{Sample, pack};

/// A root folder, a folder for Docker's configuration, and `keel`.
struct Here {
    folder: tempfile::TempDir,
}

impl Here {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keel"));
        command
            .arg("--root")
            .arg(self.path("root"))
            .args(["--storage-driver", "vfs"])
            .args(args)
            .env("DOCKER_CONFIG", self.path("docker"))
            .stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn success(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn failure(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(!output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The usual image under the name `sample:1` and under `name`.
    fn load(&self, name: &str) {
        let archive = self.path("archive.tar");
        fs::write(&archive, pack(&Sample::usual_oci())).unwrap();
        let archive = archive.to_str().unwrap();
        self.success(&["load", "-i", archive]);
        self.success(&["load", "-i", archive, "--tag", name]);
    }

    fn login(&self, args: &[&str], password: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{password}").unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }
}

/// Digests of what was compressed change with the compressor.
fn without_digests(text: &str) -> String {
    let hex = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text.split_inclusive([' ', ':', '\n']).map(|word| {
        let bare = word.trim_end_matches([' ', ':', '\n']);
        if hex(bare) {
            word.replace(bare, "HEX")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

#[test]
fn push_and_pull_say_what_docker_says() {
    let registry = Registry::start(Protection::None);
    let here = Here::new();
    let name = registry.name("some/app:1");
    here.load(&name);
    let pushed = here.call(&["push", &name]);
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&registry.address, "HOST");
        without_digests(&text)
    };
    insta::assert_snapshot!(text(&pushed.stdout), @r"
    The push refers to repository [HOST/some/app]
    1: digest: sha256:HEX size: 555
    ");
    insta::assert_snapshot!(text(&pushed.stderr), @r"
    HEX: Pushed
    HEX: Pushed
    ");

    let there = Here::new();
    let pulled = there.call(&["pull", &name]);
    insta::assert_snapshot!(text(&pulled.stdout), @r"
    Digest: sha256:HEX
    Status: Downloaded newer image for HOST/some/app:1
    HOST/some/app:1
    ");
    let mut lines: Vec<String> = text(&pulled.stderr).lines().map(str::to_owned).collect();
    lines.sort(); // Downloads end in any order.
    insta::assert_snapshot!(lines.join("\n"), @r"
    1: Pulling from some/app
    HEX: Download complete
    HEX: Download complete
    HEX: Pull complete
    HEX: Pull complete
    ");
    let again = there.success(&["pull", "--quiet", &name]);
    assert_eq!(again, format!("{name}\n"));
    assert!(
        there
            .success(&["pull", &name])
            .contains("Status: Image is up to date")
    );
}

#[test]
fn all_tags_of_a_repository_go_and_come() {
    let registry = Registry::start(Protection::None);
    let here = Here::new();
    let (one, two) = (registry.name("app:1"), registry.name("app:2"));
    here.load(&one);
    here.load(&two);
    here.success(&["push", "-a", &registry.name("app")]);
    let there = Here::new();
    there.success(&["pull", "-a", "-q", &registry.name("app")]);
    let names = there.success(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(names, format!("{one}\n{two}\n"));
    let error = there.failure(&["pull", "-a", &one]);
    assert!(error.contains("without a tag"), "{error}");
}

#[test]
fn whoever_logs_in_is_let_in_until_he_logs_out() {
    let registry = Registry::start(Protection::Password);
    let here = Here::new();
    let name = registry.name("app:1");
    here.load(&name);
    let denied = here.failure(&["push", &name]);
    assert!(denied.contains("keel login"), "{denied}");

    let login = ["login", "-u", USER, "--password-stdin", &registry.address];
    let wrong = here.login(&login, "wrong");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(!here.path("docker/config.json").exists());
    let right = here.login(&login, PASSWORD);
    assert_eq!(right.stdout, b"Login Succeeded\n", "{right:?}");
    let config = here.path("docker/config.json");
    let mode = fs::metadata(&config).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::read_to_string(&config).unwrap().contains(PASSWORD));

    here.success(&["push", &name]);
    here.success(&["pull", &name]);
    let out = here.success(&["logout", &registry.address]);
    assert_eq!(
        out,
        format!("Removing login credentials for {}\n", registry.address)
    );
    here.failure(&["pull", &name]);
    let again = here.success(&["logout", &registry.address]);
    assert_eq!(again, format!("Not logged in to {}\n", registry.address));
}

#[test]
fn a_password_that_is_typed_is_not_shown() {
    let registry = Registry::start(Protection::Password);
    let here = Here::new();
    let pty = openpty(None, None).unwrap();
    let stream = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = here
        .command(&["login", &registry.address])
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    let mut master = fs::File::from(pty.master.try_clone().unwrap());
    let mut said = String::new();
    for (prompt, answer) in [("Username: ", USER), ("Password: ", PASSWORD)] {
        until(&mut master, &mut said, prompt);
        writeln!(master, "{answer}").unwrap();
    }
    until(&mut master, &mut said, "Login Succeeded");
    assert!(child.wait().unwrap().success());
    assert!(said.contains(USER) && !said.contains(PASSWORD), "{said}");
    let modes = tcgetattr(&pty.slave).unwrap().local_flags;
    assert!(modes.contains(LocalFlags::ECHO | LocalFlags::ISIG));
}

/// Reads from a terminal until `wanted` has come.
fn until(master: &mut fs::File, said: &mut String, wanted: &str) {
    let mut chunk = [0; 1024];
    while !said.contains(wanted) {
        let length = master.read(&mut chunk).unwrap();
        *said += &String::from_utf8_lossy(&chunk[..length]);
    }
}

#[test]
fn a_credential_helper_keeps_what_config_json_does_not() {
    let registry = Registry::start(Protection::Password);
    let here = Here::new();
    let folder = here.path("bin");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(here.path("docker")).unwrap();
    fs::write(here.path("docker/config.json"), r#"{"credsStore":"test"}"#).unwrap();
    // Keeps one secret in a file, and says what the protocol has it say.
    let helper = folder.join("docker-credential-test");
    let kept = here.path("kept");
    let script = format!(
        "#!/bin/sh\nkept='{}'\ncase $1 in\nstore) cat >\"$kept\";;\nget) cat >/dev/null; cat \"$kept\" 2>/dev/null || {{ echo credentials not found in native keychain; exit 1; }};;\nerase) cat >/dev/null; rm \"$kept\";;\nesac\n",
        kept.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let call = |args: &[&str], input: &str| {
        let mut child = here
            .command(args)
            .env("PATH", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap()
    };
    let name = registry.name("app:1");
    here.load(&name);
    assert!(!call(&["push", &name], "").status.success());
    let login = ["login", "-u", USER, "--password-stdin", &registry.address];
    let output = call(&login, PASSWORD);
    assert!(output.status.success(), "{output:?}");
    assert!(
        fs::read_to_string(&kept)
            .unwrap()
            .contains(&registry.address)
    );
    assert!(
        !fs::read_to_string(here.path("docker/config.json"))
            .unwrap()
            .contains("auths")
    );
    let output = call(&["push", &name], "");
    assert!(output.status.success(), "{output:?}");
    assert!(call(&["logout", &registry.address], "").status.success());
    assert!(!kept.exists());
}

#[test]
fn a_registry_with_tls_is_reached_by_its_own_authority() {
    let registry = Registry::start(Protection::Tls);
    let here = Here::new();
    let name = registry.name("app:1");
    here.load(&name);
    let error = here.failure(&["push", &name]);
    assert!(error.contains("/etc/docker/certs.d/"), "{error}");
    let output = here
        .command(&["push", &name])
        .env("SSL_CERT_FILE", registry.authority())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn run_pulls_what_is_missing_and_as_it_is_told() {
    let served = Served::usual();
    let fake = Fake::start(move |request| served.answer(request));
    let here = Here::new();
    let name = fake.name("app:1");
    let never = here.call(&["create", "--pull", "never", &name]);
    assert_eq!(never.status.code(), Some(125), "{never:?}");
    assert!(fake.asked().is_empty());

    let missing = here.call(&["create", &name]);
    assert!(missing.status.success(), "{missing:?}");
    // Only the id is the answer.
    assert_eq!(String::from_utf8_lossy(&missing.stdout).trim().len(), 64);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("Unable to find image"), "{said}");
    assert!(said.contains("Downloaded newer image"), "{said}");

    let asked = fake.asked().len();
    here.success(&["create", &name]);
    assert_eq!(fake.asked().len(), asked);
    here.success(&["create", "--pull", "always", &name]);
    assert!(fake.asked().len() > asked);
    let absent = here.call(&["create", &fake.name("absent:1")]);
    assert_eq!(absent.status.code(), Some(125), "{absent:?}");
}

#[test]
fn plain_http_to_another_machine_has_to_be_asked_for() {
    let here = Here::new();
    // A name for no machine: what matters is which scheme is tried.
    let name = "registry.invalid:5000/app:1";
    let error = here.failure(&["pull", name]);
    assert!(error.contains("https://registry.invalid:5000"), "{error}");
}

#[test]
fn search_shows_what_a_registry_finds_or_that_it_has_no_search() {
    let fake = Fake::start(|request| match request.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        path if path.starts_with("/v1/search?q=web&n=") => Reply::new(
            200,
            r#"{"num_results":2,"results":[
            {"name":"web","description":"Official build of a rather long description of a web server.","star_count":12,"is_official":true},
            {"name":"me/web","description":"\u001b[2J","star_count":3,"is_official":false}]}"#,
        ),
        _ => super::fake::not_found(),
    });
    let here = Here::new();
    let term = fake.name("web");
    insta::assert_snapshot!(here.success(&["search", &term]), @r"
    NAME     DESCRIPTION                                     STARS   OFFICIAL
    web      Official build of a rather long description …   12      [OK]
    me/web   \u{1b}[2J                                       3
    ");
    let official = here.success(&[
        "search",
        "--filter",
        "is-official=true",
        "--format",
        "{{.Name}}",
        &term,
    ]);
    assert_eq!(official, "web\n");
    let none = Fake::start(|request| match request.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => super::fake::not_found(),
    });
    let error = here.failure(&["search", &none.name("web")]);
    assert!(error.contains("it has no search"), "{error}");
}
