//! One good token, and everything that is not quite it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Stage;
use crate::bench::World;
use crate::bench::dpop::bound_to;
use crate::bench::http1::Request;
use crate::bench::token::{self, Algorithm, IssuerKey, Token, with_broken_signature, with_claims};

#[expect(clippy::too_many_lines, reason = "one table")]
#[tokio::test]
async fn a_token_that_was_tampered_with_or_chooses_its_own_key_is_refused() {
    let stage = Stage::set().await;
    let key = &stage.world.issuer;
    let good = Token::new().sign(key);
    let parts: Vec<&str> = good.split('.').collect();
    let other = IssuerKey::es256("k1");
    let raised = |claims: &mut Value| claims["scope"] = json!("orders:read admin");
    let point = URL_SAFE_NO_PAD.encode(key.jwk().to_string());
    let of = |token: Token| token.sign(key);
    let header = |name: &str, value: Value| of(Token::new().header(name, value));
    let hs256 = |secret: &[u8]| Token::new().sign_hs256(secret, "k1");
    let mine = other.jwk();
    let cases = [
        ("as it is", good.clone(), None),
        (
            "a bit of its signature turned",
            with_broken_signature(&good),
            Some("token_signature"),
        ),
        (
            "its claims changed",
            with_claims(&good, raised),
            Some("token_signature"),
        ),
        (
            "signed by another key of that name",
            Token::new().sign(&other),
            Some("token_signature"),
        ),
        (
            "without its signature",
            format!("{}.{}.", parts[0], parts[1]),
            Some("token_signature"),
        ),
        (
            "without a third part",
            format!("{}.{}", parts[0], parts[1]),
            Some("token_malformed"),
        ),
        (
            "with a fourth part",
            format!("{good}.e30"),
            Some("token_malformed"),
        ),
        ("with padding", format!("{good}="), Some("token_malformed")),
        ("as a word", "secret".to_owned(), Some("token_malformed")),
        (
            "with alg none",
            Token::new().unsigned(),
            Some("token_algorithm"),
        ),
        (
            "with alg None",
            Token::new().header("alg", "None").unsigned(),
            Some("token_algorithm"),
        ),
        (
            "alg none, signed",
            header("alg", json!("none")),
            Some("token_algorithm"),
        ),
        (
            "HS256 with the PEM",
            hs256(key.public_pem().as_bytes()),
            Some("token_algorithm"),
        ),
        (
            "HS256 with the JWK",
            hs256(point.as_bytes()),
            Some("token_algorithm"),
        ),
        ("HS256 with nothing", hs256(b""), Some("token_algorithm")),
        (
            "alg in small letters",
            header("alg", json!("es256")),
            Some("token_algorithm"),
        ),
        (
            "alg of another key",
            header("alg", json!("ES384")),
            Some("token_algorithm"),
        ),
        (
            "without alg",
            header("alg", Value::Null),
            Some("token_algorithm"),
        ),
        (
            "alg as a list",
            header("alg", json!(["ES256"])),
            Some("token_malformed"),
        ),
        (
            "unknown kid",
            header("kid", json!("k2")),
            Some("token_key_unknown"),
        ),
        (
            "kid with a path",
            header("kid", json!("../../dev/null")),
            Some("token_key_unknown"),
        ),
        (
            "kid as a number",
            header("kid", json!(1)),
            Some("token_malformed"),
        ),
        ("crit", header("crit", json!(["exp"])), Some("token_header")),
        (
            "crit, empty",
            header("crit", json!([])),
            Some("token_header"),
        ),
        (
            "jwk",
            Token::new().header("jwk", mine).sign(&other),
            Some("token_header"),
        ),
        (
            "jku",
            header("jku", json!("https://evil.example/k")),
            Some("token_header"),
        ),
        ("x5c", header("x5c", json!(["MII"])), Some("token_header")),
        (
            "x5u",
            header("x5u", json!("https://evil.example/c")),
            Some("token_header"),
        ),
        ("b64", header("b64", json!(false)), Some("token_header")),
        (
            "encrypted, it says",
            header("enc", json!("A128GCM")),
            Some("token_malformed"),
        ),
        (
            "17 KiB long",
            of(Token::new().claim("x", "x".repeat(13_000))),
            Some("token_malformed"),
        ),
        ("as it is, again", good, None),
    ];
    stage.hold("/orders/7", &cases).await;
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[tokio::test]
async fn claims_that_are_not_for_us_or_not_for_now_are_refused() {
    let stage = Stage::set().await;
    let of = |token: Token| token.sign(&stage.world.issuer);
    let claim = |name: &str, value: Value| of(Token::new().claim(name, value));
    let valid = |from, until| of(Token::new().valid(from, until));
    let cases = [
        (
            "iss of another",
            claim("iss", json!("https://evil.example")),
            Some("token_issuer"),
        ),
        (
            "iss with a slash",
            claim("iss", json!("https://id.example.com/")),
            Some("token_issuer"),
        ),
        (
            "without iss",
            of(Token::new().without("iss")),
            Some("token_issuer"),
        ),
        (
            "aud of another",
            claim("aud", json!("billing-api")),
            Some("token_audience"),
        ),
        (
            "aud that begins alike",
            claim("aud", json!("orders-api-2")),
            Some("token_audience"),
        ),
        (
            "aud of others",
            claim("aud", json!(["a", "b"])),
            Some("token_audience"),
        ),
        (
            "without aud",
            of(Token::new().without("aud")),
            Some("token_audience"),
        ),
        (
            "aud among others",
            claim("aud", json!(["a", "orders-api"])),
            None,
        ),
        ("expired", of(Token::new().expired()), Some("token_expired")),
        (
            "expired beyond the leeway",
            valid(-300, -40),
            Some("token_expired"),
        ),
        ("expired within the leeway", valid(-300, -5), None),
        (
            "without exp",
            of(Token::new().without("exp")),
            Some("token_expired"),
        ),
        (
            "exp as a text",
            claim("exp", json!("9999999999")),
            Some("token_malformed"),
        ),
        (
            "exp in milliseconds",
            claim("exp", json!(1_900_000_000_000_u64)),
            Some("token_malformed"),
        ),
        (
            "exp below zero",
            claim("exp", json!(-1)),
            Some("token_malformed"),
        ),
        ("not yet valid", valid(60, 600), Some("token_not_yet_valid")),
        ("valid within the leeway", valid(15, 600), None),
        (
            "issued in the future",
            claim("iat", json!(token::unix_now() + 600)),
            Some("token_not_yet_valid"),
        ),
        ("without nbf", of(Token::new().without("nbf")), None),
        (
            "without the scope",
            of(Token::new().scope("orders:write")),
            Some("scope_missing"),
        ),
        (
            "without any scope",
            of(Token::new().without("scope")),
            Some("scope_missing"),
        ),
        (
            "a scope that begins alike",
            of(Token::new().scope("orders:reader")),
            Some("scope_missing"),
        ),
        (
            "the scope in capitals",
            of(Token::new().scope("ORDERS:READ")),
            Some("scope_missing"),
        ),
        (
            "the scope in scp",
            of(Token::new()
                .without("scope")
                .claim("scp", json!(["orders:read"]))),
            None,
        ),
        (
            "scope as a list",
            claim("scope", json!(["orders:read"])),
            Some("token_malformed"),
        ),
    ];
    stage.hold("/orders/7", &cases).await;
}

#[tokio::test]
async fn a_route_gets_the_type_the_scopes_and_the_claims_that_it_asks_for_or_refuses() {
    let stage = Stage::with(World::new(), |config| {
        config.route("typed", "/typed/**", "orders");
        config.set(
            "routes.typed.token",
            json!({ "issuer": "corp", "typ": "at+jwt", "scopes": ["a", "b"],
                    "claims": { "tenant": "shop", "level": 3 } }),
        );
    })
    .await;
    let right = || {
        Token::new()
            .header("typ", "at+jwt")
            .claim("client_id", "shop")
            .claim("jti", "1")
            .scope("b a")
            .claim("tenant", "shop")
            .claim("level", 3)
    };
    let of = |token: Token| token.sign(&stage.world.issuer);
    let typ = |value: Value| of(right().header("typ", value));
    let tenant = |value: Value| of(right().claim("tenant", value));
    let cases = [
        ("right", of(right()), None),
        ("the long type", typ(json!("application/at+jwt")), None),
        ("the type in capitals", typ(json!("AT+JWT")), None),
        ("another type", typ(json!("JWT")), Some("token_type")),
        ("no type", typ(Value::Null), Some("token_type")),
        (
            "an id token's type",
            typ(json!("id+jwt")),
            Some("token_type"),
        ),
        (
            "one scope of two",
            of(right().scope("a")),
            Some("scope_missing"),
        ),
        (
            "both in one word",
            of(right().scope("a,b")),
            Some("scope_missing"),
        ),
        (
            "another tenant",
            tenant(json!("shopper")),
            Some("claim_missing"),
        ),
        (
            "the tenant among several",
            tenant(json!(["x", "shop"])),
            None,
        ),
        (
            "the tenant not among several",
            tenant(json!(["x", "y"])),
            Some("claim_missing"),
        ),
        (
            "the tenant in a map",
            tenant(json!({ "shop": "shop" })),
            Some("claim_missing"),
        ),
        (
            "no tenant",
            of(right().without("tenant")),
            Some("claim_missing"),
        ),
        (
            "the level as a text",
            of(right().claim("level", "3")),
            Some("claim_missing"),
        ),
        (
            "no jti",
            of(right().without("jti")),
            Some("token_incomplete"),
        ),
        (
            "no client_id",
            of(right().without("client_id")),
            Some("token_incomplete"),
        ),
        (
            "no sub",
            of(right().without("sub")),
            Some("token_incomplete"),
        ),
        (
            "no iat",
            of(right().without("iat")),
            Some("token_incomplete"),
        ),
        (
            "client_id as a number",
            of(right().claim("client_id", 7)),
            Some("token_incomplete"),
        ),
        (
            "one claim of two",
            of(right().without("level")),
            Some("claim_missing"),
        ),
    ];
    stage.hold("/typed/x", &cases).await;
}

/// RFC 8725, section 3.11: what one party takes for a logout token, none takes for an access token.
#[tokio::test]
async fn a_token_of_another_kind_is_none_though_no_type_is_asked_for() {
    let stage = Stage::with(World::new(), |config| {
        config.route("written", "/written/**", "orders");
        let written = json!({ "issuer": "corp", "typ": "secevent+jwt" });
        config.set("routes.written.token", written);
    })
    .await;
    let typ = |value: Value| Token::new().header("typ", value).sign(&stage.world.issuer);
    let good = ["JWT", "at+jwt", "application/AT+jwt", "jose", "corp-access"];
    for good in good
        .map(|good| json!(good))
        .into_iter()
        .chain([Value::Null])
    {
        stage.hold("/orders/7", &[("good", typ(good), None)]).await;
    }
    let others = [
        "logout+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "application/secevent+jwt",
        "client-identity+jwt",
        "Logout+JWT",
        "id+jwt",
        "oauth-authz-req+jwt",
        "entity-statement+jwt",
        "kb+jwt",
        "dc+sd-jwt",
        "nobody-knows-yet+jwt",
        "id_token",
        "refresh_token",
    ];
    for other in others {
        let case = (other, typ(json!(other)), Some("token_type"));
        stage.hold("/orders/7", &[case]).await;
    }
    let cases = [
        ("as it is written", typ(json!("secevent+jwt")), None),
        ("another", typ(json!("logout+jwt")), Some("token_type")),
    ];
    stage.hold("/written/x", &cases).await;
}

#[tokio::test]
async fn a_bound_token_works_with_its_certificate_alone_on_every_route() {
    let stage = Stage::set().await;
    let key = &stage.world.issuer;
    let thief = stage.world.partner("spiffe://partners.example/web/thief");
    let twin = stage.world.web(); // the same name, another certificate
    let bound = Token::new().bound_to(&stage.web).sign(key);
    let plain = Token::new().sign(key);
    let by_key = Token::new()
        .claim("cnf", bound_to(&IssuerKey::es256("client")))
        .sign(key);
    let broken = Token::new()
        .claim("cnf", json!({ "x5t#S256": "AAAA" }))
        .sign(key);
    let write = |token: &str| Request::post("/orders/7", "x").bearer(token);
    let read = |token: &str| Request::get("/orders/7").bearer(token);
    let cases = [
        ("its own", &stage.web, write(&bound), None),
        (
            "a thief",
            &thief,
            write(&bound),
            Some("token_of_another_peer"),
        ),
        (
            "a twin",
            &twin,
            write(&bound),
            Some("token_of_another_peer"),
        ),
        (
            "a thief, reading",
            &thief,
            read(&bound),
            Some("token_of_another_peer"),
        ),
        ("its own, reading", &stage.web, read(&bound), None),
        ("no cnf", &stage.web, write(&plain), Some("token_unbound")),
        ("no cnf, reading", &stage.web, read(&plain), None),
        (
            "bound to a key",
            &stage.web,
            read(&by_key),
            Some("token_bound_to_key"),
        ),
        (
            "bound to no hash",
            &stage.web,
            read(&broken),
            Some("token_malformed"),
        ),
    ];
    for (what, identity, request, reason) in cases {
        let client = stage.gateway.client(identity);
        let answer = client.request(&request).await;
        assert_eq!(
            stage.gateway.reason(&answer).await.as_deref(),
            reason,
            "{what}"
        );
        let answer = client.connect_h2().await.request(&request).await;
        assert_eq!(
            stage.gateway.reason(&answer).await.as_deref(),
            reason,
            "{what}, h2"
        );
    }
    assert_eq!(stage.orders.requests().len(), 6, "what passed, twice each");
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[tokio::test]
async fn a_token_is_taken_from_one_authorization_field_and_nowhere_else() {
    let stage = Stage::set().await;
    let token = Token::new().sign(&stage.world.issuer);
    let get = || Request::get("/orders/7");
    let field = |value: &str| get().header("Authorization", value);
    let cases = [
        ("as usual", get().bearer(&token), (200, None)),
        (
            "small letters",
            field(&format!("bearer {token}")),
            (200, None),
        ),
        ("capitals", field(&format!("BEARER {token}")), (200, None)),
        (
            "two spaces",
            field(&format!("Bearer  {token}")),
            (200, None),
        ),
        (
            "twice",
            get().bearer(&token).bearer(&token),
            (400, Some("header_ambiguous")),
        ),
        (
            "beside Basic",
            get().bearer(&token).header("authorization", "Basic eDp5"),
            (400, Some("header_ambiguous")),
        ),
        (
            "two in one",
            field(&format!("Bearer {token}, Bearer {token}")),
            (401, Some("token_malformed")),
        ),
        ("no field", get(), (401, Some("token_missing"))),
        ("no scheme", field(&token), (401, Some("token_missing"))),
        (
            "another scheme",
            field(&format!("DPoP {token}")),
            (401, Some("token_unbound_to_key")),
        ),
        (
            "Basic",
            field("Basic YWxpY2U6c2VjcmV0"),
            (401, Some("token_missing")),
        ),
        (
            "scheme alone",
            field("Bearer"),
            (401, Some("token_missing")),
        ),
        (
            "in quotes",
            field(&format!("Bearer \"{token}\"")),
            (401, Some("token_malformed")),
        ),
        (
            "in the query",
            Request::get(&format!("/orders/7?access_token={token}")),
            (401, Some("token_missing")),
        ),
        (
            "in a cookie",
            get().header("Cookie", &format!("token={token}")),
            (401, Some("token_missing")),
        ),
        (
            "for a proxy",
            get().header("Proxy-Authorization", &format!("Bearer {token}")),
            (401, Some("token_missing")),
        ),
    ];
    for (what, request, (status, reason)) in cases {
        let answer = stage.client().request(&request).await;
        let (came, why) = stage.verdict(&answer).await;
        assert_eq!((came, why.as_deref()), (status, reason), "{what}");
    }
}

#[tokio::test]
async fn every_algorithm_verifies_with_its_own_key_and_with_no_other() {
    let world = World::new();
    let keys: Vec<IssuerKey> = Algorithm::ALL
        .iter()
        .map(|&algorithm| IssuerKey::new(algorithm.name(), algorithm))
        .collect();
    let names: Vec<&str> = Algorithm::ALL.iter().map(|a| a.name()).collect();
    let all: Vec<&IssuerKey> = keys.iter().collect();
    world.folder.write("jwks.json", token::jwks(&all));
    let stage = Stage::with(world, |config| {
        config.set("issuers.corp.algorithms", json!(names));
    })
    .await;
    let mut cases = Vec::new();
    for (key, next) in keys.iter().zip(keys.iter().cycle().skip(1)) {
        let name = key.algorithm.name();
        let good = Token::new().sign(key);
        cases.push((name, with_broken_signature(&good), Some("token_signature")));
        cases.push((name, good, None));
        let confused = Token::new().header("kid", next.kid.as_str()).sign(key);
        cases.push((name, confused, Some("token_algorithm")));
        let claimed = Token::new().header("alg", next.algorithm.name()).sign(key);
        cases.push((name, claimed, Some("token_algorithm")));
    }
    stage.hold("/orders/7", &cases).await;
}
