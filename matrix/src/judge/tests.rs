//! What the judge promises, over journals that a generator makes up.

use jiff::civil::date;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::axis::TargetKind;
use crate::event::{Event, Missing};
use crate::matrix_file::MatrixFile;
use crate::plan::Filter;
use crate::waiver::Waiver;

const CASES: [&str; 4] = [
    "kernel.ns.pid",
    "limits.pids.max",
    "limits.memory.oom",
    "images.load.oci",
];

/// Builds a trial of two cells, one of which is always there, and its journal.
struct Scene {
    plan: Plan,
    policy: Policy,
    engine: EngineIdentity,
    cases: Vec<String>,
    journal: Vec<Entry>,
    today: Date,
    sabotage: Option<Sabotage>,
    selftest: Option<Selftest>,
}

impl Scene {
    fn new() -> Self {
        let matrix = r#"
            description = "two cells"
            suites = ["kernel", "limits", "images"]
            [[group]]
            target = "micro"
            kernels = ["debian-12/6.1"]
            arch = ["amd64"]
            storage = ["overlay", "vfs", "aufs"]
            cgroup = ["v2"]
            [[exclude]]
            cells = "storage=aufs"
            reason = "no kernel has it"
        "#;
        let policy = r#"
            description = "test"
            suites = ["kernel", "limits", "images"]
            min_pass_share = 1.0
            flaky = "refuse"
            cells = { required = "not storage=aufs", unsupported = "tolerate", left_out = "refuse" }
            skips = { allowed = ["kernel.cgroup.*"] }
        "#;
        let matrix = MatrixFile::parse("two", matrix).unwrap();
        Self {
            plan: Plan::new("two", &matrix, None, &Filter::default()).unwrap(),
            policy: Policy::parse("test", policy).unwrap(),
            engine: EngineIdentity {
                name: "keel".into(),
                version: "0.1.0".into(),
                sha256: "0".repeat(64),
            },
            cases: CASES.map(str::to_owned).into(),
            journal: Vec::new(),
            today: date(2026, 11, 24),
            sabotage: None,
            selftest: None,
        }
    }

    fn event(mut self, cell: &str, attempt: u32, event: Event) -> Self {
        let seq = self.journal.len() as u64;
        self.journal.push(Entry {
            seq,
            at_ms: 1000 + seq,
            cell: format!("debian-12/6.1/amd64/{cell}/v2").parse().unwrap(),
            attempt,
            event,
        });
        self
    }

    fn boots(self, cell: &str, attempt: u32) -> Self {
        let booted = Event::Booted {
            boot_ms: Some(1300),
            restored: false,
            accelerator: Accelerator::Tcg,
            kernel_release: "6.1.0-32-amd64".into(),
        };
        self.event(
            cell,
            attempt,
            Event::Started {
                target: TargetKind::Micro,
            },
        )
        .event(cell, attempt, booted)
        .event(
            cell,
            attempt,
            Event::Checked {
                missing: Vec::new(),
            },
        )
    }

    fn case(self, cell: &str, id: &str, outcome: Outcome, detail: &str) -> Self {
        let result = CaseResult {
            id: id.into(),
            requirement: vec!["oci.test".into()],
            outcome,
            ms: 7,
            detail: detail.into(),
        };
        self.event(cell, 1, Event::Case { result, repeat: 0 })
    }

