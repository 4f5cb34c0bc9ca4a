//! `seaworthy verify`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Answer, Failure, InputContext};
use crate::certificate::key::{self, PublicKey};
use crate::certificate::verify::{
    About, KnownAs, KnownKeys, Problem, Verification, VerifyError, verify,
};
use crate::run::folder::name;
use crate::{config, terminal};

/// Verify a certificate from the run folder that it is in, offline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy verify target/certify/certificate.dsse.json
  seaworthy verify release/certificate.dsse.json --key maintainer.pub.pem --engine ./keel

Recomputes everything: the signature, the digest of every file in the folder, and the verdicts
from the journal. Without --key it can tell that nothing was changed since it was signed, but
not that the signer is who you think.

Exit codes: 0 valid; 1 not valid, and what is wrong is named; 2 there is no such file.")]
pub(super) struct Args {
    /// The certificate, in the run folder that it was made for; or that folder
    #[arg(value_name = "FILE")]
    certificate: PathBuf,
    /// Accept only a signature by this public key (PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Also compare this binary with the certified engine
    #[arg(long, value_name = "FILE")]
    engine: Option<PathBuf>,
    /// How to tell
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// One JSON document, `seaworthy.verification/1`
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let demanded = args
        .key
        .as_deref()
        .map(PublicKey::open)
        .transpose()
        .or_bad_input()?;
    let own = config::own_folder().map(|folder| key::public_path(&key::path_in(&folder)));
    let keys = KnownKeys {
        demanded,
        // A reader without a key of their own, or with a broken one, still can verify.
        own: own.and_then(|path| PublicKey::open(&path).ok()),
    };
    let mut certificate = args.certificate.clone();
    if certificate.is_dir() {
        certificate.push(name::CERTIFICATE);
    }
    let verification =
        verify(&certificate, args.engine.as_deref(), &keys).map_err(|error| match error {
            error @ VerifyError::NoCertificate(_) => Failure::Input(error.into()),
            error @ VerifyError::Evidence(_) => Failure::Harness(error.into()),
        })?;
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&verification)? + "\n",
        Format::Text => told(&verification),
    };
    terminal::answer(&text)?;
    Ok(Answer::from(verification.valid))
}

/// Of one kind of problem, a person reads no more.
const SHOWN: usize = 20;

/// The problems, a line each; of a kind that there is too much of, the first ones and the number.
fn problems(problems: &[Problem]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, problem) in problems.iter().enumerate() {
        let alike = |other: &&Problem| other.what == problem.what;
        let before = problems.iter().take(index).filter(alike).count();
        if before < SHOWN {
            lines.push(format!("  {problem}"));
        } else if before == SHOWN {
            let more = problems.iter().filter(alike).count() - SHOWN;
            let what = problem.what.words();
            lines.push(format!(
                "  {what}: {more} more, which `--format json` names"
            ));
        }
    }
    lines
}

/// A verification as a person reads it.
fn told(verification: &Verification) -> String {
    let mut lines = Vec::new();
    if verification.valid {
        let verdict = verification
            .verdict
            .map_or("nothing", matrix::verdict::Verdict::name);
        lines.push(format!(
            "valid: {verdict}; {} files as signed, and the journal judges the same",
            verification.files
        ));
        lines.extend(verification.about.as_ref().map(about));
    } else {
        lines.push("NOT VALID".to_owned());
        lines.extend(problems(&verification.problems));
    }
    if let Some(sabotage) = &verification.sabotage {
        lines.push(format!(
            "known fault `{}` was built into the engine: this says nothing of the engine itself",
            sabotage.fault
        ));
    }
    if let Some(signer) = &verification.signer {
        let known_as = match signer.known_as {
            KnownAs::Demanded => "the key that you gave",
            KnownAs::Own => "your own key",
            KnownAs::Unknown if signer.ephemeral => {
                "a key that was made for this run only: it proves that nothing was changed, not who made it"
            }
            KnownAs::Unknown => {
                "a key that is unknown here: it proves that nothing was changed, not who made it (give the signer's with --key)"
            }
        };
        lines.push(format!("signed by {}, {known_as}", signer.keyid));
    }
    lines.join("\n") + "\n"
}

fn about(about: &About) -> String {
    let About {
        engine,
        policy,
        matrix,
        certified,
        cells,
    } = about;
    format!(
        "{} {} (sha256 {}): {certified} of {cells} cells of matrix {matrix} certified, by policy {policy}",
        engine.name, engine.version, engine.sha256
    )
}

#[cfg(test)]
mod tests {
    use crate::certificate::verify::Wrong;

    use super::*;

    #[test]
    fn of_too_many_problems_of_a_kind_the_number_is_told() {
        let problem = |what, name: String| Problem {
            what,
            name,
            detail: "x".to_owned(),
        };
        let mut all: Vec<Problem> = (0..15_000)
            .map(|number| problem(Wrong::Extra, number.to_string()))
            .collect();
        all.push(problem(Wrong::Changed, "journal.ndjson".to_owned()));
        let lines = problems(&all);
        assert_eq!(lines.len(), SHOWN + 2);
        assert_eq!(
            lines[SHOWN],
            "  extra: 14980 more, which `--format json` names"
        );
        assert_eq!(lines[SHOWN + 1], "  changed: journal.ndjson: x");
    }
}
