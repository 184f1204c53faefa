//! What must come with a token: `dpop` of issuers, and the demands of routes.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Around, issuer, path, quantity};
use crate::config::file::DpopFile;
use crate::config::node::Node;
use crate::config::possession::{Demand, DpopSpec};
use crate::config::problem::shown;
use crate::config::spec::SignatureAlgorithm;
use crate::config::tree::Value;

/// What clients sign with; both are quick to verify.
const ALGORITHMS: [SignatureAlgorithm; 2] = [SignatureAlgorithm::ES256, SignatureAlgorithm::EdDSA];

/// Time enough for any one request, and for clocks to differ.
const WINDOW: Duration = Duration::from_secs(60);
/// Each proof is remembered for so long.
const WINDOW_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);

/// A client gets a new one with an answer before it is over.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
const NONCE_LIFETIME_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3_600);

/// One that makes nonces, one that comes, one that goes; and room for those who are slower.
const NONCE_KEYS_MAX: usize = 8;

/// What an issuer without `dpop` has.
pub(super) fn unwritten() -> DpopSpec {
    DpopSpec {
        algorithms: ALGORITHMS.to_vec(),
        window: WINDOW,
        nonces: Demand::No,
        nonce_lifetime: NONCE_LIFETIME,
        nonce_keys: Vec::new(),
    }
}

/// `issuers.NAME.dpop`.
pub(super) fn dpop(node: &Node<'_>, around: &Around<'_>) -> Option<DpopSpec> {
    let file = DpopFile::read(node)?;
    let algorithms = file.algorithms.or(ALGORITHMS.to_vec(), |node| {
        node.some("`[ES256]`", issuer::algorithm)
    });
    let window = file
        .window
        .or(WINDOW, |node| quantity::duration(node, WINDOW_BOUNDS));
    let nonces = file.nonces.or(Demand::No, |node| node.word(&NONCES));
    let nonce_lifetime = file.nonce_lifetime.or(NONCE_LIFETIME, |node| {
        quantity::duration(node, NONCE_LIFETIME_BOUNDS)
    });
    let nonce_keys = file.nonce_keys.or(Vec::new(), |node| {
        let keys = keys(node, around)?;
        if nonces == Some(Demand::No) {
            let what = "nonces are off, so that nothing is made with keys";
            return node.refuse_key(what, "write `nonces: required` beside it, or remove it");
        }
        Some(keys)
    });
    Some(DpopSpec {
        algorithms: algorithms?,
        window: window?,
        nonces: nonces?,
        nonce_lifetime: nonce_lifetime?,
        nonce_keys: nonce_keys?,
    })
}

const NONCES: [(&str, Demand); 3] = [
    ("off", Demand::No),
    ("report_only", Demand::ReportOnly),
    ("required", Demand::Required),
];

fn keys(node: &Node<'_>, around: &Around<'_>) -> Option<Vec<PathBuf>> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let files = node.some("`[pki/nonce.key]`", |node| {
        let file = path(node, around)?;
        if seen.contains(&file) {
            return node.refuse("this file stands twice", "keep one of them");
        }
        seen.push(file.clone());
        Some(file)
    })?;
    if files.len() > NONCE_KEYS_MAX {
        return node.refuse(
            format!("{} keys are more than anybody rotates through", files.len()),
            format!("write at most {NONCE_KEYS_MAX}"),
        );
    }
    Some(files)
}

/// `true`, `false` or `report_only`.
pub(super) fn demand(node: &Node<'_>) -> Option<Demand> {
    const HINT: &str = "write `true`, `report_only` or `false`, without quotes";
    match node.value() {
        Value::Bool(true) => Some(Demand::Required),
        Value::Bool(false) => Some(Demand::No),
        Value::Text("report_only") => Some(Demand::ReportOnly),
        Value::Text(text) => {
            let what = format!("{} is neither true, false nor report_only", shown(text));
            node.refuse(what, HINT)
        }
        Value::Null | Value::Number(_) | Value::List | Value::Mapping => node.refuse(
            "something else stands where true, false or report_only is wanted",
            HINT,
        ),
    }
}
