//! A certificate holds for one folder, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use matrix::axis::{Accelerator, TargetKind};
use matrix::event::Event;
use matrix::matrix_file::MatrixFile;
use matrix::outcome::{CaseResult, Outcome};
use matrix::plan::{Filter, Plan};
use matrix::policy::Policy;
use matrix::results::EngineIdentity;
use matrix::verdict::Verdict;

use super::key::SigningKey;
use super::statement::Statement;
use super::verify::{KnownAs, KnownKeys, Verification, Wrong, verify};
use super::{envelope, write};
use crate::journal::Locked;
use crate::run::folder::{cell_path, name};
use crate::run::{HostFacts, RUN_SCHEMA, RunFacts, RunFolder};
use crate::{durable, judge};

/// A certified run in a folder of its own.
struct Run {
    dir: tempfile::TempDir,
    key: SigningKey,
}

const CASES: [&str; 2] = ["kernel.ns-pid", "limits.pids"];

impl Run {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let filter = Filter {
            only: vec!["kernel=6.1 and storage=overlay".parse().unwrap()],
            skip: Vec::new(),
        };
        let mut matrix = MatrixFile::built_in("quick").unwrap();
        matrix.suites = vec!["kernel".into(), "limits".into()];
        let mut policy = Policy::built_in("preview").unwrap();
        policy.suites.clone_from(&matrix.suites);
        let run = RunFacts {
            schema: RUN_SCHEMA.into(),
            harness: "0.1.0".into(),
            started: "2026-11-24T12:00:00Z".into(),
            judged_on: jiff::civil::date(2026, 11, 24),
            plan: Plan::new("quick", &matrix, None, &filter).unwrap(),
            policy,
            engine: EngineIdentity {
                name: "keel".into(),
                version: "0.1.0".into(),
                sha256: "5f".repeat(32),
            },
            sabotage: None,
            cases: CASES.map(str::to_owned).into(),
            host: HostFacts {
                system: "Debian".into(),
                kernel_release: "6.18.0".into(),
                arch: "amd64".into(),
                cpus: 2,
                memory_mib: 4096,
            },
            accelerator: "tcg".into(),
            qemu: None,
            machine: None,
            programs: Vec::new(),
            selftest: None,
            kernels: Vec::new(),
        };
        durable::write_json(&path.join(name::RUN), &run).unwrap();
        let cell = run.plan.cells[0].id.clone();
        let journal = Locked::take(&path.join(name::JOURNAL)).unwrap();
        let mut journal = journal.begin_anew(|| 1000).unwrap();
        let mut event = |event| journal.append(&cell, 1, event).unwrap();
        event(Event::Started {
            target: TargetKind::Micro,
        });
        event(Event::Booted {
            boot_ms: Some(1300),
            restored: false,
            accelerator: Accelerator::Tcg,
            kernel_release: "6.1.0-32-amd64".into(),
        });
        event(Event::Checked {
            missing: Vec::new(),
        });
        for id in CASES {
            let result = CaseResult {
                id: id.into(),
                requirement: vec!["oci.x".into()],
                outcome: Outcome::Pass,
                ms: 5,
                detail: String::new(),
            };
            event(Event::Case { result, repeat: 0 });
        }
        event(Event::Finished);
        let folder = cell_path(path, &cell);
        fs::create_dir_all(folder.join(name::ARTEFACTS)).unwrap();
        fs::write(folder.join(name::CONSOLE), "Linux version 6.1\n").unwrap();
        fs::write(folder.join(name::CHECK), "{\"verdict\":\"supported\"}").unwrap();
        fs::write(folder.join(name::EVENTS), "{}\n").unwrap();
        fs::write(folder.join(name::ARTEFACTS).join("dmesg"), "x").unwrap();
        fs::create_dir(path.join(name::REPORT)).unwrap();
        fs::write(path.join(name::REPORT).join("index.html"), "<p>").unwrap();
        let run = Self {
            key: SigningKey::ephemeral().unwrap(),
            dir,
        };
        run.certify();
        run
    }

    /// Judges and signs whatever is in the folder.
    fn certify(&self) {
        let mut folder = RunFolder::open(self.dir.path()).unwrap();
        judge::judge(&mut folder).unwrap();
        write(&folder, &self.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn verify(&self) -> Verification {
        self.verify_with(&KnownKeys::default())
    }

    fn verify_with(&self, keys: &KnownKeys) -> Verification {
        verify(&self.path(name::CERTIFICATE), None, keys).unwrap()
    }

    fn problems(&self) -> Vec<(Wrong, String)> {
        let problems = self.verify().problems;
        problems
            .into_iter()
            .map(|problem| (problem.what, problem.name))
            .collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.push(path);
                }
            }
        }
        let mut files = Vec::new();
        walk(self.dir.path(), &mut files);
        files
    }
}

