//! Starts the gateway. To be written.

use std::path::Path;
use std::process::ExitCode;

/// Runs the gateway until it is told to stop.
pub fn run(_config: &Path) -> ExitCode {
    ExitCode::FAILURE
}

/// Loads and compiles a configuration as [`run`] does, and says what is wrong with it.
pub fn check(_config: &Path) -> ExitCode {
    ExitCode::FAILURE
}
