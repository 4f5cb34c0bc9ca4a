//! From options to a run: plan, engine, kernels, and what makes the machines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use matrix::axis::TargetKind;
use matrix::event::Entry;
use matrix::modules::ModuleList;
use matrix::plan::{NEWEST, Plan};
use matrix::policy::Policy;
use tokio::runtime::Runtime;
use vm_images::catalogue::Wanted;
use vm_images::kernel::Kernel;
use vm_images::qemu::{Acceleration, kvm};
use vm_images::store::ImageStore;

use super::super::image::fetch;
use super::super::matrix::settle;
use super::{AcceleratorChoice, Args, Failure, InputContext, selftest};
use crate::adapter::{self, AdapterError, Cli, EngineKind, Setup};
use crate::doctor;
use crate::journal;
use crate::provision::kernels::Get;
use crate::provision::{
    HostProvisioner, Kernels, MicroProvisioner, Programs, Provisioner, Snapshots,
};
use crate::run::facts::{HostFacts, RUN_SCHEMA, RunFacts};
use crate::run::folder::name;
use crate::run::host::available_memory_mib;
use crate::run::schedule::Fleet;
use crate::selftest::Fault;
use crate::suite;

/// A run that can begin.
pub(super) struct Assembled {
    pub(super) facts: RunFacts,
    pub(super) fleet: Fleet,
}

pub(super) fn assemble(
    args: &Args,
    policy: Policy,
    runtime: &Runtime,
) -> Result<Assembled, Failure> {
    let store = args.store.open()?;
    let own = args.matrix.own_kernel(&store)?;
    let mut plan = args.matrix.plan(own.as_ref())?;
    refuse_what_cannot_be_run(args, &plan)?;
    if let Some(lacking) = doctor::lacks_for(&plan.cells, &doctor::program_path()).first() {
        return Err(Failure::Harness(anyhow::anyhow!(
            "{lacking} (`seaworthy doctor` looks at everything; `--matrix here` needs no virtual machine)"
        )));
    }
    let programs = Arc::new(match &args.seaworthy_path {
        Some(path) => Programs::at(&std::path::absolute(path)?)?,
        None => Programs::running()?,
    });
    let engine = Engine::find(args, &plan)?;
    let selftest = (args.selftest_report.as_deref())
        .map(|report| selftest::selftest(report, &programs.facts()))
        .transpose()?;
    let host = HostFacts::of_this_machine()?;
    let mut fleet = Fleet::new();
    let mut accelerator = "no virtual machine".to_owned();
    let mut kernels = Vec::new();
    let mut qemu = None;
    let mut machine = None;
    if uses(&plan, TargetKind::Micro) {
        let had = kernels_for(args, &store, &mut plan, own.as_ref())?;
        // Nothing was fetched for cells that are not run: they are called as `plan` calls them. A
        // cell that is run and still without a series keeps the name that its failure is kept by.
        if plan.cells.iter().all(|cell| cell.kernel != NEWEST) {
            settle(&mut plan, &store)?;
        }
        kernels = had.facts();
        qemu = had.any().map(|kernel| kvm::qemu_version(kernel.arch));
        machine = Some(args.size.machine());
        let acceleration = acceleration(args, &store, &had, &programs, runtime);
        accelerator = acceleration.to_string();
        let snapshots = if args.no_snapshots {
            Snapshots::default()
        } else {
            Snapshots::for_cells(&plan.cells, &earlier(args))
        };
        let micro = MicroProvisioner {
            kernels: had,
            modules: ModuleList::built_in()?,
            programs: Arc::clone(&programs),
            engine: engine.program.clone(),
            acceleration,
            size: args.size.machine(),
            jobs: (args.size).jobs(host.cpus, available_memory_mib(), snapshots.memory_mib()),
            snapshots,
        };
        fleet.insert(TargetKind::Micro, Arc::new(micro) as Arc<dyn Provisioner>);
    }
    if uses(&plan, TargetKind::Host) {
        let root = args.engine_root.clone().unwrap_or_else(std::env::temp_dir);
        let host = HostProvisioner {
            programs: Arc::clone(&programs),
            engine: Some(engine.program.clone()),
            kind: args.engine,
            root: std::path::absolute(root)?,
        };
        host.clean_up();
        fleet.insert(TargetKind::Host, Arc::new(host));
    }
    let now = jiff::Timestamp::now().round(jiff::Unit::Second)?;
    let facts = RunFacts {
        schema: RUN_SCHEMA.to_owned(),
        harness: env!("CARGO_PKG_VERSION").to_owned(),
        started: now.to_string(),
        judged_on: now.to_zoned(jiff::tz::TimeZone::UTC).date(),
        plan,
        policy,
        engine: engine.identity,
        sabotage: args.sabotage.map(Fault::sabotage),
        cases: suite::catalogue()
            .iter()
            .map(|case| case.id.to_owned())
            .collect(),
        host,
        accelerator,
        qemu,
        machine,
        programs: programs.facts(),
        selftest,
        kernels,
    };
    Ok(Assembled { facts, fleet })
}

/// Which engine is tested, and where its program is.
struct Engine {
    program: PathBuf,
    identity: matrix::results::EngineIdentity,
}

