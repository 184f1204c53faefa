//! Where a credential may stand, that it is one, and by which of several issuers' rules it is held.

use std::slice;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::authenticator::{Asked, Authenticated, Authenticator, Way};
use super::issuer::Issuer;
use super::minting::{KEYS, NOW, claims, good_token, issuer, issuer_spec, show, verifier};
use super::tokens::Tokens;
use super::told::Told;
use crate::config::spec::IssuerSpec;
use crate::config::token::{Carrier, SubjectsSpec};
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

fn ask(
    authenticator: &Authenticator,
    fields: &[(&str, String)],
    query: Option<&str>,
) -> Result<Option<Arc<Subject>>, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let asked = Asked {
        method: &Method::GET,
        authority: &Authority::parse("api.example.com").unwrap(),
        path: &NormalPath::parse(b"/").unwrap(),
        query,
        headers: &headers,
        peer: None,
        client: "",
        now: NOW,
    };
    let mut told = Told::default();
    let came = authenticator.authenticate(&asked, &mut told).now_or_never();
    came.unwrap().map(|came| match came {
        Authenticated::Anyone => None,
        Authenticated::As(subject) => Some(subject),
        Authenticated::Reply(_) => panic!("nobody is sent to log in"),
    })
}

fn from(places: &[Carrier]) -> Authenticator {
    let tokens = Tokens::new(vec![verifier(&issuer(), None, false)], places);
    Authenticator::new(vec![Way::Tokens(tokens)])
}

