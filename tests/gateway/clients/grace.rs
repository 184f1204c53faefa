//! `grace_after_expiry`: one route lets in a certificate that ended a moment ago, marked; every other
//! refuses it, and nothing else about the certificate is forgiven.

use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{HANDSHAKES, REQUESTS, listener, route};
use crate::bench::client::{Client, Rejection};
use crate::bench::config::Config;
use crate::bench::crl::Crl;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::http1::Request;
use crate::bench::pki::{Authority, Identity, Leaf};
use crate::bench::service::Service;
use crate::bench::token::Token;
use crate::bench::{WEB_ID, World};
use crate::revocation::{REVOKED, sent_away};

const MARK: &str = "x-client-certificate-expired";
const GRACE: &str = "portcullis_grace_requests_total";
const HOUR: i64 = 3_600;

fn config(world: &World, orders: &Service) -> Config {
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    route(&mut config, "late", "grace_after_expiry", "2h");
    config.set(
        "routes.late.clients",
        json!(["spiffe://partners.example/web/*"]),
    );
    route(&mut config, "later", "grace_after_expiry", "72h");
    // Of its listener alone: the largest grace of the other is none.
    route(&mut config, "inside", "grace_after_expiry", "72h");
    for name in ["late", "later"] {
        config.set(&format!("routes.{name}.listeners"), json!(["edge"]));
    }
    listener(&mut config, "strict", "tls.min_version", "1.2");
    config.set("routes.inside.listeners", json!(["edge"]));
    config
}

/// A client of the standard identity that ended so many seconds ago.
fn ended(world: &World, seconds: i64) -> Identity {
    let leaf = Leaf::client("late").spiffe(WEB_ID);
    world.partners.issue(leaf.valid(-100 * HOUR, -seconds))
}

async fn stage(world: &World) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let gateway = world.gateway_with(&config(world, &orders)).await;
    (orders, gateway)
}

async fn is_refused_in_the_handshake(client: &Client, want: AlertDescription) {
    match client.rejection().await {
        Rejection::Tls(rustls::Error::AlertReceived(alert)) => assert_eq!(alert, want),
        // Under TLS 1.3 the alert may be overtaken by the end of the connection.
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_route_with_a_grace_lets_in_marks_and_every_other_refuses() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let identity = ended(&world, HOUR);
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&identity).versions(&[version]).resumption();
        for resumed in [false, true] {
            let mut connection = client.connect().await;
            assert_eq!(connection.resumed(), resumed);
            let forged = Request::get("/late/x")
                .header("X-Client-Certificate-Expired", "1")
                .header("X_Client_Certificate_Expired", "1");
            let answer = connection.request(&forged).await;
            assert_eq!(answer.status, 200);
            let told = orders.last_request();
            assert_eq!(told.header("x-client-identity"), Some(WEB_ID));
            let [seconds] = told.headers.all(MARK)[..] else {
                panic!("{:?}", told.headers)
            };
            let seconds: i64 = seconds.parse().expect("a number");
            assert!((HOUR..HOUR + 60).contains(&seconds), "{seconds}");
            assert!(!told.headers.has("x_client_certificate_expired"));
            let line = gateway.access_line(&answer).await;
            assert_eq!(line["certificate_expired_seconds"], seconds);
            assert_eq!(line["peer"], WEB_ID);

            let refused = connection.get("/open/x").await;
            assert_eq!(refused.status, 403);
            let line = gateway.access_line(&refused).await;
            assert_eq!(line["reason"], "certificate_expired");
            assert_eq!(line["certificate_expired_seconds"], json!(null));
        }
        let mut h2 = client.connect_h2().await;
        for (path, want) in [
            ("/late/x", 200),
            ("/open/x", 403),
            ("/later/x", 200),
            ("/orders/7", 403),
            ("/nothing", 404),
            ("/late/x", 200),
        ] {
            assert_eq!(h2.get(path).await.status, want, "{path}");
        }
    }
    assert_eq!(orders.requests().len(), 2 * (2 + 3));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.value(GRACE, &[("route", "late")]), 8.0);
    assert_eq!(metrics.value(GRACE, &[("route", "later")]), 2.0);
    assert_eq!(
        metrics.get(GRACE, &[("route", "inside")]),
        Some(0.0),
        "from the start"
    );
    assert_eq!(metrics.get(GRACE, &[("route", "open")]), None);
    let refused = [("route", "open"), ("reason", "certificate_expired")];
    assert_eq!(metrics.value(REQUESTS, &refused), 6.0);
}

