//! [`Rules`]: who may use a route. Default deny: what a rule does not name is refused.
//!
//! The rules hold what was verified (the peer, the subject) against what the operator wrote. They
//! verify nothing themselves.

use crate::config::api_keys::WantedKey;
use crate::config::spec::{ClientsSpec, JwtSpec, RouteSpec, TokenSpec};
use crate::detail::{Detail, Quoted, QuotedList};
use crate::identity::certificate::PeerIdentity;
use crate::identity::claim::{ClaimPath, ClaimTest};
use crate::identity::name::Name;
use crate::identity::subject::{Credential, Subject};
use crate::refusal::Refusal;

/// `clients` and `token` of a route.
#[derive(Clone, Debug)]
pub struct Rules {
    clients: ClientsSpec,
    token: TokenRule,
    /// What is asked of the owners of API keys, if they are taken.
    api_key: Option<TokensOf>,
}

#[derive(Clone, Debug)]
enum TokenRule {
    /// `token: none`.
    None,
    /// One of these: no two are of the same issuer.
    Wanted(Box<[TokensOf]>),
}

/// What is asked of the tokens of one issuer, or of the keys of one list.
#[derive(Clone, Debug)]
struct TokensOf {
    issuer: Name,
    scopes: Box<[String]>,
    claims: Box<[(ClaimPath, ClaimTest)]>,
}

