//! Proofs that are none, each refused for what is wrong with it, in HTTP/1.1 and in h2; no service
//! hears of one.

use serde_json::{Value, json};

use super::{ALGS, Stage};
use crate::bench::client::HOST;
use crate::bench::dpop::{Proof, bound_to, hash, thumbprint};
use crate::bench::http1::Request;
use crate::bench::token::{Algorithm, IssuerKey, Token, unix_now, with_broken_signature};

/// Path that the proofs are for.
const PATH: &str = "/proved/x";

fn proof(stage: &Stage) -> Proof {
    Proof::get(PATH, &stage.token)
}

/// Asks with each proof, by both protocols, and holds the reason against the one beside it; none:
/// it passes once, and the second time it was used before.
async fn hold(stage: &Stage, token: &str, cases: Vec<(&str, String, Option<&str>)>) {
    let mut h1 = stage.client().connect().await;
    let mut h2 = stage.client().connect_h2().await;
    for (what, proof, reason) in cases {
        let heard = stage.orders.requests().len();
        let request = Request::get(PATH).dpop(token, &proof);
        let answer = h1.request(&request).await;
        let why = stage.reason(&answer).await;
        assert_eq!(why.as_deref(), reason, "{what}");
        if let Some(reason) = reason {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("DPoP error="), "{what}: {challenge}");
            assert!(challenge.ends_with(ALGS), "{what}: {challenge}");
            let error = match reason {
                "proof_of_another_key" => "invalid_token",
                _ => "invalid_dpop_proof",
            };
            assert!(challenge.contains(error), "{what}: {challenge}");
        }
        let answer = h2.request(&request).await;
        let why = stage.reason(&answer).await;
        let want = reason.or(Some("proof_replayed"));
        assert_eq!(why.as_deref(), want, "{what}, h2");
        let passed = usize::from(reason.is_none());
        assert_eq!(stage.orders.requests().len(), heard + passed, "{what}");
    }
}

#[tokio::test]
async fn a_proof_whose_header_is_wrong_is_refused() {
    let stage = Stage::set().await;
    let header = |name: &str, value: Value| proof(&stage).header(name, value).sign(&stage.key);
    let private = |name: &str| {
        let mut jwk = stage.key.bare_jwk();
        jwk[name] = json!("AAAA");
        header("jwk", jwk)
    };
    let good = || proof(&stage).sign(&stage.key);
    let other = IssuerKey::es256("other");
    let unsigned = proof(&stage).unsigned(&stage.key);
    let symmetric = proof(&stage).sign_hs256(&stage.key);
    let (header_, type_, key_) = (Some("proof_header"), Some("proof_type"), Some("proof_key"));
    let algorithm = Some("proof_algorithm");
    let cases = vec![
        ("good", good(), None),
        ("typ JWT", header("typ", json!("JWT")), type_),
        ("typ at+jwt", header("typ", json!("at+jwt")), type_),
        ("no typ", header("typ", Value::Null), type_),
        ("alg none", unsigned, algorithm),
        ("alg HS256 with the public key", symmetric, algorithm),
        (
            "alg in small letters",
            header("alg", json!("es256")),
            algorithm,
        ),
        (
            "alg of the list but not of the key",
            header("alg", json!("EdDSA")),
            key_,
        ),
        ("no alg", header("alg", Value::Null), algorithm),
        ("crit", header("crit", json!(["htu"])), header_),
        ("b64", header("b64", json!(false)), header_),
        (
            "jku",
            header("jku", json!("https://evil.example/k")),
            header_,
        ),
        ("x5c", header("x5c", json!(["MII"])), header_),
        (
            "x5u",
            header("x5u", json!("https://evil.example/c")),
            header_,
        ),
        ("a private key", private("d"), key_),
        ("a part of one", private("k"), key_),
        (
            "a symmetric key",
            header("jwk", json!({"kty": "oct", "k": "AAAA"})),
            key_,
        ),
        ("no key", header("jwk", json!("none")), key_),
        (
            "another's key",
            proof(&stage).sign(&other),
            Some("proof_of_another_key"),
        ),
        (
            "our key, signed by another",
            proof(&stage)
                .header("jwk", stage.key.bare_jwk())
                .sign(&other),
            Some("proof_signature"),
        ),
        (
            "a broken signature",
            with_broken_signature(&good()),
            Some("proof_signature"),
        ),
        ("good again", good(), None),
    ];
    hold(&stage, &stage.token, cases).await;
    // Good in every other respect.
    let unlisted = IssuerKey::new("client", Algorithm::Es384);
    let token = stage.token_with(bound_to(&unlisted));
    let proof = Proof::get(PATH, &token).sign(&unlisted);
    let cases = vec![("an algorithm that is not listed", proof, algorithm)];
    hold(&stage, &token, cases).await;
}

