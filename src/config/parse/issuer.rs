//! `issuers`: whose tokens the gateway accepts.

use std::time::Duration;

use super::{Around, introspection, issuer_keys, quantity};
use crate::config::file::IssuerFile;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::config::node::{Field, Node};
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
    let has_keys = file.keys.written().is_some() || file.introspection.written().is_none();
    let algorithms = algorithms(&file.algorithms, has_keys);
    let keys = match has_keys {
        true => file
            .keys
            .needed("write `keys: { file: pki/jwks.json }`", |node| {
                issuer_keys::keys(node, issuer, around)
            }),
        false => Some(IssuerKeysSpec::None),
    };
    let introspection = file
        .introspection
        .optional(|node| introspection::introspection(node, has_keys, around));
    let leeway = file.leeway.or_go_on(LEEWAY, |node| {
        quantity::duration(node, Duration::ZERO..=LEEWAY_MAX)
    });
    Some(IssuerSpec {
        issuer: issuer?.to_owned(),
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        introspection: introspection?,
        leeway,
    })
}

fn algorithms(field: &Field<'_>, has_keys: bool) -> Option<Vec<SignatureAlgorithm>> {
    if has_keys {
        return field.needed(
            "write `algorithms: [ES256]`, what the issuer signs with",
            |node| node.some("`[ES256]`", algorithm),
        );
    }
    match field.written() {
        None => Some(Vec::new()),
        Some(node) => node.refuse(
            "there are no `keys`, so no signature is verified here",
            "remove it, or write `keys`",
        ),
    }
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
