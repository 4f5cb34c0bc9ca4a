//! What the data files of kernels and distributions have in common.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::version::KernelVersion;

/// Why a file of profiles can't be used.
#[derive(Debug, thiserror::Error)]
#[error("can't read the profiles in `{file}`")]
pub struct ProfileError {
    file: String,
    #[source]
    source: Box<toml::de::Error>,
}

pub(crate) fn read<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, ProfileError> {
    toml::from_str(text).map_err(|source| ProfileError {
        file: file.to_owned(),
        source: Box::new(source),
    })
}

/// A version as text (`"6.1"`), which is how people write it.
pub(crate) fn version<'de, D: Deserializer<'de>>(source: D) -> Result<KernelVersion, D::Error> {
    String::deserialize(source)?
        .parse()
        .map_err(serde::de::Error::custom)
}

/// Several versions as text.
pub(crate) fn versions<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Vec<KernelVersion>, D::Error> {
    Vec::<String>::deserialize(source)?
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}
