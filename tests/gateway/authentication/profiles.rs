//! What routes ask of tokens, and the set-ups of `docs/tokens.md` with tokens as their issuers make them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Stage;
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::token::{self, Algorithm, IssuerKey, Token, unix_now};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of `tests/config/accepts`.
fn set_up(name: &str) -> (PathBuf, String) {
    let file = format!("tests/config/accepts/set-up-{name}.yaml");
    let path = repository().join(file);
    let text = fs::read_to_string(&path).expect("a set-up");
    (path, text)
}

#[test]
fn each_set_up_of_the_guide_is_the_one_that_is_tested() {
    let guide = fs::read_to_string(repository().join("docs/tokens.md")).expect("the guide");
    let (_, guide) = guide
        .split_once("## Set-up by issuer")
        .expect("its last chapter");
    let blocks = guide.split("```yaml\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let names = ["keycloak", "auth0", "entra", "okta", "spiffe"];
    assert_eq!(blocks.len(), names.len());
    for (block, name) in blocks.into_iter().zip(names) {
        let (path, text) = set_up(name);
        assert!(text.ends_with(block), "{} has another text", path.display());
    }
}

/// A gateway with the issuer and the route of a set-up; its keys are `key`.
async fn stage_of(name: &str, key: &IssuerKey, use_of_key: &str) -> Stage {
    let (_, text) = set_up(name);
    let file: Value = serde_yaml::from_str(&text).expect("YAML");
    let world = World::new();
    let mut jwk = key.jwk();
    jwk["use"] = json!(use_of_key);
    // As Entra and SPIRE have it.
    jwk.as_object_mut().expect("an object").remove("alg");
    let keys = json!({ "keys": [jwk, { "kty": "EC", "use": "x509-svid", "x5c": ["MII"] }] });
    world.folder.write("issuer.json", keys.to_string());
    Stage::with(world, |config| {
        let issuers = file["issuers"].as_object().expect("issuers");
        for (name, issuer) in issuers {
            let mut issuer = issuer.clone();
            issuer["keys"] = json!({ "file": "issuer.json" });
            config.set(&format!("issuers.{name}"), issuer);
        }
        config.set(
            "routes.orders-read.token",
            file["routes"]["orders"]["token"].clone(),
        );
    })
    .await
}

/// A token with these claims, from now on for five minutes.
fn made(
    key: &IssuerKey,
    header: &Value,
    claims: &Value,
    change: impl FnOnce(&mut Value),
) -> String {
    let mut token = Token::new();
    token.claims = claims.clone();
    token.header = header.clone();
    let now = unix_now();
    token.claims["iat"] = json!(now);
    token.claims["exp"] = json!(now + 300);
    change(&mut token.claims);
    token.sign(key)
}

/// Holds a set-up against a good token, and against tokens that differ in one claim each.
async fn hold(
    name: &str,
    key: &IssuerKey,
    header: Value,
    claims: Value,
    bad: &[(&str, Value, &'static str)],
) {
    let use_of_key = if name == "spiffe" { "jwt-svid" } else { "sig" };
    let stage = stage_of(name, key, use_of_key).await;
    let good = made(key, &header, &claims, |_| ());
    let mut cases = vec![("as it is", good, None)];
    for (claim, value, reason) in bad {
        let token = made(key, &header, &claims, |claims| {
            if value.is_null() {
                claims.as_object_mut().expect("an object").remove(*claim);
            } else {
                claims[*claim] = value.clone();
            }
        });
        cases.push((claim, token, Some(*reason)));
    }
    stage.hold("/orders/7", &cases).await;
}

#[tokio::test]
async fn keycloak_as_the_guide_has_it() {
    let key = IssuerKey::new("Vq7nV0cXo9gJ", Algorithm::Rs256);
    let header = json!({ "typ": "JWT" });
    let claims = json!({
        "jti": "onrtac:5d3f", "iss": "https://keycloak.example.com/realms/shop",
        "aud": ["orders-api", "account"], "sub": "0b1f", "typ": "Bearer", "azp": "shop",
        "sid": "7c", "acr": "1", "realm_access": { "roles": ["offline_access"] },
        "resource_access": { "orders-api": { "roles": ["reader", "writer"] }, "account": { "roles": ["view-profile"] } },
        "scope": "openid email orders:read", "preferred_username": "alice",
    });
    let bad = [
        ("typ", json!("ID"), "claim_missing"),
        ("typ", json!(null), "claim_missing"),
        (
            "resource_access",
            json!({ "account": { "roles": ["reader"] } }),
            "claim_missing",
        ),
        (
            "resource_access",
            json!({ "orders-api": { "roles": ["writer"] } }),
            "claim_missing",
        ),
        ("resource_access", json!(["reader"]), "claim_missing"),
        ("scope", json!("openid email"), "scope_missing"),
        ("aud", json!("account"), "token_audience"),
        (
            "iss",
            json!("https://keycloak.example.com/realms/other"),
            "token_issuer",
        ),
    ];
    hold("keycloak", &key, header, claims, &bad).await;
}

#[tokio::test]
async fn auth0_as_the_guide_has_it() {
    let key = IssuerKey::new("NjVBRjY5MDlC", Algorithm::Rs256);
    let header = json!({ "typ": "at+jwt" });
    let claims = json!({
        "iss": "https://shop.eu.auth0.com/", "sub": "auth0|65", "jti": "a1", "client_id": "shop",
        "aud": ["https://orders.example.com", "https://shop.eu.auth0.com/userinfo"],
        "scope": "openid", "permissions": ["read:orders"], "https://example.com/tenant": "acme",
    });
    let bad = [
        ("iss", json!("https://shop.eu.auth0.com"), "token_issuer"),
        ("permissions", json!([]), "scope_missing"),
        ("permissions", json!(null), "scope_missing"),
        ("https://example.com/tenant", json!("evil"), "claim_missing"),
        (
            "https://example.com/tenant",
            json!(["acmes"]),
            "claim_missing",
        ),
        ("jti", json!(null), "token_incomplete"),
        ("client_id", json!(null), "token_incomplete"),
        ("client_id", json!(7), "token_incomplete"),
        ("iat", json!(null), "token_incomplete"),
        ("sub", json!(null), "token_incomplete"),
    ];
    hold("auth0", &key, header, claims, &bad).await;
}

#[tokio::test]
async fn entra_as_the_guide_has_it() {
    let key = IssuerKey::new("L1KfKFI_jnXbwWc22xZxw1sUHH0", Algorithm::Rs256);
    let header = json!({ "typ": "JWT" });
    let tenant = "11111111-2222-3333-4444-555555555555";
    let claims = json!({
        "aud": "66666666-7777-8888-9999-aaaaaaaaaaaa", "ver": "2.0", "tid": tenant,
        "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"), "azp": "b7", "azpacr": "1",
        "oid": "c8", "sub": "d9", "uti": "e0", "rh": "0.x", "roles": ["Orders.Read"], "nbf": 1,
    });
    let bad = [
        ("roles", json!(["Orders.Write"]), "scope_missing"),
        ("roles", json!(null), "scope_missing"),
        (
            "tid",
            json!("22222222-2222-3333-4444-555555555555"),
            "claim_missing",
        ),
        (
            "iss",
            json!(format!("https://sts.windows.net/{tenant}/")),
            "token_issuer",
        ),
        (
            "aud",
            json!("00000003-0000-0000-c000-000000000000"),
            "token_audience",
        ),
    ];
    hold("entra", &key, header.clone(), claims.clone(), &bad).await;
    let stage = stage_of("entra", &key, "sig").await;
    let delegated = made(&key, &header, &claims, |claims| {
        claims.as_object_mut().expect("an object").remove("roles");
        claims["scp"] = json!("Orders.Read User.Read");
    });
    let cases = [("delegated", delegated, None)];
    stage.hold("/orders/7", &cases).await;
}

#[tokio::test]
async fn okta_as_the_guide_has_it() {
    let key = IssuerKey::new("KmSGpY1z", Algorithm::Rs256);
    let claims = json!({
        "ver": 1, "jti": "AT.0mP4", "iss": "https://shop.okta.com/oauth2/default", "aud": "api://default",
        "cid": "0oab", "uid": "00u1", "scp": ["orders.read", "openid"], "auth_time": 1, "sub": "alice@example.com",
        "groups": ["Everyone", "orders-readers"],
    });
    let bad = [
        ("scp", json!(["openid"]), "scope_missing"),
        (
            "groups",
            json!(["Everyone", "my-orders-readers"]),
            "claim_missing",
        ),
        ("iat", json!(unix_now() - 3 * 3600), "token_too_old"),
        ("iat", json!(null), "token_incomplete"),
        ("iss", json!("https://shop.okta.com"), "token_issuer"),
    ];
    hold("okta", &key, json!({}), claims, &bad).await;
}

#[tokio::test]
async fn spiffe_as_the_guide_has_it() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let key = IssuerKey::new("wm6pbmD8", algorithm);
        let claims = json!({
            "sub": "spiffe://mesh.example/ns/shop/sa/web",
            "aud": ["spiffe://mesh.example/ns/edge/sa/gateway"],
        });
        let bad = [
            (
                "sub",
                json!("spiffe://mesh.example/ns/other/sa/web"),
                "claim_missing",
            ),
            (
                "sub",
                json!("spiffe://other.example/ns/shop/sa/web"),
                "token_issuer",
            ),
            ("sub", json!("spiffe://mesh.example"), "token_issuer"),
            ("sub", json!("alice"), "token_issuer"),
            ("sub", json!(null), "token_issuer"),
            (
                "aud",
                json!(["spiffe://mesh.example/ns/shop/sa/web"]),
                "token_audience",
            ),
            ("aud", json!(null), "token_audience"),
            ("exp", json!(null), "token_expired"),
        ];
        hold(
            "spiffe",
            &key,
            json!({ "typ": "JWT" }),
            claims.clone(),
            &bad,
        )
        .await;
        let stage = stage_of("spiffe", &key, "jwt-svid").await;
        let with = |header: Value, iss: &str| {
            made(&key, &header, &claims, |claims| claims["iss"] = json!(iss))
        };
        let cases = [
            ("with iss", with(json!({}), "https://spire.example"), None),
            (
                "of another type",
                with(json!({ "typ": "at+jwt" }), "x"),
                Some("token_type"),
            ),
        ];
        stage.hold("/orders/7", &cases).await;
    }
}

