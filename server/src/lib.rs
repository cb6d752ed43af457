//! Tideline's server: command line, configuration and HTTP around the engine. It owns the process: runtimes,
//! signals, the environment, standard error.

pub mod config;
pub mod traffic;
pub mod cli;
