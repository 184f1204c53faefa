//! The authorization server of the bench against itself, without a gateway.

use std::sync::Arc;

use serde_json::json;

use super::World;
use super::http1::Request;
use super::provider::{
    AUDIENCE, DISCOVERY, Grant, INTROSPECTION, JWKS, METADATA, TOKEN, TOKEN_EXCHANGE, claims_of,
};
use super::token::IssuerKey;

#[tokio::test]
async fn it_says_what_it_is_and_gives_tokens_of_both_kinds() {
    let world = World::new();
    let provider = world.provider().await;
    for path in [DISCOVERY, METADATA] {
        let metadata = provider.client().get(path).await.json();
        assert_eq!(metadata["issuer"], json!(provider.issuer));
        assert_eq!(metadata["jwks_uri"], json!(provider.url(JWKS)));
        assert_eq!(metadata["token_endpoint"], json!(provider.url(TOKEN)));
    }
    let grant = Grant::jwt().scope("orders:read");
    let token = provider
        .token(grant.claims(json!({ "tenant": "acme" })))
        .await;
    let claims = claims_of(&token);
    assert_eq!(claims["iss"], json!(provider.issuer));
    assert_eq!(claims["aud"], json!(AUDIENCE));
    assert_eq!(claims["scope"], json!("orders:read"));
    assert_eq!(claims["tenant"], json!("acme"));

    let opaque = provider.token(Grant::opaque().scope("orders:read")).await;
    assert!(!opaque.contains('.'), "{opaque}");
    let said = provider.introspect(&opaque).await;
    assert_eq!(said["active"], json!(true));
    assert_eq!(said["aud"], json!(AUDIENCE));
    provider.revoke(&opaque).await;
    assert_eq!(
        provider.introspect(&opaque).await,
        json!({ "active": false })
    );
    assert_eq!(provider.requests(INTROSPECTION).len(), 2);
}

#[tokio::test]
async fn it_binds_tokens_to_certificates_and_keys() {
    let world = World::new();
    let provider = world.provider().await;
    let web = world.web();
    let bound = provider.token(Grant::jwt().bound_to(&web)).await;
    assert_eq!(
        claims_of(&bound)["cnf"],
        json!({ "x5t#S256": web.thumbprint() })
    );
    let opaque = provider.token(Grant::opaque().bound_to(&web)).await;
    let said = provider.introspect(&opaque).await;
    assert_eq!(said["cnf"], json!({ "x5t#S256": web.thumbprint() }));
    let key = Arc::new(IssuerKey::es256("proof"));
    let proven = provider.token(Grant::jwt().dpop_shared(&key)).await;
    assert_eq!(
        claims_of(&proven)["cnf"]["jkt"].as_str().map(str::len),
        Some(43)
    );
    let said = provider.ask_token(&Grant::opaque().dpop_shared(&key)).await;
    assert_eq!(said.json()["token_type"], json!("DPoP"));
}

#[tokio::test]
async fn it_rotates_keys_signs_answers_and_exchanges() {
    let world = World::new();
    let provider = world.provider().await;
    assert_eq!(provider.rotate().await, ["es256-2", "es256-1"]);
    assert_eq!(provider.remove_key("es256-1").await, ["es256-2"]);
    let keys = provider.client().get(JWKS).await.json();
    assert_eq!(keys["keys"][0]["kid"], json!("es256-2"));
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1));

    let opaque = provider.token(Grant::opaque()).await;
    let form = [("token", opaque.as_str())];
    let request = provider.form("gateway", INTROSPECTION, &form);
    let request = request.header("Accept", "application/token-introspection+jwt");
    let signed = provider.client().request(&request).await.text();
    let claims = claims_of(&signed);
    assert_eq!(claims["aud"], json!("gateway"));
    assert_eq!(claims["token_introspection"]["active"], json!(true));

    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", &opaque),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("audience", "upstream"),
    ];
    let exchanged = provider.ask("gateway", TOKEN, &form).await.json();
    let claims = claims_of(exchanged["access_token"].as_str().expect("a token"));
    assert_eq!(claims["aud"], json!("upstream"));
    assert_eq!(claims["act"], json!({ "sub": "gateway" }));
}

#[tokio::test]
async fn it_misbehaves_as_it_is_told() {
    let world = World::new();
    let provider = world
        .provider_with(json!({ "algorithms": ["ES256", "RS256"] }))
        .await;
    let rsa = provider.token(Grant::jwt().algorithm("RS256")).await;
    assert_eq!(rsa.split('.').count(), 3);
    let once = json!([{ "path": JWKS, "status": 503, "body": "later", "times": 1 }]);
    provider.faults(once).await;
    assert_eq!(provider.client().get(JWKS).await.status, 503);
    assert_eq!(provider.client().get(JWKS).await.status, 200);
    provider
        .faults(json!([{ "path": JWKS, "how": "close" }]))
        .await;
    let mut connection = provider.client().connect().await;
    assert!(connection.try_request(&Request::get(JWKS)).await.is_err());
    assert_eq!(provider.wait_for_requests(JWKS, 3).await.len(), 3);
}

#[tokio::test]
async fn clients_authenticate_by_certificate() {
    let world = World::new();
    let provider = world.provider().await;
    let form =
        "grant_type=client_credentials&client_id=gateway-mtls&resource=urn:opaque::orders-api";
    let request = Request::post(TOKEN, form);
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    let known = provider.client().identity(&world.gateway_identity);
    let answer = known.request(&request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = provider.client().identity(&world.web());
    assert_eq!(other.request(&request).await.status, 401);
}
