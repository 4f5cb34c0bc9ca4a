//! Taking part in a container that somebody else runs: its monitor holds its streams, and whoever
//! attaches talks to the monitor through a socket in the container's folder.
//!
//! In the order of the flow: [`socket`] (the file, and who may connect) → [`frame`] (what is said)
//! → [`clients`] (the monitor's side) and [`session`] (the other), which looks for [`keys`]. [`join`]
//! puts them together.

pub(super) mod clients;
pub(super) mod frame;
mod join;
pub(super) mod keys;
pub(super) mod session;
pub(super) mod socket;

pub use keys::DetachKeys;
pub use session::{Interaction, Left, SigProxy, TakeInput};
