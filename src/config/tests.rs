//! The golden files under `tests/config`, inputs that must not break the reader, and the docs.
//!
//! `BLESS=1 cargo test --lib config` writes what `rejects` must say; read the diff like code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::acme::AcmeChallenge;
use super::problem::Problems;
use super::reader;
use super::spec::{ClientsSpec, HostPattern, LimitKey, ServedSpec, TlsVersion, TokenSpec};
use super::tree::{self, Id, Tree};
use super::{Loaded, load as load_or_faulty, parse as parse_or_faulty};
use super::{credential_file, file};
use crate::identity::claim::{ClaimPath, ClaimTest};

/// Between the input and the message of a file in `rejects`.
const CUT: &str = "---8<---\n";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn golden(folder: &str) -> Vec<PathBuf> {
    let folder = repository().join("tests/config").join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn load(file: &Path) -> Result<Loaded, Problems> {
    load_or_faulty(file).map_err(|faulty| Problems::new(file, faulty.problems))
}

fn parse(file: &Path, bytes: &[u8]) -> Result<Loaded, Problems> {
    parse_or_faulty(file, bytes).map_err(|faulty| Problems::new(file, faulty.problems))
}

fn parse_text(text: &str) -> Result<Loaded, Problems> {
    parse(Path::new("gateway.yaml"), text.as_bytes())
}

#[test]
fn every_file_in_accepts_loads() {
    for file in golden("accepts") {
        if let Err(problems) = load(&file) {
            panic!("{problems}");
        }
    }
}

#[test]
fn every_file_in_rejects_is_refused_with_its_message() {
    let bless = std::env::var_os("BLESS").is_some();
    for file in golden("rejects") {
        let text = fs::read_to_string(&file).unwrap();
        let (input, want) = text.split_once(CUT).unwrap_or((&text, ""));
        let problems = match parse_text(input) {
            Ok(_) => panic!("{} is accepted", file.display()),
            Err(problems) => format!("{problems}\n"),
        };
        if bless {
            fs::write(&file, format!("{input}{CUT}{problems}")).unwrap();
        } else {
            assert_eq!(problems, want, "{}", file.display());
        }
    }
}

#[test]
fn the_demo_configuration_loads() {
    let loaded = load(&repository().join("gateway.yaml")).unwrap();
    let orders = &loaded.spec.upstreams["orders"];
    assert_eq!(orders.timeouts.connect.as_secs(), 2);
    let ca = &loaded.spec.trust["partners"].ca.files()[0];
    assert!(ca.starts_with(repository()), "{}", ca.display());
}

/// `every-default.yaml` is `minimal.yaml` with each default written out.
#[test]
fn what_is_not_written_is_the_documented_default() {
    let accepts = repository().join("tests/config/accepts");
    let minimal = load(&accepts.join("minimal.yaml")).unwrap();
    let written = load(&accepts.join("every-default.yaml")).unwrap();
    assert_eq!(minimal.spec, written.spec);
    let text = fs::read_to_string(accepts.join("every-default.yaml")).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    for (section, rows) in documented() {
        for (key, default) in rows {
            let Some(default) = default else { continue };
            let at = if section.is_empty() {
                key
            } else {
                format!("{section}.{key}")
            };
            let value =
                find(&file, &at).unwrap_or_else(|| panic!("{at} is not in every-default.yaml"));
            assert_eq!(
                value,
                &serde_yaml::from_str::<Value>(&default).unwrap(),
                "{at}"
            );
        }
    }
}

/// A value by the path of a section in the docs: `NAME` and `[]` are the first entry.
fn find<'a>(file: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(file, |value, step| {
        let (key, first) = step
            .strip_suffix("[]")
            .map_or((step, false), |key| (key, true));
        let value = match key {
            "NAME" => value.as_mapping()?.values().next()?,
            key => value.get(key)?,
        };
        if first { value.get(0) } else { Some(value) }
    })
}