impl Engine {
    /// Finds it, and sees that it can run containers where that is to be on this machine.
    fn find(args: &Args, plan: &Plan) -> Result<Self, Failure> {
        // Only asked for its version, but an adapter always keeps its engine's state apart.
        let root = tempfile::tempdir()?;
        let setup = Setup {
            program: args.engine_path.clone(),
            storage_driver: None,
            root: root.path().to_owned(),
        };
        let engine = adapter::open(args.engine, setup).map_err(|error| match error {
            error @ AdapterError::NotFound { .. } => Failure::Harness(error.into()),
            error @ (AdapterError::UnknownEngine(_)
            | AdapterError::NotExecutable { .. }
            | AdapterError::DriverIsTheDaemons
            | AdapterError::NeedsRoot(_)) => Failure::Input(error.into()),
        })?;
        if uses(plan, TargetKind::Host) {
            adapter::allow(engine.as_ref()).or_bad_input()?;
        }
        let program = engine.program().to_owned();
        let identity = Cli::new(engine).with_fault(args.sabotage).identity()?;
        Ok(Self { program, identity })
    }
}

/// What executes the guests: a kernel of the plan has to boot under KVM to prove that it works.
fn acceleration(
    args: &Args,
    store: &ImageStore,
    kernels: &Kernels,
    programs: &Programs,
    runtime: &Runtime,
) -> Acceleration {
    match (args.accelerator, kernels.any()) {
        (AcceleratorChoice::Auto, Some(kernel)) => runtime.block_on(kvm::choose(&kvm::Trial {
            kernel: kernel.clone(),
            agent_binary: programs.seaworthy(),
            cache: store.cache().to_owned(),
        })),
        (AcceleratorChoice::Tcg, _) | (AcceleratorChoice::Auto, None) => Acceleration::tcg(),
    }
}

fn uses(plan: &Plan, kind: TargetKind) -> bool {
    plan.cells.iter().any(|cell| cell.target == kind)
}

fn refuse_what_cannot_be_run(args: &Args, plan: &Plan) -> Result<(), Failure> {
    let refuse = |text: String| Err(Failure::Input(anyhow::anyhow!(text)));
    if plan.cells.is_empty() {
        return refuse(format!(
            "no cell of matrix `{}` is left to run: `seaworthy plan` with the same options says why",
            plan.matrix
        ));
    }
    let known: Vec<&str> = suite::catalogue().iter().map(suite::Case::area).collect();
    for cell in &plan.cells {
        if let Some(unknown) = cell
            .suites
            .iter()
            .find(|suite| !known.contains(&suite.as_str()))
        {
            return refuse(format!(
                "matrix `{}` asks for suite `{unknown}`, which there is not: `seaworthy suite list` shows them all",
                plan.matrix
            ));
        }
        match cell.target {
            TargetKind::Host if args.engine == EngineKind::Docker => {
                return refuse(
                    "docker has the storage driver that its daemon is configured for, and can't be certified driver by driver: `seaworthy suite run --engine docker` runs the cases".to_owned(),
                );
            }
            TargetKind::Host => {}
            TargetKind::Micro if args.engine == EngineKind::Keel => {}
            TargetKind::Micro => {
                return refuse(format!(
                    "{} can't be put into a micro target, which has no distribution: use `--matrix here`",
                    args.engine
                ));
            }
            TargetKind::Image | TargetKind::Ssh => {
                return refuse(format!(
                    "cell `{}` needs a target of kind `{}`, which this version can't make: leave it out with `--skip target={}`",
                    cell.id, cell.target, cell.target
                ));
            }
        }
    }
    Ok(())
}

/// The kernels of the plan: from the mirror, or what an earlier run of the same name used.
fn kernels_for(
    args: &Args,
    store: &ImageStore,
    plan: &mut Plan,
    own: Option<&Kernel>,
) -> Result<Kernels, Failure> {
    let mut source = None;
    let resumes = args.resume && has_run(&args.out);
    let mut get = |wanted: &[Wanted]| {
        // A mirror that has moved on must not keep a run from being resumed.
        if resumes {
            let cached: Option<Vec<Kernel>> = wanted
                .iter()
                .map(|wanted| store.kernel(wanted).ok().flatten())
                .collect();
            if let Some(kernels) = cached {
                return Ok(kernels);
            }
        }
        let told = |failure| match failure {
            Failure::Input(error) | Failure::Harness(error) => error.into(),
        };
        // A kernel of the user's own, or a cached one, needs neither mirror nor keyring.
        let source = match source.take() {
            Some(known) => source.insert(known),
            None => source.insert(args.source.source().map_err(told)?),
        };
        fetch(store, wanted, source).map_err(told)
    };
    let kernels = Kernels::for_plan(plan, own, &mut get as &mut Get<'_>).or_bad_input()?;
    match kernels.all_failed() {
        None => Ok(kernels),
        Some(breakage) => Err(Failure::Harness(anyhow::anyhow!(
            "no kernel could be had: {}",
            breakage.detail
        ))),
    }
}

/// What happened in the run that is gone on with. One that can't be read is told of when the run
/// begins.
fn earlier(args: &Args) -> Vec<Entry> {
    if !(args.resume && has_run(&args.out)) {
        return Vec::new();
    }
    let journal = journal::read(&args.out.join(name::JOURNAL));
    journal.map(|journal| journal.entries).unwrap_or_default()
}

fn has_run(folder: &Path) -> bool {
    folder.join(name::RUN).exists()
}