impl Rules {
    /// The rules that a route's configuration states.
    #[must_use]
    pub fn new(route: &RouteSpec) -> Self {
        let token = match &route.token {
            TokenSpec::None => TokenRule::None,
            TokenSpec::Wanted(tokens) => {
                TokenRule::Wanted(tokens.any.iter().map(TokensOf::new).collect())
            }
        };
        Self {
            clients: route.clients.clone(),
            token,
            api_key: route.api_key.as_ref().map(TokensOf::of_keys),
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

    /// The scopes that this subject's token must give.
    #[must_use]
    pub fn scopes(&self, subject: &Subject) -> &[String] {
        self.of(subject).map_or(&[], |rule| &rule.scopes)
    }

    /// Whether whoever the token speaks for may use the route: a token of one of the route's issuers,
    /// with all scopes and all claims that are asked for of that issuer's.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenMissing`], [`Refusal::ApiKeyMissing`], [`Refusal::TokenIssuer`], [`Refusal::ScopeMissing`] or
    /// [`Refusal::ClaimMissing`].
    pub fn check_subject(&self, subject: Option<&Subject>) -> Result<(), Refusal> {
        let missing = match (&self.token, &self.api_key) {
            (TokenRule::None, None) => return Ok(()),
            (TokenRule::None, Some(_)) => Refusal::ApiKeyMissing,
            (TokenRule::Wanted(_), _) => Refusal::TokenMissing,
        };
        let subject = subject.ok_or(missing)?;
        let rule = self.of(subject).ok_or(Refusal::TokenIssuer)?;
        if rule.missing_scopes(subject).next().is_some() {
            return Err(Refusal::ScopeMissing);
        }
        if rule.missing_claim(subject).is_some() {
            return Err(Refusal::ClaimMissing);
        }
        Ok(())
    }

    /// What [`Self::check_subject`] refuses a subject for, for the log: names alone, for what claims
    /// say of people is nobody's business there.
    #[must_use]
    pub fn lacking(&self, subject: &Subject) -> Option<Detail> {
        let rule = self.of(subject)?;
        let scopes: Vec<&String> = rule.missing_scopes(subject).collect();
        if !scopes.is_empty() {
            return Some(Detail::new(format_args!(
                "no scope {}",
                QuotedList(&scopes)
            )));
        }
        let path = rule.missing_claim(subject)?;
        let (is_there, path) = (path.find(&subject.claims).is_some(), path.to_string());
        let path = Quoted(&path);
        Some(match is_there {
            true => Detail::new(format_args!("claim {path} has another value")),
            false => Detail::new(format_args!("no claim {path}")),
        })
    }

    /// The rule for tokens of the subject's issuer.
    fn of(&self, subject: &Subject) -> Option<&TokensOf> {
        let is_of = |rule: &&TokensOf| rule.issuer == subject.issuer;
        match (subject.credential, &self.token) {
            (Credential::Jwt | Credential::Introspected, TokenRule::Wanted(any)) => {
                any.iter().find(is_of)
            }
            (Credential::ApiKey, _) => self.api_key.as_ref().filter(is_of),
            // What is asked of tokens, nothing else can have.
            (Credential::Jwt | Credential::Introspected | Credential::Login, _) => None,
        }
    }
}

impl TokensOf {
    fn missing_scopes(&self, subject: &Subject) -> impl Iterator<Item = &String> {
        let scopes = self.scopes.iter();
        scopes.filter(|scope| !subject.has_scope(scope))
    }

    /// The first claim that is not there, or is not as it must be.
    fn missing_claim(&self, subject: &Subject) -> Option<&ClaimPath> {
        let claims = self.claims.iter().find(|(path, test)| {
            let claim = path.find(&subject.claims);
            !claim.is_some_and(|claim| test.holds(claim))
        });
        claims.map(|(path, _test)| path)
    }

    fn of_keys(wanted: &WantedKey) -> Self {
        let claims = wanted.claims.iter();
        Self {
            issuer: wanted.list.clone(),
            scopes: wanted.scopes.clone().into(),
            claims: claims
                .map(|(path, test)| (path.clone(), test.clone()))
                .collect(),
        }
    }

    fn new(jwt: &JwtSpec) -> Self {
        let claims = jwt.claims.iter();
        Self {
            issuer: jwt.issuer.clone(),
            scopes: jwt.scopes.clone().into(),
            claims: claims
                .map(|(path, test)| (path.clone(), test.clone()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::possession::Demand;
    use crate::config::spec::{HostPattern, MatchSpec, PathPattern, SegmentPattern};
    use crate::config::token::{Carrier, WantedTokens};
    use crate::identity::scopes::Scopes;

    fn route(clients: ClientsSpec, token: TokenSpec) -> Rules {
        Rules::new(&RouteSpec::plain(
            MatchSpec {
                host: HostPattern::Exact("a.example".parse().unwrap()),
                path: PathPattern {
                    segments: vec![SegmentPattern::Exact("".into())],
                    rest: true,
                },
                methods: vec![],
                headers: Vec::new(),
            },
            clients,
            token,
            "orders".parse().unwrap(),
        ))
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

    fn jwt(issuer: &str, scopes: &[&str], claims: &[(&str, ClaimTest)]) -> JwtSpec {
        let claims = claims
            .iter()
            .map(|(path, test)| (path.parse().unwrap(), test.clone()));
        JwtSpec {
            issuer: issuer.parse().unwrap(),
            scopes: scopes.iter().map(|&scope| scope.into()).collect(),
            claims: claims.collect::<BTreeMap<_, _>>(),
            typ: None,
            bound_to_certificate: Demand::No,
            dpop: Demand::No,
        }
    }

    fn is(value: Value) -> ClaimTest {
        ClaimTest::OneOf([value].into())
    }

    fn rules_for(any: Vec<JwtSpec>) -> Rules {
        let from = vec![Carrier::Authorization];
        route(
            ClientsSpec::Any,
            TokenSpec::Wanted(WantedTokens { any, from }),
        )
    }

    fn subject(issuer: &str, scopes: &[&str], claims: Value) -> Subject {
        let Value::Object(claims) = claims else {
            panic!("claims are an object")
        };
        Subject {
            credential: Credential::Jwt,
            issuer: issuer.parse().unwrap(),
            sub: None,
            scopes: Scopes::of(scopes.iter().copied()),
            claims: claims.into(),
            expires: u64::MAX,
        }
    }

    #[test]
    fn each_issuer_of_a_route_has_its_own_rules_and_lends_them_to_no_other() {
        let rules = rules_for(vec![
            jwt("corp", &["read"], &[("tenant", is(json!("blue")))]),
            jwt("partner", &["partner.read"], &[]),
        ]);
        let check = |issuer, scopes: &[&str], claims| {
            rules.check_subject(Some(&subject(issuer, scopes, claims)))
        };
        assert_eq!(check("corp", &["read"], json!({"tenant": "blue"})), Ok(()));
        assert_eq!(check("partner", &["partner.read"], json!({})), Ok(()));
        let missing = Err(Refusal::ScopeMissing);
        assert_eq!(
            check("partner", &["read"], json!({"tenant": "blue"})),
            missing
        );
        assert_eq!(
            check("corp", &["partner.read"], json!({"tenant": "blue"})),
            missing
        );
        assert_eq!(
            check("corp", &["read"], json!({})),
            Err(Refusal::ClaimMissing)
        );
        let all = ["read", "partner.read"];
        let other = check("other", &all, json!({"tenant": "blue"}));
        assert_eq!(other, Err(Refusal::TokenIssuer));
        for credential in [Credential::ApiKey, Credential::Login] {
            let subject = Subject {
                credential,
                ..subject("corp", &all, json!({"tenant": "blue"}))
            };
            let came = rules.check_subject(Some(&subject));
            assert_eq!(came, Err(Refusal::TokenIssuer), "{credential:?}");
        }
    }

    #[test]
    fn claims_may_lie_deep_be_one_of_several_and_have_a_form() {
        let rules = rules_for(vec![jwt(
            "corp",
            &[],
            &[
                (
                    "/realm_access/roles",
                    ClaimTest::OneOf([json!("ops"), json!("dev")].into()),
                ),
                (
                    "https://example.com/team",
                    ClaimTest::Matches("team-*".parse().unwrap()),
                ),
            ],
        )]);
        let check = |claims| rules.check_subject(Some(&subject("corp", &[], claims)));
        let team = "https://example.com/team";
        let good = [
            json!({"realm_access": {"roles": ["x", "dev"]}, team: "team-a"}),
            json!({"realm_access": {"roles": "ops"}, team: ["x", "team-a"]}),
        ];
        for claims in good {
            let shown = claims.to_string();
            assert_eq!(check(claims), Ok(()), "{shown}");
        }
        let bad = [
            json!({"realm_access": {"roles": ["x"]}, team: "team-a"}),
            json!({"realm_access": ["dev"], team: "team-a"}),
            json!({"realm_access.roles": ["dev"], team: "team-a"}),
            json!({"roles": ["dev"], team: "team-a"}),
            json!({"realm_access": {"roles": ["dev"]}}),
            json!({"realm_access": {"roles": ["dev"]}, team: "xteam-a"}),
            json!({"realm_access": {"roles": ["dev"]}, team: {"team": "team-a"}}),
            json!({"realm_access": {"roles": ["dev"]}, "https:": {"example.com": {"team": "team-a"}}}),
        ];
        for claims in bad {
            let shown = claims.to_string();
            assert_eq!(check(claims), Err(Refusal::ClaimMissing), "{shown}");
        }
    }

    #[test]
    fn a_subject_needs_the_issuer_all_scopes_and_all_claims() {
        let claims = [("tenant", is(json!("blue"))), ("groups", is(json!("ops")))];
        let rules = rules_for(vec![jwt("corp", &["read", "list"], &claims)]);
        let check = |issuer: &str, scopes: &[&str], claims: Value| {
            rules.check_subject(Some(&subject(issuer, scopes, claims)))
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
