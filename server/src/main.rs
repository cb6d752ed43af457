//! The binary `tideline`. Everything is in the library, so that tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tideline_server::cli::main()
}
