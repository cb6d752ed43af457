//! The server's integration tests, in one binary: in process through the router, over real sockets, and as a real
//! process.

mod answers;
mod app;
mod connections;
mod crash;
mod hostile;
mod limits;
mod process;
mod startup;
