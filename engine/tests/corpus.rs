//! Replays the inputs that fuzzing has kept (`engine/fuzz/corpus/TARGET/`): each has once been a
//! way into a reader, or has broken one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keel::fuzz::TARGETS;
use libtest_mimic::{Arguments, Trial};

/// More than any kept input takes on a loaded machine, and less than one that never ends.
const LONGEST: Duration = Duration::from_secs(60);

fn main() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let trials = TARGETS.map(|(name, target)| {
        let folder = fuzz.join("corpus").join(name);
        Trial::test(format!("{name}_keeps_its_promises"), move || {
            for input in files(&folder) {
                let bytes = fs::read(&input)?;
                let begin = Instant::now();
                catch_unwind(AssertUnwindSafe(|| target(&bytes)))
                    .map_err(|_| format!("broken by {}", input.display()))?;
                assert!(begin.elapsed() < LONGEST, "{}", input.display());
            }
            Ok(())
        })
    });
    let programs = fuzz.join("fuzz_targets");
    let every = Trial::test("every_target_has_a_program_and_inputs", move || {
        let named = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let programs: BTreeSet<String> = files(&programs).iter().map(named).collect();
        assert_eq!(programs, TARGETS.map(|(name, _)| name.to_owned()).into());
        for (name, _) in TARGETS {
            let inputs = files(&fuzz.join("corpus").join(name)).len();
            assert!(inputs >= 5, "{name} has {inputs} inputs");
        }
        Ok(())
    });
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().chain([every]).collect(),
    )
    .exit();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
