//! A look at what layers show together, without a container.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use super::Error;
use super::id::ContainerId;
use super::store::{Containers, Reserved};
use super::view::tree_root;
use crate::image::digest::ChainId;
use crate::storage::{Storage, Tree, TreeName};

/// A tree on top of layers, which is gone when this is.
///
/// Its folder among those of containers is held and never finished: nobody takes the tree for that
/// of a container, nor for a leftover, unless this process is killed.
#[derive(Debug)]
pub struct Scratch<'a> {
    // Dropped in this order: the mount goes with its last descriptor, and before its tree.
    root: OwnedFd,
    _made: Made<'a>,
}

#[derive(Debug)]
struct Made<'a> {
    storage: &'a Storage,
    tree: TreeName,
    /// There until the end.
    reserved: Option<Reserved>,
}

impl<'a> Scratch<'a> {
    /// On top of the layer `top`, or on nothing.
    ///
    /// # Errors
    /// When it cannot be made; nothing of it stays.
    pub fn new(root: &Path, storage: &'a Storage, top: Option<&ChainId>) -> Result<Self, Error> {
        let id = ContainerId::random().map_err(Error::io("read", "/dev/urandom"))?;
        let reserved = Containers::new(root).reserve(&id, None)?;
        let name = reserved.folder().file_name().unwrap_or_default();
        let made = Made {
            storage,
            tree: TreeName::new(name.to_string_lossy())?,
            reserved: Some(reserved),
        };
        storage.driver().create(&made.tree, top)?;
        Ok(Self {
            root: tree_root(storage, &made.tree)?,
            _made: made,
        })
    }

    /// Its root folder, a place to start from.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is a leftover, which `system prune` takes.
        drop(self.storage.driver().remove(Tree::Container(&self.tree)));
        if let Some(reserved) = self.reserved.take() {
            reserved.abandon();
        }
    }
}
