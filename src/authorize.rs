//! [`Rules`]: who may use a route. Default deny: what a rule does not name is refused.
//!
//! The rules hold what was verified (the peer, the subject) against what the operator wrote. They
//! verify nothing themselves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::spec::{ClientsSpec, RouteSpec, TokenSpec};
use crate::identity::certificate::PeerIdentity;
use crate::identity::name::Name;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// `clients` and `token` of a route.
#[derive(Clone, Debug)]
pub struct Rules {
    clients: ClientsSpec,
    token: TokenRule,
}

#[derive(Clone, Debug)]
enum TokenRule {
    /// `token: none`.
    None,
    Wanted {
        issuer: Name,
        scopes: Box<[String]>,
        claims: BTreeMap<String, Value>,
    },
}

impl Rules {
    /// The rules that a route's configuration states.
    #[must_use]
    pub fn new(route: &RouteSpec) -> Self {
        let token = match &route.token {
            TokenSpec::None => TokenRule::None,
            TokenSpec::Jwt(jwt) => TokenRule::Wanted {
                issuer: jwt.issuer.clone(),
                scopes: jwt.scopes.clone().into(),
                claims: jwt.claims.clone(),
            },
        };
        Self {
            clients: route.clients.clone(),
            token,
        }
    }

    /// Whether a client with this certificate, or without one, may use the route.
    ///
    /// # Errors
    ///
    /// [`Refusal::CertificateMissing`] if the route names certificates and there is none;
    /// [`Refusal::PeerNotAllowed`] if it names others.
    pub fn check_peer(&self, peer: Option<&PeerIdentity>) -> Result<(), Refusal> {
        if self.clients == ClientsSpec::Any {
            return Ok(());
        }
        let peer = peer.ok_or(Refusal::CertificateMissing)?;
        let allowed = match &self.clients {
            ClientsSpec::Any | ClientsSpec::AnyCertificate => true,
            ClientsSpec::Of(patterns) => patterns.iter().any(|pattern| pattern.matches(peer)),
        };
        allowed.then_some(()).ok_or(Refusal::PeerNotAllowed)
    }

