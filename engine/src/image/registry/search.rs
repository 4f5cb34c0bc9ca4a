//! `search`: repositories of Docker Hub, or of a registry that has its old API for that.

use serde::Deserialize;
use ureq::http::Method;

use crate::image::reference::DEFAULT_REGISTRY;
use crate::image::registry::auth::{Scope, encode};
use crate::image::registry::client::Client;
use crate::image::registry::http::Ask;
use crate::image::registry::{RegistryError, Settings};

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The registry, as references name it.
    pub registry: &'a str,
    /// The words.
    pub term: &'a str,
    /// How many are wanted, at most 100.
    pub limit: usize,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What its owners say of it.
    #[serde(default)]
    pub description: String,
    /// How many people like it.
    #[serde(default, alias = "star_count")]
    pub stars: u64,
    /// Whether Docker looks after it.
    #[serde(default, alias = "is_official")]
    pub official: bool,
}

/// Looks for repositories (Docker Registry API v1, "Search").
///
/// # Errors
/// Most registries do not have it; that is told.
pub fn search(wanted: &Search<'_>, settings: &Settings) -> Result<Vec<Found>, RegistryError> {
    #[derive(Deserialize)]
    struct Results {
        results: Vec<Found>,
    }
    let host = if wanted.registry == DEFAULT_REGISTRY {
        "index.docker.io"
    } else {
        wanted.registry
    };
    let client = Client::new(host, settings)?;
    let limit = wanted.limit.to_string();
    let query = encode(&[("q", wanted.term), ("n", &limit)]);
    let uri = client.uri(&format!("/v1/search?{query}"))?;
    let url = uri.to_string();
    let ask = Ask::new(Method::GET, uri);
    let no_search = || RegistryError::Answer {
        url: url.clone(),
        what: "no list of repositories, as it has no search".to_owned(),
    };
    let (_, bytes) = match client.small(&Scope::none(), &ask, "search") {
        Err(RegistryError::NotFound { .. } | RegistryError::Answer { .. }) => {
            return Err(no_search());
        }
        other => other?,
    };
    let Results { mut results } = serde_json::from_slice(&bytes).map_err(|_| no_search())?;
    results.truncate(wanted.limit);
    for found in &mut results {
        found.name = super::http::printable(&found.name);
        found.description = super::http::printable(&found.description);
    }
    Ok(results)
}
