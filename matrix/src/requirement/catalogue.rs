//! All requirements: those that are compiled in, and a user's own over them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Requirement, RequirementId};

/// What is compiled in, by file, in the order in which reports show it.
const BUILT_IN: [(&str, &str); 5] = [
    (
        "kernel.toml",
        include_str!("../../data/requirements/kernel.toml"),
    ),
    (
        "cgroup.toml",
        include_str!("../../data/requirements/cgroup.toml"),
    ),
    (
        "storage.toml",
        include_str!("../../data/requirements/storage.toml"),
    ),
    (
        "security.toml",
        include_str!("../../data/requirements/security.toml"),
    ),
    (
        "network.toml",
        include_str!("../../data/requirements/network.toml"),
    ),
];

/// Which module each option makes when it is `=m`.
const MODULES: (&str, &str) = (
    "modules.toml",
    include_str!("../../data/requirements/modules.toml"),
);

/// The requirements, in the order in which reports show them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    requirements: Vec<Requirement>,
    modules: BTreeMap<String, String>,
}

/// Why a file of requirements can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is no TOML, or a member is missing, unknown or of the wrong type.
    #[error("can't read the requirements in `{file}`")]
    Format {
        /// Which file.
        file: String,
        /// What is wrong, and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Two entries of one catalogue have the same id.
    #[error("requirement `{id}` stands twice in `{file}`: ids must be unique")]
    Duplicate {
        /// The file of the second.
        file: String,
        /// The id.
        id: RequirementId,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    requirement: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Modules {
    modules: BTreeMap<String, String>,
}

impl Catalogue {
    /// The requirements that are compiled in.
    ///
    /// # Errors
    /// None in a build that passed its tests: the files are part of it.
    pub fn built_in() -> Result<Self, CatalogueError> {
        let (file, text) = MODULES;
        let mut catalogue = Self {
            requirements: Vec::new(),
            modules: parse::<Modules>(file, text)?.modules,
        };
        for (file, text) in BUILT_IN {
            for requirement in read(file, text)? {
                if catalogue.get(requirement.id.as_str()).is_some() {
                    return Err(CatalogueError::Duplicate {
                        file: file.to_owned(),
                        id: requirement.id,
                    });
                }
                catalogue.requirements.push(requirement);
            }
        }
        Ok(catalogue)
    }

    /// Lays a user's file over the catalogue: an entry replaces the one of the same id, or is
    /// added at the end.
    ///
    /// # Errors
    /// When `text` is no file of requirements.
    pub fn overlay(&mut self, file: &str, text: &str) -> Result<(), CatalogueError> {
        for requirement in read(file, text)? {
            let same = self
                .requirements
                .iter_mut()
                .find(|r| r.id == requirement.id);
            match same {
                Some(existing) => *existing = requirement,
                None => self.requirements.push(requirement),
            }
        }
        Ok(())
    }

    /// The requirement of this id.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.requirements.iter().find(|r| r.id.as_str() == id)
    }

    /// The module that an option (without `CONFIG_`) makes; `None` for those that are built in
    /// or off.
    pub fn module_of(&self, option: &str) -> Option<&str> {
        self.modules.get(option).map(String::as_str)
    }

    /// Every requirement, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Requirement> {
        self.requirements.iter()
    }
}

impl<'a> IntoIterator for &'a Catalogue {
    type Item = &'a Requirement;
    type IntoIter = std::slice::Iter<'a, Requirement>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn read(file: &str, text: &str) -> Result<Vec<Requirement>, CatalogueError> {
    Ok(parse::<File>(file, text)?.requirement)
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, CatalogueError> {
    toml::from_str(text).map_err(|source| CatalogueError::Format {
        file: file.to_owned(),
        source: Box::new(source),
    })
}
