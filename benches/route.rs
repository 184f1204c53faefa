//! What it costs to read a path, to find a route among few and among many, and to count a request.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::expect_used, reason = "a bench may stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portcullis::config::spec::{
    ClientsSpec, HostPattern, MatchSpec, PathPattern, Rate, RouteSpec, SegmentPattern, TokenSpec,
};
use portcullis::identity::name::Name;
use portcullis::identity::path::NormalPath;
use portcullis::limit::store::LimitStore;
use portcullis::route::table::RouteTable;

/// One host in ten routes; `/service<i>/orders/{id}` and `/service<i>/**` in turn.
fn routes(count: usize) -> BTreeMap<Name, RouteSpec> {
    let exact = |text: &str| SegmentPattern::Exact(text.into());
    let spec = |i: usize| {
        let mut segments = vec![exact(&format!("service{i}"))];
        if i.is_multiple_of(2) {
            segments.extend([exact("orders"), SegmentPattern::Any("id".into())]);
        }
        let host = format!("api{}.example.com", i / 10)
            .parse()
            .expect("a host");
        RouteSpec::plain(
            MatchSpec {
                host: HostPattern::Exact(host),
                path: PathPattern {
                    segments,
                    rest: !i.is_multiple_of(2),
                },
                methods: vec![Method::GET, Method::POST],
                headers: std::iter::empty().collect(),
            },
            ClientsSpec::Any,
            TokenSpec::None,
            "u".parse().expect("a name"),
        )
    };
    let name = |i: usize| format!("route{i:06}").parse().expect("a name");
    (0..count).map(|i| (name(i), spec(i))).collect()
}

fn route_lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let headers = HeaderMap::new();
    for count in [10, 1_000, 100_000] {
        let routes = routes(count);
        let table = RouteTable::build(&routes).expect("no ties");
        let middle = count / 2 / 10 * 10;
        let host = format!("api{}.example.com", middle / 10)
            .parse()
            .expect("a host");
        let path = format!("/service{middle}/orders/4711");
        let path = NormalPath::parse(path.as_bytes()).expect("normal");
        assert_eq!(
            table.find(&host, &path, &Method::GET, &headers),
            Some(middle)
        );
        group.bench_function(BenchmarkId::new("find", count), |bench| {
            bench.iter(|| table.find(black_box(&host), black_box(&path), &Method::GET, &headers));
        });
        if count == 100_000 {
            group.sample_size(10);
            group.bench_function(BenchmarkId::new("build", count), |bench| {
                bench.iter(|| RouteTable::build(black_box(&routes)).is_ok());
            });
        }
    }
    group.finish();
}

fn normal_form(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for (name, raw) in [
        ("plain", "/v1/customers/4711/orders/0815/items"),
        ("encoded", "/v1/caf%c3%a9/%7euser/a%20b/a%40b"),
        ("refused", "/v1/customers/4711/orders/../../admin"),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| NormalPath::parse(black_box(raw.as_bytes())));
        });
    }
    group.finish();
}

fn limit(criterion: &mut Criterion) {
    let most = NonZeroU32::new(1_000_000_000).expect("not zero");
    let rate = Rate {
        count: most,
        per: Duration::from_secs(1),
        burst: most,
    };
    let store = LimitStore::new();
    let limiter = store.limiter("orders.0", rate);
    let key = "spiffe://partners.example/web/shop";
    criterion.bench_function("limit/take", |bench| {
        bench.iter(|| limiter.take(black_box(key)).allowed);
    });
}

criterion_group!(benches, route_lookup, normal_form, limit);
criterion_main!(benches);
