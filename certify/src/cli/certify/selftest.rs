//! What is known of the suites of the harness's own programs.

use std::path::Path;

use matrix::results::{SELFTEST_SCHEMA, Selftest};

use super::{Failure, InputContext};
use crate::run::facts::ProgramFacts;
use crate::run::folder::{FolderError, read_document};

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
