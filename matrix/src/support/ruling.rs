//! The ruling on one requirement: by the configuration and its era, by the modules at hand,
//! and by what was probed.

use crate::kconfig::{Kconfig, Setting};
use crate::requirement::{Catalogue, Requirement, Way};
use crate::version::KernelVersion;

use super::{Evidence, Modules, Probe, State};

/// What one requirement came to, and by which of its ways.
#[derive(Debug, Clone)]
pub(super) struct Ruling<'a> {
    pub(super) state: State,
    pub(super) available: Option<bool>,
    pub(super) why: String,
    /// The way that met it or, when it is not met, the one that takes the smallest change.
    pub(super) way: Option<&'a Way>,
}

impl<'a> Ruling<'a> {
    fn new(state: State, available: impl Into<Option<bool>>, why: impl Into<String>) -> Self {
        Self {
            state,
            available: available.into(),
            why: why.into(),
            way: None,
        }
    }

    fn by(mut self, way: Option<&'a Way>) -> Self {
        self.way = way;
        self
    }
}

/// Rules on one requirement.
pub(super) fn rule<'a>(
    requirement: &'a Requirement,
    evidence: &Evidence,
    catalogue: &Catalogue,
) -> Ruling<'a> {
    let version = evidence.kernel.version;
    let read = match (&evidence.config, &evidence.modules) {
        (Some(config), modules) => {
            let ruling = by_config(requirement, config, version);
            match modules {
                Some(modules) if ruling.state == State::Module => {
                    check_modules(ruling, config, modules, catalogue)
                }
                _ => ruling,
            }
        }
        (None, Some(modules)) => by_modules(requirement, version, modules, catalogue),
        (None, None) => by_version(requirement, version),
    };
    match evidence.probes.get(&requirement.id) {
        Some(probe) => by_probe(probe, read),
        None => read,
    }
}

/// What was tried out decides over what was read.
fn by_probe<'a>(probe: &Probe, read: Ruling<'a>) -> Ruling<'a> {
    match probe {
        Probe::Works { how } => Ruling::new(State::Met, true, how).by(read.way),
        Probe::Undecided { .. } => read,
        // That an old kernel lacks what came later is no fault of the one who set it up.
        Probe::Fails { .. } | Probe::NotLoaded { .. }
            if read.state == State::NotApplicable && read.available == Some(false) =>
        {
            read
        }
        Probe::Fails { why } => Ruling::new(State::Absent, false, why).by(read.way),
        Probe::NotLoaded { why } => match read.state {
            State::Module | State::Unknown | State::Absent => read,
            State::Met | State::NotApplicable => {
                Ruling::new(State::Absent, false, why).by(read.way)
            }
        },
    }
}

/// Rules by a configuration, within the era of its version.
fn by_config<'a>(
    requirement: &'a Requirement,
    config: &Kconfig,
    version: Option<KernelVersion>,
) -> Ruling<'a> {
    if let Some(minimum) = requirement.minimum {
        return by_minimum(minimum, version);
    }
    if !requirement.only_if.is_empty() && !requirement.only_if.iter().any(|o| config.is_on(o)) {
        let options = prefixed(&requirement.only_if);
        return Ruling::new(
            State::NotApplicable,
            false,
            format!("there is nothing to ask without {options}"),
        );
    }
    if let Some(met) = met_by_config(requirement, config, version) {
        return met;
    }
    let way = nearest_way(requirement, config, version);
    if let Some(always) = &requirement.always_on {
        let needs_met = always.options.iter().all(|option| config.is_on(option));
        match version {
            Some(version) if version >= always.since && needs_met => {
                let state = if requirement.ways.is_empty() {
                    State::Met
                } else {
                    State::NotApplicable
                };
                return Ruling::new(state, true, format!("always on since {}", always.since));
            }
            Some(version) if version >= always.since => {
                return Ruling::new(State::Absent, false, missing(&always.options, config));
            }
            Some(version)
                if needs_met
                    && always.vendors_since.is_some_and(|since| since <= version)
                    && !mentions_any(requirement, config) =>
            {
                let why = format!(
                    "always on, as mainline has it since {}: the option is gone",
                    always.since
                );
                return Ruling::new(State::NotApplicable, true, why);
            }
            Some(_) => {}
            None if always.since <= OLDEST && needs_met => {
                let why = format!("always on since {}", always.since);
                return Ruling::new(State::Met, true, why);
            }
            None if way.is_some_and(|way| any_off(way, config)) => {}
            None => return Ruling::new(State::Unknown, None, VERSION_MATTERS).by(way),
        }
    }
    match version {
        Some(version) if !requirement.ways.iter().any(|way| way.fits(version)) => {
            out_of_era(requirement, version).by(way)
        }
        None if depends_on_era(requirement) && !way.is_some_and(|way| any_off(way, config)) => {
            Ruling::new(State::Unknown, None, VERSION_MATTERS).by(way)
        }
        _ => {
            let why = way.map_or_else(String::new, |way| missing(&way.options, config));
            Ruling::new(State::Absent, false, why).by(way)
        }
    }
}

