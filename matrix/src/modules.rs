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

    /// What a machine with that storage driver loads, in no particular order; names that its
    /// kernel does not have are to be passed over.
    pub fn for_storage(&self, storage: StorageDriver) -> Vec<String> {
        let driver = self.storage.get(&storage).into_iter().flatten();
        self.always.iter().chain(driver).cloned().collect()
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
        assert!(overlay.contains(&"overlay".to_owned()) && overlay.contains(&"veth".to_owned()));
        assert!(!overlay.contains(&"btrfs".to_owned()));
    }
}