    /// A cell in which `outcomes` happened, in the order of [`CASES`]; `None`: never ran.
    fn cell(mut self, cell: &str, outcomes: [Option<Outcome>; 4]) -> Self {
        self = self.boots(cell, 1);
        for (id, outcome) in CASES.iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                self = self.case(cell, id, outcome, "kernel.other");
            }
        }
        self.event(cell, 1, Event::Finished)
    }

    fn passing(self, cell: &str) -> Self {
        self.cell(cell, [Some(Outcome::Pass); 4])
    }

    fn judge(&self) -> Results {
        let trial = Trial {
            plan: &self.plan,
            policy: &self.policy,
            engine: &self.engine,
            sabotage: self.sabotage.as_ref(),
            selftest: self.selftest.as_ref(),
            cases: &self.cases,
            today: self.today,
        };
        judge(&trial, &self.journal)
    }

    fn verdict_of(&self, cell: &str) -> (Verdict, Vec<String>) {
        let id = format!("debian-12/6.1/amd64/{cell}/v2");
        let results = self.judge();
        let cell = results
            .cells
            .into_iter()
            .find(|cell| cell.id.as_str() == id);
        cell.map(|cell| (cell.verdict, cell.reasons)).unwrap()
    }
}

/// Better is greater: what a verdict may only become when an outcome becomes better.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::NotCertified => 0,
        Verdict::NotTested => 1,
        Verdict::Unsupported => 2,
        Verdict::CertifiedWithWaivers => 3,
        Verdict::Certified => 4,
    }
}

#[test]
fn every_case_passing_on_every_required_cell_is_certified() {
    let results = Scene::new().passing("overlay").passing("vfs").judge();
    assert_eq!(results.verdict, Verdict::Certified, "{:?}", results.reasons);
    assert_eq!(results.totals.certified_kernels, 1);
    assert_eq!(results.totals.cases.pass, 8);
    let aufs = &results.cells[2];
    assert_eq!(
        (aufs.verdict, aufs.reasons[0].as_str()),
        (Verdict::NotTested, "no kernel has it")
    );
}

#[test]
fn a_cell_that_is_not_in_the_journal_is_not_tested() {
    let scene = Scene::new().passing("overlay");
    assert_eq!(
        scene.verdict_of("vfs"),
        (Verdict::NotTested, vec!["never ran".to_owned()])
    );
    assert_eq!(scene.judge().verdict, Verdict::NotTested);
}

#[test]
fn an_absent_requirement_of_the_system_is_no_failure_of_the_engine() {
    let missing = Missing {
        requirement: "kernel.storage.overlay".into(),
        remedy: "set CONFIG_OVERLAY_FS=m".into(),
    };
    let scene = Scene::new()
        .passing("vfs")
        .event(
            "overlay",
            1,
            Event::Checked {
                missing: vec![missing],
            },
        )
        .event("overlay", 1, Event::Finished);
    let expected = "`kernel.storage.overlay` is absent: set CONFIG_OVERLAY_FS=m".to_owned();
    assert_eq!(
        scene.verdict_of("overlay"),
        (Verdict::Unsupported, vec![expected])
    );
    assert_eq!(
        scene.judge().verdict,
        Verdict::Certified,
        "the policy tolerates it"
    );
}

#[test]
fn a_failed_case_names_itself() {
    let scene = Scene::new()
        .passing("vfs")
        .boots("overlay", 1)
        .case(
            "overlay",
            CASES[1],
            Outcome::Fail,
            "expected EAGAIN at 33 processes, saw 200\nmore",
        )
        .event("overlay", 1, Event::Finished);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotCertified);
    assert_eq!(
        reasons,
        ["case `limits.pids.max` failed: expected EAGAIN at 33 processes, saw 200"]
    );
    assert_eq!(scene.judge().verdict, Verdict::NotCertified);
}

#[test]
fn a_machine_that_failed_twice_leaves_the_cell_not_tested() {
    let broken = |detail: &str| Event::Broken {
        kind: "kernel-panic".into(),
        detail: detail.into(),
    };
    let scene = Scene::new()
        .passing("vfs")
        .boots("overlay", 1)
        .event("overlay", 1, broken("first"))
        .event("overlay", 2, broken("second"))
        .event("overlay", 2, Event::Finished);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotTested);
    assert_eq!(reasons[0], "machine 1 failed (kernel-panic): first");
    assert_eq!(scene.judge().cells[0].cases.broken, 4);
}

