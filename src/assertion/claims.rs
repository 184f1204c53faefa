//! [`Statement`]: what a token of ours says, and its words (`docs/trust.md` has them for services).

use serde_json::{Map, Value, json};

use crate::identity::certificate::{Fingerprint, PeerIdentity};
use crate::identity::name::Name;
use crate::identity::subject::Subject;

/// The `typ` of our tokens (RFC 8725, section 3.11): none of them passes for a token of another
/// kind.
pub(super) const TYPE: &str = "client-identity+jwt";

/// What a service is told about one request.
#[derive(Debug)]
pub struct Statement<'a> {
    /// For whom: the name of the upstream.
    pub audience: &'a Name,
    /// By which route it was let in.
    pub route: &'a Name,
    /// The verified certificate of the client's connection.
    pub peer: Option<&'a PeerIdentity>,
    /// Whom the verified token of the request speaks for.
    pub subject: Option<&'a Subject>,
    /// The certificate that we show to the service: who else sends the token has stolen it.
    pub presenter: Option<&'a Fingerprint>,
}

/// DNS names of a certificate that are told; those behind are left out.
const NAMES_MAX: usize = 16;

impl Statement<'_> {
    /// Whether there is anybody to speak of.
    pub(super) fn is_empty(&self) -> bool {
        self.peer.is_none() && self.subject.is_none()
    }

    /// Until when what is said is true, in seconds since 1970: the first end of certificate and
    /// token.
    pub(super) fn true_until(&self) -> u64 {
        let peer = self.peer.map(|peer| u64::try_from(peer.not_after));
        let peer = peer.map_or(u64::MAX, |end| end.unwrap_or(0));
        self.subject
            .map_or(peer, |subject| subject.expires.min(peer))
    }

    /// The parts that tell one statement from another, each under a number.
    pub(super) fn parts(&self) -> [&[u8]; 9] {
        let sub = self.subject.and_then(|subject| subject.sub.as_deref());
        let iss = self.subject.and_then(|subject| subject.iss.as_deref());
        [
            self.audience.as_str().as_bytes(),
            self.route.as_str().as_bytes(),
            self.peer.map_or(&[], |peer| peer.fingerprint.as_bytes()),
            self.subject
                .map_or(&[], |subject| subject.issuer.as_str().as_bytes()),
            // A claim that is empty is not one that is missing.
            if iss.is_some() { b"iss" } else { b"" },
            iss.unwrap_or_default().as_bytes(),
            if sub.is_some() { b"sub" } else { b"" },
            sub.unwrap_or_default().as_bytes(),
            self.presenter.map_or(&[], |presenter| presenter.as_bytes()),
        ]
    }

    /// All claims.
    pub(super) fn claims(&self, issuer: &str, issued: u64, expires: u64) -> Value {
        let mut claims = Map::new();
        let mut set = |name: &str, value| drop(claims.insert(name.to_owned(), value));
        set("iss", json!(issuer));
        set("aud", json!(self.audience.as_str()));
        set("iat", json!(issued));
        set("exp", json!(expires));
        set("route", json!(self.route.as_str()));
        if let Some(peer) = self.peer {
            set("sub", json!(peer.display()));
            set("cert", certificate(peer));
        }
        if let Some(subject) = self.subject {
            set("token", token(subject));
        }
        if let Some(presenter) = self.presenter {
            // RFC 8705, section 3.1: of who presents the token, which is us.
            set("cnf", json!({ "x5t#S256": presenter.to_base64url() }));
        }
        Value::Object(claims)
    }
}

fn certificate(peer: &PeerIdentity) -> Value {
    let mut told = Map::new();
    let mut set = |name: &str, value| drop(told.insert(name.to_owned(), value));
    set("x5t#S256", json!(peer.fingerprint.to_base64url()));
    set("not_after", json!(peer.not_after));
    if let Some(id) = &peer.spiffe {
        set("spiffe", json!(id.as_str()));
    }
    if !peer.dns.is_empty() {
        let names = peer.dns.iter().take(NAMES_MAX).map(ToString::to_string);
        set("dns", names.collect());
    }
    Value::Object(told)
}

/// Whose token, and of whom. `iss` is told where we have verified it, never in the token's own words:
/// whoever may write it could name another issuer there.
fn token(subject: &Subject) -> Value {
    let mut told = Map::new();
    told.insert("issuer".to_owned(), json!(subject.issuer.as_str()));
    if let Some(iss) = &subject.iss {
        told.insert("iss".to_owned(), json!(&**iss));
    }
    if let Some(sub) = &subject.sub {
        told.insert("sub".to_owned(), json!(&**sub));
    }
    Value::Object(told)
}
