//! Verbs that take several containers do what can be done for each of them.

use std::process::ExitCode;

use super::{FAILED, Failure, Globals, Outcome, terminal};
use crate::container::{Container, Containers, Error};

/// Calls `act` for each container, and prints what it gives; what fails is told, and the others
/// are done all the same. The exit code says whether something failed.
pub(super) fn for_each(
    globals: &Globals,
    given: &[String],
    act: impl Fn(Container) -> Result<Option<String>, Error>,
) -> Outcome {
    let containers = Containers::new(&globals.root);
    let mut code = ExitCode::SUCCESS;
    for name in given {
        match containers.find(name).and_then(&act) {
            Ok(answer) => {
                let answer = answer.unwrap_or_else(|| name.clone());
                terminal::answer(&format!("{answer}\n"))?;
            }
            Err(error) => {
                terminal::message(&Failure::from(error).to_string());
                code = ExitCode::from(FAILED);
            }
        }
    }
    Ok(code)
}
