//! Layers: tars in, files out.

mod apply;
mod path;
mod pax;
mod reader;
mod stream;

pub use apply::{Applied, ApplyError};
pub use path::PathError;
pub use reader::TarError;
pub use stream::{Expected, LayerError};

pub(super) use apply::Lower;
pub(crate) use apply::is_carried;
pub(crate) use path::EntryPath;
pub(crate) use reader::{Entry, Kind, TarReader};
pub(super) use stream::unpack;
