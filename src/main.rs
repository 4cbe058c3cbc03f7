//! Arguments → run → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gradual_rollout::cli::main(std::env::args_os())
}
