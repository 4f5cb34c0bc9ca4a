//! The harness's own programs to the byte, and what is known of their suites.

use std::path::Path;

use matrix::results::{SELFTEST_SCHEMA, Selftest};

use super::{Failure, InputContext};
use crate::certificate::evidence;
use crate::guest_tool;
use crate::run::facts::ProgramFacts;
use crate::run::folder::{FolderError, read_document};

/// `seaworthy`, and the guest tool beside it if it is there.
pub(super) fn programs(seaworthy: &Path) -> Result<Vec<ProgramFacts>, Failure> {
    let tool = guest_tool::beside(seaworthy);
    [
        ("seaworthy", Some(seaworthy)),
        (guest_tool::PROGRAM, tool.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, path)| Some((name, path?)))
    .map(|(name, path)| {
        Ok(ProgramFacts {
            name: name.to_owned(),
            sha256: evidence::digest(path)?.sha256,
        })
    })
    .collect()
}

/// The report of a self-test of one of `programs`: of another's suites it would prove nothing.
pub(super) fn selftest(path: &Path, programs: &[ProgramFacts]) -> Result<Selftest, Failure> {
    let refuse = |why: String| Failure::Input(anyhow::anyhow!("{}: {why}", path.display()));
    let selftest: Selftest = match read_document(path) {
        Err(FolderError::Document { source, .. }) => {
            return Err(refuse(format!(
                "it is no report of a self-test ({source}): make one with `seaworthy selftest --format json >FILE`"
            )));
        }
        document => document.or_bad_input()?,
    };
    if selftest.schema != SELFTEST_SCHEMA {
        return Err(refuse(format!("its schema is not `{SELFTEST_SCHEMA}`")));
    }
    if programs
        .iter()
        .all(|program| program.sha256 != selftest.harness_sha256)
    {
        return Err(refuse(
            "it is the self-test of another seaworthy: make it with this one (`seaworthy selftest --format json`)".to_owned(),
        ));
    }
    Ok(selftest)
}
