//! `issuers`: whose tokens the gateway accepts.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, claims, introspection, issuer_keys, possession, quantity, token};
use crate::config::credential_file::IssuerFile;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::config::node::{Field, Node};
use crate::config::possession::DpopSpec;
use crate::config::problem::shown;
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};
use crate::config::token::{SubjectsSpec, TokenProfile};
use crate::identity::spiffe::TrustDomain;

/// Clocks that NTP keeps differ by less.
const LEEWAY: Duration = Duration::from_secs(30);
/// A token that ended longer ago than this has ended.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// From a clock's difference to a year, which is no bound any more.
const MAX_AGE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 3_600);
/// Tokens that need no `iss`: JWT-SVIDs.
const NO_ISS: &str = "none";

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
    let named = named(&file);
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
                let issuer = named.as_ref().map(|(issuer, _)| issuer.as_str());
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
    let dpop = file
        .dpop
        .or_go_on(DpopSpec::default(), |node| possession::dpop(node, around));
    let typ = file.typ.or_go_on(None, |node| {
        let typ = token::typ(node)?;
        if has_keys {
            return Some(Some(typ));
        }
        node.refuse(token::NO_TYPE, token::NO_TYPE_HINT)
    });
    let max_age = file.max_age.or_go_on(None, |node| {
        quantity::duration(node, MAX_AGE_BOUNDS).map(Some)
    });
    let scopes_claims = file.scopes_claim.or_go_on(Vec::new(), claims::paths);
    let (issuer, subjects) = named?;
    Some(IssuerSpec {
        issuer,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        introspection: introspection?,
        leeway,
        dpop,
        profile: TokenProfile {
            subjects,
            typ,
            max_age,
            scopes_claims,
        },
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

/// The claim `iss`, and whom the tokens speak for.
fn named(file: &IssuerFile<'_>) -> Option<(String, SubjectsSpec)> {
    const DOMAIN: &str = "`mesh.example`";
    let domain = file
        .trust_domain
        .optional(|node| node.parse::<TrustDomain>(DOMAIN));
    let issuer = file.issuer.needed(
        "write `issuer: https://id.example.com`, the claim `iss` of its tokens",
        |node| node.text("`https://id.example.com`"),
    );
    let (domain, issuer) = (domain?, issuer?);
    let subjects = |of: TrustDomain, iss| SubjectsSpec::Workloads { of, iss };
    match domain {
        Some(of) if issuer == NO_ISS => Some((format!("spiffe://{of}"), subjects(of, false))),
        Some(of) => Some((issuer.to_owned(), subjects(of, true))),
        None if issuer == NO_ISS => file.issuer.written()?.refuse(
            "whose tokens these are would be said by nothing in them",
            "write `trust_domain: mesh.example` beside it: `sub` is then a SPIFFE ID of that trust domain",
        ),
        None => Some((issuer.to_owned(), SubjectsSpec::Anybody)),
    }
}

/// An algorithm that proofs of clients are verified by.
pub(super) fn proof_algorithm(node: &Node<'_>) -> Option<SignatureAlgorithm> {
    const HINT: &str = "write what clients sign with, each with a key of its own: ES256, EdDSA";
    if let Some(text) = node.as_text() {
        if is_symmetric(text) {
            let what = format!(
                "{} is symmetric, and a proof is made with a private key that only the client has",
                shown(text)
            );
            return node.refuse(what, HINT);
        }
        if is_none(text) {
            return node.refuse("a proof that is not signed proves nothing", HINT);
        }
    }
    node.word(&ALGORITHMS)
}

/// An algorithm that tokens of others are verified by.
pub(super) fn algorithm(node: &Node<'_>) -> Option<SignatureAlgorithm> {
    const HINT: &str = "have the issuer sign with ES256 or EdDSA";
    if let Some(text) = node.as_text() {
        if is_symmetric(text) {
            let what = format!(
                "{} is symmetric: who can check such a token can make one",
                shown(text)
            );
            return node.refuse(what, HINT);
        }
        if is_none(text) {
            return node.refuse("a token that is not signed proves nothing", HINT);
        }
    }
    node.word(&ALGORITHMS)
}

/// An algorithm that we sign with, to prove who we are.
pub(super) fn own_algorithm(node: &Node<'_>) -> Option<SignatureAlgorithm> {
    const HINT: &str = "write what the key in `key_file` signs with: ES256 for an EC key on P-256, EdDSA for an Ed25519 key, PS256 or RS256 for an RSA key";
    if let Some(text) = node.as_text() {
        if is_symmetric(text) {
            let what = format!(
                "{} signs with a secret that the server has too, and `private_key_jwt` with a private key",
                shown(text)
            );
            return node.refuse(what, HINT);
        }
        if is_none(text) {
            let what = "what is not signed does not prove who we are";
            return node.refuse(what, HINT);
        }
    }
    node.word(&ALGORITHMS)
}

fn is_symmetric(text: &str) -> bool {
    let start = text.get(..2);
    start.is_some_and(|start| start.eq_ignore_ascii_case("HS"))
}

fn is_none(text: &str) -> bool {
    text.eq_ignore_ascii_case("none")
}
