//! The hooks that run while a container is made and started.

use oci_spec::runtime::{Hooks, Spec};

use super::Error;
use crate::runtime::StateOf;
use crate::runtime::hooks::{HookPlan, HookPoint, StateText};

/// The hooks of a launch, with what they read.
#[derive(Debug, Default)]
pub(in crate::runtime) struct HookPlans {
    pub(in crate::runtime) prestart: Vec<HookPlan>,
    pub(in crate::runtime) create_runtime: Vec<HookPlan>,
    pub(in crate::runtime) create_container: Vec<HookPlan>,
    pub(in crate::runtime) start_container: Vec<HookPlan>,
    /// For the first three.
    pub(in crate::runtime) creating: StateText,
    /// For the last.
    pub(in crate::runtime) created: StateText,
}

impl HookPlans {
    /// `state` makes the container's state of a status and a process id.
    pub(super) fn build(spec: &Spec, state: Option<StateOf<'_>>) -> Result<Self, Error> {
        let (Some(hooks), Some(state)) = (spec.hooks(), state) else {
            return Ok(Self::default());
        };
        Ok(Self {
            prestart: HookPlan::list(HookPoint::Prestart, prestart(hooks))?,
            create_runtime: HookPlan::list(
                HookPoint::CreateRuntime,
                hooks.create_runtime().as_ref(),
            )?,
            create_container: HookPlan::list(
                HookPoint::CreateContainer,
                hooks.create_container().as_ref(),
            )?,
            start_container: HookPlan::list(
                HookPoint::StartContainer,
                hooks.start_container().as_ref(),
            )?,
            creating: StateText::new(&state("creating", StateText::PLACE)),
            created: StateText::new(&state("created", StateText::PLACE)),
        })
    }

    /// Whether some run in the runtime's namespaces, so that the child must wait for them.
    pub(in crate::runtime) fn in_runtime(&self) -> bool {
        !self.prestart.is_empty() || !self.create_runtime.is_empty()
    }
}

/// Deprecated by the specification, and in use all the same.
fn prestart(hooks: &Hooks) -> Option<&Vec<oci_spec::runtime::Hook>> {
    hooks.prestart().as_ref()
}
