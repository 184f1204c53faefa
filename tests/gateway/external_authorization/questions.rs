//! What the authorization service is told, and what it is not.

use serde_json::json;

use super::server::Service;
use super::{Stage, with_login};
use crate::bench::client::HOST;
use crate::bench::http1::Request;
use crate::bench::token::{ISSUER, Token};
use crate::bench::{WEB_ID, World};

#[tokio::test]
async fn it_is_told_who_asks_for_what_from_where() {
    let stage = Stage::set().await;
    let client = stage.gateway.client(&stage.world.web());
    let request = Request::post("/open/a/b?q=1", "four")
        .header("X-Tenant", "acme")
        .header("x-list", "1")
        .header("X-List", "2")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-client-identity", "spiffe://mesh.example/admin");
    assert_eq!(client.request(&request).await.status, 200);
    let asked = stage.opa.last();
    assert_eq!(asked.principal, WEB_ID);
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.path, "/open/a/b?q=1");
    assert_eq!(asked.host, HOST);
    assert_eq!(asked.scheme, "https");
    assert_eq!(asked.protocol, "HTTP/1.1");
    assert_eq!(asked.size, 4);
    assert_eq!(asked.sni, HOST);
    assert!(asked.source.starts_with("127.0.0.1:"), "{}", asked.source);
    assert_eq!(asked.certificate, "", "only where it is written");
    let header = |name: &str| asked.headers.get(name).map(String::as_str);
    assert_eq!(header("x-tenant"), Some("acme"));
    assert_eq!(header("x-list"), Some("1,2"));
    assert_eq!(header("x-forwarded-for"), None, "a client says so, not we");
    assert_eq!(header("x-client-identity"), None);
    let context: Vec<_> = asked.context.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(
        context,
        [
            ("listener", "edge"),
            ("route", "open"),
            ("upstream", "orders")
        ]
    );
    assert_eq!(asked.fields["te"], "trailers");
    assert_eq!(asked.fields["grpc-timeout"], "5000m");
    let body = asked.bytes.windows(4).any(|bytes| bytes == b"four");
    assert!(!body, "the body is never told");

    let mut h2 = client.connect_h2().await;
    assert_eq!(h2.request(&Request::get("/open/x")).await.status, 200);
    assert_eq!(stage.opa.last().protocol, "HTTP/2");
    assert_eq!(stage.opa.counts().connections, 1, "one carries them all");
    let took = "portcullis_external_authorization_duration_seconds_count";
    let labels = [("external_authorization", "opa")];
    assert_eq!(stage.gateway.metrics().await.value(took, &labels), 2.0);
}

/// The service hears the path as it was sent, and whoever decides about it the one that routes see.
#[tokio::test]
async fn the_path_is_told_as_routes_compare_it() {
    let stage = Stage::set().await;
    let sent = "/open/7%3acancel/%40%20%C3%A9?q=%3A";
    assert_eq!(stage.get(sent).await.0, 200);
    let told = stage.opa.last().path;
    assert_eq!(told, "/open/7:cancel/@%20%C3%A9?q=%3A");
    let want = "/open/7%3Acancel/%40%20%C3%A9?q=%3A";
    assert_eq!(stage.orders.last_request().target, want);
}

#[tokio::test]
async fn credentials_are_withheld_and_what_they_prove_is_told() {
    let token = json!({ "issuer": "corp", "scopes": ["orders:read"] });
    let stage = Stage::with(&[("route.token", token)]).await;
    let client = stage.gateway.client(&stage.world.web());
    let token = Token::new()
        .subject("alice")
        .scope("orders:read more")
        .claim("tenant", "acme")
        .sign(&stage.world.issuer);
    let request = Request::get("/open/x")
        .bearer(&token)
        .header("cookie", "session=secret")
        .header("dpop", "proof");
    assert_eq!(client.request(&request).await.status, 200);
    let asked = stage.opa.last();
    for name in ["authorization", "cookie", "dpop"] {
        assert!(!asked.headers.contains_key(name), "{name}");
    }
    assert_eq!(asked.context["issuer"], "corp");
    assert_eq!(asked.context["subject"], "alice");
    assert_eq!(asked.context["scopes"], "more orders:read");
    let claims: serde_json::Value = serde_json::from_str(&asked.context["claims"]).expect("JSON");
    assert_eq!(
        (&claims["tenant"], &claims["iss"]),
        (&json!("acme"), &json!(ISSUER))
    );
    let signature = token.rsplit('.').next().expect("three parts").as_bytes();
    let told = asked.bytes.windows(signature.len());
    assert!(!told.into_iter().any(|bytes| bytes == signature));
}

