//! `keel build`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Globals, Outcome, terminal};
use crate::build::{BuildError, Cache, Context, Event, Output, Request, build};
use crate::container::options::{EnvVar, Label};
use crate::image::reference::Reference;
use crate::image::store::Store;

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  keel build -t app:1.0 .
  keel build -f docker/Dockerfile.test --target test --build-arg VERSION=1.2 .
  tar -c Dockerfile src | keel build -t app -
  keel build -q - <Dockerfile              no context: nothing can be copied into it

What happens is told on standard error; with -q the image's id alone, on standard output. Images
that are built on must be here. Commands run without a network. Where SOURCE_DATE_EPOCH is set,
nothing in the image is later, and the same files and commands give the same image.")]
pub(super) struct Args {
    /// Name for the image; several give it several names
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<Reference>,
    /// The Dockerfile; `-`: standard input [default: Dockerfile in PATH]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The stage to build, by name or number [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// A value for an ARG; without one, that of the caller's variable
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<EnvVar>,
    /// A label for the image
    #[arg(long, value_name = "NAME[=VALUE]")]
    label: Vec<Label>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Taken for Docker's sake; images are not fetched by a build
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pull: bool,
    /// Say nothing but the image's id
    #[arg(short, long)]
    quiet: bool,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Taken for Docker's sake; progress is always told in plain text
    #[arg(long, value_name = "KIND", value_parser = ["auto", "plain", "tty", "quiet"])]
    progress: Option<String>,
    /// The folder to copy from; `-`: a tar of it, or a Dockerfile, on standard input
    path: PathBuf,
}

/// Builds it.
pub(super) fn run(args: Args, globals: &Globals) -> Outcome {
    if args.pull {
        return Err(anyhow::anyhow!(
            "a build fetches no images: fetch the base image first, and leave out `--pull`"
        )
        .into());
    }
    if let Some(file) = &args.iidfile {
        // One of an earlier build must not pass for this one's.
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let store = Store::open(&globals.root, globals.driver()?)?;
    let file = args.file.as_deref();
    let (context, text) = if args.path == Path::new("-") {
        Context::stream(&store, io::stdin(), file)?
    } else {
        Context::folder(&args.path, file)?
    };
    let quiet = args.quiet || args.progress.as_deref() == Some("quiet");
    let labels = args.label.into_iter().map(|label| (label.key, label.value));
    let request = Request {
        file: text,
        context,
        arguments: arguments(args.build_arg),
        labels: labels.collect(),
        names: args.tag,
        target: args.target,
        cache: if args.no_cache {
            Cache::Renew
        } else {
            Cache::Use
        },
        output: if quiet { Output::Kept } else { Output::Stderr },
    };
    let mut tell = |event: Event<'_>| {
        if !quiet {
            terminal::message(&told(event));
        }
    };
    let built = build(&globals.root, &store, &request, &mut tell).inspect_err(show_said)?;
    if let Some(file) = &args.iidfile {
        std::fs::write(file, built.id.to_string())?;
    }
    if quiet {
        terminal::answer(&format!("{}\n", built.id))?;
    } else {
        terminal::message(&format!("Successfully built {}", built.id.digest().short()));
        for name in &request.names {
            terminal::message(&format!("Successfully tagged {}", name.familiar()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A variable that the caller does not have is not given.
fn arguments(given: Vec<EnvVar>) -> BTreeMap<String, String> {
    let value = |variable| match variable {
        EnvVar::Set(assignment) => {
            let (name, value) = assignment.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        }
        EnvVar::Inherit(name) => {
            let value = std::env::var(&name).ok()?;
            Some((name, value))
        }
    };
    given.into_iter().filter_map(value).collect()
}

/// What the command that failed had to say, if it has not been seen.
fn show_said(error: &BuildError) {
    if let BuildError::Step { source, .. } = error {
        let said = String::from_utf8_lossy(source.said());
        if !said.is_empty() {
            terminal::message(said.trim_end());
        }
    }
}

/// In the words of Docker's plain builder.
fn told(event: Event<'_>) -> String {
    match event {
        Event::Step { number, of, text } => format!("Step {number}/{of} : {text}"),
        Event::Trigger(text) => format!(" ---> ONBUILD {text}"),
        Event::Cached => " ---> Using cache".to_owned(),
        Event::Running(id) => format!(" ---> Running in {id}"),
        Event::DevicesLeftOut(count) => {
            format!("keel: {count} device nodes were left out; every container gets its own `/dev`")
        }
        Event::Unused(names) => format!(
            "[Warning] One or more build-args {names:?} were not consumed: no `ARG` names them"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_in_dockers_words() {
        let step = Event::Step {
            number: 2,
            of: 3,
            text: "RUN make",
        };
        let all = [
            step,
            Event::Trigger("RUN make"),
            Event::Cached,
            Event::Running("0123456789ab"),
            Event::DevicesLeftOut(2),
            Event::Unused(&["a", "b"]),
        ];
        insta::assert_snapshot!(all.map(told).join("\n"), @r#"
        Step 2/3 : RUN make
         ---> ONBUILD RUN make
         ---> Using cache
         ---> Running in 0123456789ab
        keel: 2 device nodes were left out; every container gets its own `/dev`
        [Warning] One or more build-args ["a", "b"] were not consumed: no `ARG` names them
        "#);
    }
}
