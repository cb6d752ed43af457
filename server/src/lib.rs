//! The parts of the `tideline` binary.

pub mod traffic;