#[tokio::test]
async fn a_proof_for_another_request_another_time_or_another_token_is_refused() {
    let stage = Stage::set().await;
    let claim = |name: &str, value: Value| proof(&stage).claim(name, value).sign(&stage.key);
    let without = |name: &str| proof(&stage).without(name).sign(&stage.key);
    let now = unix_now();
    let (malformed, method) = (Some("proof_malformed"), Some("proof_method"));
    let (token, expired) = (Some("proof_token"), Some("proof_expired"));
    let cases = vec![
        ("htm POST", claim("htm", json!("POST")), method),
        ("htm in small letters", claim("htm", json!("get")), method),
        ("no htm", without("htm"), malformed),
        ("no htu", without("htu"), malformed),
        ("no jti", without("jti"), malformed),
        ("jti empty", claim("jti", json!("")), malformed),
        ("jti long", claim("jti", json!("x".repeat(257))), malformed),
        ("no iat", without("iat"), malformed),
        ("iat as a text", claim("iat", json!("now")), malformed),
        ("iat long ago", claim("iat", json!(now - 120)), expired),
        (
            "iat in milliseconds",
            claim("iat", json!(now * 1000)),
            malformed,
        ),
        (
            "iat in the future",
            claim("iat", json!(now + 120)),
            Some("proof_not_yet_valid"),
        ),
        ("iat a little ahead", claim("iat", json!(now + 10)), None),
        ("iat a little ago", claim("iat", json!(now - 20)), None),
        ("exp a little ago", claim("exp", json!(now - 20)), None),
        ("exp long ago", claim("exp", json!(now - 40)), expired),
        ("exp as a text", claim("exp", json!("now")), malformed),
        ("nbf a little ahead", claim("nbf", json!(now + 10)), None),
        (
            "nbf in the future",
            claim("nbf", json!(now + 120)),
            Some("proof_not_yet_valid"),
        ),
        ("nbf as a text", claim("nbf", json!([now])), malformed),
        ("no ath", without("ath"), token),
        (
            "ath of another token",
            claim("ath", json!(hash("a.b.c"))),
            token,
        ),
        ("ath empty", claim("ath", json!("")), token),
    ];
    hold(&stage, &stage.token, cases).await;
    let huge = Proof::get(PATH, &stage.token)
        .claim("x", "x".repeat(7000))
        .sign(&stage.key);
    let cases = vec![
        ("huge", huge, malformed),
        ("not a JWT", "x".to_owned(), malformed),
        ("a JWE", "a.b.c.d.e".to_owned(), malformed),
        (
            "two in one field",
            {
                let one = || proof(&stage).sign(&stage.key);
                format!("{}, {}", one(), one())
            },
            malformed,
        ),
        ("the token itself", stage.token.clone(), Some("proof_type")),
    ];
    hold(&stage, &stage.token, cases).await;
}

#[tokio::test]
async fn the_url_of_a_proof_is_compared_in_normal_form() {
    let stage = Stage::set().await;
    let target = Some("proof_target");
    let cases = [
        ("https://api.example.com/proved/x", None),
        ("HTTPS://API.Example.com:443/proved/x", None),
        ("https://api.example.com:/proved/%78", None),
        ("https://api.example.com/proved/x?a=b", None),
        ("https://api.example.com/proved/x#y", None),
        ("https://api.example.com/open/../proved/%2e/x", None),
        ("http://api.example.com/proved/x", target),
        ("https://api.example.com:8443/proved/x", target),
        ("https://evil.example/proved/x", target),
        ("https://api.example.com@evil.example/proved/x", target),
        ("https://api.example.com/proved/X", target),
        ("https://api.example.com/proved/x/", target),
        ("https://api.example.com/proved", target),
        ("https://api.example.com/proved//x", target),
        ("https://api.example.com/proved%2fx", target),
        ("/proved/x", target),
        ("", target),
    ];
    let sign = |htu: &str| proof(&stage).claim("htu", htu).sign(&stage.key);
    let cases = cases.map(|(htu, want)| (htu, sign(htu), want)).to_vec();
    hold(&stage, &stage.token, cases).await;

    // What the request spells, the gateway reads; what the client names as port, counts.
    let requests = [
        (
            "/proved/7%7ea?q=1",
            "https://api.example.com/proved/7~a",
            HOST,
            None,
        ),
        (
            "/proved/7~a",
            "https://api.example.com/proved/7%7Ea",
            HOST,
            None,
        ),
        (
            "/proved/x",
            "https://api.example.com:8443/proved/x",
            "API.example.com:8443",
            None,
        ),
        (
            "/proved/x",
            "https://api.example.com/proved/x",
            "api.example.com:8443",
            target,
        ),
    ];
    for (path, htu, host, want) in requests {
        let proof = Proof::new("GET", htu, &stage.token).sign(&stage.key);
        let request = Request::get(path).host(host).dpop(&stage.token, &proof);
        let answer = stage.client().request(&request).await;
        assert_eq!(stage.reason(&answer).await.as_deref(), want, "{path} {htu}");
    }
}

