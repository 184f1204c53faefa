//! What expressions say, what is refused before any request, and what is refused then.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value as Json, json};

use super::*;
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;
use crate::identity::scopes::Scopes;
use crate::identity::subject::{Credential, Subject};

/// A request with everything that an expression may ask about.
struct Stage {
    peer: Option<PeerIdentity>,
    subject: Option<Subject>,
    host: Host,
    path: NormalPath,
    query: Option<&'static str>,
    headers: HeaderMap,
    credentials: Vec<HeaderName>,
    listener: Name,
}

impl Stage {
    fn new(claims: Json) -> Self {
        let Json::Object(claims) = claims else {
            panic!("claims are an object")
        };
        let id = "spiffe://mesh.example/user/jane".parse().unwrap();
        let dns = vec![
            "jane.example".parse().unwrap(),
            "j.example".parse().unwrap(),
        ];
        let mut headers = HeaderMap::new();
        let values: [(&str, &[u8]); 6] = [
            ("x-key", b"secret"),
            ("x-plan", b"gold"),
            ("x-plan", b"silver"),
            ("x-raw", b"\xff\xfe"),
            ("x-one", "é".as_bytes()),
            ("authorization", b"Bearer secret"),
        ];
        for (name, value) in values {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Self {
            peer: Some(PeerIdentity::rehearsed(Some(id), dns)),
            subject: Some(Subject {
                credential: Credential::Jwt,
                issuer: "corp".parse().unwrap(),
                iss: None,
                sub: Some("jane".into()),
                scopes: Scopes::of(["read", "write"]),
                claims: claims.into(),
                expires: 2_000,
            }),
            host: "api.example".parse().unwrap(),
            path: NormalPath::parse(b"/orders/7").unwrap(),
            query: Some("a=1"),
            headers,
            credentials: vec![HeaderName::from_static("x-key")],
            listener: "edge".parse().unwrap(),
        }
    }

    fn seen(&self) -> Seen<'_> {
        Seen::new(Question {
            peer: self.peer.as_ref(),
            subject: self.subject.as_ref(),
            method: &Method::GET,
            host: &self.host,
            path: &self.path,
            query: self.query,
            headers: &self.headers,
            credentials: &self.credentials,
            listener: Some(&self.listener),
            now: 1_000,
        })
    }

    fn holds(&self, source: &str) -> Result<bool, String> {
        let expression = Expression::read(source, &Tokens::Seen.into()).unwrap_or_else(|faults| {
            panic!("{source}: {faults:?}");
        });
        expression
            .holds(&self.seen())
            .map_err(|failure| failure.to_string())
    }
}

fn claims() -> Json {
    json!({
        "tenant": "acme", "level": 3, "big": u64::MAX, "low": i64::MIN, "half": 0.5, "zero": 0,
        "flag": true, "none": null, "groups": ["dev", "ops"], "nul": "a\u{0}b", "tongue": "日本",
        "realm": {"roles": {"admin": ["x"]}}, "https://a.example/b": 1, "list": [[1], {"a": 2}],
        "a.b": "dotted", "a": {"b": "nested"}, "c.d": 1,
    })
}

