//! `seaworthy check`.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use matrix::requirement::{Catalogue, Level};
use matrix::support::{self, Evidence, Support, SupportVerdict};
use matrix::version::KernelVersion;

use super::{Answer, Failure, InputContext};
use crate::check::text::{self, Detail};
use crate::check::{input, running};
use crate::terminal;

/// Say whether a kernel can carry a container engine, what is missing, and what to change
///
/// A configuration is judged by its own era: options that did not exist yet, or exist no longer
/// because the feature is always on, are not missing. On a running system, trying it out decides.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy check                                       this system
  seaworthy check --config /boot/config-6.1.0-32-amd64
  seaworthy check --config a.config --config b.config --format json
  seaworthy check --kernel arch/x86/boot/bzImage
  seaworthy check --package linux-image-6.1.0-32-amd64.deb
  zcat /proc/config.gz | seaworthy check --config - --strict

Exit codes: 0 supported, perhaps with gaps; 1 unsupported, or with --strict any gap; 2 the input
can't be judged.")]
pub(super) struct Args {
    /// A kernel configuration, plain or compressed (gzip, xz, zstd), or `-` for standard input;
    /// may be repeated
    #[arg(long, value_name = "FILE", group = "what")]
    config: Vec<PathBuf>,
    /// The version of the configurations, where their header has none
    #[arg(long, value_name = "VERSION", requires = "config")]
    kernel_version: Option<KernelVersion>,
    /// A kernel image that holds its configuration
    #[arg(long, value_name = "FILE", group = "what")]
    kernel: Option<PathBuf>,
    /// A Debian package with a kernel's configuration
    #[arg(long, value_name = "FILE", group = "what")]
    package: Option<PathBuf>,
    /// This system; the default
    #[arg(long, group = "what")]
    running: bool,
    /// The lowest level that is looked at
    #[arg(long, value_enum, default_value_t = LevelName::May)]
    level: LevelName,
    /// Count a gap as a no: something expected is missing, or a must could not be decided
    #[arg(long)]
    strict: bool,
    /// Show every requirement, not only what is missing
    #[arg(long)]
    all: bool,
    /// A file of requirements that are laid over the built-in ones
    #[arg(long, value_name = "FILE")]
    requirements: Option<PathBuf>,
    /// How to tell
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// `seaworthy.check/1`; with several inputs one document a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelName {
    Must,
    Should,
    May,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Must => Self::Must,
            LevelName::Should => Self::Should,
            LevelName::May => Self::May,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let mut catalogue = Catalogue::built_in()?;
    if let Some(path) = &args.requirements {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("can't read {}", path.display()))
            .or_bad_input()?;
        catalogue
            .overlay(&path.display().to_string(), &text)
            .or_bad_input()?;
    }
    let mut is_supported = true;
    let mut failure: Option<Failure> = None;
    for (index, evidence) in gather(args)?.enumerate() {
        let evidence = match evidence {
            Ok(evidence) => evidence,
            // The others are judged all the same; the last failure is told by the caller.
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    terminal::message(&earlier.to_string());
                }
                continue;
            }
        };
        let support = support::judge(&evidence, &catalogue, args.level.into());
        is_supported &= match support.verdict {
            SupportVerdict::Supported => true,
            SupportVerdict::SupportedWithGaps => !args.strict,
            SupportVerdict::Unsupported => false,
        };
        if args.format == Format::Text && index > 0 {
            terminal::answer("\n")?;
        }
        terminal::answer(&show(&support, args)?)?;
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(is_supported.into()),
    }
}

/// What is judged, one after the other, so that the first answers come at once.
fn gather(
    args: &Args,
) -> Result<Box<dyn Iterator<Item = Result<Evidence, Failure>> + '_>, Failure> {
    Ok(if let Some(path) = &args.kernel {
        Box::new(std::iter::once(Ok(input::kernel(path).or_bad_input()?)))
    } else if let Some(path) = &args.package {
        Box::new(std::iter::once(Ok(input::package(path).or_bad_input()?)))
    } else if args.config.is_empty() {
        Box::new(std::iter::once(Ok(running::evidence())))
    } else {
        Box::new(
            args.config
                .iter()
                .map(|path| input::config(path, args.kernel_version).or_bad_input()),
        )
    })
}

fn show(support: &Support, args: &Args) -> Result<String, Failure> {
    Ok(match args.format {
        Format::Text => {
            let detail = if args.all { Detail::All } else { Detail::Gaps };
            text::render(support, detail, terminal::has_colour().into())
        }
        Format::Json if args.config.len() > 1 => serde_json::to_string(support)? + "\n",
        Format::Json => serde_json::to_string_pretty(support)? + "\n",
    })
}