#[test]
fn a_failure_on_a_machine_that_broke_before_it_was_run_again_is_the_machines() {
    let broken = || Event::Broken {
        kind: "kernel-panic".into(),
        detail: "oops".into(),
    };
    let scene = Scene::new()
        .passing("vfs")
        .boots("overlay", 1)
        .case("overlay", CASES[1], Outcome::Fail, "once")
        .event("overlay", 1, broken())
        .event("overlay", 2, broken())
        .event("overlay", 2, Event::Finished);
    let results = scene.judge();
    let cell = &results.cells[0];
    assert_eq!((cell.verdict, cell.cases.fail), (Verdict::NotTested, 0));
    let limits = cell.case_results.iter().find(|case| case.id == CASES[1]);
    assert_eq!(
        limits.unwrap().detail,
        "failed on machine 1, which ended before the case could be run again: once"
    );

    // A repetition that broke shows nothing more, nor does a failure that is seen in the second.
    for [first, second] in [
        [Outcome::Fail, Outcome::Broken],
        [Outcome::Broken, Outcome::Fail],
    ] {
        let result = CaseResult {
            outcome: second,
            ..limits.unwrap().clone()
        };
        let (verdict, _) = Scene::new()
            .boots("overlay", 1)
            .case("overlay", CASES[1], first, "once")
            .event("overlay", 1, Event::Case { result, repeat: 1 })
            .event("overlay", 1, broken())
            .event("overlay", 2, broken())
            .event("overlay", 2, Event::Finished)
            .verdict_of("overlay");
        assert_eq!(verdict, Verdict::NotTested);
    }

    // Passed on another, it is told.
    let result = CaseResult {
        outcome: Outcome::Pass,
        ..limits.unwrap().clone()
    };
    let [p, f] = [Some(Outcome::Pass), Some(Outcome::Fail)];
    let (verdict, reasons) = Scene::new()
        .cell("overlay", [p, f, p, p])
        .event("overlay", 1, broken())
        .event("overlay", 2, Event::Case { result, repeat: 1 })
        .verdict_of("overlay");
    assert_eq!(verdict, Verdict::Certified);
    let told = "failed on machine 1, which ended before it could run again; on another: pass";
    assert!(reasons[0].contains(told), "{reasons:?}");
    // The machine too.
    assert_eq!(reasons[1], "machine 1 failed (kernel-panic): oops");

    // Seen again, on whichever machine, it is the engine's.
    let result = CaseResult {
        detail: "again".into(),
        outcome: Outcome::Fail,
        ..limits.unwrap().clone()
    };
    let again = scene.event("overlay", 2, Event::Case { result, repeat: 1 });
    assert_eq!(again.verdict_of("overlay").0, Verdict::NotCertified);
}

#[test]
fn a_failure_that_nobody_could_see_again_after_an_interruption_is_none() {
    let result = CaseResult {
        id: CASES[1].into(),
        requirement: Vec::new(),
        outcome: Outcome::Pass,
        ms: 7,
        detail: String::new(),
    };
    let cut_off = || {
        Scene::new()
            .boots("overlay", 1)
            .case("overlay", CASES[1], Outcome::Fail, "once")
            .event("overlay", 1, Event::Interrupted)
    };
    assert_eq!(cut_off().verdict_of("overlay").0, Verdict::NotTested);

    let scene = CASES.iter().fold(cut_off(), |scene, id| {
        let result = CaseResult {
            id: (*id).into(),
            ..result.clone()
        };
        scene.event("overlay", 2, Event::Case { result, repeat: 0 })
    });
    let (verdict, reasons) = scene
        .event("overlay", 2, Event::Finished)
        .verdict_of("overlay");
    assert_eq!(
        (verdict, reasons.len()),
        (Verdict::Certified, 1),
        "{reasons:?}"
    );
}

#[test]
fn a_case_that_nobody_asked_for_proves_nothing() {
    let scene = Scene::new().passing("overlay");
    let more = Scene::new()
        .passing("overlay")
        .case("overlay", "limits.unheard-of", Outcome::Pass, "")
        .case("overlay", "hostile.unasked", Outcome::Fail, "no");
    assert_eq!(more.judge().cells[0], scene.judge().cells[0]);
}