/// (expression, what it says)
const SEEN: &[(&str, bool)] = &[
    ("token.claims.tenant == 'acme'", true),
    ("token.claims.tenant == 'Acme'", false),
    ("token.claims['tenant'].startsWith('ac')", true),
    ("token.claims['https://a.example/b'] == 1", true),
    ("token.claims.level >= 3 && token.claims.level < 4u", true),
    ("token.claims.half < token.claims.level", true),
    ("token.claims.big > 9223372036854775807", true),
    ("token.claims.low < 0", true),
    ("token.claims.flag", true),
    ("token.claims.none == null", true),
    ("'ops' in token.claims.groups", true),
    ("'op' in token.claims.groups", false),
    ("token.claims.groups.exists(g, g.endsWith('v'))", true),
    (
        "token.claims.groups.all(g, g in ['dev', 'ops', 'qa'])",
        true,
    ),
    ("token.claims.groups.exists_one(g, g == 'dev')", true),
    ("token.claims.groups.filter(g, g != 'dev') == ['ops']", true),
    ("token.claims.groups.map(g, g + '!')[0] == 'dev!'", true),
    ("token.claims.realm.roles.admin[0] == 'x'", true),
    (
        "token.claims.realm.roles.exists(name, name == 'admin')",
        true,
    ),
    ("token.claims.list[1].a == 2", true),
    (
        "token.claims.nul == 'a\\u0000b' && token.claims.nul != 'a'",
        true,
    ),
    (
        "token.claims.tongue == '日本' && size(token.claims.tongue) == 2",
        true,
    ),
    ("'tenant' in token.claims && !('x' in token.claims)", true),
    (
        "has(token.claims) && has(token.sub) && has(request.headers)",
        true,
    ),
    ("has(token.claims.tenant) && !has(token.claims.x)", true),
    (
        "has(token.claims.realm.roles) && !has(token.claims.realm.x)",
        true,
    ),
    (
        "token.claims.a.b == 'nested' && token.claims['a.b'] == 'dotted'",
        true,
    ),
    ("has(token.claims.c) || token.claims.c.d == 1 || true", true),
    ("!has(token.claims.c) && 'c.d' in token.claims", true),
    ("type(token.claims.level) == int", true),
    (
        "token.sub == 'jane' && token.issuer == 'corp' && token.credential == 'jwt'",
        true,
    ),
    (
        "'read' in token.scopes && size(token.scopes) == 2 && token.expires > now",
        true,
    ),
    (
        "peer.spiffe_id == 'spiffe://mesh.example/user/' + token.sub",
        true,
    ),
    (
        "peer.trust_domain == 'mesh.example' && 'j.example' in peer.dns",
        true,
    ),
    (
        "peer.fingerprint.matches('^[0-9a-f]{64}$') && size(peer.pin) == 44",
        true,
    ),
    ("peer != null && token != null && null != peer", true),
    (
        "request.method == 'GET' && request.host == 'api.example'",
        true,
    ),
    (
        "request.path == '/orders/7' && request.query == 'a=1'",
        true,
    ),
    ("request.listener == 'edge' && now == 1000", true),
    ("request.headers['x-plan'] == ['gold', 'silver']", true),
    ("'gold' in request.headers['x-plan']", true),
    ("request.headers.host == ['a']", true), // not there, below
    (
        "'x-plan' in request.headers && !('x-none' in request.headers)",
        true,
    ),
    ("request.headers['x-raw'] != ['\\u00ff\\u00fe']", true),
    ("request.headers['x-one'] == ['é']", true),
    (
        "!request.headers.exists(name, name == 'authorization')",
        true,
    ),
    ("!('x-key' in request.headers)", true), // carries a credential on this route
    ("matches(request.path, '^/orders/[0-9]+$')", true),
    (
        "request.path.matches('order') && !request.path.matches('^order')",
        true,
    ),
    ("now % 86400 / 3600 < 6 ? true : false", true),
    ("token.claims.x == 1 || true", true),
    ("token.claims.x == 1 && false", false),
];

#[test]
fn an_expression_sees_peer_token_and_request() {
    let stage = Stage::new(claims());
    for &(source, want) in SEEN {
        if source.contains("headers.host") {
            let failure = Err("there is no such key: host".to_owned());
            assert_eq!(stage.holds(source), failure, "{source}");
        } else {
            assert_eq!(stage.holds(source), Ok(want), "{source}");
        }
    }
}

#[test]
fn who_is_not_there_is_null_and_its_fields_are_errors() {
    let mut stage = Stage::new(json!({}));
    stage.peer = None;
    stage.subject = None;
    stage.query = None;
    for source in ["peer == null", "token == null", "!has(request.query)"] {
        assert_eq!(stage.holds(source), Ok(true), "{source}");
    }
    for source in [
        "peer.spiffe_id == 'x'",
        "has(peer.spiffe_id)",
        "!has(peer.spiffe_id)",
        "token.claims.tenant == 'x'",
        "!('x' in token.claims)",
        "has(token.claims.x)",
        "!has(token.sub)",
        "request.query == ''",
        "peer.dns.all(name, false)",
        "token.scopes == []",
    ] {
        assert!(stage.holds(source).is_err(), "{source}");
    }
    assert_eq!(
        stage.holds("peer != null && peer.spiffe_id == 'x'"),
        Ok(false)
    );
}

