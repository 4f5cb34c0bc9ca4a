//! Trees of files as tar streams, and back.
//!
//! Both ends may lie in a running container that changes things while they are looked at: every
//! place is reached from an open folder, nothing is followed that is not meant to be, and
//! attributes are set on what is open, never on a name (CVE-2018-15664, CVE-2021-41089).

mod pack;
mod stream;
mod tar_writer;
mod unpack;

pub use pack::{Devices, Look, PackError, Packed, Packer, Times};
pub use stream::{PackedStream, stream};
pub use tar_writer::{Head, Member, TarWriter};
pub use unpack::{Owner, UnpackError, Unpacked, make_folders, unpack};
