//! The suites: what a container engine must do, proved from outside of the container.
//!
//! A [`Case`] is a function over a `Scene`; the cases of an area are in one file each and
//! registered in `catalogue`. [`run`](run::run) executes them through `libtest-mimic` and
//! tells what each came to as an [`Event`], as soon as it is known.

mod area;
mod case;
mod catalogue;
mod check;
mod container;
mod event;
mod image;
mod interrupt;
mod lab;
mod machine;
mod patience;
mod process;
mod run;
mod scene;
mod sys;

pub use case::{Case, Proof, Unproven};
pub use catalogue::{
    LISTING_SCHEMA, ListedCase, Listing, Selection, SelectionError, catalogue, clauses, listing,
};
pub use event::Event;
pub use interrupt::Interrupt;
pub(crate) use lab::WORKSHOP;
pub use lab::Workshop;
pub use run::{Plan, SuiteError, run};
