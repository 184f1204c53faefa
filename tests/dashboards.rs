//! What stands in `docker/` is held to what reads it: `docker/check` runs promtool over the rules,
//! their tests and the dashboards' queries, and looks every metric up in `docs/metrics.md`.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn rules_and_dashboards_are_accepted_and_name_only_metrics_that_exist() {
    if !(installed("promtool") && installed("python3")) {
        writeln!(io::stdout(), "skipped: needs promtool and python3").unwrap();
        return;
    }
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/check");
    let output = Command::new(check).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
