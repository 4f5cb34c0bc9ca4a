//! Benchmarks that compare against a peer in the same run.
