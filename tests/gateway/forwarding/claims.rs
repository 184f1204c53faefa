//! What a signed identity says, for whom, and how long.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{FIELD, ISSUER, SIGNED, kid, kids, signed, token, verify};
use crate::api_keys;
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::token::{self, Token, unix_now};
use crate::bench::{WEB_ID, World};
use crate::http1::Stage;

async fn stage() -> Stage {
    Stage::with(|config| signed(config, json!({}))).await
}

#[tokio::test]
async fn a_service_verifies_who_asks_with_the_published_keys() {
    let stage = stage().await;
    let web = stage.world.partners.issue(
        Leaf::client("web")
            .spiffe(WEB_ID)
            .dns("web.partners.example"),
    );
    let request = Request::get("/orders/7").bearer(&Token::new().sign(&stage.world.issuer));
    let client = stage.gateway.client(&web);
    let before = unix_now();
    assert_eq!(client.request(&request).await.status, 200);
    assert_eq!(
        client.connect_h2().await.request(&request).await.status,
        200
    );
    for seen in stage.orders.requests() {
        let claims = verify(&stage.gateway, token(&seen), "orders").await;
        let claims = claims.expect("a good token");
        let issued = claims["iat"].as_i64().expect("iat");
        assert!((before..=unix_now()).contains(&issued));
        let (_, certificate) = x509_parser::parse_x509_certificate(web.leaf()).expect("X.509");
        let want = json!({
            "iss": ISSUER,
            "aud": "orders",
            "sub": WEB_ID,
            "iat": issued,
            "exp": issued + 60,
            "route": "orders-read",
            "cert": {
                "x5t#S256": web.thumbprint(),
                "spiffe": WEB_ID,
                "dns": ["web.partners.example"],
                "not_after": certificate.validity().not_after.timestamp(),
            },
            "token": { "issuer": "corp", "iss": token::ISSUER, "sub": "alice" },
            // Who may present it: the service sees this certificate in the handshake.
            "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(&seen.peer) },
        });
        assert_eq!(claims, want);
    }
}

#[tokio::test]
async fn a_token_for_one_service_is_none_for_another() {
    let world = World::new();
    let orders = world.orders().start().await;
    let stock_id = "spiffe://mesh.example/ns/shop/sa/stock";
    let stock = world.service(stock_id, "stock.internal").start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.upstream("stock", stock.address, "stock.internal", &[stock_id]);
    config.route("stock", "/stock/**", "stock");
    signed(&mut config, json!({}));
    config.set("routes.stock.forward", json!({ "signed_identity": true }));
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    assert_eq!(client.get("/open/a").await.status, 200);
    assert_eq!(client.get("/stock/a").await.status, 200);
    let (for_orders, for_stock) = (orders.only_request(), stock.only_request());
    for (seen, own, other) in [
        (&for_orders, "orders", "stock"),
        (&for_stock, "stock", "orders"),
    ] {
        let claims = verify(&gateway, token(seen), own).await.expect("its own");
        assert_eq!(claims["sub"], WEB_ID);
        assert_eq!(claims.get("token"), None, "no token was looked at");
        let refused = verify(&gateway, token(seen), other).await;
        assert_eq!(refused, Err("InvalidAudience".to_owned()));
    }
    let altered = token::with_claims(token(&for_orders), |claims| claims["aud"] = json!("stock"));
    let refused = verify(&gateway, &altered, "stock").await;
    assert_eq!(refused, Err("InvalidSignature".to_owned()));
}

#[tokio::test]
async fn who_has_no_certificate_is_none_and_who_has_neither_is_not_spoken_of() {
    let stage = Stage::with(|config| {
        signed(config, json!({}));
        config.set("listeners.edge.tls.clients.certificate", "optional");
        config.set("routes.orders-read.clients", "any");
    })
    .await;
    let anonymous = stage.gateway.anonymous();
    let forged = Request::get("/open/a").header("X-Client-Identity-Token", "forged");
    assert_eq!(anonymous.request(&forged).await.status, 200);
    assert!(!stage.orders.last_request().headers.has(FIELD));
    let bearer = Token::new().sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&bearer);
    assert_eq!(anonymous.request(&request).await.status, 200);
    let seen = stage.orders.last_request();
    let claims = verify(&stage.gateway, token(&seen), "orders").await;
    let claims = claims.expect("a good token");
    assert_eq!(
        claims["token"],
        json!({ "issuer": "corp", "iss": token::ISSUER, "sub": "alice" })
    );
    for name in ["sub", "cert"] {
        assert_eq!(claims.get(name), None, "{name} is of a certificate alone");
    }
}