#[test]
fn a_route_that_asks_for_nothing_looks_at_nothing() {
    let both = [
        ("authorization", "Bearer x".to_owned()),
        ("authorization", "Basic y".to_owned()),
    ];
    assert_eq!(ask(&Authenticator::default(), &both, Some("a=b")), Ok(None));
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn exactly_one_credential_is_shown_and_where_the_route_looks_for_it() {
    let good = good_token();
    let bearer = ("authorization", format!("Bearer {good}"));
    let basic = ("authorization", "Basic eDp5".to_owned());
    let header = |value: &str| ("x-token", value.to_owned());
    let cookie = |value: String| ("cookie", value);
    let named = Carrier::Header("x-token".parse().unwrap());
    let crumb = Carrier::Cookie("token".into());
    let parameter = Carrier::Query("access_token".into());
    let missing = Err(Refusal::TokenMissing);
    let several = Err(Refusal::CredentialsSeveral);
    let malformed = Err(Refusal::TokenMalformed);
    let in_query = format!("a=b&access_token={good}");
    let check = |places: &[Carrier],
                 fields: &[(&str, String)],
                 query: Option<&str>,
                 want: Result<(), Refusal>| {
        let came = ask(&from(places), fields, query).map(drop);
        let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(came, want, "{places:?} {names:?} {query:?}");
    };
    let auth = [Carrier::Authorization];
    check(&auth, slice::from_ref(&bearer), None, Ok(()));
    check(&auth, &[], None, missing);
    check(&auth, &[header(&good)], None, missing);
    check(&auth, &[cookie(format!("token={good}"))], None, missing);
    check(&auth, &[], Some(&in_query), missing);
    check(&auth, slice::from_ref(&bearer), Some(&in_query), Ok(()));
    check(&auth, &[bearer.clone(), bearer.clone()], None, several);

    let places = [named.clone()];
    check(&places, &[header(&good)], None, Ok(()));
    check(
        &places,
        &[header(&format!("Bearer {good}"))],
        None,
        malformed,
    );
    check(&places, &[header("")], None, missing);
    check(&places, &[header(&good), header(&good)], None, several);
    check(&places, &[header(&good), header("")], None, several);
    check(&places, &[header(&good), bearer.clone()], None, several);
    check(&places, &[header(&good), basic.clone()], None, several);
    check(&places, slice::from_ref(&bearer), None, missing);

    let places = [crumb.clone()];
    let with = |text: &str| cookie(text.replace("GOOD", &good));
    for text in [
        "token=GOOD",
        "a=b; token=GOOD",
        "token=GOOD; tokens=x; xtoken=y",
        "a=b;token = GOOD ",
        "Token=GOOD",
        "token[a]=GOOD",
    ] {
        check(&places, &[with(text)], None, Ok(()));
    }
    check(
        &places,
        &[cookie("a=b".to_owned()), with("token=GOOD")],
        None,
        Ok(()),
    );
    for text in ["", "a=b", "tokens=GOOD", "a=token=GOOD", "token", "token="] {
        check(&places, &[with(text)], None, missing);
    }
    for text in [
        "token=GOOD; token=GOOD",
        "token=GOOD;token=",
        "token=; a=b; token=GOOD",
    ] {
        check(&places, &[with(text)], None, several);
    }
    check(
        &places,
        &[with("token=GOOD"), with("token=GOOD")],
        None,
        several,
    );
    check(&places, &[with("token=\"GOOD\"")], None, malformed);
    check(&places, &[with("token=GOOD"), basic], None, several);

    let places = [parameter.clone()];
    check(&places, &[], Some(&in_query), Ok(()));
    let twice = format!("{in_query}&access%5Ftoken={good}");
    check(&places, &[], Some(&twice), several);
    check(
        &places,
        &[],
        Some(&format!("{in_query};access_token=")),
        several,
    );
    check(&places, &[], Some(&in_query.replace('.', "%2E")), malformed);
    check(&places, slice::from_ref(&bearer), Some(&in_query), several);
    check(&places, &[], Some("access_token"), missing);
    check(&places, &[], None, missing);

    let all = [Carrier::Authorization, named, crumb, parameter];
    check(&all, slice::from_ref(&bearer), None, Ok(()));
    check(&all, &[header(&good)], None, Ok(()));
    check(&all, &[with("token=GOOD")], Some("b"), Ok(()));
    check(&all, &[], Some(&in_query), Ok(()));
    check(&all, &[bearer.clone(), header(&good)], None, several);
    check(&all, &[bearer, with("token=GOOD")], None, several);
    check(&all, &[with("token=GOOD"), header("x")], None, several);
    check(&all, &[header(&good)], Some(&in_query), several);
    check(&all, &[], None, missing);
}

fn named(name: &str, change: impl FnOnce(&mut IssuerSpec), set: &Value) -> Arc<Issuer> {
    let mut spec = issuer_spec();
    change(&mut spec);
    let name = name.parse().unwrap();
    let set = set.to_string();
    Arc::new(Issuer::new(&name, &spec, set.as_bytes(), Arc::default(), None).unwrap())
}

/// `corp` and `mesh` with the key `ec`, `labs` with a stranger's of the same name. Tokens of `mesh` need no
/// `iss`.
fn three() -> [Arc<Issuer>; 3] {
    let ours = json!({"keys": [KEYS.es256.jwk("ec")]});
    let theirs = json!({"keys": [KEYS.stranger.jwk("ec")]});
    let of_mesh = |spec: &mut IssuerSpec| {
        spec.issuer = "spiffe://mesh.example".into();
        spec.profile.subjects = SubjectsSpec::Workloads {
            of: "mesh.example".parse().unwrap(),
            iss: false,
        };
    };
    [
        named("mesh", of_mesh, &ours),
        named("corp", |_| (), &ours),
        named(
            "labs",
            |spec| spec.issuer = "https://labs.example.com".into(),
            &theirs,
        ),
    ]
}

fn any(issuers: &[Arc<Issuer>]) -> Tokens {
    let any = issuers.iter().map(|issuer| verifier(issuer, None, false));
    Tokens::new(any.collect(), &[Carrier::Authorization])
}

#[test]
fn of_several_issuers_the_tokens_own_iss_says_whose_rules_hold_and_then_they_hold() {
    let issuers = three();
    let tokens = any(&issuers);
    let workload = "spiffe://mesh.example/web";
    let token = |iss: Option<&str>, sub: &str, by_stranger: bool| {
        let mut all = claims();
        all["sub"] = json!(sub);
        match iss {
            Some(iss) => all["iss"] = json!(iss),
            None => drop(all.as_object_mut().unwrap().remove("iss")),
        }
        let key = if by_stranger {
            &KEYS.stranger
        } else {
            &KEYS.es256
        };
        key.token(r#"{"alg":"ES256","kid":"ec"}"#, &all.to_string())
    };
    let (corp, labs) = ("https://id.example.com", "https://labs.example.com");
    let signature = Err(Refusal::TokenSignature);
    let cases = [
        (token(Some(corp), "alice", false), Ok("corp")),
        (token(Some(labs), "alice", true), Ok("labs")),
        (token(None, workload, false), Ok("mesh")),
        (
            token(Some("https://spire.example"), workload, false),
            Ok("mesh"),
        ),
        // A workload of the trust domain that names `corp` is held against `corp`.
        (token(Some(corp), workload, false), Ok("corp")),
        // Says whose it is, and is signed by another.
        (token(Some(corp), "alice", true), signature),
        (token(Some(labs), "alice", false), signature),
        (token(None, workload, true), signature),
        (
            token(Some("https://evil.example"), "alice", false),
            Err(Refusal::TokenIssuer),
        ),
        (token(None, "alice", false), Err(Refusal::TokenIssuer)),
        (
            token(None, "spiffe://other.example/web", false),
            Err(Refusal::TokenIssuer),
        ),
        ("a.b".into(), Err(Refusal::TokenMalformed)),
        ("a.b.c".into(), Err(Refusal::TokenMalformed)),
        ("x".into(), Err(Refusal::TokenMalformed)),
    ];
    for round in 0..2 {
        for (token, want) in &cases {
            let came = show(&tokens, token, None, NOW);
            let came = came.map(|subject| subject.issuer.to_string());
            let want = want.map(String::from);
            assert_eq!(came, want, "{token} in round {round}");
        }
    }
    for (issuer, count) in issuers.iter().zip([2, 2, 1]) {
        assert_eq!(issuer.cached_tokens(), count, "{}", issuer.name());
    }
}

#[test]
fn who_remembers_a_token_does_not_decide_whose_it_is() {
    let issuers = three();
    let mut all = claims();
    all["sub"] = json!("spiffe://mesh.example/web");
    let token = KEYS
        .es256
        .token(r#"{"alg":"ES256","kid":"ec"}"#, &all.to_string());
    let whose = |tokens: &Tokens| {
        let came = show(tokens, &token, None, NOW);
        came.map(|subject| subject.issuer.to_string())
    };
    let [mesh, corp, _] = &issuers;
    // A route for the trust domain alone has it remembered there; another one asks `corp` first.
    assert_eq!(whose(&any(&[Arc::clone(mesh)])), Ok("mesh".into()));
    for _ in 0..2 {
        assert_eq!(
            whose(&any(&[Arc::clone(mesh), Arc::clone(corp)])),
            Ok("corp".into())
        );
    }
    assert_eq!((mesh.cached_tokens(), corp.cached_tokens()), (1, 1));
}
