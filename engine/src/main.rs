//! `keel`: a compact, fast, Docker-compatible container engine.

fn main() {}
