//! `seaworthy certify`.

mod assemble;
mod interrupt;
mod selftest;
mod size;

use std::path::PathBuf;

use clap::ValueEnum;
use matrix::verdict::Verdict;
use tokio::sync::watch;

use super::image::{SourceArgs, StoreArgs};
use super::matrix::MatrixArgs;
use super::{Answer, Failure, InputContext};
use crate::adapter::EngineKind;
use crate::certificate::key::{self, Lifetime, SigningKey};
use crate::config;
use crate::render::{self, Report};
use crate::run::certify::{Certified, CertifyError, Order, certify};
use crate::run::folder::name;
use crate::run::listing::cells;
use crate::run::schedule::Ended;
use crate::run::start::{self, Resume, StartError};
use crate::run::{Patience, RunFacts};
use crate::selftest::Fault;
use crate::terminal;

/// Certify an engine on every cell of a matrix, and leave a signed certificate with a report
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy certify                                   the engine beside this program, on real kernels
  seaworthy certify --matrix here                     on this machine alone, without any virtual one
  seaworthy certify --engine-path ./keel --only 'kernel=6.1 and storage=overlay'
  seaworthy certify --kernel bzImage --modules lib/modules/6.6.1
  seaworthy certify --sabotage drop-pids-limit        a bad engine: every cell must refuse it
  seaworthy certify --selftest-report selftest.json   with the proof that the suites can fail
  seaworthy certify --resume                          go on where an earlier run ended, or was killed

Policies:
  preview      every case that applies passes, on every cell that was asked for and whose system
               can run it; a case that passed when it ran again is lived with
  candidate    no cell of the matrix is left out or unsupported; a case that failed once is a
               failure; only what a kernel lacks may be skipped
  production   as candidate, and nothing is skipped but what belongs to cgroup v1
AUFS cells count for none of them.

Exit codes: 0 certified; 1 not certified; 2 wrong use or bad input; 3 there is no verdict, because
a machine or the harness failed, the run was interrupted, or cells that the policy demands were
not tested.")]
pub(super) struct Args {
    #[command(flatten)]
    matrix: MatrixArgs,
    /// The engine's adapter: keel, docker or podman
    #[arg(long, default_value = "keel", value_name = "NAME")]
    engine: EngineKind,
    /// The engine's program [default: beside seaworthy, then in PATH]
    #[arg(long, value_name = "FILE")]
    engine_path: Option<PathBuf>,
    /// Build this known fault into the engine, to see every cell refuse it: such a run is never
    /// a certificate of the engine (`seaworthy selftest` names the faults)
    #[arg(long, value_name = "FAULT", value_parser = Fault::named)]
    sabotage: Option<&'static Fault>,
    /// What is demanded: `preview`, `candidate`, `production`, a name in your configuration
    /// folder's `policies`, or a TOML file
    #[arg(long, default_value = "preview", value_name = "NAME|FILE")]
    policy: String,
    /// The run folder: journal, evidence, results, certificate and report; an earlier run that
    /// has a certificate is moved to DIR.previous, another one is removed
    #[arg(long, default_value = "target/certify", value_name = "DIR")]
    out: PathBuf,
    /// Go on with the run in that folder; nothing that is done is done again
    #[arg(long)]
    resume: bool,
    /// Put this report of `seaworthy selftest --format json` into the results and the
    /// certificate: how many known-bad engines this very seaworthy catches
    #[arg(long, value_name = "FILE")]
    selftest_report: Option<PathBuf>,
    #[command(flatten)]
    size: size::SizeArgs,
    /// Boot a machine for every cell; without this, the cells of one kernel go on from a snapshot
    /// of one that was booted
    #[arg(long)]
    no_snapshots: bool,
    /// What executes virtual machines: KVM if a kernel proves to boot under it, or always
    /// QEMU's translation
    #[arg(long, value_enum, default_value_t = AcceleratorChoice::Auto)]
    accelerator: AcceleratorChoice,
    /// Sign with this Ed25519 key (PKCS#8 PEM), which is made if it is not there [default:
    /// `seaworthy/signing-key.pem` in your configuration folder]
    #[arg(long, value_name = "FILE", conflicts_with = "ephemeral_key")]
    key: Option<PathBuf>,
    /// Sign with a key that is made for this run and forgotten: it proves that nothing was
    /// changed, not by whom the run was made
    #[arg(long)]
    ephemeral_key: bool,
    /// On this machine's cells: make engine roots in this folder, on the file system that is
    /// to be tested [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    engine_root: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// How to tell what it came to
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// On this machine's cells: the `seaworthy` that checks and runs suites, for tests of the
    /// harness itself [default: this one]
    #[arg(long, value_name = "FILE", hide = true)]
    seaworthy_path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for a person
    Text,
    /// The results as one JSON document, `seaworthy.results/1`
    Json,
}