/// (expression, why it says nothing)
const ERRORS: &[(&str, &str)] = &[
    ("token.claims.x == 1", "there is no such key: x"),
    (
        "token.claims[token.claims.tenant] == 1",
        "there is no such key",
    ),
    ("token.claims.tenant", "the result is no truth value"),
    ("token.claims.none", "the result is no truth value"),
    (
        "!token.claims.tenant",
        "the kinds of values do not fit: !_ of string",
    ),
    (
        "token.claims.tenant > 3",
        "the kinds of values do not fit: _>_ of string and int",
    ),
    (
        "token.claims.tenant + 3 == 3",
        "the kinds of values do not fit",
    ),
    ("token.claims.groups[9] == 'x'", "an index is out of bounds"),
    (
        "token.claims.groups[-1] == 'x'",
        "an index is out of bounds",
    ),
    (
        "token.claims.groups[token.claims.low] == 'x'",
        "an index is out of bounds",
    ),
    ("1 / token.claims.zero == 1", "a division by zero"),
    ("1 % token.claims.zero == 1", "a division by zero"),
    ("token.claims.low / -1 > 0", "a number is too large"),
    ("token.claims.low % -1 == 0", "a number is too large"),
    ("-token.claims.low > 0", "a number is too large"),
    ("token.claims.low - 1 < 0", "a number is too large"),
    ("token.claims.big * 2u > 0u", "a number is too large"),
    (
        "int(token.claims.big) > 0",
        "a function cannot take its value: int",
    ),
    (
        "int(token.claims.tenant) > 0",
        "a function cannot take its value: int",
    ),
    (
        "uint(token.claims.low) > 0u",
        "a function cannot take its value: uint",
    ),
    ("string(b'\\xff') == request.headers['x-plan'][0]", "-"),
    (
        "request.headers['x-raw'][0].startsWith('x')",
        "the kinds of values do not fit: startsWith of bytes and string",
    ),
    (
        "token.claims.level.matches('x')",
        "the kinds of values do not fit: matches of budget and int and pattern",
    ),
    (
        "token.claims.level.all(x, true)",
        "the kinds of values do not fit",
    ),
    (
        "token.claims.tenant.x == 1",
        "the kinds of values do not fit: _._ of string and string",
    ),
];

#[test]
fn what_a_stranger_sends_makes_an_error_and_the_error_tells_no_value() {
    let stage = Stage::new(claims());
    for &(source, want) in ERRORS {
        if want == "-" {
            assert!(
                Expression::read(source, &Tokens::Seen.into()).is_err(),
                "{source}"
            );
            continue;
        }
        let came = stage.holds(source).expect_err(source);
        assert_eq!(came, want, "{source}");
        assert!(
            !came.contains("acme") && !came.contains("9223372036854775808"),
            "{came}"
        );
    }
}

