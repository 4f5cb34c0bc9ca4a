//! Kernels and images: how to get them, verify them, boot them and talk to them.
