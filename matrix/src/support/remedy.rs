//! The smallest change that meets a requirement.

use crate::kconfig::Kconfig;
use crate::requirement::{Catalogue, Requirement};

use super::ruling::Ruling;
use super::{Remedy, State};

/// What to change; `None` where there is nothing to change, or nothing would help.
pub(super) fn remedy(
    requirement: &Requirement,
    ruling: &Ruling<'_>,
    config: Option<&Kconfig>,
    catalogue: &Catalogue,
) -> Option<Remedy> {
    match ruling.state {
        State::Met | State::NotApplicable => None,
        State::Module => Some(Remedy {
            modules: modules(ruling, catalogue, |option| {
                config.is_none_or(|config| {
                    config.get(option) == Some(&crate::kconfig::Setting::Module)
                })
            }),
            ..Remedy::default()
        }),
        State::Absent | State::Unknown => {
            let always = requirement
                .always_on
                .iter()
                .flat_map(|always| &always.options);
            let needed: Vec<&String> = match ruling.way {
                Some(way) => way.options.iter().collect(),
                None => always.collect(),
            };
            let off = |option: &&String| config.is_none_or(|config| !config.is_on(option));
            let has_modules = config.is_none_or(|config| !config.is_off("MODULES"));
            let line = |option: &String| match catalogue.module_of(option) {
                Some(_) if has_modules => format!("CONFIG_{option}=m"),
                _ => format!("CONFIG_{option}=y"),
            };
            // Without NETFILTER_ADVANCED, say, the line for the option itself would be dropped.
            // Only what the configuration shows to be off is known to exist.
            let dependencies = ruling.way.into_iter().flat_map(|way| &way.needs);
            let shown_off = |option: &&String| config.is_some_and(|c| c.is_off(option));
            let lines: Vec<String> = dependencies
                .filter(shown_off)
                .chain(needed.iter().copied().filter(off))
                .map(line)
                .collect();
            Some(Remedy {
                // All on and yet absent: the modules are not installed, or a probe said no.
                modules: if lines.is_empty() {
                    modules(ruling, catalogue, |_| true)
                } else {
                    Vec::new()
                },
                config: lines,
                boot: requirement.boot.clone(),
                packages: requirement.packages.clone(),
            })
        }
    }
}

fn modules(
    ruling: &Ruling<'_>,
    catalogue: &Catalogue,
    wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let options = ruling.way.into_iter().flat_map(|way| &way.options);
    options
        .filter(|option| wanted(option))
        .filter_map(|option| catalogue.module_of(option))
        .map(str::to_owned)
        .collect()
}

impl Remedy {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty()
            && self.modules.is_empty()
            && self.boot.is_empty()
            && self.packages.is_empty()
    }

    /// The whole as one sentence; `None` when there is nothing to do.
    pub fn sentence(&self) -> Option<String> {
        let mut steps = Vec::new();
        if !self.config.is_empty() {
            steps.push(format!("build the kernel with {}", self.config.join(", ")));
        }
        if !self.modules.is_empty() {
            steps.push(format!("load the module {}", self.modules.join(", ")));
        }
        if !self.boot.is_empty() {
            steps.push(format!("boot with {}", self.boot.join(" ")));
        }
        if !self.packages.is_empty() {
            let packages: Vec<_> = self
                .packages
                .iter()
                .map(|(distro, package)| format!("`{package}` on {distro}"))
                .collect();
            steps.push(format!("install {}", packages.join(", ")));
        }
        (!steps.is_empty()).then(|| steps.join("; or "))
    }
}
