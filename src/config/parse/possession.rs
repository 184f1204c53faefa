//! What must come with a token: `dpop` of issuers, and the demands of routes.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, issuer, key_files, quantity};
use crate::config::credential_file::DpopFile;
use crate::config::node::Node;
use crate::config::possession::{Demand, DpopSpec};
use crate::config::problem::shown;
use crate::config::tree::Value;

/// Each proof is remembered for so long.
const WINDOW_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(300);

/// Time for a client to come back with it, and no more than a session of work.
const NONCE_LIFETIME_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3_600);

/// One that makes nonces, one that comes, one that goes; and room for those who are slower.
const NONCE_KEYS_MAX: usize = 8;

/// `issuers.NAME.dpop`.
pub(super) fn dpop(node: &Node<'_>, around: &Around<'_>) -> Option<DpopSpec> {
    let file = DpopFile::read(node)?;
    let default = DpopSpec::default();
    let algorithms = file.algorithms.or(default.algorithms, |node| {
        node.some("`[ES256]`", issuer::proof_algorithm)
    });
    let window = file.window.or(default.window, |node| {
        quantity::duration(node, WINDOW_BOUNDS)
    });
    let nonces = file.nonces.or(default.nonces, |node| node.word(&NONCES));
    let nonce_lifetime = file.nonce_lifetime.or(default.nonce_lifetime, |node| {
        quantity::duration(node, NONCE_LIFETIME_BOUNDS)
    });
    let nonce_keys = file.nonce_keys.or(default.nonce_keys, |node| {
        let keys = key_files(node, around, "`[pki/nonce.key]`", NONCE_KEYS_MAX)?;
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
