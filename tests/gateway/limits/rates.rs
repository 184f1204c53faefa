//! The limits of a route.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, hourly};
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::token::{self, IssuerKey, Token, with_broken_signature};

#[tokio::test]
async fn a_burst_passes_and_each_answer_says_what_is_left() {
    let stage = Stage::limited(hourly(3, "client")).await;
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    for left in [2, 1, 0] {
        let answer = connection.get("/open/x").await;
        assert_eq!(answer.status, 200);
        let reset = (3 - left) * 3600;
        let want = format!("\"limit-0\";r={left};t={reset}");
        assert_eq!(answer.headers.all("ratelimit"), [want.as_str()]);
        let policy = answer.headers.all("ratelimit-policy");
        assert_eq!(policy, ["\"limit-0\";q=3;w=10800"]);
        assert_eq!(answer.header("retry-after"), None);
    }
    let answer = connection.get("/open/x").await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        stage.reason(&answer).await.as_deref(),
        Some("rate_exceeded")
    );
    let wait = answer.header("retry-after").expect("Retry-After");
    let seconds: u64 = wait.parse().expect("seconds");
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    let want = format!("\"limit-0\";r=0;t={wait}");
    assert_eq!(answer.headers.all("ratelimit"), [want.as_str()]);
    let policy = answer.headers.all("ratelimit-policy");
    assert_eq!(policy, ["\"limit-0\";q=3;w=10800"]);
    assert_eq!(
        stage.orders.requests().len(),
        3,
        "the refused one got no further"
    );
    let metrics = stage.gateway.metrics().await;
    let refused = [("route", "open"), ("limit", "0")];
    assert_eq!(
        metrics.value("portcullis_limits_refused_total", &refused),
        1.0
    );
}

#[tokio::test]
async fn a_service_cannot_forge_what_is_left_and_a_route_without_limits_says_nothing() {
    let stage = Stage::limited(hourly(3, "client")).await;
    let forged = [
        ("RateLimit", "\"x\";r=999"),
        ("RateLimit-Policy", "\"x\";q=999"),
    ];
    stage
        .orders
        .set_reply(move |_| crate::bench::service::Reply::new(200, &forged, "x"));
    let answer = stage.gateway.client(&stage.web).get("/open/x").await;
    assert_eq!(answer.headers.all("ratelimit"), ["\"limit-0\";r=2;t=3600"]);
    assert_eq!(answer.headers.all("ratelimit-policy").len(), 1);
    let stage = Stage::limited(json!([])).await;
    let answer = stage.gateway.client(&stage.web).get("/open/x").await;
    assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
}

#[tokio::test]
async fn what_was_used_comes_back_with_time() {
    let stage = Stage::limited(json!([{ "rate": "2/s", "burst": 2, "per": "client" }])).await;
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    let began = Instant::now();
    let mut passed = 0;
    let mut refused = 0;
    // Two at once, and then one each half second.
    while passed < 5 {
        let answer = connection.get("/open/x").await;
        match answer.status {
            200 => passed += 1,
            429 => {
                refused += 1;
                assert_eq!(answer.header("retry-after"), Some("1"));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => panic!("{other}"),
        }
        assert!(began.elapsed() < crate::bench::PATIENCE);
    }
    assert!(refused > 0);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1400), "too soon: {took:?}");
}