/// In a text with spaces between scopes, a name with a space would be two that nobody gave.
#[tokio::test]
async fn only_what_is_a_scope_is_told_as_one() {
    let token = json!({ "issuer": "corp", "scopes": ["staff"] });
    let stage = Stage::with(&[
        ("route.token", token),
        ("issuer.scopes_claim", json!("groups")),
    ])
    .await;
    let client = stage.gateway.client(&stage.world.web());
    let groups = json!([
        "staff",
        "x orders:write",
        "a\torders:write",
        "b\u{a0}orders:write",
        "\"q\"",
        "b\\",
        "\n",
        "c\0d",
        "fl\u{e9}e",
        "reader"
    ]);
    let told = Token::new()
        .claim("groups", groups.clone())
        .sign(&stage.world.issuer);
    let request = Request::get("/open/x").bearer(&told);
    assert_eq!(client.request(&request).await.status, 200);
    let context = stage.opa.last().context;
    assert_eq!(context["scopes"], "reader staff");
    let claims: serde_json::Value = serde_json::from_str(&context["claims"]).expect("JSON");
    assert_eq!(claims["groups"], groups, "as the issuer wrote it");
}

#[tokio::test]
async fn credentials_and_the_certificate_are_told_where_they_are_written() {
    let stage = Stage::with(&[
        ("send_credentials", json!(["authorization"])),
        ("certificate", json!(true)),
    ])
    .await;
    let client = stage.gateway.client(&stage.world.web());
    let request = Request::get("/open/x")
        .bearer("abc")
        .header("cookie", "session=secret");
    assert_eq!(client.request(&request).await.status, 200);
    let asked = stage.opa.last();
    assert_eq!(asked.headers["authorization"], "Bearer abc");
    assert!(!asked.headers.contains_key("cookie"));
    let begins = "-----BEGIN%20CERTIFICATE-----%0AMII";
    assert!(
        asked.certificate.starts_with(begins),
        "{}",
        asked.certificate
    );
}

#[tokio::test]
async fn cookies_are_told_without_sessions_and_tokens() {
    let world = World::new();
    let opa = Service::start(&world).await;
    let stage = Stage::changed(world, opa, |world, config| {
        with_login(world, config);
        config.set(
            "external_authorization.opa.send_credentials",
            json!(["cookie"]),
        );
        let token = json!({ "issuer": "corp", "from": ["authorization", "cookie:app"] });
        config.set("routes.open.token", token);
    })
    .await;
    let client = stage.gateway.client(&stage.world.web());
    let token = Token::new().sign(&stage.world.issuer);
    let own = "__Host-portcullis-staff=2aaaa; __Host-portcullis-staff.1=bbbb";
    let cookies = format!("theme=dark; {own}; app={token}; lang=en; __Host-portcullis-staff.p.x=c");
    let request = Request::get("/open/x").header("cookie", &cookies);
    assert_eq!(client.request(&request).await.status, 200);
    assert_eq!(stage.opa.last().headers["cookie"], "theme=dark; lang=en");
    let cookies = format!("{own}; app={token}");
    let request = Request::get("/open/x").header("cookie", &cookies);
    assert_eq!(client.request(&request).await.status, 200);
    assert!(!stage.opa.last().headers.contains_key("cookie"));
    // Crumbs, one by one.
    let request = Request::get("/open/x")
        .bearer(&token)
        .header("cookie", "a=1")
        .header("cookie", own)
        .header("cookie", "b=2");
    let mut h2 = client.connect_h2().await;
    assert_eq!(h2.request(&request).await.status, 200);
    assert_eq!(stage.opa.last().headers["cookie"], "a=1; b=2");
}

#[tokio::test]
async fn only_what_everything_else_lets_through_is_asked_about() {
    let limits = json!([{ "rate": "1/h", "per": "client" }]);
    let token = json!({ "issuer": "corp" });
    let stage = Stage::with(&[("route.limits", limits), ("route.token", token)]).await;
    let (status, reason) = stage.get("/open/x").await;
    assert_eq!((status, &*reason), (401, "token_missing"));
    let client = stage.gateway.client(&stage.world.web());
    let token = Token::new().sign(&stage.world.issuer);
    let request = Request::get("/open/x").bearer(&token);
    assert_eq!(client.request(&request).await.status, 200);
    assert_eq!(client.request(&request).await.status, 429);
    assert_eq!(stage.opa.counts().questions, 1);
}