const VERSION_MATTERS: &str =
    "the kernel's version is not known, and kernels differ in what this needs";

fn by_minimum<'a>(minimum: KernelVersion, version: Option<KernelVersion>) -> Ruling<'a> {
    match version {
        Some(version) if version >= minimum => {
            Ruling::new(State::Met, true, format!("{version} is {minimum} or newer"))
        }
        Some(version) => Ruling::new(
            State::Absent,
            false,
            format!("{version} is older than {minimum}"),
        ),
        None => Ruling::new(State::Unknown, None, "nothing tells the kernel's version"),
    }
}

/// The first way whose options are all on, when that means what it says in this era.
///
/// Vendors backport: RHEL 8's 4.18 has IPv4 NAT in `NF_NAT`, as mainline has it from 5.1 on. So
/// options out of their era count too, unless the configuration itself shows that this kernel
/// still asks for the era's own option, by having it off.
fn met_by_config<'a>(
    requirement: &'a Requirement,
    config: &Kconfig,
    version: Option<KernelVersion>,
) -> Option<Ruling<'a>> {
    let era_is_off = version.is_some_and(|version| {
        let mut in_era = requirement.ways.iter().filter(|way| way.fits(version));
        in_era.any(|way| any_off(way, config))
    });
    let on = |way: &&Way| way.options.iter().all(|option| config.is_on(option));
    let counts = |way: &&Way| match version {
        Some(version) => way.fits(version) || (!way.strict && !era_is_off),
        None => !way.strict,
    };
    let candidates = || requirement.ways.iter().filter(on).filter(counts);
    // A way of the era explains more than a backport, and built-in more than a module.
    let in_era = |way: &&Way| version.is_none_or(|version| way.fits(version));
    let built_in = |way: &&Way| {
        let mut options = way.options.iter();
        options.all(|option| config.get(option) == Some(&Setting::BuiltIn))
    };
    let way = candidates()
        .find(|way| in_era(way) && built_in(way))
        .or_else(|| candidates().find(in_era))
        .or_else(|| candidates().next())?;
    let settings = way
        .options
        .iter()
        .map(|option| match config.get(option) {
            Some(Setting::Module) => format!("CONFIG_{option}=m"),
            _ => format!("CONFIG_{option}=y"),
        })
        .collect::<Vec<_>>()
        .join(", ");
    let why = match version {
        Some(version) if !way.fits(version) => {
            let since = way.since.filter(|since| *since > version);
            let origin = since.map_or("kept by the vendor".to_owned(), |since| {
                format!("a backport: mainline has it since {since}")
            });
            format!("{settings} ({origin})")
        }
        _ => settings,
    };
    let state = if built_in(&way) {
        State::Met
    } else {
        State::Module
    };
    Some(Ruling::new(state, true, why).by(Some(way)))
}

/// The way that takes the fewest changes, among those of the era if there are any.
fn nearest_way<'a>(
    requirement: &'a Requirement,
    config: &Kconfig,
    version: Option<KernelVersion>,
) -> Option<&'a Way> {
    let changes = |way: &&Way| {
        let options = way.options.iter();
        options.filter(|option| !config.is_on(option)).count()
    };
    let in_era = |way: &&Way| version.is_none_or(|version| way.fits(version));
    let ways = || requirement.ways.iter();
    // `min_by_key` keeps the first of equals: the recommended one.
    ways()
        .filter(in_era)
        .min_by_key(changes)
        .or_else(|| ways().min_by_key(changes))
}