#[tokio::test]
async fn who_is_in_time_is_not_marked_and_cannot_mark_itself() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    let client = gateway.client(&world.web());
    let forged = Request::get("/late/x").header("X-Client-Certificate-Expired", "forged");
    let answer = client.request(&forged).await;
    assert_eq!(answer.status, 200);
    assert!(!orders.only_request().headers.has(MARK));
    let line = gateway.access_line(&answer).await;
    assert_eq!(line["certificate_expired_seconds"], json!(null));
    assert_eq!(gateway.metrics().await.value(GRACE, &[]), 0.0);
    let nominated = Request::get("/late/x").header("Connection", "X-Client-Certificate-Expired");
    assert_eq!(client.request(&nominated).await.status, 400);
}

#[tokio::test]
async fn each_route_has_its_own_grace_and_the_largest_is_that_of_the_handshake() {
    let world = World::new();
    let (orders, gateway) = stage(&world).await;
    // Longer ago than the one route says, and not than the other.
    let client = gateway.client(&ended(&world, 3 * HOUR));
    assert_eq!(client.get("/late/x").await.status, 403);
    assert_eq!(client.get("/later/x").await.status, 200);
    // Longer ago than any.
    let over = ended(&world, 72 * HOUR + 60);
    for version in [&TLS12, &TLS13] {
        let client = gateway.client(&over).versions(&[version]);
        is_refused_in_the_handshake(&client, AlertDescription::CertificateExpired).await;
    }
    // A listener that reaches no route with a grace has none.
    let strict = gateway
        .client(&ended(&world, 60))
        .address(gateway.address("strict"));
    is_refused_in_the_handshake(&strict, AlertDescription::CertificateExpired).await;
    let expired = [("side", "downstream"), ("reason", "certificate_expired")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &expired), 3.0);
    assert_eq!(orders.requests().len(), 1);
}

#[tokio::test]
async fn nothing_but_the_end_is_forgiven() {
    let world = World::new();
    let orders = world.orders().start().await;
    let now = time::OffsetDateTime::now_utc;
    let past = Authority::with("past root", |params| {
        params.not_before = now() - time::Duration::days(30);
        params.not_after = now() - time::Duration::seconds(5);
    });
    let pem = format!("{}{}", world.partners.pem(), past.pem());
    world.folder.write("partners-ca.pem", pem);
    let gateway = world.gateway_with(&config(&world, &orders)).await;
    let leaf = || Leaf::client("late").spiffe(WEB_ID).valid(-100 * HOUR, -60);
    let over = world.partners.intermediate_with("over", |params| {
        params.not_before = now() - time::Duration::days(30);
        params.not_after = now() - time::Duration::seconds(5);
    });
    let young = world.partners.intermediate_with("young", |params| {
        params.not_before = now() - time::Duration::seconds(30);
    });
    let old = world.partners.intermediate_with("old", |params| {
        params.not_before = now() - time::Duration::days(30);
    });
    let server = Leaf::server("late").spiffe(WEB_ID).valid(-100 * HOUR, -60);
    let backwards = Leaf::client("late").spiffe(WEB_ID).valid(60, -60);
    let cases = [
        ("another authority", world.stranger.issue(leaf())),
        ("an intermediate that ended after it", over.issue(leaf())),
        (
            "an intermediate that began after it ended",
            young.issue(leaf()),
        ),
        ("a root that ended after it", past.issue(leaf())),
        ("a certificate for servers", world.partners.issue(server)),
        (
            "a validity that ends before it begins",
            world.partners.issue(backwards),
        ),
        (
            "two SPIFFE IDs",
            world
                .partners
                .issue(leaf().spiffe("spiffe://partners.example/web/b")),
        ),
        ("a CA", world.partners.issue(leaf().authority())),
    ];
    for (what, identity) in cases {
        for version in [&TLS12, &TLS13] {
            let client = gateway.client(&identity).versions(&[version]);
            let rejection = client.rejection().await;
            assert!(
                matches!(rejection, Rejection::Tls(_)),
                "{what}: {rejection:?}"
            );
        }
    }
    assert!(orders.requests().is_empty());
    assert_eq!(
        gateway
            .client(&old.issue(leaf()))
            .get("/late/x")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn within_the_grace_the_route_asks_for_all_else_as_ever() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = config(&world, &orders);
    let token = config.get("routes.orders-write.token").clone();
    config.set("routes.late.token", token);
    let gateway = world.gateway_with(&config).await;
    let identity = ended(&world, HOUR);
    let client = gateway.client(&identity);
    let reason = async |request: &Request| {
        let answer = client.request(request).await;
        (answer.status, gateway.reason(&answer).await)
    };
    let refused = |status: u16, reason: &str| (status, Some(reason.to_owned()));
    assert_eq!(
        reason(&Request::get("/late/x")).await,
        refused(401, "token_missing")
    );
    let unbound = Token::new().scope("orders:write").sign(&world.issuer);
    let unbound = Request::get("/late/x").bearer(&unbound);
    assert_eq!(reason(&unbound).await, refused(401, "token_unbound"));
    let bound = Token::new().scope("orders:write").bound_to(&identity);
    let bound = Request::get("/late/x").bearer(&bound.sign(&world.issuer));
    assert_eq!(reason(&bound).await, (200, None));
    // Another client in its grace is not the one that the route names.
    let other = Leaf::client("x").spiffe("spiffe://partners.example/batch/x");
    let other = world.partners.issue(other.valid(-2 * HOUR, -HOUR));
    let answer = gateway.client(&other).get("/late/x").await;
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("peer_not_allowed")
    );
}

