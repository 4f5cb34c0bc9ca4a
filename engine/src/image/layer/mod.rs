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
pub(super) use path::EntryPath;
pub(super) use reader::{Kind, TarReader};
pub(super) use rebuild::LayerTar;
pub(super) use stream::unpack;
