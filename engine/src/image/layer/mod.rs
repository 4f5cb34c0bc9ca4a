//! Layers: tars in, files out, and the same tars again.

mod apply;
mod path;
mod pax;
mod reader;
mod rebuild;
mod record;
mod stream;

pub use apply::{Applied, ApplyError};
pub use path::PathError;
pub use reader::TarError;
pub use rebuild::RebuildError;
pub use stream::{Expected, LayerError};

pub(super) use apply::Lower;
pub(crate) use apply::is_carried;
pub(crate) use path::EntryPath;
pub(crate) use reader::{Entry, Kind, TarReader};
pub(super) use rebuild::LayerTar;
pub(super) use stream::unpack;