#[test]
fn what_the_engine_left_behind_is_told() {
    let names = (1..8).map(|number| format!("sw-{number}")).collect();
    let scene = Scene::new()
        .passing("overlay")
        .event("overlay", 1, Event::LeftBehind { names });
    let expected = "left behind by the engine: sw-1, sw-2, sw-3, sw-4, sw-5 and 2 more";
    assert_eq!(
        scene.verdict_of("overlay"),
        (Verdict::Certified, vec![expected.to_owned()])
    );
}

#[test]
fn a_cell_with_a_few_broken_cases_is_neither_certified_nor_failed() {
    let [p, b] = [Some(Outcome::Pass), Some(Outcome::Broken)];
    let scene = Scene::new().cell("overlay", [p, p, b, p]);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(
        (verdict, reasons),
        (
            Verdict::NotTested,
            vec!["1 of 4 cases have no outcome".into()]
        )
    );
}

#[test]
fn a_case_that_differs_is_flaky_and_keeps_the_words_of_its_failure() {
    let scene = Scene::new().passing("vfs").passing("overlay").case(
        "overlay",
        CASES[0],
        Outcome::Fail,
        "once",
    );
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotCertified);
    assert_eq!(reasons, ["case `kernel.ns.pid` passed and failed: once"]);
}

#[test]
fn a_suite_that_did_not_run_cannot_be_certified() {
    let mut scene = Scene::new().passing("overlay");
    scene.policy.suites.push("security".into());
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotTested);
    assert_eq!(
        reasons,
        ["suite `security`, which policy `test` demands, did not run"]
    );
}

#[test]
fn all_skipped_is_not_passed() {
    let mut scene = Scene::new().boots("overlay", 1);
    for case in CASES {
        scene = scene.case(
            "overlay",
            case,
            Outcome::Skip,
            "kernel.cgroup.pids: not there",
        );
    }
    let scene = scene.event("overlay", 1, Event::Finished);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotTested);
    assert_eq!(reasons, ["no case applied: all were skipped"]);
}

#[test]
fn only_an_unexpired_waiver_waives() {
    let mut scene = Scene::new().passing("vfs").cell(
        "overlay",
        [
            Some(Outcome::Pass),
            Some(Outcome::Fail),
            Some(Outcome::Pass),
            Some(Outcome::Pass),
        ],
    );
    scene.policy.waivers.push(Waiver {
        case: crate::glob::Glob::new("limits.*"),
        cells: Some("kernel=6.1".parse().unwrap()),
        owner: "someone".into(),
        reason: "known".into(),
        clause: "oci.linux.pids".into(),
        expires: date(2026, 11, 24),
    });
    let waived =
        "case `limits.pids.max` failed, waived until 2026-11-24 by someone (oci.linux.pids: known)";
    assert_eq!(
        scene.verdict_of("overlay"),
        (Verdict::CertifiedWithWaivers, vec![waived.to_owned()])
    );
    assert_eq!(scene.judge().verdict, Verdict::CertifiedWithWaivers);
    scene.today = date(2026, 11, 25);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotCertified);
    assert_eq!(
        reasons,
        [
            "case `limits.pids.max` failed, and its waiver by someone expired on 2026-11-24: kernel.other"
        ]
    );
}

#[test]
fn what_was_left_out_by_selection_is_said_and_held_against_a_strict_policy() {
    let mut scene = Scene::new().passing("overlay");
    let cell = scene.plan.cells.pop().unwrap();
    scene.plan.excluded.push(crate::plan::Excluded {
        id: cell.id.clone(),
        reason: "left out by `--skip storage=vfs`".into(),
        by: ExcludedBy::Selection,
        cell,
    });
    let results = scene.judge();
    assert_eq!(results.verdict, Verdict::NotTested);
    assert_eq!(
        results.reasons,
        [
            "1 cell of the matrix left out by selection".to_owned(),
            format!(
                "policy `{}` demands 1 of those that were left out, `{}` for one",
                scene.policy.name,
                scene.plan.excluded.last().unwrap().id
            )
        ]
    );
    assert!(
        results
            .cells
            .iter()
            .all(|cell| !cell.id.as_str().contains("vfs"))
    );
    scene.policy.cells.left_out = Lenience::Tolerate;
    assert_eq!(scene.judge().verdict, Verdict::Certified);
}