#[tokio::test]
async fn only_a_route_that_asks_for_it_tells_and_only_what_is_ours() {
    let stage = Stage::with(|config| {
        signed(config, json!({}));
        config.remove("routes.orders-read.forward");
    })
    .await;
    let mut request = Request::get("/open/a");
    let bearer = Token::new().sign(&stage.world.issuer);
    let mut other = Request::get("/orders/7").bearer(&bearer);
    for name in [
        "X-Client-Identity-Token",
        "x_client_identity_token",
        "X.Client.Identity.Token",
        "X-CLIENT_IDENTITY-TOKEN",
    ] {
        request = request.header(name, "forged").header(name, "forged");
        other = other.header(name, "forged");
    }
    assert_eq!(stage.client().request(&request).await.status, 200);
    let seen = stage.orders.last_request();
    assert!(verify(&stage.gateway, token(&seen), "orders").await.is_ok());
    assert!(!String::from_utf8_lossy(&seen.head).contains("forged"));
    assert_eq!(stage.client().request(&other).await.status, 200);
    let head = stage.orders.last_request().head;
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(
        !head.contains("identity-token") && !head.contains("forged"),
        "{head}"
    );
    for name in ["X-Client-Identity-Token", "x_client_identity_token"] {
        let request = format!("GET /open/a HTTP/1.1\r\nHost: {HOST}\r\nConnection: {name}\r\n\r\n");
        stage.refuses(request, 400, "connection_nominates").await;
    }
}

#[tokio::test]
async fn it_is_signed_once_for_many_requests_and_anew_for_each_who_differs() {
    let stage = stage().await;
    let count = async |result: &str| {
        let metrics = stage.gateway.metrics().await;
        metrics.value(SIGNED, &[("result", result)])
    };
    let ask = async |client: &crate::bench::client::Client, subject: &str| {
        let bearer = Token::new().subject(subject).sign(&stage.world.issuer);
        let request = Request::get("/orders/7").bearer(&bearer);
        assert_eq!(client.request(&request).await.status, 200);
        token(&stage.orders.last_request()).to_owned()
    };
    let web = stage.client();
    let first = ask(&web, "alice").await;
    for _ in 0..9 {
        // Each over a connection of its own.
        assert_eq!(ask(&web, "alice").await, first);
    }
    assert_eq!((count("signed").await, count("reused").await), (1.0, 9.0));
    let bob = ask(&web, "bob").await;
    // The same name, renewed: another certificate.
    let renewed = stage.gateway.client(&stage.world.web());
    let again = ask(&renewed, "alice").await;
    assert!(first != bob && bob != again && first != again);
    let open = Request::get("/open/a");
    assert_eq!(web.request(&open).await.status, 200);
    let claims = verify(
        &stage.gateway,
        token(&stage.orders.last_request()),
        "orders",
    )
    .await;
    assert_eq!(claims.expect("a good token")["route"], "open");
    assert_eq!((count("signed").await, count("reused").await), (4.0, 9.0));
    assert_eq!(count("failed").await, 0.0);
}

#[tokio::test]
async fn it_does_not_outlive_what_it_speaks_of() {
    let stage = Stage::with(|config| signed(config, json!({ "lifetime": "10m" }))).await;
    let now = unix_now();
    let short = stage
        .world
        .partners
        .issue(Leaf::client("short").spiffe(WEB_ID).valid(-60, 300));
    let ask = async |identity, until: i64| {
        let bearer = Token::new().valid(-5, until).sign(&stage.world.issuer);
        let request = Request::get("/orders/7").bearer(&bearer);
        let answer = stage.gateway.client(identity).request(&request).await;
        assert_eq!(answer.status, 200);
        let claims = verify(
            &stage.gateway,
            token(&stage.orders.last_request()),
            "orders",
        )
        .await;
        claims.expect("a good token")["exp"].as_i64().expect("exp") - now
    };
    let near = |is: i64, want: i64| (want - 5..=want + 5).contains(&is);
    let long = ask(&stage.web, 3_600).await;
    assert!(near(long, 600), "{long}");
    // The certificate's end comes first; then that of another token of the same subject.
    let of_certificate = ask(&short, 3_600).await;
    assert!(near(of_certificate, 300), "{of_certificate}");
    let of_token = ask(&stage.web, 120).await;
    assert!(near(of_token, 120), "{of_token}");
    // Let in within the leeway: it is told, and for as short as it can be.
    let over = ask(&stage.web, -8).await;
    assert!(near(over, 10), "{over}");
}