/// What executes virtual machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AcceleratorChoice {
    /// KVM where it works, else TCG
    Auto,
    /// TCG: slow, and the same everywhere
    Tcg,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let policy = config::policy(&args.policy, config::own_folder().as_deref()).or_bad_input()?;
    start::check_folder(&args.out)
        .and_then(|()| start::check_writable(&args.out))
        .map_err(start_failure)?;
    if args.resume && !args.out.join(name::RUN).exists() {
        let out = args.out.display();
        terminal::message(&format!("nothing to resume in {out}: the run begins anew"));
    }
    let key = signing_key(args)?;
    let lifetime = key.lifetime();
    // Two threads: what waits is cheap, and the guests need the processors.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let assembled = assemble::assemble(args, policy, &runtime)?;
    let order = Order {
        folder: args.out.clone(),
        facts: assembled.facts,
        resume: if args.resume { Resume::Yes } else { Resume::No },
        key,
        patience: Patience::default(),
        clock: milliseconds_since_1970,
    };
    announce(&order.facts);
    let certified = runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let _watching = interrupt::watch(stop)?;
        certify(order, assembled.fleet, stopped)
            .await
            .map_err(failure)
    })?;
    tell(args, &certified, lifetime)?;
    match certified.ended {
        Ended::Whole => answer(certified.folder.results.verdict),
        // Whatever is known so far, cells are missing: neither a yes nor a no.
        Ended::Interrupted => Err(Failure::Harness(anyhow::anyhow!(
            "the run was interrupted, so there is no answer"
        ))),
    }
}

/// The answer that a verdict is.
pub(super) fn answer(verdict: Verdict) -> Result<Answer, Failure> {
    match verdict {
        Verdict::Certified | Verdict::CertifiedWithWaivers => Ok(Answer::Yes),
        Verdict::NotCertified | Verdict::Unsupported => Ok(Answer::No),
        Verdict::NotTested => Err(Failure::Harness(anyhow::anyhow!(
            "there is no verdict: cells that the policy demands were not tested, for the reasons given"
        ))),
    }
}

fn signing_key(args: &Args) -> Result<SigningKey, Failure> {
    if args.ephemeral_key {
        return Ok(SigningKey::ephemeral()?);
    }
    let path = match &args.key {
        Some(path) => path.clone(),
        None => key::path_in(&config::own_folder().ok_or_else(|| {
            Failure::Input(anyhow::anyhow!(
                "neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a key: give `--key FILE` or `--ephemeral-key`"
            ))
        })?),
    };
    SigningKey::open_or_make(&path).or_bad_input()
}

fn announce(facts: &RunFacts) {
    let engine = &facts.engine;
    let digest: String = engine.sha256.chars().take(12).collect();
    terminal::message(&format!(
        "{} {} ({digest}): matrix {}, {}, policy {}, {}",
        engine.name,
        engine.version,
        facts.plan.matrix,
        cells(facts.plan.cells.len()),
        facts.policy.name,
        render::accelerator_in_short(&facts.accelerator),
    ));
}

/// The answer to stdout, and where everything is to stderr.
fn tell(args: &Args, certified: &Certified, lifetime: Lifetime) -> Result<(), Failure> {
    let folder = &certified.folder;
    let text = match args.format {
        Format::Json => serde_json::to_string_pretty(&folder.results)? + "\n",
        Format::Text => render::summary(&Report::from(folder), terminal::has_colour().into()),
    };
    terminal::answer(&text)?;
    let report = folder.path.join(name::REPORT).join("index.html");
    terminal::message(&format!("report: {}", report.display()));
    match (&certified.certificate, certified.ended) {
        (Some(path), _) => {
            let by = match lifetime {
                Lifetime::Kept => "",
                Lifetime::Ephemeral => " (signed with a key that was made for this run only)",
            };
            terminal::message(&format!("certificate: {}{by}", path.display()));
        }
        (None, Ended::Interrupted | Ended::Whole) => terminal::message(
            "interrupted: there is no certificate; the same command with `--resume` goes on",
        ),
    }
    Ok(())
}

fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Foreign { .. }
        | StartError::NotWritable { .. }
        | StartError::Aside { .. }
        | StartError::Earlier(_)
        | StartError::Other { .. }
        | StartError::Journal(_) => Failure::Input(error.into()),
        StartError::Io { .. } => Failure::Harness(error.into()),
    }
}

fn failure(error: CertifyError) -> Failure {
    match error {
        CertifyError::Start(error) => start_failure(error),
        error @ (CertifyError::Run(_)
        | CertifyError::Folder(_)
        | CertifyError::Judge(_)
        | CertifyError::Report { .. }
        | CertifyError::Certificate(_)) => Failure::Harness(error.into()),
    }
}

fn milliseconds_since_1970() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
