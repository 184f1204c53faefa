//! `issuers`: whose tokens the gateway accepts.

use std::time::Duration;

use super::{Around, path, quantity};
use crate::config::file::{IssuerFile, IssuerKeysFile};
use crate::config::node::Node;
use crate::config::problem::shown;
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};

/// Clocks that NTP keeps differ by less.
const LEEWAY: Duration = Duration::from_secs(30);
/// A token that ended longer ago than this has ended.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

const ALGORITHMS: [(&str, SignatureAlgorithm); 9] = [
    ("RS256", SignatureAlgorithm::RS256),
    ("RS384", SignatureAlgorithm::RS384),
    ("RS512", SignatureAlgorithm::RS512),
    ("PS256", SignatureAlgorithm::PS256),
    ("PS384", SignatureAlgorithm::PS384),
    ("PS512", SignatureAlgorithm::PS512),
    ("ES256", SignatureAlgorithm::ES256),
    ("ES384", SignatureAlgorithm::ES384),
    ("EdDSA", SignatureAlgorithm::EdDSA),
];

/// One entry of `issuers`.
pub(super) fn issuer(node: &Node<'_>, around: &Around<'_>) -> Option<IssuerSpec> {
    let file = IssuerFile::read(node)?;
    let issuer = file.issuer.needed(
        "write `issuer: https://id.example.com`, the claim `iss` of its tokens",
        |node| node.text("`https://id.example.com`"),
    );
    let audiences = file.audiences.needed(
        "write `audiences: [orders-api]`: a token that is meant for somebody else is refused",
        |node| {
            node.some("`[orders-api]`", |node| {
                Some(node.text("`orders-api`")?.to_owned())
            })
        },
    );
    let algorithms = file.algorithms.needed(
        "write `algorithms: [ES256]`, what the issuer signs with",
        |node| node.some("`[ES256]`", algorithm),
    );
    let keys = file
        .keys
        .needed("write `keys: { file: pki/jwks.json }`", |node| {
            keys(node, around)
        });
    let leeway = file.leeway.or_go_on(LEEWAY, |node| {
        quantity::duration(node, Duration::ZERO..=LEEWAY_MAX)
    });
    Some(IssuerSpec {
        issuer: issuer?.to_owned(),
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        leeway,
    })
}

pub(super) fn algorithm(node: &Node<'_>) -> Option<SignatureAlgorithm> {
    if let Some(text) = node.as_text() {
        let symmetric = text
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("HS"));
        if symmetric {
            let what = format!(
                "{} is symmetric: who can check such a token can make one",
                shown(text)
            );
            return node.refuse(what, "have the issuer sign with ES256 or EdDSA");
        }
        if text.eq_ignore_ascii_case("none") {
            let what = "a token that is not signed proves nothing";
            return node.refuse(what, "have the issuer sign with ES256 or EdDSA");
        }
    }
    node.word(&ALGORITHMS)
}

fn keys(node: &Node<'_>, around: &Around<'_>) -> Option<std::path::PathBuf> {
    if let Some(text) = node.as_text() {
        let what = "a text stands where keys are wanted";
        return node.refuse(what, format!("write `keys: {{ file: {} }}`", shown(text)));
    }
    let file = IssuerKeysFile::read(node)?;
    file.file
        .needed("write `file:` with the path of a JWKS file", |node| {
            path(node, around)
        })
}
