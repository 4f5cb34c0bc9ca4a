//! A container's files as a tar.

use std::io::{BufWriter, Write};

use super::view::Sight;
use super::{Container, Error};
use crate::files::{Devices, Packed, Packer};

impl Container {
    /// Writes its own tree, whatever it is doing, without volumes and other mounts: as Docker's
    /// `export`. The same files give the same bytes.
    ///
    /// # Errors
    /// [`Error::Pack`]; what was written until then is no whole tar.
    pub fn export(&mut self, to: impl Write) -> Result<Packed, Error> {
        let view = self.view(Sight::Tree)?;
        let to = BufWriter::with_capacity(256 << 10, to);
        let mut packer = Packer::new(to, Devices::Keep);
        packer.folder(view.root(), b"")?;
        Ok(packer.finish()?.1)
    }
}