/// Sections of `docs/config.md` (headings like "## `logs`", or the one of the top) with their keys
/// and, where a default stands in backticks, that default.
fn documented() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let text = fs::read_to_string(repository().join("docs/config.md")).unwrap();
    let code = |cell: &str| Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let mut sections: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let mut section = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = code(heading).or((heading == "The top of the file").then(String::new));
        } else if let Some(row) = line.strip_prefix("| `") {
            let row = row.replace("\\|", "/");
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "key, type, default, why, example: {line}");
            let key = cells[0].trim_end_matches('`').to_owned();
            assert!(cells.iter().take(5).all(|cell| !cell.is_empty()), "{line}");
            let section = section
                .clone()
                .unwrap_or_else(|| panic!("no section above {line}"));
            sections
                .entry(section)
                .or_default()
                .push((key, code(cells[2])));
        }
    }
    sections
}

#[test]
fn every_key_stands_in_the_docs_and_the_other_way_round() {
    let in_code: BTreeSet<String> = [file::SECTIONS, credential_file::SECTIONS]
        .into_iter()
        .flatten()
        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section} {key}")))
        .collect();
    let in_docs: BTreeSet<String> = documented()
        .into_iter()
        .flat_map(|(section, rows)| {
            rows.into_iter()
                .map(move |(key, _)| format!("{section} {key}"))
        })
        .collect();
    let only =
        |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(
        only(&in_code, &in_docs),
        Vec::<String>::new(),
        "only in file.rs"
    );
    assert_eq!(
        only(&in_docs, &in_code),
        Vec::<String>::new(),
        "only in docs/config.md"
    );
}

#[test]
fn every_example_of_the_docs_is_accepted_where_it_stands() {
    let text = fs::read_to_string(repository().join("docs/config.md")).unwrap();
    let examples: Vec<_> = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        if let Err(problems) = parse_text(example) {
            panic!("{example}\n{problems}");
        }
    }
}

#[test]
fn a_problem_that_is_found_later_is_shown_in_its_place() {
    let file = repository().join("tests/config/accepts/minimal.yaml");
    let places = load(&file).unwrap().places;
    let text = fs::read_to_string(&file).unwrap();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let cases = [
        ("upstreams.orders.tls.accept[0]", line("accept:")),
        ("upstreams.orders.tls.accept[7]", line("accept:")),
        (
            "upstreams.orders.tls.nothing.here",
            line("server_name:") - 3,
        ),
        ("listeners.edge.tls.certificates[0].cert", line("cert: ")),
        ("nowhere", line("version:")),
    ];
    for (path, want) in cases {
        let problem = places.problem(path, "x");
        assert_eq!(problem.mark().map(|mark| mark.line), Some(want), "{path}");
        assert_eq!((problem.at(), problem.what()), (path, "x"));
    }
}