/// (expression, where it is wrong, why)
const MISTAKES: [(&str, (usize, usize), &str); 50] = [
    (
        "",
        (1, 1),
        "this is no CEL: mismatched input '<EOF>' expecting expression",
    ),
    (
        "a &&",
        (1, 5),
        "this is no CEL: mismatched input '<EOF>' expecting expression",
    ),
    ("1 +\n  (2", (2, 5), "this is no CEL: expected ')'"),
    ("'é' + $", (1, 7), "this is no CEL: unexpected character"),
    (
        "token.?sub == 1",
        (1, 6),
        "this is no CEL: unsupported syntax '.?'",
    ),
    ("tokn.sub == 'a'", (1, 1), "there is no variable `tokn`"),
    (
        "true &&\n  tokn.sub == 'a'",
        (2, 3),
        "there is no variable `tokn`",
    ),
    (".token.sub == 'a'", (1, 1), "there is no variable `.token`"),
    (
        "@budget == 1",
        (1, 1),
        "this is no CEL: unexpected character",
    ),
    (
        "token.subject == 'a'",
        (1, 7),
        "the whole token has no field `subject`",
    ),
    (
        "has(token.subject)",
        (1, 1),
        "the whole token has no field `subject`",
    ),
    (
        "peer.spiffe == 'a'",
        (1, 6),
        "the whole peer has no field `spiffe`",
    ),
    (
        "'é' == request.header",
        (1, 16),
        "the whole request has no field `header`",
    ),
    (
        "request.headers['X-Plan'] == ['a']",
        (1, 16),
        "this is no name of a header field",
    ),
    (
        "request.headers['cookie'] == ['a']",
        (1, 16),
        "the field `cookie` holds a credential and is not shown",
    ),
    (
        "request.headers.authorization == ['a']",
        (1, 17),
        "the field `authorization` holds a credential and is not shown",
    ),
    ("foo(1) == 1", (1, 1), "there is no function `foo`"),
    (
        "request.path.lower() == 'a'",
        (1, 14),
        "there is no function `lower`",
    ),
    (
        "request.path.size(1) == 1",
        (1, 14),
        "`size` is not called like this",
    ),
    (
        "contains('a', 'b')",
        (1, 1),
        "`contains` is not called like this",
    ),
    (
        "request.path",
        (1, 9),
        "the expression gives a text, not true or false",
    ),
    (
        "size(peer.dns)",
        (1, 1),
        "the expression gives a whole number, not true or false",
    ),
    (
        "token.claims",
        (1, 7),
        "the expression gives a map, not true or false",
    ),
    ("peer", (1, 1), "the whole peer is no value by itself"),
    (
        "token in [1]",
        (1, 1),
        "the whole token is no value by itself",
    ),
    (
        "peer == token",
        (1, 6),
        "the whole peer never equals the whole token",
    ),
    (
        "request == null",
        (1, 9),
        "the whole request never equals null",
    ),
    (
        "request.path == 1",
        (1, 14),
        "a text never equals a whole number",
    ),
    (
        "peer.dns == 'a'",
        (1, 10),
        "a list of texts never equals a text",
    ),
    ("request.path == null", (1, 14), "a text never equals null"),
    (
        "request.path > 1",
        (1, 14),
        "`>` does not fit a text and a whole number",
    ),
    (
        "request.path + 1 == 'a'",
        (1, 14),
        "`+` does not fit a text and a whole number",
    ),
    (
        "1 + 1.0 == 2.0",
        (1, 3),
        "`+` does not fit a whole number and a number with a fraction",
    ),
    (
        "request.path && true",
        (1, 14),
        "`&&` does not fit a text and a truth value",
    ),
    ("!request.path", (1, 1), "`!` does not fit a text"),
    ("-request.path == 'a'", (1, 1), "`-` does not fit a text"),
    (
        "request.path ? true : false",
        (1, 14),
        "`?` does not fit a text",
    ),
    (
        "'a' in request.path",
        (1, 5),
        "`in` does not fit a text and a text",
    ),
    (
        "1 in peer.dns",
        (1, 3),
        "`in` does not fit a whole number and a list of texts",
    ),
    (
        "peer.dns['a'] == 'b'",
        (1, 9),
        "a list of texts has no entry by a text",
    ),
    ("request.path.x == 1", (1, 14), "a text has no fields"),
    (
        "request.path.startsWith(1)",
        (1, 14),
        "`startsWith` does not take a text and a whole number",
    ),
    (
        "request.path.all(x, true)",
        (1, 9),
        "a text has no entries to go through",
    ),
    (
        "peer.dns.all(x, x > 1)",
        (1, 19),
        "`>` does not fit a text and a whole number",
    ),
    (
        "peer.dns.all(token, true)",
        (1, 13),
        "the variable `token` is known already",
    ),
    ("Foo{a: 1} == 1", (1, 1), "there are no messages here"),
    (
        "1 / 0 == 1",
        (1, 3),
        "this fails for every request: a division by zero",
    ),
    (
        "[1][5] == now",
        (1, 4),
        "this fails for every request: an index is out of bounds",
    ),
    (
        "request.path.matches(token.sub)",
        (1, 28),
        "the pattern is not known before there is a request",
    ),
    (
        "request.path.matches('(a')",
        (1, 22),
        "this is no pattern: unclosed group",
    ),
];

