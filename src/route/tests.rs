//! Which route is taken, which routes tie, and that neither depends on order or number.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::choices::Ties;
use super::table::{RouteTable, Tie};
use super::trie::Trie;
use crate::config::spec::{
    ClientsSpec, HostPattern, MatchSpec, PathPattern, RouteSpec, SegmentPattern, TokenSpec,
};
use crate::identity::name::Name;
use crate::identity::path::NormalPath;

/// A route as its name, `METHODS HOST/PATH` and the header fields that it names.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

fn path_pattern(text: &str) -> PathPattern {
    let (text, rest) = match text.strip_suffix("/**") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let segment = |text: &str| match text.strip_prefix('{') {
        Some(name) => SegmentPattern::Any(name.trim_end_matches('}').into()),
        None => SegmentPattern::Exact(text.into()),
    };
    let segments = text.split('/').skip(1).map(segment).collect();
    PathPattern { segments, rest }
}

fn route(rule: &str, headers: &[(&str, &str)]) -> RouteSpec {
    let (methods, target) = rule.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    let host = match host.strip_prefix("*.") {
        Some(parent) => HostPattern::Below(parent.parse().unwrap()),
        None => HostPattern::Exact(host.parse().unwrap()),
    };
    let methods = methods.split(',').filter(|m| *m != "*");
    let field = |(name, value): &(&str, &str)| -> (HeaderName, String) {
        (name.parse().unwrap(), (*value).to_owned())
    };
    RouteSpec::plain(
        MatchSpec {
            host,
            path: path_pattern(path),
            methods: methods.map(|m| m.parse().unwrap()).collect(),
            headers: headers.iter().map(field).collect(),
        },
        ClientsSpec::Any,
        TokenSpec::None,
        "u".parse().unwrap(),
    )
}