#[test]
fn what_was_left_out_is_counted_as_the_plan_counts_it() {
    let filter = Filter {
        only: vec!["kernel=6.1".parse().unwrap()],
        skip: Vec::new(),
    };
    let mut scene = Scene::new();
    let matrix = MatrixFile::built_in("quick").unwrap();
    scene.plan = Plan::new("quick", &matrix, None, &filter).unwrap();
    scene.policy.cells.left_out = Lenience::Tolerate;
    let reasons = scene.judge().reasons;
    let told = "12 cells of the matrix left out by selection".to_owned();
    assert!(reasons.contains(&told), "{reasons:?}");
}

/// Two cells of an engine whose fault the second case must catch.
fn sabotaged(overlay: [Option<Outcome>; 4]) -> Scene {
    let mut scene = Scene::new().cell("overlay", overlay).passing("vfs");
    scene.policy.min_pass_share = 0.25;
    scene.sabotage = Some(Sabotage {
        fault: "drop-pids-limit".into(),
        caught_by: CASES[1].into(),
    });
    scene
}

#[test]
fn a_caught_fault_is_not_certified_whatever_the_policy_lives_with() {
    let [p, f] = [Some(Outcome::Pass), Some(Outcome::Fail)];
    let scene = sabotaged([p, f, p, p]);
    let (verdict, reasons) = scene.verdict_of("overlay");
    assert_eq!(verdict, Verdict::NotCertified);
    assert_eq!(
        reasons[0],
        "known fault `drop-pids-limit` was caught by `limits.pids.max`"
    );
    let reasons = scene.judge().reasons;
    assert!(reasons[0].starts_with("known fault `drop-pids-limit` was built into the engine"));
}

#[test]
fn a_fault_that_was_not_caught_certifies_nothing() {
    let scene = sabotaged([Some(Outcome::Pass); 4]);
    let expected = "known fault `drop-pids-limit` was NOT caught: `limits.pids.max` passed";
    assert_eq!(
        scene.verdict_of("vfs"),
        (Verdict::NotTested, vec![expected.to_owned()])
    );
    assert_eq!(scene.judge().verdict, Verdict::NotTested);

    // Another case that fails does not stand in for the one that must.
    let [p, f] = [Some(Outcome::Pass), Some(Outcome::Fail)];
    let scene = sabotaged([p, p, f, p]);
    assert_eq!(scene.verdict_of("overlay").0, Verdict::NotTested);
}

#[test]
fn a_self_test_stands_in_the_results_with_what_it_missed() {
    let mut scene = Scene::new().passing("overlay").passing("vfs");
    scene.selftest = Some(Selftest {
        schema: crate::results::SELFTEST_SCHEMA.into(),
        engine: scene.engine.clone(),
        harness_sha256: "1".repeat(64),
        known_bad: 2,
        caught: 1,
        missed: vec!["drop-cpus".into()],
        not_shown: Vec::new(),
        good: 1,
        good_failed: 0,
    });
    let results = scene.judge();
    assert_eq!(results.selftest, scene.selftest);
    assert_eq!(
        results.reasons,
        ["the self-test of the suites missed drop-cpus"]
    );
}

fn any_outcome() -> impl Strategy<Value = Option<Outcome>> {
    prop_oneof![Just(None), select(&Outcome::ALL[..]).prop_map(Some)]
}

fn any_outcomes() -> impl Strategy<Value = [Option<Outcome>; 4]> {
    [any_outcome(), any_outcome(), any_outcome(), any_outcome()]
}

