//! Every field of every log line stands in `docs/metrics.md`: whoever looks at a line at night finds
//! what its fields say.

use std::collections::BTreeSet;
use std::path::Path;

use crate::logs::documented;

/// The names of the fields in the arguments of a macro of `tracing`.
fn fields(arguments: &str) -> BTreeSet<String> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let parts = arguments.split(|character| {
        if quoted {
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
            return false;
        }
        match character {
            '"' => quoted = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        depth == 0 && character == ','
    });
    let name = |part: &str| {
        let part = part.split(" = ").next().unwrap_or_default().trim();
        let name = part.trim_start_matches(['%', '?']);
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
    };
    parts.filter_map(name).collect()
}

/// What stands between a parenthesis that was opened and the one that closes it.
fn until_closed(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1_usize, false, false);
    let end = text.find(|character| {
        if quoted {
            quoted = escaped || character != '"';
            escaped = !escaped && character == '\\';
            return false;
        }
        match character {
            '"' => quoted = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &text[..end.expect("a macro ends")]
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_field_of_every_line_is_documented_and_none_that_is_not_there() {
    let mut texts = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut texts);
    let tables = [
        ("target: \"access\"", "### Access lines"),
        ("target: \"handshake\"", "### Failed handshakes"),
        ("target: \"revocation\"", "### Revoked connections"),
        ("", "### Other lines"),
    ];
    let mut seen = [const { BTreeSet::new() }; 4];
    let mut lines = 0;
    for text in &texts {
        for (at, _) in text.match_indices("tracing::") {
            let rest = &text[at + "tracing::".len()..];
            let levels = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
            let begun = levels.iter().find_map(|level| rest.strip_prefix(level));
            let Some(begun) = begun else { continue };
            let arguments = until_closed(begun);
            let of = tables
                .iter()
                .position(|(target, _)| arguments.contains(target));
            seen[of.expect("the last takes all")].extend(fields(arguments));
            lines += 1;
        }
    }
    assert!(lines > 50, "{lines}");
    let of_each = ["time", "level", "target", "message"].map(str::to_owned);
    for ((_, heading), seen) in tables.iter().zip(seen) {
        let mut documented = documented(heading);
        documented.retain(|field| !of_each.contains(field));
        assert_eq!(seen, documented, "{heading}");
    }
}
