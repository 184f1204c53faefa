//! The one place that writes for the person at the terminal.

use std::io::{Write, stderr, stdout};

/// Prints a line to stdout.
pub(super) fn print(line: &str) {
    write(&mut stdout().lock(), line);
}

/// Prints a line to stderr.
pub(super) fn complain(line: &str) {
    write(&mut stderr().lock(), &format!("portcullis: {line}"));
}

/// `println!` would panic where nobody reads any more (`| head`); then there is nothing to do.
fn write(to: &mut dyn Write, line: &str) {
    match writeln!(to, "{line}").and_then(|()| to.flush()) {
        Ok(()) | Err(_) => {}
    }
}
