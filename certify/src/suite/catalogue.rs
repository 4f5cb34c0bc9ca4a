//! Every case there is, every requirement they prove, and picking among them.

use matrix::clause::{self, Clause};
use matrix::glob::Glob;
use schemars::JsonSchema;
use serde::Serialize;

use super::area;
use super::case::Case;

/// Every case, in the order in which they are listed and run.
pub fn catalogue() -> Vec<Case> {
    area::ALL.iter().copied().flatten().copied().collect()
}

/// Every requirement on engines.
pub fn clauses() -> Result<Vec<Clause>, clause::ParseError> {
    [
        include_str!("../../../matrix/data/requirements/engine-oci.toml"),
        include_str!("../../../matrix/data/requirements/engine-docker.toml"),
        include_str!("../../../matrix/data/requirements/engine-any.toml"),
    ]
    .into_iter()
    .map(clause::parse)
    .collect::<Result<Vec<_>, _>>()
    .map(|files| files.concat())
}

/// The value of `schema` in a [`Listing`].
pub const LISTING_SCHEMA: &str = "seaworthy.suite/1";

/// What `seaworthy suite list --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listing {
    /// [`LISTING_SCHEMA`].
    pub schema: String,
    /// The cases, in the order in which they are run.
    pub cases: Vec<ListedCase>,
    /// The requirements that they prove.
    pub requirements: Vec<Clause>,
}

/// A case as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedCase {
    /// `area.name`.
    pub id: String,
    /// The area.
    pub suite: String,
    /// The requirements that it proves.
    pub requirement: Vec<String>,
}

/// Lists `cases` with the requirements that they prove.
pub fn listing(cases: &[Case]) -> Result<Listing, clause::ParseError> {
    let proved = |id: &str| cases.iter().any(|case| case.requirements.contains(&id));
    Ok(Listing {
        schema: LISTING_SCHEMA.to_owned(),
        requirements: clauses()?
            .into_iter()
            .filter(|clause| proved(&clause.id))
            .collect(),
        cases: cases
            .iter()
            .map(|case| ListedCase {
                id: case.id.to_owned(),
                suite: case.area().to_owned(),
                requirement: case.requirements.iter().map(|&id| id.to_owned()).collect(),
            })
            .collect(),
    })
}

/// Which cases are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Globs over ids, areas and requirements; empty: all.
    only: Vec<Glob>,
    /// The same, for those that are not.
    skip: Vec<Glob>,
}

/// A selection that picks nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "no case is called, belongs to or proves {0}: \
     `seaworthy suite list` shows them all (globs such as `limits.*` are understood)"
)]
pub struct SelectionError(String);

impl Selection {
    /// Each text is a list of globs, separated by commas, over whole ids, areas and
    /// requirements.
    pub fn new(only: &[String], skip: &[String]) -> Self {
        let globs = |texts: &[String]| {
            texts
                .iter()
                .flat_map(|text| text.split(','))
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(Glob::new)
                .collect()
        };
        Self {
            only: globs(only),
            skip: globs(skip),
        }
    }

    /// The cases that are meant, in their order.
    ///
    /// # Errors
    /// A pattern of `only` that means no case is a mistake, and is named.
    pub fn of(&self, cases: &[Case]) -> Result<Vec<Case>, SelectionError> {
        if let Some(idle) = self
            .only
            .iter()
            .find(|glob| !cases.iter().any(|case| means(glob, case)))
        {
            return Err(SelectionError(format!("`{idle}`")));
        }
        Ok(cases
            .iter()
            .filter(|case| self.only.is_empty() || self.only.iter().any(|glob| means(glob, case)))
            .filter(|case| !self.skip.iter().any(|glob| means(glob, case)))
            .copied()
            .collect())
    }
}

fn means(glob: &Glob, case: &Case) -> bool {
    glob.matches(case.id)
        || glob.matches(case.area())
        || case
            .requirements
            .iter()
            .any(|requirement| glob.matches(requirement))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ids(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let own = |texts: &[&str]| {
            texts
                .iter()
                .map(|&text| text.to_owned())
                .collect::<Vec<_>>()
        };
        let selection = Selection::new(&own(only), &own(skip));
        selection
            .of(&catalogue())
            .unwrap()
            .iter()
            .map(|case| case.id)
            .collect()
    }

    #[test]
    fn every_case_has_an_id_of_its_own_in_its_area() {
        let cases = catalogue();
        let unique: BTreeSet<_> = cases.iter().map(|case| case.id).collect();
        assert_eq!(unique.len(), cases.len());
        for case in &cases {
            let plain = case
                .id
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
            assert!(plain && case.id.matches('.').count() == 1, "{}", case.id);
        }
    }

    #[test]
    fn every_case_proves_a_known_requirement_and_every_requirement_is_proved() {
        let known: BTreeSet<String> = clauses()
            .unwrap()
            .into_iter()
            .map(|clause| clause.id)
            .collect();
        let proved: BTreeSet<String> = catalogue()
            .iter()
            .flat_map(|case| case.requirements.iter().map(|&id| id.to_owned()))
            .collect();
        assert!(catalogue().iter().all(|case| !case.requirements.is_empty()));
        assert_eq!(proved.difference(&known).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(known.difference(&proved).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn a_case_is_picked_by_id_area_or_requirement() {
        assert_eq!(
            ids(&["limits.pids-stop-a-fork-bomb"], &[]),
            ["limits.pids-stop-a-fork-bomb"]
        );
        assert!(ids(&["limits"], &[]).len() > 5);
        assert!(
            ids(&["limits"], &["limits.memory-*"])
                .iter()
                .all(|id| !id.contains("memory"))
        );
        assert!(!ids(&["engine.limits.pids"], &[]).is_empty());
        assert_eq!(ids(&[], &[]).len(), catalogue().len());
    }

    #[test]
    fn a_pattern_that_means_nothing_is_named() {
        let error = Selection::new(&["nothing.*".into()], &[])
            .of(&catalogue())
            .unwrap_err();
        assert!(error.to_string().contains("`nothing.*`"));
    }
}
