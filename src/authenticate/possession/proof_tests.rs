//! Who may use a token: bound to nobody, to a certificate, to a key, to both. And what a proof must
//! say. That proofs are taken once is held from outside, where requests come at the same time.

use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::super::authenticator::Asked;
use super::super::minting::{KEYS, NOW, Signer, base64url, possession};
use super::super::told::Told;
use super::binding::Binding;
use super::{Possession, Scheme};
use crate::config::possession::Demand;
use crate::identity::certificate::{PeerIdentity, peer_identity};
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::refusal::Refusal;

const TOKEN: &str = "a.b.c";

fn peer(name: &str) -> PeerIdentity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    peer_identity(made.cert.der()).unwrap()
}

/// What comes of showing [`TOKEN`] in this way, with these proofs, for `GET` of
/// `https://api.example.com/orders/7` at [`NOW`].
fn show(
    possession: &Possession,
    cnf: Option<Value>,
    scheme: Scheme,
    proofs: &[String],
    peer: Option<&PeerIdentity>,
) -> Result<(), Refusal> {
    let mut claims = json!({});
    if let Some(cnf) = cnf {
        claims["cnf"] = cnf;
    }
    let binding = Binding::read(claims.as_object().unwrap())?;
    let mut headers = HeaderMap::new();
    for proof in proofs {
        headers.append("dpop", proof.parse().unwrap());
    }
    let asked = Asked {
        method: &Method::GET,
        authority: &Authority::parse("api.example.com").unwrap(),
        path: &NormalPath::parse(b"/orders/7").unwrap(),
        query: None,
        headers: &headers,
        peer,
        client: "",
        now: NOW,
    };
    let mut told = Told::default();
    let shown = (scheme, TOKEN.as_bytes());
    let check = possession.check((&binding, Some("alice")), shown, &asked, &mut told);
    check.now_or_never().expect("memory is there at once")
}

/// The public key without what a proof does not need.
fn jwk(key: &Signer) -> Value {
    let mut jwk = key.jwk("");
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

fn bound_to(jwk: &Value) -> Value {
    let thumbprint = super::thumbprint::Thumbprint::of(jwk.as_object().unwrap()).unwrap();
    json!({ "jkt": base64url(thumbprint.as_bytes()) })
}

/// Header and claims of a good proof by [`KEYS`]' key for ES256.
fn good(jti: &str) -> (Value, Value) {
    let ath = base64url(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        TOKEN.as_bytes(),
    ));
    (
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(&KEYS.es256) }),
        json!({ "jti": jti, "htm": "GET", "htu": "https://api.example.com/orders/7", "iat": NOW,
                "ath": ath }),
    )
}

fn sign(key: &Signer, (header, claims): &(Value, Value)) -> String {
    key.token(&header.to_string(), &claims.to_string())
}

