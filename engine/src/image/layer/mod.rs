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
pub(super) use path::EntryPath;
pub(super) use reader::{Kind, TarReader};
pub(super) use stream::unpack;
