//! A report with every verdict and every outcome in it, for the snapshots.

use std::collections::BTreeMap;

use matrix::axis::{Accelerator, TargetKind};
use matrix::outcome::{CaseResult, Counts, Outcome};
use matrix::results::{
    CellResult, EngineIdentity, RESULTS_SCHEMA, Results, SELFTEST_SCHEMA, Selftest, Totals,
};
use matrix::verdict::Verdict;

use super::{About, Evidence, Gap, Report};

pub(super) fn report() -> Report {
    let cells = cells();
    let mut totals = Totals {
        cells: Verdict::ALL.iter().map(|verdict| (*verdict, 0)).collect(),
        cases: cells.iter().map(|cell| cell.cases).sum(),
        certified_kernels: 2,
    };
    for cell in &cells {
        *totals.cells.entry(cell.verdict).or_default() += 1;
    }
    let evidence = cells
        .iter()
        .filter(|cell| cell.boot_ms.is_some())
        .map(|cell| {
            let evidence = Evidence {
                console:
                    "[    0.000000] Linux version 6.1\n[    1.200000] \u{1b}[1mREADY\u{1b}[0m\n"
                        .to_owned(),
                console_cut: 2048,
                took_ms: 41_250,
                gaps: vec![Gap {
                    id: "kernel.cgroup.hugetlb".to_owned(),
                    level: "may".to_owned(),
                    remedy: "set CONFIG_CGROUP_HUGETLB=y".to_owned(),
                }],
            };
            (cell.id.clone(), evidence)
        })
        .collect::<BTreeMap<_, _>>();
    Report {
        results: Results {
            schema: RESULTS_SCHEMA.to_owned(),
            engine: EngineIdentity {
                name: "keel".to_owned(),
                version: "0.1.0".to_owned(),
                sha256: "5f".repeat(32),
            },
            verdict: Verdict::NotCertified,
            reasons: vec!["1 cell that the policy `preview` demands is not certified".to_owned()],
            policy: "preview".to_owned(),
            cells,
            totals,
            selftest: Some(selftest()),
        },
        about: About {
            matrix: "quick".to_owned(),
            started: "2026-11-24T12:00:00Z".to_owned(),
            harness: "0.1.0".to_owned(),
            host: "Linux 6.18.0, 2 processors, 24 GiB".to_owned(),
            accelerator: "TCG (kvm failed: no answer within 10 s)".to_owned(),
            left_out: vec![(
                "left out by `--skip storage=vfs`".to_owned(),
                vec!["debian-12/6.1/amd64/vfs/v2".parse().unwrap()],
            )],
            took_ms: 157_789,
        },
        evidence,
    }
}

fn selftest() -> Selftest {
    Selftest {
        schema: SELFTEST_SCHEMA.to_owned(),
        engine: EngineIdentity {
            name: "keel".to_owned(),
            version: "0.1.0".to_owned(),
            sha256: "5f".repeat(32),
        },
        harness_sha256: "60".repeat(32),
        known_bad: 32,
        caught: 31,
        missed: vec!["drop-cpus".to_owned()],
        not_shown: vec!["drop-memory".to_owned()],
        good: 1,
        good_failed: 0,
    }
}

fn cells() -> Vec<CellResult> {
    vec![
        cell(
            "debian-11/5.10/amd64/overlay/v2",
            Verdict::Certified,
            &[],
            vec![
                case("lifecycle.exit-status", Outcome::Pass, 41, ""),
                case("limits.pids", Outcome::Pass, 1203, ""),
                case("limits.hugetlb", Outcome::Skip, 2, "kernel.cgroup.hugetlb"),
            ],
        ),
        cell(
            "debian-12/6.1/amd64/overlay/v2",
            Verdict::NotCertified,
            &["`limits.pids` failed: the policy demands every case"],
            vec![
                case("lifecycle.exit-status", Outcome::Pass, 39, ""),
                case(
                    "limits.pids",
                    Outcome::Fail,
                    812,
                    "expected pids.max = 16\nsaw `max` | <script>alert(1)</script>",
                ),
                case(
                    "isolation.net",
                    Outcome::Flaky,
                    77,
                    "failed, then passed: lo was down",
                ),
            ],
        ),
        CellResult {
            boot_ms: Some(380),
            restored: true,
            ..cell(
                "debian-12/6.1/amd64/btrfs/v2",
                Verdict::CertifiedWithWaivers,
                &["`images.opaque` is waived until 2027-01-31 by storage@example.org: #12"],
                vec![case(
                    "images.opaque",
                    Outcome::Fail,
                    9,
                    "`hidden` is still there",
                )],
            )
        },
        cell(
            "debian-13/6.12/amd64/overlay/v2",
            Verdict::NotTested,
            &["the machine failed twice: kernel panic: VFS: Unable to mount root fs"],
            vec![
                case(
                    "lifecycle.exit-status",
                    Outcome::Broken,
                    0,
                    "the guest is gone",
                ),
                case("lifecycle.wait", Outcome::Broken, 0, "the guest is gone"),
            ],
        ),
        unsupported("debian-12/6.1/amd64/aufs/v2"),
        unsupported("debian-13/6.12/amd64/aufs/v2"),
    ]
}

fn case(id: &str, outcome: Outcome, ms: u64, detail: &str) -> CaseResult {
    CaseResult {
        id: id.to_owned(),
        requirement: vec![format!("engine.{id}")],
        outcome,
        ms,
        detail: detail.to_owned(),
    }
}

fn cell(id: &str, verdict: Verdict, reasons: &[&str], case_results: Vec<CaseResult>) -> CellResult {
    CellResult {
        id: id.parse().unwrap(),
        verdict,
        reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        cases: case_results.iter().map(|case| case.outcome).collect(),
        case_results,
        boot_ms: Some(1840),
        restored: false,
        target: TargetKind::Micro,
        accelerator: Accelerator::Tcg,
        kernel_release: Some("6.1.0-32-cloud-amd64".to_owned()),
    }
}

fn unsupported(id: &str) -> CellResult {
    CellResult {
        cases: Counts::default(),
        boot_ms: None,
        kernel_release: None,
        ..cell(
            id,
            Verdict::Unsupported,
            &["`kernel.storage.aufs` is absent: AUFS was never in mainline; use overlay"],
            Vec::new(),
        )
    }
}