#[test]
fn an_untouched_run_is_valid() {
    let run = Run::new();
    let verification = run.verify();
    assert!(verification.valid, "{:?}", verification.problems);
    assert_eq!(verification.verdict, Some(Verdict::Certified));
    assert_eq!(verification.files, run.files().len() - 1);
}

#[test]
fn one_changed_byte_in_any_file_is_refused_and_named() {
    let run = Run::new();
    let files = run.files();
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        let name = file
            .strip_prefix(run.dir.path())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let content = fs::read(&file).unwrap();
        for at in [0, content.len() / 2, content.len() - 1] {
            let mut changed = content.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            let problems = run.problems();
            assert!(
                problems.iter().any(|(_, named)| *named == name),
                "byte {at} of {name}: {problems:?}"
            );
        }
        fs::write(&file, &content).unwrap();
    }
    assert!(run.verify().valid);
}

#[test]
fn no_byte_of_the_certificate_can_be_changed() {
    let run = Run::new();
    let path = run.path(name::CERTIFICATE);
    let content = fs::read(&path).unwrap();
    for at in (0..content.len()).step_by(5) {
        let mut changed = content.clone();
        changed[at] ^= 4;
        fs::write(&path, &changed).unwrap();
        // Blanks between the members of the envelope mean nothing and carry nothing.
        let was_blank = content[at].is_ascii_whitespace() && changed[at].is_ascii_whitespace();
        assert!(was_blank || !run.verify().valid, "byte {at}");
    }
}

#[test]
fn a_missing_and_an_extra_file_are_named() {
    let run = Run::new();
    fs::remove_file(run.path("report/index.html")).unwrap();
    fs::write(run.path("report/other.html"), "").unwrap();
    assert_eq!(
        run.problems(),
        [
            (Wrong::Missing, "report/index.html".to_owned()),
            (Wrong::Extra, "report/other.html".to_owned()),
        ]
    );
}

#[test]
fn a_certificate_away_from_its_folder_says_so_and_looks_at_nothing_else() {
    let run = Run::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("downloaded.json");
    fs::copy(run.path(name::CERTIFICATE), &copy).unwrap();
    fs::write(elsewhere.path().join("diary.txt"), "private").unwrap();
    let verification = verify(&copy, None, &KnownKeys::default()).unwrap();
    assert!(!verification.valid);
    let [problem] = verification.problems.as_slice() else {
        panic!("{:?}", verification.problems);
    };
    assert_eq!(problem.what, Wrong::Missing);
    assert!(
        problem.detail.contains("copy the whole folder"),
        "{problem}"
    );
}

#[test]
fn a_link_in_place_of_a_file_is_refused() {
    let run = Run::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::copy(run.path("report/index.html"), outside.path()).unwrap();
    fs::remove_file(run.path("report/index.html")).unwrap();
    std::os::unix::fs::symlink(outside.path(), run.path("report/index.html")).unwrap();
    let problems = run.problems();
    assert!(problems.contains(&(Wrong::Missing, "report/index.html".to_owned())));
    assert!(problems.contains(&(Wrong::Extra, "report/index.html".to_owned())));
}

#[test]
fn results_that_were_dressed_up_and_signed_are_refused() {
    let run = Run::new();
    // A signer who removes a failure from the results, and not from the journal.
    let journal = fs::read_to_string(run.path(name::JOURNAL)).unwrap();
    fs::write(
        run.path(name::JOURNAL),
        journal.replacen("\"pass\"", "\"fail\"", 1),
    )
    .unwrap();
    let folder = RunFolder::open(run.dir.path()).unwrap();
    write(&folder, &run.key).unwrap();
    let problems = run.problems();
    assert_eq!(
        problems,
        [
            (Wrong::Judgement, "results.json".to_owned()),
            (
                Wrong::Judgement,
                "debian-12/6.1/amd64/overlay/v2".to_owned()
            ),
            (Wrong::Judgement, "verdict".to_owned()),
        ]
    );
}