fn routes(rows: &[Row<'_>]) -> BTreeMap<Name, RouteSpec> {
    let spec = |(name, rule, headers): &Row<'_>| (name.parse().unwrap(), route(rule, headers));
    rows.iter().map(spec).collect()
}

/// The name of the route that `METHOD HOST/PATH` takes with these header fields.
fn taken(rows: &[Row<'_>], request: &str, headers: &[(&str, &str)]) -> Option<String> {
    let routes = routes(rows);
    let table = RouteTable::build(&routes).unwrap();
    let index = find(&table, request, headers)?;
    routes.keys().nth(index).map(Name::to_string)
}

fn find(table: &RouteTable, request: &str, headers: &[(&str, &str)]) -> Option<usize> {
    let (method, target) = request.split_once(' ').unwrap();
    let (host, path) = target.split_at(target.find('/').unwrap());
    let mut fields = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        fields.append(name, HeaderValue::from_str(value).unwrap());
    }
    let path = NormalPath::parse(path.as_bytes()).unwrap();
    table.find(
        &host.parse().unwrap(),
        &path,
        &method.parse().unwrap(),
        &fields,
    )
}

/// The pairs of names that tie.
fn ties(rows: &[Row<'_>]) -> Vec<(String, String)> {
    let pair = |tie: Tie| (tie.a.to_string(), tie.b.to_string());
    let ties = RouteTable::build(&routes(rows)).err().unwrap_or_default();
    ties.into_iter().map(pair).collect()
}

#[test]
fn a_path_matches_by_whole_segments() {
    let cases = [
        // (pattern, path, whether it matches)
        ("/orders", "/orders", true),
        ("/orders", "/orders/", false),
        ("/orders", "/orders/7", false),
        ("/orders", "/order", false),
        ("/orders", "/ordersx", false),
        ("/orders", "/Orders", false),
        ("/orders", "/", false),
        ("/orders/", "/orders/", true),
        ("/orders/", "/orders", false),
        ("/orders/**", "/orders", true),
        ("/orders/**", "/orders/", true),
        ("/orders/**", "/orders/7", true),
        ("/orders/**", "/orders/7/items/", true),
        ("/orders/**", "/ordersx", false),
        ("/orders/**", "/ordersx/7", false),
        ("/orders/**", "/order", false),
        ("/orders/**", "/", false),
        ("/orders/**", "/x/orders", false),
        ("/**", "/", true),
        ("/**", "/orders", true),
        ("/**", "/a/b/c/d/e/", true),
        ("/", "/", true),
        ("/", "/orders", false),
        ("/orders/{id}", "/orders/7", true),
        ("/orders/{id}", "/orders/caf%C3%A9", true),
        ("/orders/{id}", "/orders", false),
        ("/orders/{id}", "/orders/", false),
        ("/orders/{id}", "/orders/7/", false),
        ("/orders/{id}", "/orders/7/items", false),
        ("/{a}", "/", false),
        ("/{a}/{b}", "/x/y", true),
        ("/{a}/{b}", "/x", false),
        ("/{a}/**", "/", false),
        ("/{a}/**", "/x", true),
        ("/{a}/**", "/x/y/z", true),
        ("/orders/{id}/items", "/orders/7/items", true),
        ("/orders/{id}/items", "/orders/7/item", false),
        ("/orders/{id}/items/**", "/orders/7/items/1", true),
        ("/orders/{id}/items/**", "/orders//", false),
        ("/user@x", "/user@x", true),
        ("/user@x", "/user%40x", true),
        ("/user%40x", "/user@x", true),
        ("/caf%C3%A9", "/caf%c3%a9", true),
        ("/v1.2", "/v1%2E2", true),
        ("/a", "/a%20", false),
    ];
    for (pattern, path, want) in cases {
        let rows = [("r", &*format!("* a.example{pattern}"), &[][..])];
        if NormalPath::parse(path.as_bytes()).is_err() {
            assert!(!want, "{path}");
            continue;
        }
        let got = taken(&rows, &format!("GET a.example{path}"), &[]);
        assert_eq!(got.is_some(), want, "{pattern} {path}");
    }
}

#[test]
fn a_host_is_exact_or_one_label_below() {
    let rows: &[Row<'_>] = &[
        ("exact", "* api.example.com/**", &[]),
        ("below", "* *.example.com/**", &[]),
        ("address", "* 192.0.2.1/**", &[]),
    ];
    let cases = [
        ("api.example.com", Some("exact")),
        ("API.example.com.", Some("exact")),
        ("web.example.com", Some("below")),
        ("192.0.2.1", Some("address")),
        ("example.com", None),
        ("a.b.example.com", None),
        ("xexample.com", None),
        ("api.example.org", None),
        ("com", None),
        ("192.0.2.2", None),
    ];
    for (host, want) in cases {
        let got = taken(rows, &format!("GET {host}/a"), &[]);
        assert_eq!(got.as_deref(), want, "{host}");
    }
}

/// Each row: what is asked, and the routes from the best to the last.
const PRECEDENCE: &[(&str, &[Row<'static>])] = &[
    (
        "GET api.example.com/a/b",
        &[
            ("q", "* api.example.com/**", &[]),
            ("p", "GET *.example.com/a/b", &[("x", "1")]),
            ("o", "* *.example.com/**", &[]),
        ],
    ),
    (
        "GET a.example/a/b/c",
        &[
            ("z", "* a.example/a/b/c", &[]),
            ("y", "* a.example/a/b/c/**", &[]),
            ("x", "* a.example/a/b/{c}", &[]),
            ("w", "* a.example/a/b/{c}/**", &[]),
            ("v", "* a.example/a/{b}/c", &[]),
            ("u", "* a.example/a/{b}/{c}", &[]),
            ("t", "* a.example/{a}/b/c", &[]),
            ("s", "* a.example/{a}/{b}/{c}", &[]),
            ("r", "* a.example/{a}/{b}/{c}/**", &[]),
            ("q", "* a.example/a/b/**", &[]),
            ("p", "* a.example/a/{b}/**", &[]),
            ("o", "* a.example/{a}/b/**", &[]),
            ("n", "* a.example/{a}/{b}/**", &[]),
            ("m", "* a.example/a/**", &[]),
            ("l", "* a.example/{a}/**", &[]),
            ("k", "* a.example/**", &[]),
        ],
    ),
    (
        "GET a.example/a",
        &[
            ("z", "GET a.example/a", &[("x", "1"), ("y", "2")]),
            ("y", "GET,POST a.example/a", &[("x", "1")]),
            ("x", "GET a.example/a", &[]),
            ("w", "* a.example/a", &[("x", "1"), ("y", "2")]),
            ("v", "* a.example/a", &[("y", "2")]),
            ("u", "* a.example/a", &[]),
        ],
    ),
];

#[test]
fn the_more_specific_route_is_taken_whatever_its_name_or_place() {
    for (request, rows) in PRECEDENCE {
        // The best is last by name; then it is first.
        let opposite: Vec<_> = (b'a'..=b'z').map(|b| char::from(b).to_string()).collect();
        for renamed in [false, true] {
            let mut rows: Vec<Row<'_>> = rows.to_vec();
            if renamed {
                rows.iter_mut()
                    .zip(&opposite)
                    .for_each(|(row, name)| row.0 = name);
            }
            while let Some(best) = rows.first().map(|row| row.0) {
                let got = taken(&rows, request, &[("x", "1"), ("y", "2")]);
                assert_eq!(got.as_deref(), Some(best), "{request} {rows:?}");
                rows.remove(0);
            }
        }
    }
}

#[test]
fn a_route_that_does_not_match_method_or_headers_gives_way_to_less_specific_ones() {
    let rows: &[Row<'_>] = &[
        ("read", "GET api.example.com/orders/{id}", &[]),
        ("beta", "GET api.example.com/orders/7", &[("x-beta", "yes")]),
        ("write", "POST,PUT api.example.com/orders/**", &[]),
        ("rest", "DELETE api.example.com/**", &[]),
        ("any", "PATCH *.example.com/**", &[]),
    ];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "yes")],
            Some("beta"),
        ),
        ("GET api.example.com/orders/7", &[], Some("read")),
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "YES")],
            Some("read"),
        ),
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "")],
            Some("read"),
        ),
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "yes "), ("y", "yes")],
            Some("read"),
        ),
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "yes"), ("x-beta", "no")],
            Some("read"),
        ),
        (
            "GET api.example.com/orders/7",
            &[("x-beta", "yes"), ("x-beta", "yes")],
            Some("read"),
        ),
        (
            "POST api.example.com/orders/7",
            &[("x-beta", "yes")],
            Some("write"),
        ),
        ("DELETE api.example.com/orders/7", &[], Some("rest")),
        ("PATCH api.example.com/orders/7", &[], Some("any")),
        ("HEAD api.example.com/orders/7", &[], None),
        ("get api.example.com/orders/7", &[], None),
        ("GET api.example.com/orders", &[], None),
        ("GET web.example.com/orders/7", &[], None),
    ];
    for (request, headers, want) in cases {
        let got = taken(rows, request, headers);
        assert_eq!(got.as_deref(), *want, "{request} {headers:?}");
    }
}