#[test]
fn a_bound_token_is_good_only_for_whom_it_is_bound_to_whatever_the_route_asks() {
    let (alice, mallory) = (peer("a.example"), peer("b.example"));
    let certificate = json!({ "x5t#S256": alice.fingerprint.to_base64url() });
    let key = bound_to(&jwk(&KEYS.es256));
    let mut both = key.clone();
    both["x5t#S256"] = certificate["x5t#S256"].clone();
    let unknown = json!({ "kid": "k" });
    let foreign = bound_to(&jwk(&KEYS.stranger));
    let (bearer, dpop) = (Scheme::Bearer, Scheme::Dpop);
    let another_peer = Err(Refusal::TokenOfAnotherPeer);
    let bound_to_key = Err(Refusal::TokenBoundToKey);
    let another_key = Err(Refusal::ProofOfAnotherKey);
    let unbound_key = Err(Refusal::TokenUnboundToKey);
    let of_unknown = Err(Refusal::TokenBindingUnknown);
    // What each is refused for, also where nothing is asked.
    let cases = [
        (&certificate, bearer, 0, Some(&alice), Ok(())),
        (&certificate, bearer, 0, Some(&mallory), another_peer),
        (&certificate, bearer, 0, None, another_peer),
        (&certificate, dpop, 1, Some(&alice), unbound_key),
        (&key, dpop, 1, None, Ok(())),
        (&key, dpop, 1, Some(&mallory), Ok(())),
        (&key, bearer, 0, Some(&alice), bound_to_key),
        (&key, bearer, 1, Some(&alice), bound_to_key),
        (&key, dpop, 0, Some(&alice), Err(Refusal::ProofMissing)),
        (&key, dpop, 2, Some(&alice), Err(Refusal::ProofSeveral)),
        (&foreign, dpop, 1, Some(&alice), another_key),
        (&both, dpop, 1, Some(&alice), Ok(())),
        (&both, dpop, 1, Some(&mallory), another_peer),
        (&both, dpop, 1, None, another_peer),
        (&both, bearer, 1, Some(&alice), bound_to_key),
        (&both, dpop, 0, Some(&alice), Err(Refusal::ProofMissing)),
        (&unknown, bearer, 0, Some(&alice), of_unknown),
        (&unknown, dpop, 1, Some(&alice), of_unknown),
    ];
    for demand in [Demand::No, Demand::ReportOnly] {
        let possession = possession(demand, demand);
        for (number, (cnf, scheme, proofs, peer, want)) in cases.iter().enumerate() {
            let proofs: Vec<_> = (0..*proofs)
                .map(|one| sign(&KEYS.es256, &good(&format!("{number}-{one}"))))
                .collect();
            let came = show(&possession, Some((*cnf).clone()), *scheme, &proofs, *peer);
            assert_eq!(came, *want, "{number}: {cnf}, {demand:?}");
        }
        assert_eq!(show(&possession, None, bearer, &[], Some(&alice)), Ok(()));
        let proof = sign(&KEYS.es256, &good("unbound"));
        assert_eq!(show(&possession, None, dpop, &[proof], None), unbound_key);
    }
}

#[test]
fn a_route_that_wants_a_binding_takes_no_token_without_it() {
    let alice = peer("a.example");
    let certificate = json!({ "x5t#S256": alice.fingerprint.to_base64url() });
    let key = bound_to(&jwk(&KEYS.es256));
    let mut both = key.clone();
    both["x5t#S256"] = certificate["x5t#S256"].clone();
    let unbound = Err(Refusal::TokenUnbound);
    let unbound_key = Err(Refusal::TokenUnboundToKey);
    let (must, may) = (Demand::Required, Demand::No);
    let cases = [
        (must, may, None, unbound),
        (must, may, Some(&certificate), Ok(())),
        (must, may, Some(&key), unbound),
        (may, must, None, unbound_key),
        (may, must, Some(&certificate), unbound_key),
        (may, must, Some(&key), Ok(())),
        (must, must, Some(&certificate), unbound_key),
        (must, must, Some(&key), unbound),
        (must, must, Some(&both), Ok(())),
    ];
    for (certificate, key, cnf, want) in cases {
        let possession = possession(certificate, key);
        let of_key = cnf.is_some_and(|cnf| cnf.get("jkt").is_some());
        let scheme = if of_key { Scheme::Dpop } else { Scheme::Bearer };
        let proof = sign(&KEYS.es256, &good("1"));
        let came = show(&possession, cnf.cloned(), scheme, &[proof], Some(&alice));
        assert_eq!(came, want, "{cnf:?}");
    }
}