#[test]
fn a_mistake_is_found_before_any_request_and_has_its_place() {
    let came = MISTAKES.map(|(source, _, _)| {
        let faults = Expression::read(source, &Tokens::Seen.into()).expect_err(source);
        let fault = faults.into_iter().next().expect("a fault");
        (source, (fault.line, fault.column), fault.what)
    });
    let told = came
        .each_ref()
        .map(|(source, at, what)| (*source, *at, what.as_str()));
    assert_eq!(told, MISTAKES);
}

#[test]
fn who_is_never_there_is_not_asked_for() {
    let cases = [
        ("token.sub == 'a'", Some((1, 1))),
        ("request.path == '/' || token == null", Some((1, 24))),
        ("true && has(token.claims.tenant)", Some((1, 13))),
        ("peer.dns.exists(x, x == token.sub)", Some((1, 25))),
        ("request.path == 'token' && peer == null", None),
        ("request.headers['token'] == ['a']", None),
    ];
    for (source, want) in cases {
        let came = Expression::read(source, &Tokens::Never.into());
        let faults = came.map_or_else(|faults| faults, |_expression| Vec::new());
        let first = faults.first().map(|fault| (fault.line, fault.column));
        assert_eq!(first, want, "{source}");
        assert!(faults.len() < 2, "{source}");
        assert!(
            Expression::read(source, &Tokens::Seen.into()).is_ok(),
            "{source}"
        );
    }
}

#[test]
fn an_expression_is_bounded_before_it_is_used() {
    let long = format!("request.path == '{}'", "a".repeat(SOURCE_BYTES_MAX));
    let deep = format!("{}true{}", "!(true && ".repeat(40), ")".repeat(40));
    let chain = format!("now{} > 0", " + 1".repeat(100));
    let wide = format!("now in [{}1]", "1, ".repeat(1_001));
    let patterns = [
        "request.path.matches('(?:[a-z]{1000}){1000}')",
        r"request.path.matches('\\pL{500}')",
        r"request.path.matches('(a)\\1')",
    ];
    for source in [&long, &deep, &chain, &wide]
        .map(String::as_str)
        .into_iter()
        .chain(patterns)
    {
        assert!(
            Expression::read(source, &Tokens::Seen.into()).is_err(),
            "{source:.30}"
        );
    }
    for sound in [
        r"request.path.matches('^[\\w-]+$')",
        "request.path.matches('^(?i)/orders')",
    ] {
        assert!(
            Expression::read(sound, &Tokens::Seen.into()).is_ok(),
            "{sound}"
        );
    }
}

#[test]
fn no_text_makes_the_reader_panic_or_exhausts_a_small_stack() {
    let pieces = [
        "(",
        "[",
        "{",
        "!",
        "-",
        "a.",
        "a?",
        "1+",
        "!(",
        "[1,",
        "f(",
        "a?b:",
        "a||",
        "a&&",
        "a[",
        "{1:",
        "'",
        "\"\"\"",
        "a.b(",
        "has(",
        "a.all(x,",
        "-(",
        "a==",
        "//",
        "?",
        "a?.",
        "`",
        "\\",
        "é",
        "0x",
        "1e",
        "b'",
        "\u{0}",
        "!!(!!!!!!(!!!!(((((!!(!!(!!!!((",
        "r'",
        "a.map(x,",
        "{'a':",
    ];
    let reader = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || {
            for piece in pieces {
                for end in ["", "1", "1)", "]"] {
                    let source = piece.repeat(SOURCE_BYTES_MAX / piece.len() - 1) + end;
                    assert!(
                        Expression::read(&source, &Tokens::Seen.into()).is_err(),
                        "{piece}{end}"
                    );
                }
            }
        });
    reader.unwrap().join().unwrap();
}

