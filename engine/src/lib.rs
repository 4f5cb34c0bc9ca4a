//! Keel, a compact container engine.
