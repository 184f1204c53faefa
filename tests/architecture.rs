//! The layers of `docs/DESIGN.md`, section 3, and the habits of `docs/STYLE.md` that a machine can
//! hold: inside one crate nothing else does.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The layers, lowest first. A file may name its own folder and lower layers. `observe` stands
/// above `config`, whose words for logs it reads; `cli` stands above what it starts.
const LAYERS: &[&[&str]] = &[
    &[
        "identity",
        "refusal",
        "detail",
        "handshake_failure",
        "json",
        "backoff",
        "complaints",
    ],
    &["expression"],
    &["config", "trust", "pki", "transport"],
    &["shared_state"],
    &["observe"],
    &["fetch"],
    &["acme", "oauth"],
    &[
        "edge",
        "route",
        "authenticate",
        "authorize",
        "limit",
        "upstream",
        "assertion",
    ],
    &["external_authorization", "exchange"],
    &["snapshot"],
    &["proxy", "reload", "admin"],
    &["gateway"],
    &["demo"],
    &["cli"],
    &["main", "lib"],
];

/// Outside crates, and the only places where they may be named. A room is a folder, or a file (its
/// beginning is enough). Tests may name every crate.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "pingora",
        &["gateway", "proxy/", "edge/", "upstream/", "transport/"],
    ),
    ("rustls", TLS),
    (
        "tokio_rustls",
        &[
            "acme/",
            "edge/",
            "shared_state/",
            "upstream/",
            "transport/",
            "demo/",
        ],
    ),
    ("webpki", TLS),
    ("x509_parser", TLS),
    ("instant_acme", &["acme/"]),
    ("spiffe", &["trust/workload_api/"]),
    ("tonic", &["trust/workload_api/"]),
    ("prost", &["external_authorization/"]),
    ("rcgen", &["acme/", "pki/"]),
    ("cel", &["expression/"]),
    ("regex", &["expression/"]),
    ("serde_yaml", &["config/"]),
    ("saphyr_parser", &["config/"]),
    ("prometheus", &["observe/metrics", "admin/"]),
    ("redis", &["shared_state/"]),
    ("jsonwebtoken", &["authenticate/", "cli", "demo/"]),
    ("governor", &["limit/", "observe/"]),
    ("notify", &["reload/"]),
    ("clap", &["cli", "demo/", "main.rs"]),
    ("hyper", &["acme/", "admin/", "demo/"]),
    ("hyper_rustls", &["fetch/"]),
    ("hyper_util", &["acme/", "admin/", "demo/", "fetch/"]),
];

const TLS: &[&str] = &[
    "acme/",
    "fetch/",
    "trust/",
    "edge/",
    "upstream/",
    "identity/certificate",
    "handshake_failure.rs",
    "pki/",
    "transport/",
    "shared_state/",
    "observe/tls_facts.rs",
    "demo/",
];

/// A name of an outside crate that is at home everywhere: a time, and nothing of TLS.
const EVERYWHERE: [&str; 1] = ["rustls::pki_types::UnixTime"];

/// Names of modules that say nothing.
const EMPTY_NAMES: [&str; 4] = ["utils", "common", "helpers", "types"];

/// The longest file, without its tests.
const MOST_LINES: usize = 400;

/// One file of `src/`.
struct Source {
    /// Below `src/`, with `/`.
    path: String,
    /// As it stands.
    text: String,
    /// Without comments, texts and `#[cfg(test)]` modules; lines are kept in number.
    code: String,
}

impl Source {
    /// The folder or file below `src/` that it belongs to.
    fn own(&self) -> &str {
        let first = self.path.split('/').next().expect("a path");
        first.trim_end_matches(".rs")
    }

    /// Whether it is a file of tests alone.
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// The line of a place in `code`.
    fn line(&self, at: usize) -> usize {
        self.code
            .get(..at)
            .map_or(0, |before| before.matches('\n').count())
            + 1
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of src") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let below = path.strip_prefix(&root).expect("below src");
                let path = below.to_string_lossy().replace('\\', "/");
                let code = without_tests(&bare(&text));
                found.push(Source { path, text, code });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The text with spaces for comments and for what stands in quotes; line breaks stay.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let word = before.is_alphanumeric() || before == '_';
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if next == '"' {
            end_of_quoted(rest, '"')
        } else if next == '\'' {
            end_of_character(rest)
        } else if !word && (rest.starts_with("r\"") || rest.starts_with("r#")) {
            end_of_raw(rest)
        } else {
            0
        };
        let (taken, after) = rest.split_at(length.max(next.len_utf8()));
        if length == 0 {
            bare.push(next);
        } else {
            bare.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' }));
        }
        before = taken.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    bare
}

fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// A character in quotes; 0 for a lifetime.
fn end_of_character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        end_of_quoted(text, '\'')
    } else {
        0
    }
}

/// A raw string; 0 for a raw name.
fn end_of_raw(text: &str) -> usize {
    let after = text.trim_start_matches('r');
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after.trim_start_matches('#').starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let begin = 1 + hashes + 1;
    let inside = text.get(begin..).unwrap_or_default();
    inside
        .find(&end)
        .map_or(text.len(), |at| begin + at + end.len())
}