#[tokio::test]
async fn a_clients_requests_count_together_and_not_with_those_of_another() {
    let stage = Stage::limited(hourly(3, "client")).await;
    let web = stage.gateway.client(&stage.web);
    let twin = stage.gateway.client(&stage.world.web());
    assert_eq!(web.get("/open/x").await.status, 200);
    assert_eq!(twin.get("/open/x").await.status, 200, "another certificate");
    let mut h2 = web.connect_h2().await;
    assert_eq!(h2.get("/open/x").await.status, 200);
    assert_eq!(h2.get("/open/x").await.status, 429, "over h2 too");
    assert_eq!(twin.get("/open/y").await.status, 429);
    assert_eq!(web.source("127.0.0.9").get("/open/x").await.status, 429);
    let other = stage.gateway.client(&stage.other);
    assert_eq!(other.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn who_shows_no_certificate_counts_by_source() {
    let stage = Stage::set(|config| {
        config.set("listeners.edge.tls.clients.certificate", "optional");
        config.set("routes.open.limits", hourly(1, "client"));
    })
    .await;
    let nobody = stage.gateway.anonymous();
    assert_eq!(nobody.get("/open/x").await.status, 200);
    assert_eq!(nobody.get("/open/x").await.status, 429);
    let elsewhere = stage.gateway.anonymous().source("127.0.0.9");
    assert_eq!(elsewhere.get("/open/x").await.status, 200);
    let web = stage.gateway.client(&stage.web);
    assert_eq!(web.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn a_source_counts_whoever_comes_from_it() {
    let stage = Stage::limited(hourly(2, "source")).await;
    let from = |identity, source| stage.gateway.client(identity).source(source);
    assert_eq!(
        from(&stage.web, "127.0.0.7").get("/open/x").await.status,
        200
    );
    assert_eq!(
        from(&stage.other, "127.0.0.7").get("/open/x").await.status,
        200
    );
    assert_eq!(
        from(&stage.web, "127.0.0.7").get("/open/x").await.status,
        429
    );
    assert_eq!(
        from(&stage.web, "127.0.0.8").get("/open/x").await.status,
        200
    );
    let forged = Request::get("/open/x").header("X-Forwarded-For", "127.0.0.99");
    let answer = from(&stage.web, "127.0.0.7").request(&forged).await;
    assert_eq!(answer.status, 429, "the address of the socket counts");
}

#[tokio::test]
async fn a_header_counts_by_its_value() {
    let stage = Stage::limited(hourly(1, "header:X-Tenant")).await;
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    let of = |tenant: &str| Request::get("/open/x").header("x-tenant", tenant);
    assert_eq!(connection.request(&of("a")).await.status, 200);
    assert_eq!(connection.request(&of("a")).await.status, 429);
    assert_eq!(connection.request(&of("b")).await.status, 200);
    assert_eq!(connection.get("/open/x").await.status, 200, "without it");
    assert_eq!(connection.get("/open/x").await.status, 429, "all together");
    let mut other = stage.gateway.client(&stage.other).connect().await;
    assert_eq!(
        other.request(&of("a")).await.status,
        429,
        "whoever sends it"
    );
}

#[tokio::test]
async fn a_subject_counts_within_its_issuer_whoever_brings_its_token() {
    let labs = IssuerKey::es256("labs");
    let keys = token::jwks(&[&labs]);
    let mut stage = Stage::set(|config| {
        config.set("routes.orders-read.limits", hourly(2, "subject"));
    })
    .await;
    let of = |subject: &str| Token::new().subject(subject).sign(&stage.world.issuer);
    let read = |token: &str| Request::get("/orders/7").bearer(token);
    let web = stage.gateway.client(&stage.web);
    let other = stage.gateway.client(&stage.other);
    assert_eq!(web.request(&read(&of("alice"))).await.status, 200);
    assert_eq!(other.request(&read(&of("alice"))).await.status, 200);
    assert_eq!(web.request(&read(&of("alice"))).await.status, 429);
    assert_eq!(web.request(&read(&of("bob"))).await.status, 200);
    // Tokens that name nobody are not one subject: each client's count for itself.
    let nameless = Token::new().without("sub").sign(&stage.world.issuer);
    for status in [200, 200, 429] {
        assert_eq!(web.request(&read(&nameless)).await.status, status);
    }
    assert_eq!(other.request(&read(&nameless)).await.status, 200);
    // The route goes over to another issuer: its alice is somebody else.
    stage.world.folder.write("labs.json", keys);
    let mut config = stage.gateway.config.clone();
    let mut issuer = config.get("issuers.corp").clone();
    issuer["issuer"] = json!("https://labs.example.com");
    issuer["keys"]["file"] = json!("labs.json");
    config.set("issuers.labs", issuer);
    config.set("routes.orders-read.token.issuer", "labs");
    let reloaded = stage.gateway.reload(&config).await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    let namesake = Token::new()
        .claim("iss", "https://labs.example.com")
        .sign(&labs);
    assert_eq!(web.request(&read(&namesake)).await.status, 200);
}

#[tokio::test]
async fn only_requests_that_might_pass_are_counted() {
    let stage = Stage::set(|config| {
        config.set("routes.orders-read.limits", hourly(1, "client"));
    })
    .await;
    let good = Token::new().sign(&stage.world.issuer);
    let poor = Token::new().scope("x").sign(&stage.world.issuer);
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    let mut read = async |token: &str| {
        let request = Request::get("/orders/7").bearer(token);
        connection.request(&request).await.status
    };
    assert_eq!(read(&with_broken_signature(&good)).await, 401);
    assert_eq!(read(&poor).await, 403);
    assert_eq!(read(&good).await, 200);
    assert_eq!(read(&good).await, 429);
    assert_eq!(read(&poor).await, 403);
}

#[tokio::test]
async fn each_of_several_limits_is_held_and_told() {
    let stage = Stage::limited(json!([
        { "rate": "1/h", "burst": 5, "per": "client" },
        { "rate": "1/h", "burst": 1, "per": "header:x-tenant" },
    ]))
    .await;
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    let of = |tenant: &str| Request::get("/open/x").header("x-tenant", tenant);
    let answer = connection.request(&of("a")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("ratelimit"),
        Some("\"limit-0\";r=4;t=3600, \"limit-1\";r=0;t=3600")
    );
    let answer = connection.request(&of("a")).await;
    assert_eq!(answer.status, 429);
    let told = answer.header("ratelimit").unwrap_or_default();
    assert!(
        told.contains("\"limit-0\";r=3") && told.contains("\"limit-1\";r=0"),
        "{told}"
    );
    let metrics = stage.gateway.metrics().await;
    let count = |limit| {
        let labels = [("route", "open"), ("limit", limit)];
        metrics.value("portcullis_limits_refused_total", &labels)
    };
    assert_eq!((count("0"), count("1")), (0.0, 1.0));
}

#[tokio::test]
async fn counters_outlive_a_reload_and_another_rate_begins_anew() {
    let mut stage = Stage::limited(hourly(3, "client")).await;
    let client = stage.gateway.client(&stage.web);
    for _ in 0..2 {
        assert_eq!(client.get("/open/x").await.status, 200);
    }
    let mut config = stage.gateway.config.clone();
    config.route("more", "/more/**", "orders");
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(2));
    assert_eq!(client.get("/open/x").await.status, 200);
    assert_eq!(client.get("/open/x").await.status, 429);
    assert_eq!(
        stage.gateway.reload_text("version: 2\n").await,
        Reloaded::Refused
    );
    assert_eq!(client.get("/open/x").await.status, 429);
    config.set("routes.open.limits", hourly(4, "client"));
    assert_eq!(stage.gateway.reload(&config).await, Reloaded::Applied(3));
    assert_eq!(client.get("/open/x").await.status, 200);
}

#[tokio::test]
async fn two_routes_do_not_share_their_limits() {
    let stage = Stage::set(|config| {
        config.route("second", "/second/**", "orders");
        config.set("routes.open.limits", hourly(1, "client"));
        config.set("routes.second.limits", hourly(1, "client"));
    })
    .await;
    let mut connection = stage.gateway.client(&stage.web).connect().await;
    assert_eq!(connection.get("/open/x").await.status, 200);
    assert_eq!(
        connection.get("/open/y").await.status,
        429,
        "other path, same route"
    );
    assert_eq!(connection.get("/second/x").await.status, 200);
}