#[tokio::test]
async fn keys_that_are_weak_or_of_the_wrong_kind_prove_nothing() {
    let names = json!(["ES256", "ES384", "EdDSA", "RS256", "PS256"]);
    let stage = Stage::with(|_, config| {
        config.set("issuers.corp.dpop", json!({ "algorithms": names }));
    })
    .await;
    let number = |bytes: usize| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(vec![0xA5; bytes])
    };
    let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
    let rsa = |bytes: usize, e: &str| json!({"kty": "RSA", "n": number(bytes), "e": e});
    let cases = [
        ("RSA of 512 bits", "RS256", rsa(64, "AQAB")),
        ("RSA of 1024 bits", "RS256", rsa(128, "AQAB")),
        ("RSA with exponent 1", "PS256", rsa(256, "AQ")),
        (
            "off the curve",
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}),
        ),
        (
            "another curve",
            "ES256",
            json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x}),
        ),
        (
            "the curve of ES512",
            "ES384",
            json!({"kty": "EC", "crv": "P-521", "x": x, "y": x}),
        ),
        (
            "a point of small order",
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519", "x": number(0) + &"A".repeat(43)}),
        ),
        (
            "a key for secrets",
            "EdDSA",
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
        ),
    ];
    let mut connection = stage.client().connect().await;
    for (what, algorithm, jwk) in cases {
        let token = stage.token_with(json!({ "jkt": thumbprint(&jwk) }));
        let proof = Proof::get(PATH, &token).header("alg", algorithm);
        let proof = proof.header("jwk", jwk).sign(&stage.key);
        let answer = connection
            .request(&Request::get(PATH).dpop(&token, &proof))
            .await;
        assert_eq!(
            stage.reason(&answer).await.as_deref(),
            Some("proof_key"),
            "{what}"
        );
    }
    // Each listed algorithm works with its own key.
    for algorithm in [
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Ps256,
    ] {
        let key = IssuerKey::new("client", algorithm);
        let token = stage.token_with(bound_to(&key));
        let proof = Proof::get(PATH, &token).sign(&key);
        let answer = connection
            .request(&Request::get(PATH).dpop(&token, &proof))
            .await;
        assert_eq!(stage.reason(&answer).await, None, "{algorithm:?}");
        let twisted = Proof::get(PATH, &token).header("alg", "ES256").sign(&key);
        let answer = connection
            .request(&Request::get(PATH).dpop(&token, &twisted))
            .await;
        assert_eq!(
            stage.reason(&answer).await.as_deref(),
            Some("proof_key"),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token_and_an_unbound_one_needs_no_proof_field() {
    let stage = Stage::set().await;
    let thief = stage.world.partner("spiffe://partners.example/web/thief");
    let plain = Token::new().sign(&stage.world.issuer);
    let mut cnf = bound_to(&stage.key);
    cnf["x5t#S256"] = json!(stage.web.thumbprint());
    let both = stage.token_with(cnf);
    let unknown = stage.token_with(json!({ "jkt": hash("x"), "kid": "x" }));
    let [empty, text] = [json!({}), json!("x")].map(|cnf| stage.token_with(cnf));
    let bearer = |path: &str, token: &str| Request::get(path).bearer(token);
    let dpop = |path: &str, token: &str| {
        Request::get(path).dpop(token, &Proof::get(path, token).sign(&stage.key))
    };
    let with_field = |path: &str, token: &str| {
        bearer(path, token).header("DPoP", &Proof::get(path, token).sign(&stage.key))
    };
    let bare = |path: &str, token: &str| {
        Request::get(path).header("Authorization", &format!("DPoP {token}"))
    };
    let twice = |path: &str, token: &str| {
        dpop(path, token).header("dpop", &Proof::get(path, token).sign(&stage.key))
    };
    let web = &stage.web;
    for path in ["/proved/x", "/reported/x", "/may/x"] {
        let asks = path == "/proved/x";
        let unbound = asks.then_some("token_unbound_to_key");
        let cases = [
            (
                "bound, as it should be",
                web,
                dpop(path, &stage.token),
                None,
            ),
            (
                "bound, as bearer",
                web,
                bearer(path, &stage.token),
                Some("token_bound_to_key"),
            ),
            (
                "bound, as bearer with its proof",
                web,
                with_field(path, &stage.token),
                Some("token_bound_to_key"),
            ),
            (
                "bound, without a proof",
                web,
                bare(path, &stage.token),
                Some("proof_missing"),
            ),
            (
                "bound, with two proofs",
                web,
                twice(path, &stage.token),
                Some("proof_several"),
            ),
            ("unbound, as bearer", web, bearer(path, &plain), unbound),
            (
                "unbound, with a field",
                web,
                with_field(path, &plain),
                unbound,
            ),
            (
                "unbound, under DPoP",
                web,
                dpop(path, &plain),
                Some("token_unbound_to_key"),
            ),
            ("both, as it should be", web, dpop(path, &both), None),
            (
                "both, without the key",
                web,
                bearer(path, &both),
                Some("token_bound_to_key"),
            ),
            (
                "both, of another peer",
                &thief,
                dpop(path, &both),
                Some("token_of_another_peer"),
            ),
            (
                "bound in a way nobody knows",
                web,
                dpop(path, &unknown),
                Some("token_binding_unknown"),
            ),
            (
                "bound to nothing that is said",
                web,
                bearer(path, &empty),
                Some("token_binding_unknown"),
            ),
            (
                "bound to what is no binding",
                web,
                bearer(path, &text),
                Some("token_malformed"),
            ),
        ];
        for (what, identity, request, reason) in cases {
            let answer = stage.gateway.client(identity).request(&request).await;
            let why = stage.reason(&answer).await;
            assert_eq!(why.as_deref(), reason, "{path}: {what}");
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            if asks && reason.is_some() {
                assert!(challenge.starts_with("DPoP error="), "{what}: {challenge}");
            }
        }
    }
    let challenge = async |request: &Request| {
        let answer = stage.client().request(request).await;
        answer.header("www-authenticate").map(str::to_owned)
    };
    assert_eq!(
        challenge(&Request::get("/proved/x")).await,
        Some(format!("DPoP {ALGS}")),
        "RFC 9449, section 7.1"
    );
    assert_eq!(
        challenge(&Request::get("/reported/x")).await,
        Some(format!("Bearer realm=\"api\", DPoP {ALGS}")),
        "RFC 9449, section 7.2"
    );
    assert_eq!(
        challenge(&Request::get("/may/x")).await.as_deref(),
        Some("Bearer realm=\"api\"")
    );
    let as_bearer = challenge(&bearer("/may/x", &stage.token)).await.unwrap();
    assert!(
        as_bearer.starts_with("DPoP error=\"invalid_token\""),
        "{as_bearer}"
    );
}

#[tokio::test]
async fn a_token_of_a_certificate_is_none_without_one() {
    let stage = Stage::with(|_, config| {
        config.set("listeners.edge.tls.clients.certificate", "optional");
    })
    .await;
    let token = stage.token_with(json!({ "x5t#S256": stage.web.thumbprint() }));
    let request = Request::get("/may/x").bearer(&token);
    assert_eq!(stage.client().request(&request).await.status, 200);
    let answer = stage.gateway.anonymous().request(&request).await;
    let why = stage.reason(&answer).await;
    assert_eq!(why.as_deref(), Some("token_of_another_peer"));
    assert_eq!(stage.orders.requests().len(), 1);
}

#[tokio::test]
async fn the_service_gets_a_proof_only_beside_the_token() {
    let stage = Stage::with(|_, config| {
        config.set("routes.may.forward", json!({ "authorization": false }));
    })
    .await;
    for (path, goes_on) in [("/proved/x", true), ("/may/x", false)] {
        let proof = Proof::get(path, &stage.token).sign(&stage.key);
        let request = Request::get(path).dpop(&stage.token, &proof);
        assert_eq!(stage.client().request(&request).await.status, 200);
        let seen = stage.orders.last_request();
        assert_eq!(seen.header("dpop").is_some(), goes_on, "{path}");
        assert_eq!(seen.header("authorization").is_some(), goes_on, "{path}");
    }
}