#[test]
fn a_run_that_is_signed_as_another_is_refused() {
    let run = Run::new();
    let mut folder = RunFolder::open(run.dir.path()).unwrap();
    folder.run.plan.matrix = "everything".to_owned();
    folder.run.host.kernel_release = "7.0".to_owned();
    write(&folder, &run.key).unwrap();
    let problems = run.problems();
    let named = ["host", "matrix"].map(|field| (Wrong::Judgement, field.to_owned()));
    assert_eq!(problems, named);
}

#[test]
fn a_statement_that_says_more_than_its_evidence_is_refused() {
    let run = Run::new();
    let certificate = fs::read(run.path(name::CERTIFICATE)).unwrap();
    let envelope: envelope::Envelope = serde_json::from_slice(&certificate).unwrap();
    let payload = envelope.payload_bytes().unwrap();
    let mut statement: Statement = serde_json::from_slice(&payload).unwrap();
    statement.subject[0]
        .digest
        .insert("sha256".into(), "00".repeat(32));
    let mut surplus = statement.subject[1].clone();
    surplus.digest.insert("sha256".into(), "00".repeat(32));
    statement.subject.push(surplus);
    statement.predicate.cells.clear();
    let payload = serde_json::to_vec(&statement).unwrap();
    let envelope = envelope::Envelope::seal(envelope::IN_TOTO, &payload, &run.key);
    durable::write_json(&run.path(name::CERTIFICATE), &envelope).unwrap();
    assert_eq!(
        run.problems(),
        [
            (Wrong::Subject, "keel".to_owned()),
            (Wrong::Subject, "results.json".to_owned()),
            (
                Wrong::Judgement,
                "debian-12/6.1/amd64/overlay/v2".to_owned()
            ),
        ]
    );
}

#[test]
fn whose_key_it_was_is_told() {
    let run = Run::new();
    let known_as = |keys: &KnownKeys| run.verify_with(keys).signer.unwrap().known_as;
    let own = KnownKeys {
        own: Some(run.key.public().clone()),
        ..KnownKeys::default()
    };
    let demanded = KnownKeys {
        demanded: Some(run.key.public().clone()),
        ..KnownKeys::default()
    };
    assert_eq!(known_as(&KnownKeys::default()), KnownAs::Unknown);
    assert_eq!(known_as(&own), KnownAs::Own);
    assert_eq!(known_as(&demanded), KnownAs::Demanded);
    let other = KnownKeys {
        demanded: Some(SigningKey::ephemeral().unwrap().public().clone()),
        ..KnownKeys::default()
    };
    let refused = run.verify_with(&other);
    assert!(!refused.valid);
    assert_eq!(refused.problems[0].what, Wrong::Key);
}

#[test]
fn another_engine_is_told_from_the_certified_one() {
    let run = Run::new();
    let engine = tempfile::NamedTempFile::new().unwrap();
    let path = run.path(name::CERTIFICATE);
    let verification = verify(&path, Some(engine.path()), &KnownKeys::default()).unwrap();
    assert_eq!(verification.problems[0].what, Wrong::Subject);
    assert_eq!(verification.problems[0].name, "keel");
}

#[test]
fn judging_again_changes_nothing() {
    let run = Run::new();
    let rejudge = |write| judge::rejudge(run.dir.path(), write).unwrap();
    let rejudged = rejudge(judge::Write::UnlessCertified);
    assert_eq!(rejudged.changed, judge::Changed::No);
    assert!(run.verify().valid);
    fs::write(run.path(name::RESULTS), "{}").unwrap();
    let rejudged = rejudge(judge::Write::UnlessCertified);
    assert_eq!(rejudged.changed, judge::Changed::Kept);
    let kept = fs::read_to_string(run.path(name::RESULTS)).unwrap();
    assert_eq!(kept, "{}", "a certificate stands over what it was");
    let rejudged = rejudge(judge::Write::Always);
    assert_eq!(rejudged.changed, judge::Changed::Yes);
    assert!(run.verify().valid, "the same bytes are there again");
}
