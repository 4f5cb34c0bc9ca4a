//! Layers and the writable trees of containers, kept by one of several drivers.
//!
//! On the disk, under keel's root:
//!
//! ```text
//! storage/driver                          the driver that this root uses, a word
//! storage/DRIVER/layers/HEX/              a layer by its chain id; HEX is 64 figures
//!                           layer.json    its chain id and parent; was written last
//!                           fs/           its files (overlay, aufs: what it changed; others: all)
//!                           tar-record    how its tar is made of these files again
//!                           tar-contents/ contents in its tar that no file has, by number
//! storage/DRIVER/containers/NAME/         a container's tree
//!                           layer         a link to the folder of its top layer
//! storage/DRIVER/staging/                 unfinished or discarded trees, free to be removed
//! ```
//!
//! **Lock order:** image store (`images/lock`), then volumes (`volumes/lock`), then names
//! (`images/names.lock`), then the container's own lock, then a staging folder's own. Nothing is
//! locked in the other direction, but for one: who removes a container, and holds it, may wait for
//! the volumes; nobody who holds those waits for a container.

mod attributes;
mod aufs;
mod btrfs;
mod compare;
mod copy;
mod driver;
mod error;
mod home;
mod overlay;
mod private;
mod remove;
mod select;
mod stacked;
mod staging;
mod vfs;
mod whiteout;

pub use aufs::Aufs;
pub use btrfs::Btrfs;
pub use driver::{
    Change, ChangeKind, Driver, DriverName, Fill, Filled, Filling, Keep, Rootfs, Tree, TreeName,
};
pub use error::StorageError;
pub use home::Home;
pub use overlay::{MAX_LAYERS, Overlay};
pub(crate) use remove::{entries, remove_entry};
pub use select::Storage;
pub(crate) use staging::sync_folder;
pub use staging::{Staged, Staging};
pub use vfs::Vfs;
