//! Policies: what a level (preview, candidate, production) demands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::glob::Glob;
use crate::select::Selection;
use crate::waiver::Waiver;

/// The policies that are compiled in, by name. A file in a folder of the user's goes before.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("preview", include_str!("../data/policies/preview.toml")),
    ("candidate", include_str!("../data/policies/candidate.toml")),
    (
        "production",
        include_str!("../data/policies/production.toml"),
    ),
];

/// What a level of certification demands. Stored whole in the run, so that judging it again
/// needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name (`preview`): the file's, not a member of the file.
    #[serde(default)]
    pub name: String,
    /// What it demands, in one line.
    pub description: String,
    /// The suites whose cases decide. Cases of other suites are shown, and decide nothing.
    pub suites: Vec<String>,
    /// The share of the cases that apply which must pass, above 0 and up to 1.
    pub min_pass_share: f64,
    /// What a case that differed when run again is.
    pub flaky: Lenience,
    /// What is demanded of cells.
    pub cells: CellDemands,
    /// What may be skipped.
    pub skips: SkipDemands,
    /// Failures that are lived with.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
}

/// What is demanded of cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellDemands {
    /// The cells that count. All others are shown, and decide nothing.
    pub required: Selection,
    /// What a system that can't run any engine is to the run's verdict.
    pub unsupported: Lenience,
    /// What cells are that `--only` or `--skip` left out.
    pub left_out: Lenience,
}

/// What may be skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipDemands {
    /// For want of which requirements, as globs over their ids.
    pub allowed: Vec<Glob>,
}

/// Whether something short of a failure is held against the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lenience {
    /// It is shown, and decides nothing.
    Tolerate,
    /// It counts as a failure.
    Refuse,
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No policy of that name is compiled in.
    #[error("there is no policy `{name}`: expected {known}, or a file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// It is not TOML, or not of this shape.
    #[error("policy `{name}` can't be read")]
    Syntax {
        /// The policy.
        name: String,
        /// Where, and what was expected.
        #[source]
        source: toml::de::Error,
    },
    /// The share is no share.
    #[error("policy `{name}` has `min_pass_share = {share}`: expected a number above 0, up to 1")]
    Share {
        /// The policy.
        name: String,
        /// What stands there.
        share: f64,
    },
    /// Nothing would decide.
    #[error("policy `{name}` demands no suite: name at least one in `suites`")]
    NoSuite {
        /// The policy.
        name: String,
    },
}

impl Policy {
    /// Reads a policy file, which gets `name`.
    ///
    /// # Errors
    /// The text is not TOML, has unknown, missing or ill-typed members, or would certify
    /// without a test.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let mut policy: Self = toml::from_str(text).map_err(|source| PolicyError::Syntax {
            name: name.to_owned(),
            source,
        })?;
        name.clone_into(&mut policy.name);
        if !(policy.min_pass_share > 0.0 && policy.min_pass_share <= 1.0) {
            return Err(PolicyError::Share {
                name: name.to_owned(),
                share: policy.min_pass_share,
            });
        }
        if policy.suites.is_empty() {
            return Err(PolicyError::NoSuite {
                name: name.to_owned(),
            });
        }
        Ok(policy)
    }

    /// The compiled-in policy of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn built_in(name: &str) -> Result<Self, PolicyError> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(name, text),
            None => Err(PolicyError::Unknown {
                name: name.to_owned(),
                known: BUILT_IN.map(|(name, _)| format!("`{name}`")).join(", "),
            }),
        }
    }

    /// Whether `cell` counts for the run's verdict.
    pub fn requires(&self, cell: &Cell) -> bool {
        self.cells.required.matches(cell)
    }

    /// Whether cases of `suite` decide.
    pub fn demands_suite(&self, suite: &str) -> bool {
        self.suites.iter().any(|demanded| demanded == suite)
    }

    /// Whether a case may be skipped for want of `requirement`.
    pub fn allows_skip(&self, requirement: &str) -> bool {
        self.skips
            .allowed
            .iter()
            .any(|glob| glob.matches(requirement))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_policy_of_the_data_folder_is_built_in_and_reads() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/policies");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let known: BTreeSet<String> = BUILT_IN
            .iter()
            .map(|(name, _)| format!("{name}.toml"))
            .collect();
        assert_eq!(files, known);
        for (name, _) in BUILT_IN {
            assert_eq!(Policy::built_in(name).unwrap().name, name);
        }
    }

    #[test]
    fn a_waiver_is_read_and_stored_with_its_date() {
        let text = include_str!("../data/policies/production.toml");
        let waiver = r#"
            [[waiver]]
            case = "limits.memory.*"
            cells = "kernel=5.10"
            owner = "someone@example.org"
            reason = "swap accounting is off"
            clause = "oci.linux.memory"
            expires = 2027-06-30
        "#;
        let policy = Policy::parse("mine", &format!("{text}{waiver}")).unwrap();
        let expires = policy.waivers[0].expires;
        assert_eq!(expires, jiff::civil::date(2027, 6, 30));
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        assert!(
            !policy.waivers[0].is_expired(expires),
            "the last day counts"
        );
        assert!(policy.waivers[0].is_expired(expires.tomorrow().unwrap()));
    }

    #[test]
    fn a_policy_that_would_certify_without_a_test_is_refused() {
        let text = include_str!("../data/policies/preview.toml");
        let no_share = text.replace("min_pass_share = 1.0", "min_pass_share = 0.0");
        assert!(matches!(
            Policy::parse("mine", &no_share),
            Err(PolicyError::Share { .. })
        ));
        let no_suite = text
            .lines()
            .map(|line| {
                if line.starts_with("suites") {
                    "suites = []"
                } else {
                    line
                }
            })
            .collect::<Vec<_>>()
            .join("\n");
        assert!(matches!(
            Policy::parse("mine", &no_suite),
            Err(PolicyError::NoSuite { .. })
        ));
    }
}
