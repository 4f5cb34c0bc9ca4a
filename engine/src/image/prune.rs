//! Removing images that nobody needs.

use crate::image::store::{Force, Image, Removed, Store, StoreError, Users};

/// Which images are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// Those without a name that no container uses.
    Nameless,
    /// All that no container uses.
    All,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedImages {
    /// Names, images and layers, in the order in which they went.
    pub removed: Vec<Removed>,
    /// Bytes of the layers' files.
    pub bytes: u64,
}

impl Store {
    /// Removes the images that are of no use and that `wanted` picks. A damaged one, of which
    /// nothing can be asked, goes if it has no name.
    ///
    /// # Errors
    /// Those of listing and removing. An image that a container was made of meanwhile stays.
    pub fn prune_images(
        &self,
        which: Unused,
        wanted: impl Fn(&Image) -> bool,
        users: Users<'_>,
    ) -> Result<PrunedImages, StoreError> {
        let named = self.names()?;
        let mut pruned = PrunedImages::default();
        for id in self.ids()? {
            let has_name = named.iter().any(|(_, named)| *named == id);
            if has_name && which == Unused::Nameless {
                continue;
            }
            let image = self.image(&id).ok();
            if !image.as_ref().is_none_or(&wanted) {
                continue;
            }
            if !users(&id).map_err(StoreError::Users)?.is_empty() {
                continue;
            }
            let removed = match self.remove(&id.to_string(), Force::Yes, users) {
                Err(StoreError::NotFound(_)) => continue, // Somebody else was quicker.
                removed => removed?,
            };
            let layers = image.map(|image| image.layers).unwrap_or_default();
            let freed = layers
                .iter()
                .filter(|layer| removed.contains(&Removed::Layer(layer.chain_id)));
            pruned.bytes += freed.map(|layer| layer.bytes).sum::<u64>();
            pruned.removed.extend(removed);
        }
        Ok(pruned)
    }
}