#[tokio::test]
async fn a_subject_is_told_whole_or_its_token_is_none() {
    let stage = stage().await;
    let long = "a".repeat(1024);
    for subject in [&long, "al \"ice\"\r\n\u{e9}\0", ""] {
        let bearer = Token::new().subject(subject).sign(&stage.world.issuer);
        let request = Request::get("/orders/7").bearer(&bearer);
        assert_eq!(stage.client().request(&request).await.status, 200);
        let seen = stage.orders.last_request();
        let claims = verify(&stage.gateway, token(&seen), "orders").await;
        assert_eq!(claims.expect("a good token")["token"]["sub"], *subject);
    }
    let asked = stage.orders.requests().len();
    let bearer = Token::new()
        .subject(&format!("{long}a"))
        .sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&bearer);
    let answer = stage.client().request(&request).await;
    let reason = stage.gateway.reason(&answer).await;
    let refused = (401, Some("token_malformed"));
    assert_eq!((answer.status, reason.as_deref()), refused);
    assert_eq!(stage.orders.requests().len(), asked);
}

/// Whoever may write a claim that nobody holds against anything names any issuer there.
#[tokio::test]
async fn an_issuer_that_nobody_verified_is_not_told() {
    let world = World::new();
    let orders = world.orders().start().await;
    let key = api_keys::make("never");
    let claims = format!("claims: {{ iss: \"{}\", ", token::ISSUER);
    let owners = api_keys::owners(&[&key]).replace("claims: { ", &claims);
    world.folder.write("partners.yaml", owners);
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    signed(&mut config, json!({}));
    let mut mesh = config.get("issuers.corp").clone();
    mesh["issuer"] = json!("none");
    mesh["trust_domain"] = json!("mesh.example");
    config.set("issuers.mesh", mesh);
    config.set("api_keys.partners.file", "partners.yaml");
    config.set("routes.open.token", json!({ "issuer": "mesh" }));
    config.set("routes.open.api_key", "partners");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let id = "spiffe://mesh.example/web";
    let svid = Token::new().subject(id).claim("iss", token::ISSUER);
    let svid = svid.sign(&world.issuer);
    for (request, want) in [
        (
            Request::get("/open/a").bearer(&svid),
            json!({ "issuer": "mesh", "sub": id }),
        ),
        (
            Request::get("/open/a").header("X-Api-Key", &key.key),
            json!({ "issuer": "partners", "sub": "acme" }),
        ),
    ] {
        assert_eq!(client.request(&request).await.status, 200);
        let seen = orders.last_request();
        let claims = verify(&gateway, token(&seen), "orders").await;
        assert_eq!(claims.expect("a good token")["token"], want);
        assert_eq!(seen.header("x-token-issuer"), want["issuer"].as_str());
    }
}

#[tokio::test]
async fn neither_tokens_nor_keys_are_logged() {
    let stage = Stage::with(|config| {
        signed(config, json!({}));
        config.set("logs.level", "debug");
    })
    .await;
    let answer = stage.client().get("/open/a").await;
    stage.gateway.access_line(&answer).await;
    let seen = stage.orders.only_request();
    let secret = token(&seen).rsplit_once('.').expect("a signature").1;
    let log = stage.gateway.log().join("\n");
    assert!(!log.contains(secret));
    assert!(!log.contains("PRIVATE KEY"));
    let signs = kid(token(&seen));
    assert!(log.contains(&signs), "which key it is may be known");
    assert!(kids(&stage.gateway).await.contains(&signs));
}
