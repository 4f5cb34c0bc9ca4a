//! `ARG`: values that a build is given, and where they are known.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::manifest::Platform;

/// Known to every command without being declared, and no part of what a step depends on: a proxy
/// is how something is fetched, not what.
const PROXIES: [&str; 5] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// `--build-arg`.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

impl Given {
    pub(super) fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            used: BTreeSet::new(),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let value = self.values.get(name)?;
        self.used.insert(name.to_owned());
        Some(value.clone())
    }

    /// Proxies that are given, for commands.
    pub(super) fn proxies(&self) -> Vec<(String, String)> {
        let given = self.values.iter().filter(|(name, _)| is_proxy(name));
        given
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Names that no `ARG` asked for.
    pub(super) fn unused(&self) -> Vec<&str> {
        let names = self.values.keys().map(String::as_str);
        names
            .filter(|name| !self.used.contains(*name) && !is_proxy(name))
            .collect()
    }
}

fn is_proxy(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    PROXIES.contains(&upper.as_str()) && (name == upper || name == name.to_ascii_lowercase())
}

/// The values that are known in a place, in the order of their declarations.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope(Vec<(String, String)>);

impl Scope {
    /// What every build knows of the machine that it is for, to be declared where it is wanted.
    pub(super) fn of_platform() -> Self {
        let Platform {
            architecture,
            os,
            variant,
        } = Platform::here();
        let variant = variant.unwrap_or_default();
        let mut all = Vec::new();
        for machine in ["TARGET", "BUILD"] {
            all.push((format!("{machine}PLATFORM"), format!("{os}/{architecture}")));
            all.push((format!("{machine}OS"), os.clone()));
            all.push((format!("{machine}ARCH"), architecture.clone()));
            all.push((format!("{machine}VARIANT"), variant.clone()));
        }
        Self(all)
    }

    pub(super) fn value(&self, name: &str) -> Option<String> {
        let mut all = self.0.iter();
        all.find_map(|(known, value)| (known == name).then(|| value.clone()))
    }

    /// Makes a name known: with the value that was given, or else the default, or else what is known
    /// outside of the stage. Without any it stays unknown.
    pub(super) fn declare(
        &mut self,
        name: String,
        default: Option<String>,
        given: &mut Given,
        outside: &Self,
    ) {
        let value = given
            .take(&name)
            .or(default)
            .or_else(|| outside.value(&name));
        let Some(value) = value else {
            return;
        };
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Names and values.
    pub(super) fn all(&self) -> &[(String, String)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_before_a_default_and_that_before_what_is_outside() {
        let mut given = Given::new([("a".to_owned(), "given".to_owned())].into());
        let mut outside = Scope::default();
        for name in ["a", "b", "c"] {
            let default = Some("outside".to_owned());
            outside.declare(name.to_owned(), default, &mut given, &Scope::default());
        }
        let mut scope = Scope::default();
        let mut declare = |name: &str, default: Option<&str>| {
            scope.declare(name.into(), default.map(Into::into), &mut given, &outside);
        };
        declare("a", Some("default"));
        declare("b", Some("default"));
        declare("c", None);
        declare("d", None);
        let value = |name| scope.value(name);
        assert_eq!(value("a").as_deref(), Some("given"));
        assert_eq!(value("b").as_deref(), Some("default"));
        assert_eq!(value("c").as_deref(), Some("outside"));
        assert_eq!(value("d"), None);
    }

    #[test]
    fn what_nobody_asks_for_is_told_unless_it_is_a_proxy() {
        let all = ["x", "http_proxy", "HTTP_PROXY", "Http_Proxy"];
        let given = Given::new(all.map(|name| (name.to_owned(), "1".to_owned())).into());
        assert_eq!(given.unused(), ["Http_Proxy", "x"]);
        assert_eq!(given.proxies().len(), 2);
    }
}
