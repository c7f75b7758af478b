//! The `holdfast-runtime` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_runtime::run(std::env::args_os().collect())
}