#[tokio::test]
async fn a_grace_that_is_taken_away_ends_sessions_and_open_connections() {
    let world = World::new();
    let (orders, mut gateway) = stage(&world).await;
    let mut clients = Vec::new();
    for version in [&TLS12, &TLS13] {
        let client = gateway
            .client(&ended(&world, HOUR))
            .versions(&[version])
            .resumption();
        let (mut h1, h2) = (client.connect().await, client.connect_h2().await);
        assert_eq!(h1.get("/late/x").await.status, 200);
        clients.push((client, h1, h2));
    }
    let mut config = gateway.config.clone();
    for name in ["late", "later", "inside"] {
        config.remove(&format!("routes.{name}.grace_after_expiry"));
    }
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    let before = orders.requests().len();
    for (client, mut h1, mut h2) in clients {
        assert!(h1.closed().await.is_empty());
        sent_away(&mut h2).await;
        drop(client.rejection().await);
    }
    let expired = [("side", "downstream"), ("reason", "certificate_expired")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &expired), 2.0);
    assert_eq!(orders.requests().len(), before);
}

/// Two reasons to refuse, and the grace forgives one of them: the other decides, in the handshake and on
/// a connection that the grace has let in.
#[tokio::test]
async fn who_is_in_its_grace_and_revoked_is_refused_as_revoked() {
    const SERIAL: u64 = 0x51;
    let world = World::new();
    let orders = world.orders().start().await;
    let crl = |serials: &[u64], number| Crl::of(serials).number(number).pem(&world.partners);
    world.folder.write("partners.crl", crl(&[], 1));
    world.folder.write("deny.list", "# nobody yet\n");
    let mut config = config(&world, &orders);
    config.set("trust.partners.crl", "partners.crl");
    config.set("deny", "deny.list");
    let gateway = world.gateway_with(&config).await;
    let leaf = |id: &str| {
        let leaf = Leaf::client("late").spiffe(id);
        leaf.valid(-100 * HOUR, -HOUR)
    };
    let listed = world.partners.issue(leaf(WEB_ID).serial(SERIAL));
    let denied = "spiffe://partners.example/web/denied";
    let list = || drop(world.folder.write("partners.crl", crl(&[SERIAL], 2)));
    let deny = || drop(world.folder.write("deny.list", denied));
    let denied = world.partners.issue(leaf(denied));
    let ways: [(&Identity, &dyn Fn(), &str); 2] = [
        (&listed, &list, "certificate_revoked"),
        (&denied, &deny, "certificate_denied"),
    ];
    for (identity, take_away, reason) in ways {
        let mut clients = Vec::new();
        for version in [&TLS12, &TLS13] {
            let client = gateway.client(identity).versions(&[version]).resumption();
            let mut open = client.connect().await;
            assert_eq!(open.get("/late/x").await.status, 200, "{reason}");
            clients.push((client, open));
        }
        let told = orders.requests().len();
        let taken = gateway.reload_by(take_away).await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{reason}: {taken:?}");
        for (client, mut open) in clients {
            assert!(open.closed().await.is_empty(), "{reason}");
            let alert = AlertDescription::CertificateRevoked;
            is_refused_in_the_handshake(&client, alert).await;
        }
        let of = [("listener", "edge"), ("reason", reason)];
        let all_closed = |count| count == 2.0;
        gateway.wait_for_metric(REVOKED, &of, all_closed).await;
        let failed = [("side", "downstream"), ("reason", reason)];
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.value(HANDSHAKES, &failed), 2.0, "{reason}");
        assert_eq!(orders.requests().len(), told, "{reason}");
    }
    let expired = [("reason", "certificate_expired")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &expired), 0.0);
}