/// What comes of a good proof that was changed.
fn changed(change: impl FnOnce(&mut Value, &mut Value)) -> Result<(), Refusal> {
    let mut parts = good("1");
    let cnf = bound_to(&parts.0["jwk"]);
    change(&mut parts.0, &mut parts.1);
    let proof = sign(&KEYS.es256, &parts);
    let possession = possession(Demand::No, Demand::Required);
    show(&possession, Some(cnf), Scheme::Dpop, &[proof], None)
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn a_proof_says_what_it_must_or_is_refused_for_what_it_does_not() {
    let header = |name: &str, value: Value| changed(|header, _| header[name] = value);
    let claim = |name: &str, value: Value| changed(|_, claims| claims[name] = value);
    let without =
        |name: &str| changed(|_, claims| drop(claims.as_object_mut().unwrap().remove(name)));
    let key = |name: &str, value: Value| changed(|header, _| header["jwk"][name] = value);
    let malformed = Err(Refusal::ProofMalformed);
    let (of_header, of_key) = (Err(Refusal::ProofHeader), Err(Refusal::ProofKey));
    let (of_typ, of_algorithm) = (Err(Refusal::ProofType), Err(Refusal::ProofAlgorithm));
    let cases = [
        ("as it is", changed(|_, _| ()), Ok(())),
        ("typ in capitals", header("typ", json!("DPoP+JWT")), Ok(())),
        (
            "the long typ",
            header("typ", json!("application/dpop+jwt")),
            Ok(()),
        ),
        ("typ JWT", header("typ", json!("JWT")), of_typ),
        ("typ of a token", header("typ", json!("at+jwt")), of_typ),
        (
            "typ as a list",
            header("typ", json!(["dpop+jwt"])),
            malformed,
        ),
        ("alg none", header("alg", json!("none")), of_algorithm),
        ("alg HS256", header("alg", json!("HS256")), of_algorithm),
        (
            "alg not listed",
            header("alg", json!("ES384")),
            of_algorithm,
        ),
        ("alg of another key", header("alg", json!("EdDSA")), of_key),
        ("crit", header("crit", json!(["exp"])), of_header),
        ("b64", header("b64", json!(false)), of_header),
        (
            "jku",
            header("jku", json!("https://evil.example")),
            of_header,
        ),
        ("x5c", header("x5c", json!(["MII"])), of_header),
        ("jwk as a text", header("jwk", json!("{}")), of_key),
        ("jwk without a kind", header("jwk", json!({})), of_key),
        ("jwk null", header("jwk", Value::Null), of_key),
        (
            "symmetric",
            header("jwk", json!({"kty": "oct", "k": "AAAA"})),
            of_key,
        ),
        ("private", key("d", json!("AAAA")), of_key),
        ("private, in part", key("k", json!("AAAA")), of_key),
        ("for encryption", key("use", json!("enc")), of_key),
        ("kid beside it", header("kid", json!("x")), Ok(())),
        ("without jti", without("jti"), malformed),
        ("jti empty", claim("jti", json!("")), malformed),
        ("jti of 256", claim("jti", json!("x".repeat(256))), Ok(())),
        (
            "jti of 257",
            claim("jti", json!("x".repeat(257))),
            malformed,
        ),
        ("jti as a number", claim("jti", json!(1)), malformed),
        ("without htm", without("htm"), malformed),
        (
            "htm POST",
            claim("htm", json!("POST")),
            Err(Refusal::ProofMethod),
        ),
        (
            "htm in small letters",
            claim("htm", json!("get")),
            Err(Refusal::ProofMethod),
        ),
        ("without htu", without("htu"), malformed),
        (
            "htu",
            claim("htu", json!("https://api.example.com/")),
            Err(Refusal::ProofTarget),
        ),
        ("without iat", without("iat"), malformed),
        (
            "iat as a text",
            claim("iat", json!(NOW.to_string())),
            malformed,
        ),
        ("iat of before 1970", claim("iat", json!(-1)), malformed),
        ("iat a minute ago", claim("iat", json!(NOW - 60)), Ok(())),
        (
            "iat long ago",
            claim("iat", json!(NOW - 61)),
            Err(Refusal::ProofExpired),
        ),
        ("iat soon", claim("iat", json!(NOW + 30)), Ok(())),
        (
            "iat later",
            claim("iat", json!(NOW + 31)),
            Err(Refusal::ProofNotYetValid),
        ),
        (
            "iat with a part",
            claim("iat", json!(1_800_000_000.5)),
            Ok(()),
        ),
        ("without ath", without("ath"), Err(Refusal::ProofToken)),
        (
            "ath of another",
            claim("ath", json!(base64url([0; 32]))),
            Err(Refusal::ProofToken),
        ),
        ("ath as a list", claim("ath", json!([])), malformed),
        (
            "nonce that nobody asked for",
            claim("nonce", json!("x")),
            Ok(()),
        ),
        ("nonce as a number", claim("nonce", json!(1)), malformed),
        ("another claim", claim("sub", json!(1)), Ok(())),
        (
            "exp within the leeway",
            claim("exp", json!(NOW - 29)),
            Ok(()),
        ),
        (
            "exp long ago",
            claim("exp", json!(NOW - 30)),
            Err(Refusal::ProofExpired),
        ),
        ("exp as a text", claim("exp", json!("1")), malformed),
        (
            "nbf within the leeway",
            claim("nbf", json!(NOW + 30)),
            Ok(()),
        ),
        (
            "nbf ahead",
            claim("nbf", json!(NOW + 31)),
            Err(Refusal::ProofNotYetValid),
        ),
    ];
    for (what, came, want) in cases {
        assert_eq!(came, want, "{what}");
    }
}

#[test]
fn a_proof_is_one_jws_with_the_signature_of_its_own_key() {
    let show = |cnf: &Value, proof: String| {
        let possession = possession(Demand::No, Demand::Required);
        show(&possession, Some(cnf.clone()), Scheme::Dpop, &[proof], None)
    };
    let parts = good("1");
    let cnf = bound_to(&parts.0["jwk"]);
    let stranger = sign(&KEYS.stranger, &parts);
    assert_eq!(show(&cnf, stranger), Err(Refusal::ProofSignature));
    let proof = sign(&KEYS.es256, &parts);
    let (signed, signature) = proof.rsplit_once('.').unwrap();
    let malformed = [
        String::new(),
        "x".into(),
        "..".into(),
        signed.to_owned(),
        format!("{signed}.{signature}.x"),
        format!("{proof}="),
        format!("{proof}, {proof}"),
        format!("{signed}.{signature}{}", "A".repeat(8 * 1024)),
        KEYS.es256
            .token(r#"{"typ":"dpop+jwt","typ":"dpop+jwt"}"#, "{}"),
    ];
    for text in malformed {
        assert_eq!(
            show(&cnf, text.clone()),
            Err(Refusal::ProofMalformed),
            "{text:.60}"
        );
    }
    let claims = parts.1.to_string();
    let (head, rest) = claims.split_at(1);
    let twice = format!("{head}\"htm\":\"POST\",{rest}");
    let twice = KEYS.es256.token(&parts.0.to_string(), &twice);
    assert_eq!(show(&cnf, twice), Err(Refusal::ProofMalformed), "htm twice");
    assert_eq!(
        show(&cnf, format!("{signed}.")),
        Err(Refusal::ProofSignature)
    );

    // Ed25519 has two names for its one algorithm.
    for name in ["EdDSA", "Ed25519"] {
        let mut parts = good("1");
        parts.0["jwk"] = jwk(&KEYS.eddsa);
        parts.0["alg"] = json!(name);
        let cnf = bound_to(&parts.0["jwk"]);
        assert_eq!(show(&cnf, sign(&KEYS.eddsa, &parts)), Ok(()), "{name}");
    }

    // Keys that the token is bound to, and that are none all the same.
    let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
    let bad = [
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}),
        json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": x}),
        json!({"kty": "EC", "crv": "P-521", "x": x, "y": x}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": base64url([0; 32])}),
        json!({"kty": "OKP", "crv": "X25519", "x": x}),
        json!({"kty": "RSA", "n": base64url([0xA5; 64]), "e": "AQAB"}),
        jwk(&KEYS.rsa),
        jwk(&KEYS.es384),
    ];
    for jwk in bad {
        let mut parts = good("1");
        let cnf = bound_to(&jwk);
        parts.0["jwk"] = jwk.clone();
        let came = show(&cnf, sign(&KEYS.es256, &parts));
        assert_eq!(came, Err(Refusal::ProofKey), "{jwk}");
    }
}
