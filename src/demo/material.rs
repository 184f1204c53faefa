//! [`Material`]: the certificates, keys and tokens of a demo, in its folder.
//!
//! What is there is used again while it is good for another day: lines pasted yesterday work
//! today. Tokens are minted at each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::identity::certificate::peer_identity;
use crate::pki::{
    Authority, JwtAlgorithm, Lifetime, Overwrite, PkiError, Request, SigningKey, Usage,
    certificates, ends, key_set, mutual_server, read_text, write_public, write_secret,
};

use super::service::Service;

/// The clients, by their names in `demo.json`.
pub(super) const CLIENTS: [&str; 3] = ["shop", "warehouse", "stranger"];

/// Who the gateway is to services.
const GATEWAY: &str = "spiffe://mesh.example/ns/edge/sa/gateway";

/// What is issued: file, CA, usage, DNS name, SPIFFE ID.
const ISSUED: [(&str, &str, Usage, &str, &str); 7] = [
    ("edge", "edge-ca", Usage::Server, "api.example.com", ""),
    ("gateway", "mesh-ca", Usage::Client, "", GATEWAY),
    (
        "orders",
        "mesh-ca",
        Usage::Both,
        "orders.internal",
        "spiffe://mesh.example/ns/shop/sa/orders",
    ),
    // The right CA and the right DNS name, but not billing's identity.
    (
        "impostor",
        "mesh-ca",
        Usage::Both,
        "billing.internal",
        "spiffe://mesh.example/ns/shop/sa/impostor",
    ),
    (
        "shop",
        "clients-ca",
        Usage::Client,
        "",
        "spiffe://partners.example/web/shop",
    ),
    (
        "warehouse",
        "clients-ca",
        Usage::Client,
        "",
        "spiffe://partners.example/web/warehouse",
    ),
    // The right name, signed by a CA that nobody here knows.
    (
        "stranger",
        "stranger-ca",
        Usage::Client,
        "",
        "spiffe://partners.example/web/shop",
    ),
];

const CAS: [&str; 4] = ["edge-ca", "clients-ca", "mesh-ca", "stranger-ca"];

/// Tokens: name, scope, the client that it is bound to.
const TOKENS: [(&str, &str, Option<&str>); 3] = [
    ("read", "orders:read", None),
    ("list", "orders:list", None),
    ("write-of-warehouse", "orders:write", Some("warehouse")),
];

const CERTIFICATES_FOR: Lifetime = Lifetime::days(30);
const TOKENS_FOR: Lifetime = Lifetime::days(7);
const GOOD_FOR: Duration = Lifetime::days(1).duration();

/// Changes when what stands above changes, so that an older folder is made anew.
const EDITION: &str = "portcullis demo PKI, edition 1\n";

/// A demo's folder with everything in it.
pub(super) struct Material {
    dir: PathBuf,
    /// By name.
    pub(super) tokens: Map<String, Value>,
}

impl Material {
    /// Makes what is missing or about to end.
    ///
    /// # Errors
    ///
    /// [`PkiError`] if something cannot be made or written.
    pub(super) fn ready(dir: &Path, now: OffsetDateTime) -> Result<Self, PkiError> {
        let mut material = Self {
            dir: dir.to_owned(),
            tokens: Map::new(),
        };
        if !material.is_good(now + GOOD_FOR) {
            material.make()?;
        }
        material.mint(now)?;
        Ok(material)
    }

    /// A file of the PKI: `edge-ca.pem`, `shop.key`.
    pub(super) fn pki(&self, name: &str) -> PathBuf {
        self.dir.join("pki").join(name)
    }

    /// The file with a token, for `$(cat ..)`.
    pub(super) fn token_file(&self, name: &str) -> PathBuf {
        self.dir.join("tokens").join(format!("{name}.jwt"))
    }

