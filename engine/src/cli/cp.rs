//! `keel cp`.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use super::images::size;
use super::{Failure, Globals, Outcome, terminal};
use crate::container::{Container, Containers, Links, Ownership};

/// Copy files between a container and the host
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel cp web:/var/log/app.log .
  keel cp conf/. web:/etc/app                 what is in the folder, not the folder
  keel cp - web:/srv < files.tar              a tar, plain or compressed
  keel cp web:/srv - | tar t

A folder that is there takes the source into it; otherwise the target's last name is the copy's. The
container may run or not; its volumes are seen as it sees them.")]
pub(super) struct Args {
    /// Keep users and groups, by number [default: root's in a container, yours on the host]
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link leads to, if the source is one
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Tell only what went wrong
    #[arg(short, long)]
    quiet: bool,
    /// `CONTAINER:PATH`, a path of the host, or `-`: a tar from standard input
    #[arg(value_name = "SOURCE", allow_hyphen_values = true)]
    source: End,
    /// The same; `-`: a tar to standard output
    #[arg(value_name = "TARGET", allow_hyphen_values = true)]
    target: End,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Stream,
    Host(PathBuf),
    Container { container: String, path: PathBuf },
}

impl FromStr for End {
    type Err = Infallible;

    /// As Docker: what is absolute or starts with `.` is a path of the host, colons or not.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        if text == "-" {
            return Ok(Self::Stream);
        }
        let parts = text
            .split_once(':')
            .filter(|(container, _)| !text.starts_with('/') && !container.starts_with('.'));
        Ok(match parts {
            Some((container, path)) => Self::Container {
                container: container.to_owned(),
                path: PathBuf::from(path),
            },
            None => Self::Host(PathBuf::from(text)),
        })
    }
}

/// Copies.
pub(super) fn run(args: &Args, globals: &Globals) -> Outcome {
    let links = if args.follow_link {
        Links::Follow
    } else {
        Links::Keep
    };
    let ownership = if args.archive {
        Ownership::Keep
    } else {
        Ownership::OfTarget
    };
    let find = |name: &str| Containers::new(&globals.root).find(name);
    let (bytes, devices) = match (&args.source, &args.target) {
        (End::Container { container, path }, End::Stream) => {
            let stdout = terminal::for_bytes()?;
            find(container)?.copy_out_tar(given(path)?, stdout, links)?;
            return Ok(ExitCode::SUCCESS);
        }
        (End::Container { container, path }, End::Host(to)) => {
            let mut container: Container = find(container)?;
            let copied = container.copy_out(given(path)?, given(to)?, links, ownership)?;
            (copied.bytes, copied.devices)
        }
        (End::Host(from), End::Container { container, path }) => {
            let mut container = find(container)?;
            let copied = container.copy_in(given(from)?, given(path)?, links, ownership)?;
            (copied.bytes, copied.devices)
        }
        (End::Stream, End::Container { container, path }) => {
            let mut container = find(container)?;
            let tar = io::stdin();
            let unpacked = container.copy_in_tar(tar, given(path)?, ownership)?;
            (unpacked.bytes, unpacked.devices)
        }
        (End::Container { .. }, End::Container { .. }) => {
            return Err(refused(
                "copying from container to container is not supported: copy by way of the host, or pipe `keel cp A:PATH -` into `keel cp - B:PATH`",
            ));
        }
        (End::Host(_) | End::Stream, End::Host(_) | End::Stream) => {
            return Err(refused(
                "neither end is in a container: write one as `CONTAINER:PATH`",
            ));
        }
    };
    if devices > 0 {
        terminal::message(&format!("keel: {devices} device nodes were left out"));
    }
    if !args.quiet {
        let target = match &args.target {
            End::Container { container, path } => format!("{container}:{}", path.display()),
            End::Host(path) => path.display().to_string(),
            End::Stream => "-".to_owned(),
        };
        terminal::message(&format!("Successfully copied {} to {target}", size(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A path that is one.
fn given(path: &Path) -> Result<&Path, Failure> {
    if path.as_os_str().is_empty() {
        Err(refused("the path is empty: `/` is a container's root"))
    } else {
        Ok(path)
    }
}

fn refused(why: &'static str) -> Failure {
    anyhow::anyhow!(why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart_as_docker_does() {
        let end = |text: &str| text.parse::<End>().unwrap();
        let inside = |container: &str, path: &str| End::Container {
            container: container.into(),
            path: path.into(),
        };
        assert_eq!(end("web:/etc:x"), inside("web", "/etc:x"));
        assert_eq!(end("web:"), inside("web", ""));
        for host in ["/a:b", "./a:b", "../a:b", "a"] {
            assert_eq!(end(host), End::Host(host.into()));
        }
        assert_eq!(end("-"), End::Stream);
    }
}
