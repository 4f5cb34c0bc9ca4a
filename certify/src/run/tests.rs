//! Runs on this host whose `seaworthy` is a script that does as each test says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use matrix::axis::TargetKind;
use matrix::cell::Cell;
use matrix::event::{Entry, Event};
use matrix::matrix_file::MatrixFile;
use matrix::outcome::Outcome;
use matrix::plan::{Filter, Plan};
use matrix::policy::Policy;
use matrix::results::{EngineIdentity, Results};
use matrix::sabotage::Sabotage;
use matrix::verdict::Verdict;
use tokio::sync::watch;

use super::certify::{Certified, CertifyError, Order, certify};
use super::facts::{HostFacts, KernelFacts, ProgramFacts, RUN_SCHEMA, RunFacts};
use super::schedule::{Ended, Fleet};
use super::start::{Resume, StartError};
use super::{Patience, folder};
use crate::adapter::EngineKind;
use crate::certificate::key::SigningKey;
use crate::provision::{Breakage, HostProvisioner, Programs, Provisioned, Provisioner};

const CASES: [&str; 3] = ["kernel.a", "limits.b", "limits.c"];

/// A world in which a script plays `seaworthy` on every machine.
struct World {
    dir: tempfile::TempDir,
    storages: &'static str,
    broken_machines: u32,
    engine_sha256: String,
    sabotage: Option<Sabotage>,
    programs: Vec<ProgramFacts>,
    kernels: Vec<KernelFacts>,
    host_kernel: &'static str,
    out: &'static str,
}

/// Breaks the first machines, and then takes this host.
struct Flimsy {
    host: HostProvisioner,
    broken: AtomicU32,
    at_a_time: usize,
}

impl Provisioner for Flimsy {
    fn provision<'a>(&'a self, cell: &'a Cell, attempt: u32, folder: &'a Path) -> Provisioned<'a> {
        let breaks = self
            .broken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match breaks {
            Ok(_) => Box::pin(async { Err(Breakage::new("kernel-panic", "VFS: no root")) }),
            Err(_) => self.host.provision(cell, attempt, folder),
        }
    }

    fn at_a_time(&self) -> usize {
        self.at_a_time
    }
}

