//! The server's integration tests, in one binary: in process through the router, over real sockets, and as a real
//! process.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper of tests fails its test")]

mod alerts;
mod analytics;
mod answers;
mod app;
mod auth;
mod cli;
mod cloudevents;
mod connections;
mod crash;
mod data_files;
mod dead_letters;
mod export;
mod formats;
mod hostile;
mod lifecycle;
mod limits;
mod live;
mod metrics_truth;
mod monitoring;
mod oidc;
mod online_retail;
mod openapi;
mod operator;
mod page;
mod postgres;
mod posthog;
mod process;
mod rate_limit;
mod realtime;
mod redis;
mod redis_faults;
mod segment;
mod session;
mod startup;
mod tls;
mod traffic;
mod webhooks;