#[test]
fn the_deepest_expression_fits_a_small_stack() {
    let stage = Stage::new(json!({"a": {"a": 1}}));
    let deepest = (1..40)
        .map(|depth| {
            format!(
                "{}true{}",
                "(token.claims.a.a == 1 && !".repeat(depth),
                ")".repeat(depth)
            )
        })
        .filter_map(|source| Expression::read(&source, &Tokens::Seen.into()).ok())
        .next_back()
        .expect("an expression");
    std::thread::scope(|scope| {
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let run = small.spawn_scoped(scope, || deepest.holds(&stage.seen()).is_ok());
        assert!(run.unwrap().join().unwrap());
    });
}

/// The largest lists that fit a token, in several shapes, and expressions that go through them.
#[test]
fn no_token_makes_an_expression_run_long() {
    let numbers: Vec<u32> = (0..6_000).map(|n| n % 10).collect();
    let texts: Vec<String> = (0..3_000).map(|n| format!("{n:04}")).collect();
    let blob = "ab".repeat(6_000);
    let stage = Stage::new(json!({
        "n": numbers, "t": texts, "blob": blob, "deep": [[[[[[[[numbers]]]]]]]],
    }));
    let small = stage.holds("token.claims.n.exists(x, x == 9)");
    assert_eq!(small, Err("it costs too much".to_owned()));
    let costly = [
        "token.claims.n.all(x, token.claims.n.all(y, x >= 0 && y >= 0))",
        "token.claims.n.all(x, token.claims.n.all(y, token.claims.n.all(z, true)))",
        "token.claims.n.map(x, token.claims.n).size() > 0",
        "token.claims.t.all(x, token.claims.blob.contains(x + 'c'))",
        "token.claims.t.all(x, !token.claims.blob.matches('(a|b)*c'))",
        "token.claims.t.all(x, token.claims.t == token.claims.t)",
        "token.claims.t.all(x, x in token.claims.t)",
        "token.claims.t.all(x, token.claims == token.claims)",
        "['a','a','a','a'].map(x, token.claims.n).map(x, token.claims.n).size() > 0",
        "[token.claims.blob].map(x, x+x+x+x+x+x+x+x).map(x, x+x+x+x+x+x+x+x).map(x, x+x+x+x+x+x+x+x).map(x, x+x+x+x+x+x+x+x).size() > 0",
        "[token.claims.deep].map(x, [x,x,x,x]).map(x, [x,x,x,x]).map(x, [x,x,x,x]).map(x, [x,x,x,x]).size() > 0",
        "token.claims.deep.all(a, token.claims.n.all(x, a != [x]))",
        "token.claims.n.all(x, token.claims.n.all(y, x >= 0)) || true",
        "!token.claims.n.exists(x, token.claims.n.exists(y, x > 99))",
        "token.claims.n.all(x, {'a': token.claims.n, 'b': token.claims.n}.a != [x])",
    ];
    for source in costly {
        let begun = Instant::now();
        let came = stage.holds(source);
        let took = begun.elapsed();
        assert_eq!(came, Err("it costs too much".to_owned()), "{source}");
        assert!(took < Duration::from_secs(1), "{source}: {took:?}");
    }
}

/// A text that no automaton can go through without looking at all of its states.
#[test]
fn no_text_makes_a_pattern_run_long() {
    let mut random = 7_u32;
    let blob: String = (0..30_000)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if random >> 31 == 0 { 'a' } else { 'b' }
        })
        .collect();
    let stage = Stage::new(json!({ "blob": blob, "l": [1, 2, 3, 4, 5] }));
    for pattern in [
        "[ab]*a[ab]{200}c",
        "[ab]*a[ab]{1000}c",
        "([ab]*a){12}[ab]{300}c",
        "(?:ab|a|b){1,300}c",
    ] {
        let source = format!("token.claims.l.exists(x, token.claims.blob.matches('{pattern}'))");
        let begun = Instant::now();
        let came = stage.holds(&source);
        let took = begun.elapsed();
        assert_eq!(came, Err("it costs too much".to_owned()), "{pattern}");
        // Nothing is optimized here.
        assert!(took < Duration::from_secs(2), "{pattern}: {took:?}");
    }
    let short = Stage::new(json!({ "agent": "a".repeat(1_000) }));
    for pattern in ["[ab]*a[ab]{200}c", r"^[\\w -]+!$", "(?i)firefox/[0-9]{2,3}"] {
        let source = format!("token.claims.agent.matches('{pattern}')");
        assert_eq!(short.holds(&source), Ok(false), "{pattern}");
    }
}