impl World {
    fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            storages: r#""vfs""#,
            broken_machines: 0,
            engine_sha256: "5f".repeat(32),
            sabotage: None,
            programs: Vec::new(),
            kernels: Vec::new(),
            host_kernel: "6.1.0",
            out: "run",
        };
        let script = world.path("seaworthy");
        fs::write(&script, include_str!("../../tests/scripts/seaworthy.sh")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let check = r#"{"verdict":"supported","requirements":[],"missing":[]}"#;
        fs::write(world.path("check.json"), check).unwrap();
        fs::write(world.path("engine-sha256"), &world.engine_sha256).unwrap();
        world.cases("kernel.a pass\nlimits.b pass\nlimits.c pass\n")
    }

    /// Says what each case comes to: `ID OUTCOME`, a line a case; `once` fails the first time,
    /// `die` ends the runner in the middle, the first time, `hang` waits for ever.
    fn cases(self, cases: &str) -> Self {
        fs::write(self.path("cases"), cases).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the script was asked to run, a call a line.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn facts(&self) -> RunFacts {
        let suites = r#"suites = ["kernel", "limits"]"#;
        let matrix = format!(
            "description = \"test\"\n{suites}\n[[group]]\ntarget = \"host\"\nkernels = [\"debian-12/6.1\"]\n\
             arch = [\"amd64\"]\nstorage = [{}]\ncgroup = [\"v2\"]\n",
            self.storages
        );
        let policy = format!(
            "description = \"test\"\n{suites}\nmin_pass_share = 1.0\nflaky = \"refuse\"\n\
             cells = {{ required = \"*\", unsupported = \"tolerate\", left_out = \"tolerate\" }}\n\
             skips = {{ allowed = [] }}\n"
        );
        let matrix = MatrixFile::parse("test", &matrix).unwrap();
        let honest = EngineIdentity {
            name: "keel".into(),
            version: "0.1.0".into(),
            sha256: self.engine_sha256.clone(),
        };
        RunFacts {
            schema: RUN_SCHEMA.into(),
            harness: "0.1.0".into(),
            started: "2026-11-24T12:00:00Z".into(),
            judged_on: jiff::civil::date(2026, 11, 24),
            plan: Plan::new("test", &matrix, None, &Filter::default()).unwrap(),
            policy: Policy::parse("test", &policy).unwrap(),
            engine: match &self.sabotage {
                None => honest,
                Some(sabotage) => honest.with_fault(&sabotage.fault),
            },
            sabotage: self.sabotage.clone(),
            cases: CASES.map(str::to_owned).into(),
            host: HostFacts {
                system: "Debian".into(),
                kernel_release: self.host_kernel.into(),
                arch: "amd64".into(),
                cpus: 2,
                memory_mib: 4096,
            },
            accelerator: "none".into(),
            qemu: None,
            machine: None,
            programs: self.programs.clone(),
            selftest: None,
            kernels: self.kernels.clone(),
        }
    }

    fn fleet(&self) -> Fleet {
        let host = HostProvisioner {
            programs: Arc::new(Programs::at(&self.path("seaworthy")).unwrap()),
            engine: None,
            kind: EngineKind::Keel,
            root: self.dir.path().to_owned(),
        };
        let flimsy = Flimsy {
            host,
            broken: AtomicU32::new(self.broken_machines),
            at_a_time: 2,
        };
        Fleet::from([(TargetKind::Host, Arc::new(flimsy) as Arc<dyn Provisioner>)])
    }

    async fn certify(&self, resume: Resume) -> Result<Certified, CertifyError> {
        let (_stop, stopped) = watch::channel(false);
        self.certify_until(resume, stopped).await
    }

    async fn certify_until(
        &self,
        resume: Resume,
        stop: watch::Receiver<bool>,
    ) -> Result<Certified, CertifyError> {
        let order = Order {
            folder: self.path(self.out),
            facts: self.facts(),
            resume,
            key: SigningKey::ephemeral().unwrap(),
            patience: Patience {
                silence: Duration::from_secs(60),
                ..Patience::default()
            },
            clock: || 1000,
        };
        certify(order, self.fleet(), stop).await
    }

    async fn results(&self) -> Results {
        self.certify(Resume::No).await.unwrap().folder.results
    }
}

