//! The judge: plans, checks, runs suites against an engine, certifies and reports.
//!
//! A run flows one way: plan → provision → check → run → judge → certificate → render. Each
//! stage reads what the one before it wrote, and never reaches back; judging and rendering are
//! pure functions of a run folder.

pub mod adapter;
pub mod certificate;
pub mod check;
pub mod cli;
pub mod config;
pub mod doctor;
mod durable;
mod guest_tool;
pub mod journal;
pub mod judge;
pub mod provision;
pub mod render;
pub mod run;
pub mod selftest;
pub mod suite;
pub mod terminal;