    /// The scopes that a token must give.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        match &self.token {
            TokenRule::None => &[],
            TokenRule::Wanted { scopes, .. } => scopes,
        }
    }

    /// Whether whoever the token speaks for may use the route: a token of the route's issuer, with
    /// all scopes, and with all claims, each equal to the value or an array that contains it.
    ///
    /// Claims are compared as JSON values, not nested and without conversion: `"1"` is not `1`,
    /// and `1.0` is not `1`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenMissing`], [`Refusal::TokenIssuer`], [`Refusal::ScopeMissing`] or
    /// [`Refusal::ClaimMissing`].
    pub fn check_subject(&self, subject: Option<&Subject>) -> Result<(), Refusal> {
        let (issuer, scopes, claims) = match &self.token {
            TokenRule::None => return Ok(()),
            TokenRule::Wanted {
                issuer,
                scopes,
                claims,
            } => (issuer, scopes, claims),
        };
        let subject = subject.ok_or(Refusal::TokenMissing)?;
        if subject.issuer != *issuer {
            return Err(Refusal::TokenIssuer);
        }
        if !scopes.iter().all(|scope| subject.has_scope(scope)) {
            return Err(Refusal::ScopeMissing);
        }
        let has = |(name, wanted): (&String, &Value)| match subject.claims.get(name) {
            None => false,
            Some(Value::Array(list)) if list.contains(wanted) => true,
            Some(value) => value == wanted,
        };
        if !claims.iter().all(has) {
            return Err(Refusal::ClaimMissing);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::{
        ForwardSpec, HostPattern, JwtSpec, MatchSpec, PathPattern, SegmentPattern,
    };
    use serde_json::json;

    fn route(clients: ClientsSpec, token: TokenSpec) -> Rules {
        Rules::new(&RouteSpec {
            matches: MatchSpec {
                host: HostPattern::Exact("a.example".parse().unwrap()),
                path: PathPattern {
                    segments: vec![SegmentPattern::Exact("".into())],
                    rest: true,
                },
                methods: vec![],
                headers: Vec::new(),
            },
            listeners: vec![],
            clients,
            grace_after_expiry: None,
            token,
            login: None,
            limits: vec![],
            upstream: "orders".parse().unwrap(),
            accept: vec![],
            forward: ForwardSpec {
                x_forwarded: true,
                forwarded: false,
                client_cert: false,
                client_cert_chain: false,
                xfcc: false,
                identity: true,
                signed_identity: false,
                authorization: true,
            },
            max_body: 0,
            websocket: false,
        })
    }

    fn peer(spiffe: Option<&str>, dns: &[&str]) -> PeerIdentity {
        let dns = dns.iter().map(|name| name.parse().unwrap()).collect();
        PeerIdentity::rehearsed(spiffe.map(|id| id.parse().unwrap()), dns)
    }

    #[test]
    fn only_named_certificates_pass() {
        let of = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|p| p.parse().unwrap()).collect();
            route(ClientsSpec::Of(patterns), TokenSpec::None)
        };
        let rules = of(&["spiffe://a.example/web/*", "dns:shop.example"]);
        let good = [
            peer(Some("spiffe://a.example/web/x"), &[]),
            peer(None, &["shop.example"]),
            peer(Some("spiffe://b.example/y"), &["x.example", "shop.example"]),
        ];
        for peer in good {
            assert_eq!(rules.check_peer(Some(&peer)), Ok(()), "{peer:?}");
        }
        let bad = [
            peer(None, &[]),
            peer(Some("spiffe://a.example/web"), &[]),
            peer(Some("spiffe://a.example/website"), &[]),
            peer(Some("spiffe://b.example/web/x"), &[]),
            peer(None, &["www.shop.example"]),
        ];
        for peer in bad {
            assert_eq!(
                rules.check_peer(Some(&peer)),
                Err(Refusal::PeerNotAllowed),
                "{peer:?}"
            );
        }
        assert_eq!(rules.check_peer(None), Err(Refusal::CertificateMissing));
        let nobody = of(&[]);
        let somebody = peer(Some("spiffe://a.example/web/x"), &[]);
        assert_eq!(
            nobody.check_peer(Some(&somebody)),
            Err(Refusal::PeerNotAllowed)
        );
    }

    #[test]
    fn any_means_with_a_certificate_or_without() {
        let rules = route(ClientsSpec::Any, TokenSpec::None);
        assert_eq!(rules.check_peer(None), Ok(()));
        assert_eq!(rules.check_peer(Some(&peer(None, &[]))), Ok(()));
        assert_eq!(rules.check_subject(None), Ok(()));
    }

    #[test]
    fn any_certificate_means_whoever_has_one() {
        let rules = route(ClientsSpec::AnyCertificate, TokenSpec::None);
        assert_eq!(rules.check_peer(None), Err(Refusal::CertificateMissing));
        assert_eq!(rules.check_peer(Some(&peer(None, &[]))), Ok(()));
    }

    fn rules_for_token() -> Rules {
        route(
            ClientsSpec::Any,
            TokenSpec::Jwt(JwtSpec {
                issuer: "corp".parse().unwrap(),
                scopes: vec!["read".into(), "list".into()],
                claims: BTreeMap::from([
                    ("tenant".into(), json!("blue")),
                    ("groups".into(), json!("ops")),
                ]),
                typ: None,
                bound_to_certificate: false,
            }),
        )
    }

    #[test]
    fn a_subject_needs_the_issuer_all_scopes_and_all_claims() {
        let rules = rules_for_token();
        let check = |issuer: &str, scopes: &[&str], claims: Value| {
            let Value::Object(claims) = claims else {
                panic!("claims are an object")
            };
            rules.check_subject(Some(&Subject {
                credential: crate::identity::subject::Credential::Jwt,
                issuer: issuer.parse().unwrap(),
                sub: None,
                scopes: scopes.iter().map(|&scope| scope.into()).collect(),
                claims,
                expires: u64::MAX,
            }))
        };
        let good = || json!({"tenant": "blue", "groups": ["dev", "ops"]});
        assert_eq!(check("corp", &["list", "read", "more"], good()), Ok(()));
        assert_eq!(
            check(
                "corp",
                &["read", "list"],
                json!({"tenant": ["blue"], "groups": "ops"})
            ),
            Ok(())
        );

        assert_eq!(rules.check_subject(None), Err(Refusal::TokenMissing));
        assert_eq!(
            check("other", &["list", "read"], good()),
            Err(Refusal::TokenIssuer)
        );
        for scopes in [
            &[][..],
            &["read"],
            &["list"],
            &["read", "List"],
            &["read list"],
        ] {
            assert_eq!(
                check("corp", scopes, good()),
                Err(Refusal::ScopeMissing),
                "{scopes:?}"
            );
        }
        let bad = [
            json!({}),
            json!({"tenant": "blue"}),
            json!({"groups": "ops"}),
            json!({"tenant": "green", "groups": "ops"}),
            json!({"tenant": "Blue", "groups": "ops"}),
            json!({"tenant": "blue", "groups": "ops dev"}),
            json!({"tenant": "blue", "groups": []}),
            json!({"tenant": "blue", "groups": [["ops"]]}),
            json!({"tenant": "blue", "groups": {"ops": true}}),
            json!({"tenant": null, "groups": "ops"}),
        ];
        for claims in bad {
            let shown = claims.to_string();
            assert_eq!(
                check("corp", &["list", "read"], claims),
                Err(Refusal::ClaimMissing),
                "{shown}"
            );
        }
    }
}