#[test]
fn routes_that_one_request_could_take_equally_well_tie() {
    let cases: &[(Row<'_>, Row<'_>)] = &[
        (("a", "* h.example/a", &[]), ("b", "* h.example/a", &[])),
        (("a", "* *.h.example/a", &[]), ("b", "* *.h.example/a", &[])),
        (("a", "* h.example/{x}", &[]), ("b", "* h.example/{y}", &[])),
        (
            ("a", "* h.example/{x}/b/**", &[]),
            ("b", "* h.example/{y}/b/**", &[]),
        ),
        (("a", "* h.example/**", &[]), ("b", "* h.example/**", &[])),
        (
            ("a", "* h.example/a@b", &[]),
            ("b", "* h.example/a%40b", &[]),
        ),
        (
            ("a", "GET h.example/a", &[]),
            ("b", "POST,GET h.example/a", &[]),
        ),
        (
            ("a", "GET h.example/a", &[("x", "1")]),
            ("b", "GET h.example/a", &[("x", "1")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1")]),
            ("b", "* h.example/a", &[("y", "1")]),
        ),
        (
            ("a", "GET h.example/a", &[("x", "1")]),
            ("b", "GET h.example/a", &[("y", "1")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1"), ("y", "2")]),
            ("b", "* h.example/a", &[("z", "3"), ("x", "1")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1"), ("y", "2")]),
            ("b", "* h.example/a", &[("y", "2"), ("x", "1")]),
        ),
    ];
    for (one, other) in cases {
        let want = vec![("a".to_owned(), "b".to_owned())];
        assert_eq!(ties(&[*one, *other]), want, "{one:?} {other:?}");
        assert_eq!(ties(&[*other, *one]), want, "{one:?} {other:?}");
    }
}

#[test]
fn routes_that_something_tells_apart_do_not_tie() {
    let cases: &[(Row<'_>, Row<'_>)] = &[
        (("a", "* h.example/a", &[]), ("b", "* i.example/a", &[])),
        (("a", "* x.h.example/a", &[]), ("b", "* *.h.example/a", &[])),
        (("a", "* h.example/a", &[]), ("b", "* h.example/a/", &[])),
        (("a", "* h.example/a", &[]), ("b", "* h.example/a/**", &[])),
        (("a", "* h.example/a", &[]), ("b", "* h.example/{a}", &[])),
        (
            ("a", "* h.example/{x}/b", &[]),
            ("b", "* h.example/a/{x}", &[]),
        ),
        (
            ("a", "GET h.example/a", &[]),
            ("b", "POST h.example/a", &[]),
        ),
        (("a", "GET h.example/a", &[]), ("b", "* h.example/a", &[])),
        (
            ("a", "* h.example/a", &[]),
            ("b", "* h.example/a", &[("x", "1")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1")]),
            ("b", "* h.example/a", &[("x", "2")]),
        ),
        (
            ("a", "GET h.example/a", &[("x", "1")]),
            ("b", "PUT h.example/a", &[("y", "1")]),
        ),
        (
            ("a", "GET h.example/a", &[("x", "1")]),
            ("b", "* h.example/a", &[("y", "1")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1"), ("y", "2")]),
            ("b", "* h.example/a", &[("x", "2"), ("z", "3")]),
        ),
        (
            ("a", "* h.example/a", &[("x", "1"), ("y", "2")]),
            ("b", "* h.example/a", &[("x", "1")]),
        ),
        (
            ("a", "GET,GET h.example/a", &[]),
            ("b", "PUT,PUT h.example/a", &[]),
        ),
    ];
    for (one, other) in cases {
        assert_eq!(ties(&[*one, *other]), [], "{one:?} {other:?}");
    }
}

#[test]
fn every_tied_route_is_named() {
    let rows: &[Row<'_>] = &[
        ("a", "GET h.example/a", &[]),
        ("b", "GET,PUT h.example/a", &[]),
        ("c", "PUT h.example/a", &[]),
        ("d", "GET h.example/a", &[]),
        ("e", "GET h.example/b", &[]),
    ];
    let named: Vec<_> = ties(rows).into_iter().flat_map(|(a, b)| [a, b]).collect();
    for (name, tied) in [
        ("a", true),
        ("b", true),
        ("c", true),
        ("d", true),
        ("e", false),
    ] {
        assert_eq!(named.iter().any(|n| n == name), tied, "{name} {named:?}");
    }
}

/// All patterns of `length` segments that are `a` or `{x}` each: every node of the trie matches.
fn all_shapes(length: u32) -> BTreeMap<Name, RouteSpec> {
    let shape = |bits: u32| -> String {
        let segment = |at| if bits >> at & 1 == 0 { "/a" } else { "/{x}" };
        (0..length).map(segment).collect()
    };
    let spec = |bits: u32| {
        let name = format!("r{bits:05}").parse().unwrap();
        (name, route(&format!("PUT h.example{}", shape(bits)), &[]))
    };
    (0..1 << length).map(spec).collect()
}

#[test]
fn a_search_that_fails_everywhere_asks_each_pattern_once() {
    let routes = all_shapes(12);
    let mut trie = Trie::default();
    let root = trie.add_root();
    for (index, spec) in routes.values().enumerate() {
        let choices = trie.choices(root, &spec.matches.path).unwrap();
        choices.add(index, &spec.matches, &mut Ties::new());
    }
    let cases = [
        // (path, how many of the patterns match it)
        ("/a".repeat(12), 1 << 12),
        (format!("{}{}", "/b".repeat(6), "/a".repeat(6)), 1 << 6),
        ("/b".repeat(12), 1),
        ("/a".repeat(11), 0),
        ("/a".repeat(13), 0),
    ];
    for (path, want) in cases {
        let mut asked = 0;
        let path = NormalPath::parse(path.as_bytes()).unwrap();
        let found = trie.find(root, &path, &mut |_| {
            asked += 1;
            None
        });
        assert_eq!((found, asked), (None, want), "{path}");
    }
}

#[test]
fn the_best_of_very_many_patterns_is_found() {
    let table = RouteTable::build(&all_shapes(12)).unwrap();
    let request = |segment: &str| format!("PUT h.example{}", segment.repeat(12));
    assert_eq!(find(&table, &request("/a"), &[]), Some(0));
    assert_eq!(find(&table, &request("/b"), &[]), Some((1 << 12) - 1));
    assert_eq!(
        find(&table, &request("/a").replace("PUT", "GET"), &[]),
        None
    );
}

#[test]
fn a_path_of_very_many_segments_goes_no_deeper_than_the_patterns() {
    let rows: &[Row<'_>] = &[
        ("r", "* h.example/a/{x}/**", &[]),
        ("s", "* h.example/{x}/a/b", &[]),
    ];
    let path = "/a".repeat(100_000);
    assert_eq!(
        taken(rows, &format!("GET h.example{path}"), &[]).as_deref(),
        Some("r")
    );
    let path = "/b".repeat(100_000);
    assert_eq!(taken(rows, &format!("GET h.example{path}"), &[]), None);
}

#[test]
fn a_hundred_thousand_routes_are_told_apart() {
    let spec = |i: usize| {
        let name = format!("r{i:06}").parse().unwrap();
        let rule = match i % 4 {
            0 => format!("GET h{i}.example/orders/{{id}}"),
            1 => format!("GET h.example/service{i}/**"),
            2 => format!("GET *.p{i}.example/x"),
            _ => "GET h.example/tenants".to_owned(),
        };
        let tenant = i.to_string();
        let headers: &[(&str, &str)] = &[("x-tenant", &tenant)];
        (name, route(&rule, if i % 4 == 3 { headers } else { &[] }))
    };
    let routes: BTreeMap<Name, RouteSpec> = (0..100_000).map(spec).collect();
    let table = RouteTable::build(&routes).unwrap();
    let cases: &[(&str, &str, Option<usize>)] = &[
        ("GET h4.example/orders/1", "", Some(4)),
        ("GET h99996.example/orders/1", "", Some(99_996)),
        ("GET h99997.example/orders/1", "", None),
        ("GET h.example/service50001/a/b", "", Some(50_001)),
        ("GET h.example/service50002/a/b", "", None),
        ("GET a.p50002.example/x", "", Some(50_002)),
        ("GET h.example/tenants", "99999", Some(99_999)),
        ("GET h.example/tenants", "99998", None),
    ];
    for (request, tenant, want) in cases {
        assert_eq!(
            find(&table, request, &[("x-tenant", tenant)]),
            *want,
            "{request}"
        );
    }
}

#[test]
fn a_hundred_thousand_routes_that_all_tie_are_reported_in_time() {
    let spec = |i: usize| {
        let name = format!("r{i:06}").parse().unwrap();
        let field = format!("x-{}", i % 100);
        (name, route("GET h.example/a", &[(&field, "1")]))
    };
    let routes: BTreeMap<Name, RouteSpec> = (0..100_000).map(spec).collect();
    let started = Instant::now();
    let ties = RouteTable::build(&routes).unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert!(ties.len() >= 99_900, "{}", ties.len());
}

#[test]
fn methods_outside_http_are_methods_too() {
    let rows: &[Row<'_>] = &[("r", "PURGE h.example/a", &[])];
    assert_eq!(taken(rows, "PURGE h.example/a", &[]).as_deref(), Some("r"));
    assert_eq!(taken(rows, "GET h.example/a", &[]), None);
    assert_ne!(Method::GET.as_str(), "PURGE");
}
