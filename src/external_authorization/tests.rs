//! How an authorization service is asked, and what is made of its answers: held against messages that
//! other code made. All were encoded with the crate `envoy-types` 0.7.7, which is generated from Envoy's
//! own files.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::answer::{self, FieldRules, How, Verdict};
use super::failure::{Failure, Unusable};
use super::line::sort;
use super::question::{Question, Telling};
use crate::authenticate::login::OwnCookies;
use crate::handshake_failure::HandshakeFailure;
use crate::upstream::ConnectFailure;

const QUESTION: &str = "0ac3010a340a110a0f12093139322e302e322e3718c0b802221f7370696666653a2f2f706172746e6572732e\
     6578616d706c652f7765622f61120022650a060880e6fe8907125b0a03722d311204504f53541a0f0a08782d\
     74656e616e741203612c62220d2f6f72646572732f373f713d312a146170692e6578616d706c652e636f6d3a\
     383434333205687474707348ffffffffffffffffff015206485454502f32520f0a05726f75746512066f7264\
     65727362110a0f6170692e6578616d706c652e636f6d";
const YES: &str = "0a00";
const YES_WITH: &str = "0a001a7912110a0f0a06782d757365721205616c69636512110a0b0a06782d6c697374120131120208011213\
     0a0d0a08782d616273656e741201311200180112100a0c0a07782d74686572651201311803120f0a0b0a0678\
     2d6f76657212013118022a07782d646562756732100a0e0a08782d706f6c696379120276372200";
const NO_WITH: &str =
    "0a06080712026e6f121f0a0308c303120e0a0c0a05782d77687912036c61771a086e6f742068657265";
const QUERY_SET: &str = "0a001a083a060a0161120131";
const QUERY_REMOVED: &str = "0a001a03420161";

fn rules(own_cookies: &OwnCookies) -> FieldRules<'_> {
    FieldRules {
        of_request: |_name| true,
        of_answer: |_name| true,
        of_denial: |_name| true,
        own_cookies,
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn read(hex: &str) -> Result<Verdict, Unusable> {
    let named = ["x-user", "x-list", "x-absent", "x-there", "x-over"];
    let named = named.map(HeaderName::from_static);
    answer::read(&bytes(hex), &rules(&OwnCookies::default()), &named)
}

#[test]
fn a_question_is_what_envoys_own_messages_say() {
    let mut headers = HeaderMap::new();
    headers.append("x-tenant", HeaderValue::from_static("a"));
    headers.append("x-tenant", HeaderValue::from_static("b"));
    headers.append("authorization", HeaderValue::from_static("Bearer x"));
    headers.append("x-key", HeaderValue::from_static("secret"));
    headers.append("x_user", HeaderValue::from_static("forged"));
    let question = Question {
        id: "r-1",
        now: 1_900_000_000,
        method: &Method::POST,
        host: "api.example.com:8443",
        target: "/orders/7?q=1",
        protocol: "HTTP/2",
        size: None,
        headers: &headers,
        cookies: None,
        credentials: &[HeaderName::from_static("x-key")],
        client: "web",
        source: "192.0.2.7:40000".parse().unwrap(),
        principal: Some("spiffe://partners.example/web/a"),
        certificate: Some(b"der"),
        server_name: Some("api.example.com"),
        context: &[("route", "orders")],
    };
    let telling = Telling {
        certificate: false,
        credentials: Box::default(),
        of_answer: Box::new([HeaderName::from_static("x-user")]),
    };
    assert_eq!(question.encode(&telling), bytes(QUESTION));
}

#[test]
fn a_yes_is_read_with_all_that_it_changes() {
    let Ok(Verdict::Allowed(changes)) = read(YES_WITH) else {
        panic!("not a yes");
    };
    let of_request = changes.of_request.iter();
    let of_request = of_request.map(|change| (change.name.as_str(), change.how));
    let of_request: Vec<_> = of_request.collect();
    let want = [
        ("x-user", How::Set),
        ("x-list", How::Append),
        ("x-absent", How::IfAbsent),
        ("x-there", How::IfPresent),
        ("x-over", How::Set),
    ];
    assert_eq!(of_request, want);
    assert_eq!(changes.removed, ["x-debug"]);
    let [told] = changes.of_answer.as_slice() else {
        panic!("one field");
    };
    assert_eq!(
        (told.name.as_str(), told.value.as_bytes()),
        ("x-policy", &b"v7"[..])
    );
    assert!(matches!(read(YES), Ok(Verdict::Allowed(_))));
}

#[test]
fn a_no_is_read_with_all_that_it_tells() {
    let Ok(Verdict::Denied(Some(denial))) = read(NO_WITH) else {
        panic!("not a no");
    };
    assert_eq!(denial.status, StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS);
    let [(name, value)] = denial.fields.as_slice() else {
        panic!("one field");
    };
    assert_eq!((name.as_str(), value.as_bytes()), ("x-why", &b"law"[..]));
    assert_eq!(denial.body, "not here");
}

#[test]
fn another_query_and_nothing_at_all_are_no_yes() {
    assert_eq!(read(QUERY_SET).err(), Some(Unusable::Query));
    assert_eq!(read(QUERY_REMOVED).err(), Some(Unusable::Query));
    assert_eq!(read("").err(), Some(Unusable::NoStatus));
}

#[test]
fn only_who_takes_no_connection_is_away() {
    let handshake = HandshakeFailure::TimedOut;
    let cases = [
        (ConnectFailure::Unreachable, true),
        (ConnectFailure::TimedOut, true),
        (ConnectFailure::HandshakeTimedOut, false),
        (
            ConnectFailure::Handshake {
                reason: handshake,
                who: None,
            },
            false,
        ),
        (ConnectFailure::UnexpectedData, false),
        (ConnectFailure::NoPolicy, false),
    ];
    for (failure, away) in cases {
        assert_eq!(sort(&failure).is_away(), away, "{failure}");
    }
    let others = [
        Failure::TimedOut,
        Failure::Unavailable,
        Failure::NotProven,
        Failure::Busy,
        Failure::Failed(14),
        Failure::Unusable(Unusable::NotGrpc),
    ];
    for failure in others {
        assert!(!failure.is_away(), "{failure}");
    }
}

#[test]
fn what_is_cut_or_changed_anywhere_is_refused_or_read_and_never_panics() {
    let own = OwnCookies::default();
    let rules = rules(&own);
    for whole in [YES_WITH, NO_WITH, QUERY_SET] {
        let whole = bytes(whole);
        for at in 0..whole.len() {
            drop(answer::read(&whole[..at], &rules, &[]));
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                drop(answer::read(&changed, &rules, &[]));
            }
        }
    }
}
