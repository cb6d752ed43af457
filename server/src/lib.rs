//! Tideline's server: command line, configuration and HTTP around the engine. It owns the process: runtimes,
//! signals, the environment, standard error.

pub mod config;
pub mod error;
pub mod telemetry;
pub mod traffic;
pub mod outbound;
pub mod auth;
pub mod tls;
pub mod rate_limit;
pub mod realtime;
pub mod alerts;
pub mod webhooks;
pub mod tar;
pub mod http;
pub mod letters;
pub mod export;
pub mod routes;
pub mod openapi;
pub mod monitoring;
pub mod app;
pub mod host;
pub mod listen;
pub mod postgres;
pub mod shutdown;
pub mod cli;