    /// The service with this certificate, which answers the gateway alone.
    ///
    /// # Errors
    ///
    /// [`PkiError`] if its files cannot be read.
    pub(super) fn service(&self, name: &str) -> Result<Arc<Service>, PkiError> {
        let cert = read_text(&self.pki(&format!("{name}.pem")))?;
        let key = read_text(&self.pki(&format!("{name}.key")))?;
        let mesh = read_text(&self.pki("mesh-ca.pem"))?;
        let tls = mutual_server(&cert, &key, &mesh)?;
        let identity = identity(&cert)?.0;
        Ok(Arc::new(Service::new(
            identity,
            GATEWAY.to_owned(),
            tls.into(),
        )))
    }

    fn is_good(&self, until: OffsetDateTime) -> bool {
        let edition = read_text(&self.pki("edition"));
        let lasts = |name: &str| {
            let key = self.pki(&format!("{name}.key")).exists() || CAS.contains(&name);
            let text = read_text(&self.pki(&format!("{name}.pem")));
            key && text
                .and_then(|text| ends(&text))
                .is_ok_and(|end| end > until)
        };
        edition.is_ok_and(|text| text == EDITION)
            && CAS.iter().all(|name| lasts(name))
            && ISSUED.iter().all(|(name, ..)| lasts(name))
            && self.pki("signing.key").exists()
            && self.dir.join("jwks.json").exists()
    }

    fn make(&self) -> Result<(), PkiError> {
        let lifetime = CERTIFICATES_FOR.duration();
        for ca_name in CAS {
            // The CA's key is kept nowhere: nothing more is ever issued.
            let ca = Authority::new(&format!("Portcullis demo {ca_name}"), lifetime)?;
            let file = self.pki(&format!("{ca_name}.pem"));
            write_public(&file, ca.cert(), Overwrite::Yes)?;
            for (name, _, usage, dns, spiffe) in ISSUED.iter().filter(|(_, by, ..)| *by == ca_name)
            {
                let mut request = Request::new(*name, *usage, lifetime);
                let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
                request.dns.extend(given(dns));
                request.spiffe.extend(given(spiffe));
                let issued = ca.issue(request)?;
                write_secret(
                    &self.pki(&format!("{name}.key")),
                    &issued.key,
                    Overwrite::Yes,
                )?;
                write_public(
                    &self.pki(&format!("{name}.pem")),
                    &issued.cert,
                    Overwrite::Yes,
                )?;
            }
        }
        let key = SigningKey::generate(JwtAlgorithm::ES256)?;
        write_secret(&self.pki("signing.key"), key.pem(), Overwrite::Yes)?;
        let jwks = format!("{:#}\n", key_set(&[&key]));
        write_public(&self.dir.join("jwks.json"), &jwks, Overwrite::Yes)?;
        // Last: a folder that was left half made has none.
        write_public(&self.pki("edition"), EDITION, Overwrite::Yes)
    }

    fn mint(&mut self, now: OffsetDateTime) -> Result<(), PkiError> {
        let key = SigningKey::from_pem(&read_text(&self.pki("signing.key"))?, None)?;
        let begin = now.unix_timestamp();
        for (name, scope, bound_to) in TOKENS {
            let mut claims = Map::new();
            let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
            claim("iss", json!("https://id.example.com"));
            claim("aud", json!("orders-api"));
            claim("sub", json!("alice"));
            claim("scope", json!(scope));
            claim("iat", json!(begin));
            claim("exp", json!((now + TOKENS_FOR.duration()).unix_timestamp()));
            if let Some(client) = bound_to {
                let cert = read_text(&self.pki(&format!("{client}.pem")))?;
                claim("cnf", json!({"x5t#S256": identity(&cert)?.1}));
            }
            let token = key.sign(&claims)?;
            write_secret(&self.token_file(name), &token, Overwrite::Yes)?;
            self.tokens.insert(name.to_owned(), json!(token));
        }
        Ok(())
    }
}

/// Identity and fingerprint of the leaf of a PEM text.
fn identity(pem: &str) -> Result<(String, String), PkiError> {
    let certificates = certificates(pem)?;
    let leaf = certificates.first().ok_or(PkiError::NoCertificate)?;
    peer_identity(leaf)
        .map(|peer| (peer.display(), peer.fingerprint.to_base64url()))
        .map_err(|_unreadable| PkiError::CertificateMalformed { number: 1 })
}