/// The code without its `#[cfg(test)] mod .. { .. }`; line breaks stay.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, tests) = rest.split_at(at);
        kept.push_str(before);
        let end = end_of_item(tests);
        let (tests, after) = tests.split_at(end);
        kept.extend(tests.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = after;
    }
    kept.push_str(rest);
    kept
}

/// Where the item at the beginning ends: after its block, or after a semicolon before any block.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The names that stand after `prefix`, one level deep, with their places: `crate::a::b` and
/// `crate::{a::b, c}` after `crate::`.
fn names_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let begins = code.get(..at).and_then(|before| before.chars().next_back());
        if begins.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_names(group).into_iter().map(|name| (at, name))),
            None => names.push((at, name_at(rest))),
        }
    }
    names
}

fn name_at(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first names of the members of a group.
fn group_names(group: &str) -> Vec<String> {
    let (mut names, mut depth) = (vec![name_at(group)], 0_usize);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name_at(group.get(at + 1..).unwrap_or_default())),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// Panics with all of them, so that one run shows everything.
fn assert_none(problems: &[String]) {
    let mut all = String::new();
    for problem in problems {
        writeln!(all, "  {problem}").expect("writing to a String");
    }
    assert!(problems.is_empty(), "{} problems:\n{all}", problems.len());
}

#[test]
fn imports_run_downwards() {
    let mut problems = Vec::new();
    let files = sources();
    let modules: BTreeSet<&str> = files.iter().map(Source::own).collect();
    for file in &files {
        let own = file.own();
        let Some(height) = layer(own) else {
            problems.push(format!("{}: `{own}` has no layer", file.path));
            continue;
        };
        for (at, used) in names_after(&file.code, "crate::") {
            // A name of the crate's root is not a module: macros stand there.
            if used == own || !modules.contains(used.as_str()) {
                continue;
            }
            if layer(&used).is_none_or(|below| below >= height) && own != "main" {
                let (path, line) = (&file.path, file.line(at));
                problems.push(format!("{path}:{line}: `{used}` is not below `{own}`"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let mut problems = Vec::new();
    for file in sources().iter().filter(|file| !file.is_test()) {
        for (outside, rooms) in ROOMS {
            if rooms.iter().any(|room| file.path.starts_with(room)) {
                continue;
            }
            for prefix in [format!("{outside}::"), format!("use {outside} ")] {
                for (at, _) in names_after(&file.code, &prefix) {
                    let named = file.code.get(at..).unwrap_or_default();
                    if EVERYWHERE.iter().any(|name| named.starts_with(name)) {
                        continue;
                    }
                    let line = file.line(at);
                    problems.push(format!(
                        "{}:{line}: `{outside}` is not at home here",
                        file.path
                    ));
                }
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_file_says_what_it_is() {
    let silent = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "));
    assert_none(
        &silent
            .map(|file| format!("{}: begin with `//! `", file.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_is_long() {
    let mut problems = Vec::new();
    for file in sources().iter().filter(|file| !file.is_test()) {
        let tests = file.text.find("#[cfg(test)]\nmod tests {");
        let product = tests
            .and_then(|at| file.text.get(..at))
            .unwrap_or(&file.text);
        let lines = product.lines().count();
        // One value for each key, each with its comment: it has no second module in it.
        if lines > MOST_LINES && file.path != "config/spec.rs" {
            problems.push(format!("{}: {lines} lines without its tests", file.path));
        }
    }
    assert_none(&problems);
}

#[test]
fn no_module_has_an_empty_name() {
    let mut problems = Vec::new();
    for file in sources() {
        let mut words = file
            .path
            .split('/')
            .map(|word| word.trim_end_matches(".rs"));
        if words.any(|word| EMPTY_NAMES.contains(&word)) {
            problems.push(format!("{}: the name says nothing", file.path));
        }
    }
    assert_none(&problems);
}

#[test]
fn exceptions_are_expected_not_allowed() {
    let mut problems = Vec::new();
    for file in sources() {
        for allow in ["#[allow(", "#![allow("] {
            for (at, _) in file.code.match_indices(allow) {
                let line = file.line(at);
                problems.push(format!("{}:{line}: #[expect(.., reason = ..)]", file.path));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn the_readers_of_this_test_see_what_they_must() {
    let text = "use crate::a::b; // crate::c\nlet x = \"crate::d\"; let y = 'c'; fn f<'a>() {}\n\
                use crate::{e::{f, g}, h};\nlet z = r#\"crate::\"i\"#; $crate::j; crate::k::l();\n\
                #[cfg(test)]\nmod tests { use crate::m; fn n() {} }\nfn o() { crate::p::q() }";
    let code = without_tests(&bare(text));
    let names: Vec<String> = names_after(&code, "crate::")
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(names, ["a", "e", "h", "k", "p"]);
    assert_eq!(text.matches('\n').count(), code.matches('\n').count());
}