const LABS: &str = "https://labs.example.com";

#[tokio::test]
async fn a_route_of_several_issuers_holds_each_token_against_its_own() {
    let labs = IssuerKey::es256("k1"); // the same kid as corp's
    let world = World::new();
    world.folder.write("labs.json", token::jwks(&[&labs]));
    let stage = Stage::with(world, |config| {
        let mut spec = config.get("issuers.corp").clone();
        spec["issuer"] = json!(LABS);
        spec["keys"]["file"] = json!("labs.json");
        config.set("issuers.labs", spec);
        let any = json!([
            { "issuer": "corp", "scopes": ["orders:read"] },
            { "issuer": "labs", "scopes": ["labs"], "claims": { "/team/name": { "matches": "team-*" } },
              "bound_to_certificate": true },
        ]);
        config.set("routes.orders-read.token", json!({ "any": any }));
    })
    .await;
    let corp = &stage.world.issuer;
    let of_labs = || {
        let team = json!({ "name": "team-a" });
        let token = Token::new()
            .claim("iss", LABS)
            .scope("labs")
            .claim("team", team);
        token.bound_to(&stage.web)
    };
    let cases = [
        ("corp's", Token::new().sign(corp), None),
        ("labs'", of_labs().sign(&labs), None),
        (
            "corp's with labs' scope",
            Token::new().scope("labs").sign(corp),
            Some("scope_missing"),
        ),
        (
            "labs' with corp's scope",
            of_labs().scope("orders:read").sign(&labs),
            Some("scope_missing"),
        ),
        (
            "labs' unbound",
            of_labs().without("cnf").sign(&labs),
            Some("token_unbound"),
        ),
        (
            "labs' without team",
            of_labs().without("team").sign(&labs),
            Some("claim_missing"),
        ),
        (
            "labs' with another key",
            of_labs().sign(corp),
            Some("token_signature"),
        ),
        (
            "corp's with another key",
            Token::new().sign(&labs),
            Some("token_signature"),
        ),
        (
            "somebody's",
            Token::new().claim("iss", "https://evil.example").sign(corp),
            Some("token_issuer"),
        ),
        (
            "nobody's",
            Token::new().without("iss").sign(corp),
            Some("token_issuer"),
        ),
        (
            "iss as a list",
            Token::new()
                .claim("iss", json!([token::ISSUER, LABS]))
                .sign(corp),
            Some("token_issuer"),
        ),
        ("no token", "x".to_owned(), Some("token_malformed")),
    ];
    for round in 0..2 {
        stage.hold("/orders/7", &cases).await;
        assert_eq!(
            stage.lookups("labs").await.0 > 0.0,
            round == 1,
            "from memory in round 1"
        );
    }
}

#[tokio::test]
async fn the_challenge_names_the_scopes_of_the_tokens_own_issuer() {
    let stage = Stage::set().await;
    let poor = Token::new().scope("x").sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&poor);
    let answer = stage.client().request(&request).await;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert_eq!(
        (answer.status, challenge),
        (
            403,
            r#"Bearer error="insufficient_scope", scope="orders:read""#
        )
    );
}
