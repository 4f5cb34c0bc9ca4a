//! The kernel modules that a cell's machine loads, as data.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::axis::StorageDriver;

/// Names of kernel modules, by what needs them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleList {
    always: Vec<String>,
    storage: BTreeMap<StorageDriver, Vec<String>>,
}

impl ModuleList {
    /// The compiled-in list.
    ///
    /// # Errors
    /// The data file is not of its shape, which a test rules out.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        toml::from_str(include_str!("../data/modules.toml"))
    }

    /// What every machine loads, in no particular order; names that its kernel does not have are
    /// to be passed over.
    pub fn always(&self) -> &[String] {
        &self.always
    }

    /// What a machine with that storage driver loads besides, in the same way.
    pub fn for_storage(&self, storage: StorageDriver) -> &[String] {
        self.storage.get(&storage).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_storage_driver_has_its_modules() {
        let list = ModuleList::built_in().unwrap();
        for storage in StorageDriver::ALL {
            assert!(list.storage.contains_key(storage), "{storage}");
        }
        let overlay = list.for_storage(StorageDriver::Overlay);
        assert!(overlay.contains(&"overlay".to_owned()));
        assert!(!overlay.contains(&"btrfs".to_owned()));
        assert!(list.always().contains(&"veth".to_owned()));
    }
}