/// Without a configuration and without probing, only the version speaks.
fn by_version(requirement: &Requirement, version: Option<KernelVersion>) -> Ruling<'_> {
    if let Some(minimum) = requirement.minimum {
        return by_minimum(minimum, version);
    }
    let in_era = |way: &&Way| version.is_none_or(|version| way.fits(version));
    let way = requirement.ways.iter().find(in_era);
    let Some(version) = version else {
        return Ruling::new(State::Unknown, None, "nothing that was read tells").by(way);
    };
    match &requirement.always_on {
        Some(always) if version >= always.since && always.options.is_empty() => Ruling::new(
            State::Met,
            true,
            format!("always on since {}", always.since),
        ),
        Some(always) if version >= always.since => {
            Ruling::new(State::Unknown, None, "nothing that was read tells").by(way)
        }
        _ if way.is_none() => out_of_era(requirement, version),
        _ => Ruling::new(State::Unknown, None, "nothing that was read tells").by(way),
    }
}

/// Without a configuration, a module at hand proves the option that makes it.
fn by_modules<'a>(
    requirement: &'a Requirement,
    version: Option<KernelVersion>,
    modules: &Modules,
    catalogue: &Catalogue,
) -> Ruling<'a> {
    let names = |way: &Way| -> Option<Vec<String>> {
        let options = way.options.iter();
        options
            .map(|option| catalogue.module_of(option).map(str::to_owned))
            .collect()
    };
    let fits = |way: &&Way| !way.strict || version.is_some_and(|version| way.fits(version));
    for way in requirement.ways.iter().filter(fits) {
        let Some(names) = names(way) else { continue };
        if names.iter().all(|name| modules.has(name)) {
            let loadable = names.iter().any(|name| modules.loadable.contains(name));
            let state = if loadable { State::Module } else { State::Met };
            let why = format!("this system has the module {}", names.join(", "));
            return Ruling::new(state, true, why).by(Some(way));
        }
    }
    by_version(requirement, version)
}

/// A module of the configuration that isn't on the system's disk is not there: some
/// distributions ship part of a kernel's modules in a package of its own.
fn check_modules<'a>(
    ruling: Ruling<'a>,
    config: &Kconfig,
    modules: &Modules,
    catalogue: &Catalogue,
) -> Ruling<'a> {
    let absent: Vec<&str> = ruling
        .way
        .into_iter()
        .flat_map(|way| &way.options)
        .filter(|option| config.get(option) == Some(&Setting::Module))
        .filter_map(|option| catalogue.module_of(option))
        .filter(|module| !modules.has(module))
        .collect();
    if absent.is_empty() {
        return ruling;
    }
    let why = format!(
        "the kernel was built with the module {}, which is not installed",
        absent.join(", ")
    );
    Ruling::new(State::Absent, false, why).by(ruling.way)
}

fn out_of_era(requirement: &Requirement, version: KernelVersion) -> Ruling<'_> {
    let since = requirement.since().filter(|since| *since > version);
    let why = match (since, requirement.until()) {
        (Some(since), _) => format!("{version} is too old for it: it came with {since}"),
        (None, Some(until)) => format!("it ended with {until}"),
        (None, None) => format!("no kernel of {version}'s age has it"),
    };
    Ruling::new(State::NotApplicable, false, why)
}

/// The oldest kernel that can be supported at all; what is older makes no difference.
const OLDEST: KernelVersion = KernelVersion::new(3, 8);

fn mentions_any(requirement: &Requirement, config: &Kconfig) -> bool {
    let mut options = requirement.ways.iter().flat_map(|way| &way.options);
    options.any(|option| config.get(option).is_some())
}

/// Whether kernels that are supported differ in how they have it.
fn depends_on_era(requirement: &Requirement) -> bool {
    requirement
        .ways
        .iter()
        .any(|way| way.strict || way.until.is_some() || way.since.is_some_and(|s| s > OLDEST))
}

fn any_off(way: &Way, config: &Kconfig) -> bool {
    way.options.iter().any(|option| config.is_off(option))
}

fn missing(options: &[String], config: &Kconfig) -> String {
    let off: Vec<_> = options
        .iter()
        .filter(|option| !config.is_on(option))
        .map(|option| format!("CONFIG_{option}"))
        .collect();
    match off.as_slice() {
        [] => "its options are on, but not in this kernel's era".to_owned(),
        [one] => format!("{one} is not on"),
        many => format!("{} are not on", many.join(", ")),
    }
}

fn prefixed(options: &[String]) -> String {
    let names: Vec<_> = options.iter().map(|o| format!("CONFIG_{o}")).collect();
    names.join(" or ")
}