#[test]
fn a_list_of_a_common_size_is_not_too_costly() {
    let groups: Vec<String> = (0..200).map(|n| format!("group-{n}")).collect();
    let stage = Stage::new(json!({ "groups": groups }));
    for source in [
        "token.claims.groups.exists(g, g == 'group-199')",
        "token.claims.groups.all(g, g.startsWith('group-'))",
        "token.claims.groups.exists(g, g.matches('^group-1[0-9]{2}$'))",
        "token.claims.groups.filter(g, g.endsWith('9')).size() == 20",
        "token.claims.groups.exists(g, g in ['a','b','c','d','e','f','g','h','i','j','group-7'])",
    ] {
        assert_eq!(stage.holds(source), Ok(true), "{source}");
    }
}

#[test]
fn a_panic_in_the_crate_is_a_failure() {
    let stage = Stage::new(json!({}));
    let came = Expression::panicking().holds(&stage.seen());
    assert_eq!(came, Err(Failure::of("a fault of the gateway")));
    let manifest = include_str!("../../Cargo.toml");
    assert!(
        !manifest.contains("\"abort\""),
        "a panic must unwind to be caught"
    );
}

#[test]
fn what_a_field_never_is_is_a_mistake() {
    let around = Around {
        tokens: Tokens::Seen,
        issuers: Some(vec!["corp".to_owned(), "partners".to_owned()]),
        listeners: Some(vec!["edge".to_owned()]),
    };
    let sound = [
        "token.issuer == 'corp' || token.issuer in ['corp', 'partners']",
        "token.credential != 'api_key' && 'jwt' == token.credential",
        "request.method in ['GET', 'POST'] || request.method == token.claims.method",
        "request.listener == 'edge' && token.sub == 'crop'",
    ];
    for source in sound {
        assert!(Expression::read(source, &around).is_ok(), "{source}");
    }
    let wrong = [
        ("token.issuer == 'crop'", "`token.issuer` is never `crop`"),
        ("'crop' != token.issuer", "`token.issuer` is never `crop`"),
        (
            "token.issuer in ['corp', 'b']",
            "`token.issuer` is never `b`",
        ),
        (
            "token.credential == 'apikey'",
            "`token.credential` is never `apikey`",
        ),
        ("request.method == 'get'", "`request.method` is never `get`"),
        (
            "true || request.method in ['PURGE']",
            "`request.method` is never `PURGE`",
        ),
        (
            "request.listener == 'egde'",
            "`request.listener` is never `egde`",
        ),
    ];
    for (source, what) in wrong {
        let faults = Expression::read(source, &around).expect_err(source);
        let told: Vec<_> = faults.iter().map(|fault| fault.what.as_str()).collect();
        assert_eq!(told, [what], "{source}");
    }
}

#[test]
fn the_header_fields_that_an_expression_names_are_known() {
    let source = "request.headers['x-plan'] == ['a'] || has(request.headers.via) \
        || 'x-user' in request.headers || 'x' in request.headers['x-plan']";
    let expression = Expression::read(source, &Tokens::Seen.into()).expect(source);
    let named: Vec<_> = expression.fields().iter().map(HeaderName::as_str).collect();
    assert_eq!(named, ["x-plan", "via", "x-user"]);
    let upper = "'X-User' in request.headers";
    assert!(
        Expression::read(upper, &Tokens::Seen.into()).is_err(),
        "never there"
    );
}