#[test]
fn a_file_that_is_not_there_is_a_problem_with_advice() {
    let missing = load(Path::new("no/such/gateway.yaml"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no/such/gateway.yaml: 1 problem\n  it cannot be read: "),
        "{missing}"
    );
    assert!(
        missing.contains("\n      hint: look at the path"),
        "{missing}"
    );
    let folder = load(&repository().join("tests")).unwrap_err().to_string();
    assert!(folder.contains("hint: name the file in it"), "{folder}");
}

#[test]
fn what_is_written_is_what_is_read() {
    let file = repository().join("tests/config/accepts/every-key.yaml");
    let spec = load(&file).unwrap().spec;
    let folder = file.parent().unwrap();
    let edge = &spec.listeners["edge"];
    let files = |number: usize| edge.tls.certificates[number].files().unwrap();
    assert_eq!(files(0).cert, folder.join("pki/edge.pem"));
    assert_eq!(files(1).key, Path::new("/etc/portcullis/other.key"));
    let ServedSpec::Acme(issued) = &edge.tls.certificates[2] else {
        panic!("{:?}", edge.tls.certificates[2]);
    };
    let names: Vec<String> = issued.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.example.com", "xn--bcher-kva.example.com"]);
    let pebble = &spec.acme["pebble"];
    assert_eq!(pebble.directory.port_u16(), Some(14000));
    assert_eq!(
        pebble.challenge,
        AcmeChallenge::Http01 {
            address: "[::]:80".parse().unwrap()
        }
    );
    assert_eq!(spec.acme["letsencrypt"].challenge, AcmeChallenge::TlsAlpn01);
    assert_eq!(edge.tls.min_version, TlsVersion::Tls13);
    assert_eq!(edge.limits.min_rate.get(), 1024);
    assert_eq!(edge.limits.header_bytes.get(), 1 << 20);
    let hourly = edge.limits.requests_per_peer;
    assert_eq!(
        (hourly.count.get(), hourly.per.as_secs(), hourly.burst.get()),
        (1, 3600, 1)
    );
    let route = &spec.routes["Orders_2.v1"];
    assert_eq!(
        route.matches.host,
        HostPattern::Below("example.com".parse().unwrap())
    );
    assert_eq!(route.matches.path.to_string(), "/orders/{id}/items/**");
    assert_eq!(route.matches.headers[0].0, "x-tenant");
    assert_eq!(
        route.limits[3].per,
        LimitKey::Header("x-tenant".parse().unwrap())
    );
    assert_eq!((route.max_body, route.websocket), (0, true));
    let TokenSpec::Wanted(tokens) = &route.token else {
        panic!("{:?}", route.token);
    };
    let level = &tokens.any[0].claims[&"level".parse::<ClaimPath>().unwrap()];
    assert_eq!(*level, ClaimTest::OneOf([serde_json::json!(3)].into()));
    assert_eq!(tokens.any[1].issuer.as_str(), "mesh");
    let from: Vec<_> = tokens.from.iter().map(ToString::to_string).collect();
    let places = [
        "authorization",
        "header:x-token",
        "cookie:__Host-token",
        "query:access_token",
    ];
    assert_eq!(from, places);
    let mesh = &spec.issuers["mesh"];
    assert_eq!(mesh.issuer, "spiffe://mesh.example");
    assert!(!mesh.profile.subjects.asks_for_iss());
    assert_eq!(spec.issuers["corp"].profile.scopes_claims.len(), 2);
    assert_eq!(spec.routes["Orders_2.match"].token, TokenSpec::None);
    assert_eq!(spec.routes["Orders_2"].clients, ClientsSpec::Any);
    let request = &spec.tests[0].request;
    assert_eq!(request.host, "api.example.com".parse().unwrap());
    assert_eq!(request.path, "/a/../b?x=%00");
    let nested = &request.claims.as_ref().unwrap()["nested"];
    assert_eq!(
        nested,
        &serde_json::json!({ "deep": [1, -2, 1.5, null, true] })
    );
    assert_eq!(spec.tests[1].request.path, "/");
}

/// A value of ours as `serde_yaml` has it.
fn as_theirs(tree: &Tree, id: Id) -> Value {
    match tree.value(id) {
        tree::Value::Null => Value::Null,
        tree::Value::Bool(flag) => flag.into(),
        tree::Value::Number(number) => Value::Number(number),
        tree::Value::Text(text) => text.into(),
        tree::Value::List => tree.below(id).map(|id| as_theirs(tree, id)).collect(),
        tree::Value::Mapping => {
            let entry = |id| Some((tree.key(id)?.into(), as_theirs(tree, id)));
            Value::Mapping(tree.below(id).filter_map(entry).collect())
        }
    }
}

/// Another reader of YAML takes each file for the same as ours does.
#[test]
fn the_values_of_a_file_are_those_that_serde_yaml_reads() {
    let docs = fs::read_to_string(repository().join("docs/config.md")).unwrap();
    let examples = docs.split("```yaml\n").skip(1);
    let mut texts: Vec<String> = examples
        .filter_map(|rest| Some(rest.split("```").next()?.to_owned()))
        .collect();
    texts.push(fs::read_to_string(repository().join("gateway.yaml")).unwrap());
    texts.extend(
        golden("accepts")
            .iter()
            .map(|file| fs::read_to_string(file).unwrap()),
    );
    for file in golden("rejects") {
        let text = fs::read_to_string(file).unwrap();
        texts.push(text.split(CUT).next().unwrap().to_owned());
    }
    texts.push(
        "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n\n  z\nc: 'it''s'\nd: \"\\u00e9\\n\"\ne:\nf: [a, , b]\ng: x\n  y\nh: {i, j: ~}\n\
         k:\n- l: 1\n  m: 2\n-\n- - n\no: a#b # c\np: \"x\\\n  y\"\nq: http://x\nr: [a: b]\n"
            .to_owned(),
    );
    let mut compared = 0;
    for text in &texts {
        let path = Path::new("gateway.yaml");
        let (Ok(ours), Ok(theirs)) = (
            reader::read(path, text),
            serde_yaml::from_str::<Value>(text),
        ) else {
            continue;
        };
        assert_eq!(as_theirs(ours.tree(), Id::TOP), theirs, "{text}");
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

/// Cut anywhere, or with any byte replaced, the file is read or refused, never a panic.
#[test]
fn a_damaged_file_is_read_or_refused() {
    let bytes = fs::read_to_string(repository().join("gateway.yaml"))
        .unwrap()
        .into_bytes();
    let path = Path::new("gateway.yaml");
    for at in (0..bytes.len()).step_by(13) {
        drop(parse(path, &bytes[..at]));
        for byte in [b'\n', b'{', b'"', b':', 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = byte;
            drop(parse(path, &damaged));
        }
    }
}

/// Files that are no configuration, most of them one line.
const NASTY: &[&str] = &[
    "",
    " \n\n",
    "# only a comment\n",
    "---\n...\n",
    "---\n---\n",
    "~",
    "null",
    "1",
    ".inf",
    "- a\n- b\n",
    "version: 1\0\n",
    "\0",
    "\u{feff}version: 1\n",
    "version: 1\u{feff}\n",
    "version: \u{202e}1\n",
    "\tversion: 1\n",
    "version:\t1\n",
    "version: 1\n\troutes: {}\n",
    "%YAML 9.9\n---\nversion: 1\n",
    "%TAG ! tag:x,2000:\n---\n!y z\n",
    "version: !!binary AAAA\n",
    "version: !!int \"1\"\n",
    "!!map {version: 1}\n",
    "version: &a 1\n",
    "version: *a\n",
    "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n",
    "a: &a [*a]\n",
    "<<: {version: 1}\n",
    "? [a, b]\n: c\n",
    "? {a: b}\n: c\n",
    "{}: 1\n",
    "[]: 1\n",
    "1: 2\n",
    "true: 2\n~: 3\n",
    ": 1\n",
    "version: 1\nversion: 1\n",
    "version: 1\n\"version\": 1\n",
    "workers: 99999999999999999999999999999999\nversion: -1\n",
    "workers: .inf\nversion: .nan\n",
    "workers: -0\nversion: 1e999\n",
    "version: 0x1\nworkers: 0o7\n",
    "version: [\n",
    "version: \"\n",
    "version: '\n",
    "}",
    "]",
    "@",
    "`",
    "%",
    "|",
    ">9",
    "version: |\n",
    "tests: [[[[[[]]]]]]\nroutes: []\nlisteners: 1\n",
    "routes: {a: {a: {a: {}}}}\nlisteners: {}\n",
    "routes: {\"\\0\": 1, \"\\u202E\": 2}\nlisteners: ~\n",
];

/// The same by size: wide, deep and long.
fn huge() -> Vec<String> {
    let deep = 1_000_000;
    let long = "k".repeat(100_000);
    vec![
        format!("{long}: 1\n"),
        format!("routes: {{ {long}: {{}} }}\n"),
        format!("version: {long}\n"),
        "[".repeat(deep),
        "{".repeat(deep),
        "{a: ".repeat(deep),
        "- ".repeat(deep),
        "? ".repeat(deep),
        "!".repeat(deep),
        "&a ".repeat(deep),
        "(".repeat(deep),
        "\"".repeat(deep),
        "a: ".repeat(deep),
        ": ".repeat(deep),
        "a\n".repeat(deep / 20),
        "- a\n".repeat(deep / 20),
        format!("tests: [{}]\n", "1,".repeat(deep)),
        (0..deep / 50).map(|n| format!("k{n}: 1\n")).collect(),
    ]
}

#[test]
fn nothing_in_a_file_breaks_the_reader() {
    let nasty = NASTY.iter().map(|text| (*text).to_owned());
    let inputs = nasty.chain(huge()).map(String::into_bytes);
    let raw: [&[u8]; 4] = [
        b"\xff\xfe",
        b"version: \xc3\x28",
        b"\xc3",
        b"a: \xed\xa0\x80",
    ];
    let raw = raw.map(<[u8]>::to_vec);
    let too_long = vec![b'#'; (64 << 20) + 1];
    for input in inputs.chain(raw).chain([too_long]) {
        let start = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
        let Err(problems) = parse(Path::new("gateway.yaml"), &input) else {
            panic!("{start:?} is accepted");
        };
        let text = problems.to_string();
        assert!(
            text.len() < 200_000,
            "{start:?}: {} bytes of message",
            text.len()
        );
        let plain = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(plain), "{start:?}: {text:?}");
    }
}
