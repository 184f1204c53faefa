//! What the rules of a route's policy cost: in words, the subject that the certificate names, and
//! expressions, from the plain ones to the costliest that a token can bring about.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::expect_used, reason = "a bench may stop")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method};
use portcullis::expression::{Expression, Question, Seen, Tokens};
use portcullis::identity::certificate::PeerIdentity;
use portcullis::identity::host::Host;
use portcullis::identity::path::NormalPath;
use portcullis::identity::scopes::Scopes;
use portcullis::identity::spiffe_template::SpiffeTemplate;
use portcullis::identity::subject::{Credential, Subject};
use serde_json::{Value, json};

fn subject(claims: &Value) -> Subject {
    let claims = claims.as_object().expect("claims").clone();
    Subject {
        credential: Credential::Jwt,
        issuer: "corp".parse().expect("a name"),
        iss: None,
        sub: Some("jane".into()),
        scopes: Scopes::of(["orders:read", "orders:write"]),
        claims: claims.into(),
        expires: u64::MAX,
    }
}

/// Expressions, by what they stand for.
const CASES: [(&str, &str); 8] = [
    ("one comparison", "request.method == 'GET'"),
    ("a claim", "token.claims.tenant == 'acme'"),
    ("a header field", "request.headers['x-tenant'] == ['acme']"),
    (
        "a pattern",
        "request.path.matches('^/tenants/[a-z]+/orders/[0-9]+$')",
    ),
    (
        "five comparisons",
        "peer.trust_domain == 'mesh.example' && token.claims.tenant == 'acme' && 'orders:read' in token.scopes && request.method == 'GET' && request.path.startsWith('/tenants/' + token.claims.tenant + '/')",
    ),
    (
        "a loop over 200 groups",
        "token.claims.groups.exists(g, g == 'group-199')",
    ),
    (
        "the costliest",
        "token.claims.numbers.all(x, token.claims.numbers.all(y, x >= 0 && y >= 0))",
    ),
    (
        "as much as may be",
        "token.claims.groups.all(x, ['a','b','c','d','e','f','g','h','i','j','k','l','m','n','o','p','q','r','s','t'].all(y, x != y))",
    ),
];

fn expressions(c: &mut Criterion) {
    let groups: Vec<String> = (0..200).map(|n| format!("group-{n}")).collect();
    let subject = subject(&json!({
        "iss": "https://id.example.com", "aud": ["orders-api"], "iat": 1, "exp": 2, "jti": "x",
        "tenant": "acme", "groups": groups, "numbers": vec![7; 5_000],
    }));
    let id = "spiffe://mesh.example/user/jane".parse().expect("an ID");
    let peer = PeerIdentity::rehearsed(Some(id), Vec::new());
    let host: Host = "api.example.com".parse().expect("a host");
    let path = NormalPath::parse(b"/tenants/acme/orders/7").expect("a path");
    let mut headers = HeaderMap::new();
    for name in [
        "accept",
        "user-agent",
        "x-request-id",
        "accept-encoding",
        "x-tenant",
    ] {
        headers.insert(name, HeaderValue::from_static("acme"));
    }
    let question = Question {
        peer: Some(&peer),
        subject: Some(&subject),
        method: &Method::GET,
        host: &host,
        path: &path,
        query: None,
        headers: &headers,
        credentials: &[],
        listener: None,
        now: 1_800_000_000,
    };
    let mut group = c.benchmark_group("policy");
    for (name, source) in CASES {
        let expression = Expression::read(source, &Tokens::Seen.into()).expect(source);
        group.bench_function(name, |b| {
            b.iter(|| black_box(expression.holds(&Seen::new(black_box(question)))));
        });
    }
    let template: SpiffeTemplate = "spiffe://mesh.example/user/{sub}"
        .parse()
        .expect("a template");
    group.bench_function("subject_is_peer", |b| {
        b.iter(|| {
            let id = peer.spiffe.as_ref().expect("an ID");
            black_box(template.matches(black_box(id), &subject))
        });
    });
    group.bench_function("reading an expression", |b| {
        b.iter(|| black_box(Expression::read(black_box(CASES[4].1), &Tokens::Seen.into()).is_ok()));
    });
    group.finish();
}

criterion_group!(benches, expressions);
criterion_main!(benches);