fn cases_of(journal: &[Entry]) -> Vec<(&str, Outcome, u32)> {
    let mut cases = Vec::new();
    for entry in journal {
        if let Event::Case { result, repeat } = &entry.event {
            cases.push((result.id.as_str(), result.outcome, *repeat));
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_engine_is_certified_and_the_certificate_holds() {
    let world = World::new();
    let certified = world.certify(Resume::No).await.unwrap();
    assert_eq!(certified.folder.results.verdict, Verdict::Certified);
    assert_eq!(certified.ended, Ended::Whole);
    let keys = crate::certificate::verify::KnownKeys::default();
    let path = certified.certificate.unwrap();
    let verification = crate::certificate::verify::verify(&path, None, &keys).unwrap();
    assert!(verification.valid, "{:?}", verification.problems);
    assert_eq!(world.calls(), ["vfs kernel,limits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_run_once_more_and_both_outcomes_are_recorded() {
    let world = World::new().cases("kernel.a pass\nlimits.b once\nlimits.c fail\n");
    let certified = world.certify(Resume::No).await.unwrap();
    let cell = &certified.folder.results.cells[0];
    assert_eq!(
        (cell.cases.pass, cell.cases.flaky, cell.cases.fail),
        (1, 1, 1)
    );
    assert_eq!(cell.verdict, Verdict::NotCertified);
    assert_eq!(
        cases_of(&certified.folder.journal),
        [
            ("kernel.a", Outcome::Pass, 0),
            ("limits.b", Outcome::Fail, 0),
            ("limits.c", Outcome::Fail, 0),
            ("limits.b", Outcome::Pass, 1),
            ("limits.c", Outcome::Fail, 1),
        ]
    );
    assert_eq!(
        world.calls(),
        ["vfs kernel,limits", "vfs limits.b,limits.c"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sabotaged_engine_makes_no_certificate_of_the_engine() {
    let sabotage = |caught_by: &str| {
        Some(Sabotage {
            fault: "drop-b".into(),
            caught_by: caught_by.into(),
        })
    };
    let world = World {
        sabotage: sabotage("limits.b"),
        storages: r#""vfs", "overlay""#,
        ..World::new().cases("kernel.a pass\nlimits.b fail\nlimits.c pass\n")
    };
    let certified = world.certify(Resume::No).await.unwrap();
    for cell in &certified.folder.results.cells {
        assert_eq!(cell.verdict, Verdict::NotCertified);
        assert_eq!(
            cell.reasons[0],
            "known fault `drop-b` was caught by `limits.b`"
        );
    }
    let path = certified.certificate.unwrap();
    let verify = |engine| {
        let keys = crate::certificate::verify::KnownKeys::default();
        crate::certificate::verify::verify(&path, engine, &keys).unwrap()
    };
    assert!(verify(None).valid, "{:?}", verify(None).problems);
    assert_eq!(verify(None).sabotage, world.sabotage);
    let of_the_engine = verify(Some(&world.path("seaworthy")));
    let detail = &of_the_engine.problems[0].detail;
    assert!(detail.contains("known fault `drop-b`"), "{detail}");

    // An honest engine does not go on with that run.
    let world = World {
        sabotage: None,
        ..world
    };
    let error = world.certify(Resume::Yes).await.unwrap_err();
    assert!(
        matches!(
            error,
            CertifyError::Start(StartError::Other { what: "engine", .. })
        ),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_engine_lost_its_fault_is_broken() {
    let world = World {
        sabotage: Some(Sabotage {
            fault: "drop-b".into(),
            caught_by: "limits.b".into(),
        }),
        ..World::new()
    };
    let script = fs::read_to_string(world.path("seaworthy")).unwrap();
    fs::write(world.path("seaworthy"), script.replace("fault=+$2", "true")).unwrap();
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::NotTested);
    assert!(
        results.cells[0].reasons[1].contains("other-engine"),
        "{:?}",
        results.cells[0].reasons
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_breaks_is_replaced_once() {
    let world = World {
        broken_machines: 1,
        ..World::new()
    };
    assert_eq!(world.results().await.verdict, Verdict::Certified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_breaks_twice_is_never_a_failure_of_the_engine() {
    let world = World {
        broken_machines: 2,
        ..World::new()
    };
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::NotTested);
    let cell = &results.cells[0];
    assert_eq!((cell.cases.fail, cell.cases.broken), (0, 3));
    assert_eq!(
        cell.reasons[0],
        "machine 1 failed (kernel-panic): VFS: no root"
    );
    assert_eq!(world.calls(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_machine_runs_only_what_the_broken_one_left() {
    let world = World::new().cases("kernel.a pass\nlimits.b die\nlimits.c pass\n");
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::Certified, "{:?}", results.cells);
    assert_eq!(
        world.calls(),
        ["vfs kernel,limits", "vfs limits.b,limits.c"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_lacks_something_is_unsupported_and_not_tested_further() {
    let world = World::new();
    let check = r#"{"verdict":"unsupported","missing":["kernel.ns.pid"],"requirements":
        [{"id":"kernel.ns.pid","level":"must","state":"absent","remedy":"set CONFIG_PID_NS=y"}]}"#;
    fs::write(world.path("check.json"), check).unwrap();
    let results = world.results().await;
    assert_eq!(results.cells[0].verdict, Verdict::Unsupported);
    assert_eq!(
        results.cells[0].reasons,
        ["`kernel.ns.pid` is absent: set CONFIG_PID_NS=y"]
    );
    assert_eq!(world.calls(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_gives_no_document_is_a_broken_machine() {
    let world = World::new();
    fs::write(world.path("check.json"), "Segmentation fault").unwrap();
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::NotTested);
    assert!(results.cells[0].reasons[0].starts_with("machine 1 failed (check-failed)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_says_no_without_a_reason_is_a_broken_machine() {
    let world = World::new();
    let check = r#"{"verdict":"unsupported","requirements":[],"missing":[]}"#;
    fs::write(world.path("check.json"), check).unwrap();
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::NotTested);
    assert!(results.cells[0].reasons[0].starts_with("machine 1 failed (check-failed)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_tells_of_what_it_was_not_asked_for_is_a_broken_machine() {
    let world = World::new().cases("kernel.a pass\nkernel.unheard-of pass\nlimits.b pass\n");
    let results = world.results().await;
    assert_eq!(results.verdict, Verdict::NotTested);
    let reason = &results.cells[0].reasons[0];
    assert!(
        reason.starts_with("machine 1 failed (suite-stream): it told of case `kernel.unheard-of`"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_keeps_what_was_done_and_resuming_repeats_none_of_it() {
    let world = World {
        storages: r#""vfs", "overlay", "aufs""#,
        ..World::new().cases("kernel.a pass\nlimits.b hang\nlimits.c pass\n")
    };
    let (stop, stopped) = watch::channel(false);
    let run = world.certify_until(Resume::No, stopped);
    // Two cells hang in their second case, and the third has no place: the user has enough.
    let interrupt = async {
        let journal = world.path("run").join(folder::name::JOURNAL);
        while fs::read_to_string(&journal)
            .unwrap_or_default()
            .matches("kernel.a")
            .count()
            < 2
        {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    };
    let (interrupted, ()) = tokio::join!(run, interrupt);
    let interrupted = interrupted.unwrap();
    assert_eq!(
        (interrupted.ended, interrupted.certificate),
        (Ended::Interrupted, None)
    );
    let results = &interrupted.folder.results;
    assert_eq!(results.verdict, Verdict::NotTested);
    assert_eq!(results.totals.cases.pass, 2, "what was done is kept");
    drop(interrupted.folder);

    let world = world.cases("kernel.a pass\nlimits.b pass\nlimits.c pass\n");
    let calls_before = world.calls().len();
    let resumed = world.certify(Resume::Yes).await.unwrap();
    assert_eq!(resumed.folder.results.verdict, Verdict::Certified);
    let calls = world.calls().split_off(calls_before);
    let (mut storages, mut cases): (Vec<_>, Vec<_>) = calls
        .iter()
        .map(|call| call.split_once(' ').unwrap())
        .unzip();
    storages.sort_unstable();
    assert_eq!(storages, ["aufs", "overlay", "vfs"]);
    // Which two of the cells were the first to get a place is the scheduler's affair.
    cases.sort_unstable();
    assert_eq!(
        cases,
        ["kernel,limits", "limits.b,limits.c", "limits.b,limits.c"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_run_is_resumed_without_a_machine() {
    let world = World::new();
    world.certify(Resume::No).await.unwrap();
    let again = world.certify(Resume::Yes).await.unwrap();
    assert_eq!(again.folder.results.verdict, Verdict::Certified);
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engine_does_not_go_on_with_a_run() {
    let mut world = World::new();
    world.certify(Resume::No).await.unwrap();
    world.engine_sha256 = "60".repeat(32);
    assert_eq!(what_differs(&world).await, "engine");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_kernels_or_another_seaworthy_do_not_go_on_with_a_run() {
    let mut world = World::new();
    world.certify(Resume::No).await.unwrap();
    world.kernels.push(KernelFacts {
        name: "custom/6.6.1/amd64".into(),
        release: "6.6.1".into(),
        origin: vec!["bzImage sha256:60".into()],
    });
    assert_eq!(what_differs(&world).await, "set of kernels");
    world.programs.push(ProgramFacts {
        name: "seaworthy-guest-tool".into(),
        sha256: "60".repeat(32),
    });
    assert_eq!(what_differs(&world).await, "seaworthy");
}

/// What keeps the world's run from being resumed.
async fn what_differs(world: &World) -> &'static str {
    let error = world.certify(Resume::Yes).await.unwrap_err();
    let CertifyError::Start(StartError::Other { what, .. }) = error else {
        panic!("{error}");
    };
    what
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_does_not_go_on_with_cells_of_the_host() {
    let mut world = World::new();
    world.certify(Resume::No).await.unwrap();
    world.host_kernel = "6.12.0";
    assert_eq!(what_differs(&world).await, "host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_run_is_moved_aside_however_its_folder_is_named() {
    for out in ["run/", "run/.", "run/../run", "link"] {
        let world = World {
            out,
            ..World::new()
        };
        fs::create_dir(world.path("run")).unwrap();
        std::os::unix::fs::symlink("run", world.path("link")).unwrap();
        world.certify(Resume::No).await.unwrap();
        let first = fs::read(world.path("run/certificate.dsse.json")).unwrap();
        world.certify(Resume::No).await.unwrap();
        assert_eq!(
            fs::read(world.path("run.previous/certificate.dsse.json")).unwrap(),
            first,
            "{out}"
        );
        assert!(world.path("run/certificate.dsse.json").exists(), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_certificate_takes_no_certified_ones_place() {
    let world = World::new();
    world.certify(Resume::No).await.unwrap();
    let certificate = fs::read(world.path("run/certificate.dsse.json")).unwrap();
    for _ in 0..2 {
        let (stop, stopped) = watch::channel(false);
        stop.send(true).unwrap();
        let interrupted = world.certify_until(Resume::No, stopped).await.unwrap();
        assert_eq!(interrupted.ended, Ended::Interrupted);
        assert_eq!(
            fs::read(world.path("run.previous/certificate.dsse.json")).unwrap(),
            certificate
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_run_that_can_not_be_moved_aside_stays_and_the_user_is_told() {
    let world = World::new();
    world.certify(Resume::No).await.unwrap();
    fs::write(world.path("run.previous"), "").unwrap();
    let error = world.certify(Resume::No).await.unwrap_err();
    assert!(
        matches!(error, CertifyError::Start(StartError::Aside { .. })),
        "{error}"
    );
    assert!(world.path("run/certificate.dsse.json").exists());
    // Another's folder of that name is not ours to remove.
    fs::remove_file(world.path("run.previous")).unwrap();
    fs::create_dir(world.path("run.previous")).unwrap();
    fs::write(world.path("run.previous/thesis.tex"), "").unwrap();
    let error = world.certify(Resume::No).await.unwrap_err();
    assert!(
        matches!(error, CertifyError::Start(StartError::Foreign { .. })),
        "{error}"
    );
    assert!(world.path("run/certificate.dsse.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_not_gone_on_with_but_keeps_nobody_from_a_new_run() {
    let world = World::new();
    world.certify(Resume::No).await.unwrap();
    fs::remove_file(world.path("run/certificate.dsse.json")).unwrap();
    fs::write(world.path("run/journal.ndjson"), "nonsense\n").unwrap();
    let error = world.certify(Resume::Yes).await.unwrap_err();
    let CertifyError::Start(error @ StartError::Earlier(_)) = error else {
        panic!("{error}");
    };
    assert!(error.to_string().contains("start anew"), "{error}");
    assert_eq!(world.results().await.verdict, Verdict::Certified);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_leaves_nothing_of_the_old_one_but_touches_no_foreign_folder() {
    let world = World::new();
    world.certify(Resume::No).await.unwrap();
    fs::write(world.path("run/cells/leftover"), "").unwrap();
    assert_eq!(world.results().await.verdict, Verdict::Certified);
    assert!(!world.path("run/cells/leftover").exists());
    fs::remove_dir_all(world.path("run")).unwrap();
    fs::create_dir(world.path("run")).unwrap();
    fs::write(world.path("run/thesis.tex"), "").unwrap();
    let error = world.certify(Resume::No).await.unwrap_err();
    assert!(
        matches!(error, CertifyError::Start(StartError::Foreign { .. })),
        "{error}"
    );
    assert!(world.path("run/thesis.tex").exists());
}