fn any_share() -> impl Strategy<Value = f64> {
    select(&[0.25, 0.5, 0.75, 1.0][..])
}

proptest! {
    #[test]
    fn the_order_of_the_journal_does_not_matter(
        first in any_outcomes(), second in any_outcomes(), again in any_outcomes(),
        order in Just((0usize..64).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let scene = Scene::new().cell("overlay", first).cell("vfs", second).cell("overlay", again);
        let mut shuffled = Scene::new();
        shuffled.journal = order.iter().filter_map(|&at| scene.journal.get(at).cloned()).collect();
        prop_assert_eq!(shuffled.journal.len(), scene.journal.len());
        prop_assert_eq!(shuffled.judge(), scene.judge());
    }

    #[test]
    fn saying_everything_twice_changes_nothing(first in any_outcomes(), second in any_outcomes()) {
        let scene = Scene::new().cell("overlay", first).cell("vfs", second);
        let mut twice = Scene::new();
        twice.journal = [scene.journal.clone(), scene.journal.clone()].concat();
        prop_assert_eq!(twice.judge(), scene.judge());
    }

    #[test]
    fn a_better_outcome_never_makes_a_verdict_worse(
        outcomes in any_outcomes(), which in 0usize..4, share in any_share(),
    ) {
        let ranks = [Some(Outcome::Fail), Some(Outcome::Broken), Some(Outcome::Pass)].map(|better| {
            let mut outcomes = outcomes;
            outcomes[which] = better;
            let mut scene = Scene::new().cell("overlay", outcomes).passing("vfs");
            scene.policy.min_pass_share = share;
            (rank(scene.verdict_of("overlay").0), rank(scene.judge().verdict))
        });
        let [fail, broken, pass] = ranks;
        prop_assert!(fail.0 <= pass.0 && broken.0 <= pass.0, "{ranks:?}");
        prop_assert!(fail.1 <= pass.1 && broken.1 <= pass.1, "{ranks:?}");
        // A policy that lives with some failures still wants to know which they are.
        if share >= 1.0 {
            prop_assert!(fail.0 <= broken.0 && fail.1 <= broken.1, "{ranks:?}");
        }
    }

    #[test]
    fn what_did_not_pass_never_counts_as_passed(outcomes in any_outcomes()) {
        // At a pass share of 1, certified means that all that was not skipped with leave passed.
        let scene = Scene::new().cell("overlay", outcomes);
        let all_passed = outcomes.iter().all(|outcome| *outcome == Some(Outcome::Pass));
        prop_assert_eq!(scene.verdict_of("overlay").0 == Verdict::Certified, all_passed);
    }

    #[test]
    fn a_sabotaged_engine_is_never_certified(outcomes in any_outcomes()) {
        let results = sabotaged(outcomes).judge();
        prop_assert!(!results.verdict.is_certified());
        prop_assert!(results.cells.iter().all(|cell| !cell.verdict.is_certified()));
    }

    #[test]
    fn broken_machines_never_make_a_failure(outcomes in any_outcomes(), which in 0usize..4) {
        let mut outcomes = outcomes.map(|outcome| outcome.filter(|o| *o == Outcome::Pass));
        outcomes[which] = Some(Outcome::Broken);
        let scene = Scene::new().cell("overlay", outcomes);
        prop_assert_eq!(scene.verdict_of("overlay").0, Verdict::NotTested);
    }

    #[test]
    fn a_cut_journal_never_certifies_a_cell_that_the_whole_does_not(
        outcomes in any_outcomes(), cut in 0usize..16,
    ) {
        let whole = Scene::new().cell("overlay", outcomes);
        let mut cut_short = Scene::new();
        cut_short.journal = whole.journal.iter().take(cut).cloned().collect();
        if cut_short.verdict_of("overlay").0.is_certified() {
            prop_assert!(whole.verdict_of("overlay").0.is_certified());
        }
    }
}
