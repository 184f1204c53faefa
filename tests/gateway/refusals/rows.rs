//! The table: how each refusal is provoked. A new variant without an arm here does not compile.

use futures_util::future::BoxFuture;
use portcullis::refusal::Refusal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::stage::{NONCE_SECRET, Stage};
use crate::bench::client::{Client, HOST, read_h2};
use crate::bench::dpop::{Proof, bound_to, nonce};
use crate::bench::gateway::Reloaded;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::{Authority, Leaf};
use crate::bench::token::{IssuerKey, Token, unix_now, with_broken_signature};
use crate::bench::within;
use crate::login::browser::Browser;
use crate::revocation::REVOKED;

/// How a refusal is provoked.
pub enum Row {
    /// By this request of the right client, in HTTP/1.1 and in h2 alike. No service hears of it.
    Request(Request),
    /// By this request, in HTTP/1.1: h2 has no such thing. No service hears of it.
    Http1(Request),
    /// By a request that a service, or the way to it, fails: in HTTP/1.1 and in h2 alike.
    Service(Request),
    /// By these steps; the answer is the refusal.
    Steps(for<'s> fn(&'s Stage) -> BoxFuture<'s, Answer>),
    /// By nobody outside: why, and the unit test that holds it.
    NotFromOutside(&'static str),
}

/// A request to the route that asks for scope `orders:read`, with this token.
fn with_token(token: &str) -> Row {
    Row::Request(Request::get("/orders/7").bearer(token))
}

/// The same, signed by the issuer's own key.
fn signed(stage: &Stage, token: Token) -> Row {
    with_token(&token.sign(&stage.world.issuer))
}

/// A request to the route that asks for a type, a scope and a claim.
fn typed(stage: &Stage, token: Token) -> Row {
    let complete = token.claim("client_id", "shop").claim("jti", "1");
    let token = complete.sign(&stage.world.issuer);
    Row::Request(Request::get("/typed/x").bearer(&token))
}

/// A request to the route that asks for a bound token.
fn written(stage: &Stage, token: Token) -> Row {
    let token = token.sign(&stage.world.issuer);
    Row::Request(Request::post("/orders/7", "x").bearer(&token))
}

/// A request to the route whose token is exchanged, with what becomes of it.
fn exchanged(stage: &Stage, becomes: &str) -> Row {
    let token = Token::new().subject(becomes).sign(&stage.world.issuer);
    Row::Request(Request::get("/exchanged/x").bearer(&token))
}

/// A key of a client, and a token that is bound to it.
fn bound(stage: &Stage) -> (IssuerKey, String) {
    let key = IssuerKey::es256("client");
    let token = Token::new().claim("cnf", bound_to(&key));
    (key, token.sign(&stage.world.issuer))
}

/// A request to the route that asks for a proof, with a good one that was changed.
fn proved(stage: &Stage, change: impl FnOnce(Proof) -> Proof) -> Row {
    let (key, token) = bound(stage);
    let proof = change(Proof::get("/proved/x", &token)).sign(&key);
    Row::Request(Request::get("/proved/x").dpop(&token, &proof))
}

/// The same without a proof, or with two good ones.
fn proof_fields(stage: &Stage, two: bool) -> Row {
    let (key, token) = bound(stage);
    let request = Request::get("/proved/x").header("Authorization", &format!("DPoP {token}"));
    let proof = || Proof::get("/proved/x", &token).sign(&key);
    Row::Request(match two {
        true => request.header("DPoP", &proof()).header("DPoP", &proof()),
        false => request,
    })
}

/// A request to the route whose issuer asks for nonces.
fn nonced(stage: &Stage, nonce: Option<String>) -> Row {
    let (key, token) = bound(stage);
    let mut proof = Proof::get("/nonced/x", &token);
    if let Some(nonce) = nonce {
        proof = proof.claim("nonce", nonce);
    }
    Row::Request(Request::get("/nonced/x").dpop(&token, &proof.sign(&key)))
}

fn proof_replayed(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let (key, token) = bound(stage);
        let proof = Proof::get("/proved/x", &token).sign(&key);
        let request = Request::get("/proved/x").dpop(&token, &proof);
        let mut connection = stage.client().connect().await;
        assert_eq!(connection.request(&request).await.status, 200);
        connection.request(&request).await
    })
}

pub fn row(stage: &Stage, refusal: Refusal) -> Row {
    let open = || Request::get("/open/x");
    let at = |target: &str| Request::get(target);
    let good = Token::new().sign(&stage.world.issuer);
    match refusal {
        Refusal::RequestMalformed => Row::Http1(open().header("Bad Name", "x")),
        Refusal::PathAmbiguous => Row::Request(at("/open/%2e%2e/x")),
        Refusal::HostMalformed => Row::Http1(open().host("a.example.com, b.example.com")),
        Refusal::HeaderAmbiguous => Row::Request(open().bearer(&good).bearer(&good)),
        Refusal::ConnectionNominates => Row::Http1(open().header("Connection", "Authorization")),
        Refusal::FramingAmbiguous => {
            Row::Http1(open().header("Transfer-Encoding", "gzip, chunked"))
        }
        Refusal::TokenMissing => Row::Request(at("/orders/7")),
        Refusal::TokenMalformed => with_token("a.b"),
        Refusal::TokenAlgorithm => with_token(&Token::new().unsigned()),
        Refusal::TokenHeader => signed(stage, Token::new().header("crit", json!(["exp"]))),
        Refusal::TokenKeyUnknown => signed(stage, Token::new().header("kid", "another")),
        Refusal::TokenSignature => with_token(&with_broken_signature(&good)),
        Refusal::TokenIssuer => signed(stage, Token::new().claim("iss", "https://other.example")),
        Refusal::TokenAudience => signed(stage, Token::new().claim("aud", "somebody-else")),
        Refusal::TokenExpired => signed(stage, Token::new().expired()),
        Refusal::TokenNotYetValid => signed(stage, Token::new().valid(600, 1200)),
        Refusal::CredentialsSeveral => Row::Request(
            at("/typed/x")
                .bearer(&good)
                .header("Cookie", "a=b; token=x"),
        ),
        Refusal::TokenTooOld => {
            let aged = Token::new().claim("iat", unix_now() - 120);
            let aged = aged.sign(&stage.world.issuer);
            Row::Request(at("/aged/x").bearer(&aged))
        }
        Refusal::TokenIncomplete => {
            let partly = Token::new().header("typ", "at+jwt").claim("jti", "1");
            let partly = partly.sign(&stage.world.issuer);
            Row::Request(at("/typed/x").bearer(&partly))
        }
        Refusal::TokenType => typed(stage, Token::new().scope("read").claim("tenant", "a")),
        Refusal::TokenInactive => Row::Request(at("/introspected/x").bearer("opaque")),
        Refusal::TokenUnbound => written(stage, Token::new()),
        Refusal::TokenOfAnotherPeer => {
            written(stage, Token::new().bound_to(&stage.world.gateway_identity))
        }
        Refusal::TokenBindingUnknown => {
            signed(stage, Token::new().claim("cnf", json!({ "kid": "x" })))
        }
        Refusal::TokenBoundToKey => {
            let key = IssuerKey::es256("client");
            signed(stage, Token::new().claim("cnf", bound_to(&key)))
        }
        Refusal::TokenUnboundToKey => Row::Request(Request::get("/proved/x").bearer(&good)),
        Refusal::ProofMissing => proof_fields(stage, false),
        Refusal::ProofSeveral => proof_fields(stage, true),
        Refusal::ProofMalformed => proved(stage, |proof| proof.without("jti")),
        Refusal::ProofHeader => proved(stage, |proof| proof.header("crit", json!(["exp"]))),
        Refusal::ProofType => proved(stage, |proof| proof.header("typ", "JWT")),
        Refusal::ProofAlgorithm => proved(stage, |proof| proof.header("alg", "none")),
        Refusal::ProofKey => proved(stage, |proof| {
            proof.header("jwk", json!({ "kty": "oct", "k": "AAAA" }))
        }),
        Refusal::ProofOfAnotherKey => proved(stage, |proof| {
            proof.header("jwk", IssuerKey::es256("another").bare_jwk())
        }),
        Refusal::ProofMethod => proved(stage, |proof| proof.claim("htm", "POST")),
        Refusal::ProofTarget => proved(stage, |proof| {
            proof.claim("htu", "https://api.example.com/proved/y")
        }),
        Refusal::ProofToken => proved(stage, |proof| proof.without("ath")),
        Refusal::ProofExpired => proved(stage, |proof| proof.claim("iat", unix_now() - 600)),
        Refusal::ProofNotYetValid => proved(stage, |proof| proof.claim("iat", unix_now() + 600)),
        Refusal::ProofSignature => {
            let (key, token) = bound(stage);
            let proof = with_broken_signature(&Proof::get("/proved/x", &token).sign(&key));
            Row::Request(Request::get("/proved/x").dpop(&token, &proof))
        }
        Refusal::ProofNonceMissing => nonced(stage, None),
        Refusal::ProofNonceExpired => nonced(stage, Some(nonce(NONCE_SECRET, "noncing", -600))),
        Refusal::ProofNonceUnknown => nonced(stage, Some(nonce(NONCE_SECRET, "corp", 0))),
        Refusal::ProofReplayed => Row::Steps(proof_replayed),
        Refusal::ProofsFull | Refusal::ProofsOfOneFull => Row::NotFromOutside(
            "it takes hundreds of thousands of proofs: `shared_state::memory` tests when, and \
             `possession::replays` what is told",
        ),
        Refusal::ProofsUnavailable => Row::NotFromOutside(
            "it takes a store that is away: `possession::shared` tests it with a real one",
        ),
        Refusal::LoginRequired => Row::Request(at("/pages/1")),
        Refusal::LoginStateUnknown => Row::Request(at(&format!(
            "/oauth/callback?code=x&state={}",
            "A".repeat(43)
        ))),
        Refusal::LoginAnswerMalformed => Row::Request(at("/oauth/callback?code=x&error=y")),
        Refusal::LogoutTokenRefused => {
            let form = "application/x-www-form-urlencoded";
            let post = Request::post("/oauth/back-channel-logout", "logout_token=x");
            Row::Request(post.header("Content-Type", form))
        }
        Refusal::LoginDenied => Row::Steps(login_denied),
        Refusal::IdTokenRefused => Row::Steps(id_token_refused),
        Refusal::LogoutCrossSite => Row::Request(at("/oauth/logout")),
        Refusal::SessionTooLarge => Row::Steps(session_too_large),
        Refusal::LoginUnavailable => Row::Request(at("/lost/1").header("Accept", "text/html")),
        Refusal::ApiKeyMissing => Row::Request(at("/keyed/x")),
        Refusal::ApiKeyUnknown => Row::Request(at("/keyed/x").header("x-api-key", "x")),
        Refusal::ApiKeyExpired => {
            Row::Request(at("/keyed/x").header("x-api-key", &stage.expired_key))
        }
        Refusal::ApiKeyOfAnotherPeer => {
            Row::Request(at("/keyed/x").header("x-api-key", &stage.strangers_key))
        }
        Refusal::CertificateMissing => Row::Steps(certificate_missing),
        Refusal::CertificateExpired => Row::Steps(certificate_expired),
        Refusal::CertificateUntrusted => Row::Steps(certificate_untrusted),
        Refusal::CertificateRevoked => Row::Steps(certificate_revoked),
        Refusal::PeerNotAllowed => Row::Steps(peer_not_allowed),
        Refusal::ScopeMissing => typed(
            stage,
            Token::new().header("typ", "at+jwt").claim("tenant", "a"),
        ),
        Refusal::ClaimMissing => typed(stage, Token::new().header("typ", "at+jwt").scope("read")),
        Refusal::TokenExchangeRefused => exchanged(stage, "refused"),
        Refusal::TokenExchangeDenied => exchanged(stage, "denied"),
        Refusal::TokenExchangeUnavailable => exchanged(stage, "away"),
        Refusal::ExternalAuthorizationDenied => Row::Request(at("/judged/no")),
        Refusal::ExternalAuthorizationInvalid => Row::Request(at("/judged/nonsense")),
        Refusal::ExternalAuthorizationUnavailable => Row::Request(at("/unjudged/x")),
        Refusal::PolicyRefused => Row::Request(at("/ruled/x")),
        Refusal::SubjectNotPeer => Row::Request(at("/owned/x").bearer(&good)),
        Refusal::RouteUnknown => Row::Request(at("/elsewhere")),
        Refusal::ListenerNotAllowed => Row::Request(at("/inside/x")),
        Refusal::MethodRefused => Row::Request(Request::new("TRACE", "/open/x")),
        Refusal::HeadTimeout => Row::Steps(head_timeout),
        Refusal::BodyTimeout => Row::Steps(body_timeout),
        Refusal::BodyTooLarge => Row::Request(Request::post("/open/x", "seventeen bytes!!")),
        Refusal::UriTooLong => Row::Request(at(&format!("/open/{}", "x".repeat(8 * 1024)))),
        Refusal::Misdirected => Row::Request(open().host("other.example.org")),
        Refusal::RateExceeded => Row::Steps(rate_exceeded),
        Refusal::PeerRateExceeded => Row::Steps(peer_rate_exceeded),
        Refusal::PeerInFlightExceeded => Row::Steps(peer_in_flight_exceeded),
        Refusal::HeadersTooLarge => Row::Request((0..101).fold(open(), |request, number| {
            request.header(&format!("x-{number}"), "1")
        })),
        Refusal::Internal => Row::NotFromOutside(
            "a fault of ours: `proxy::errors` and `upstream::connect_failure` test its ways",
        ),
        Refusal::NotAdmitted => Row::NotFromOutside(
            "a fault of ours: `proxy::journey` tests that a phase that runs too early refuses",
        ),
        Refusal::UpstreamIdentityMismatch => Row::Service(at("/impostor/x")),
        Refusal::UpstreamHandshake => Row::Service(at("/foreign/x")),
        Refusal::UpstreamUnreachable => Row::Service(at("/gone/x")),
        Refusal::UpstreamClosed => Row::Service(at("/open/close")),
        Refusal::UpstreamProtocol => Row::Service(at("/open/garbage")),
        Refusal::IssuerKeysUnavailable => Row::Request(at("/unheard/x").bearer(&good)),
        Refusal::IntrospectionUnavailable => Row::Request(at("/unintrospected/x").bearer("opaque")),
        Refusal::UpstreamIdentityUnavailable => Row::Service(at("/absent/x")),
        Refusal::UpstreamNoEndpoint => Row::Service(at("/nowhere/x")),
        Refusal::UpstreamInFlightExceeded => Row::Steps(upstream_in_flight_exceeded),
        Refusal::UpstreamConnectTimeout => Row::Service(at("/mute/x")),
        Refusal::UpstreamResponseTimeout => Row::Service(at("/silent/hang")),
    }
}

fn browser(stage: &Stage) -> Browser {
    Browser::new(&stage.gateway, &stage.provider, &stage.web)
}

/// The user says no at the provider.
fn login_denied(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        stage.provider.user(Value::Null, json!({})).await;
        let page = browser(stage).go("/pages/1").await;
        stage.provider.user("alice", json!({})).await;
        page.answer
    })
}

fn id_token_refused(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        stage
            .provider
            .tamper(json!({ "claims": { "nonce": "another" } }))
            .await;
        let page = browser(stage).go("/pages/1").await;
        stage.provider.tamper(Value::Null).await;
        page.answer
    })
}

fn session_too_large(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let name = "x".repeat(10_000);
        stage.provider.user("long", json!({ "name": name })).await;
        browser(stage).go("/pages/1").await.answer
    })
}

fn certificate_missing(stage: &Stage) -> BoxFuture<'_, Answer> {
    let client = stage.gateway.anonymous();
    let client = client.address(stage.gateway.address("optional"));
    Box::pin(async move { client.get("/orders/7").await })
}

/// The certificate ends while the connection is open.
fn certificate_expired(stage: &Stage) -> BoxFuture<'_, Answer> {
    let leaf = Leaf::client("short").spiffe("spiffe://partners.example/web/short");
    let short = stage.world.partners.issue(leaf.valid(-60, 3));
    let client = stage.gateway.client(&short);
    Box::pin(async move { Box::pin(after_goaway(&client, stage, async {})).await })
}

/// The authority of the certificate is taken away while the connection is open.
fn certificate_untrusted(stage: &Stage) -> BoxFuture<'_, Answer> {
    let leaf = Leaf::client("partner").spiffe("spiffe://partners.example/web/r");
    let client = stage.gateway.client(&stage.rotating.issue(leaf));
    let client = client.address(stage.gateway.address("rotating"));
    Box::pin(async move {
        let take_away = async {
            let next = Authority::new("next");
            let folder = &stage.world.folder;
            let swap = || drop(folder.write("rotating-ca.pem", next.pem()));
            let reloaded = stage.gateway.reload_by(swap).await;
            assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
        };
        Box::pin(after_goaway(&client, stage, Box::pin(take_away))).await
    })
}

/// The deny list names the client while the connection is open.
fn certificate_revoked(stage: &Stage) -> BoxFuture<'_, Answer> {
    let id = "spiffe://partners.example/web/denied";
    let client = stage.gateway.client(&stage.world.partner(id));
    Box::pin(async move {
        let deny = async {
            let folder = &stage.world.folder;
            let write = || drop(folder.write("deny.list", id));
            let reloaded = stage.gateway.reload_by(write).await;
            assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
        };
        Box::pin(after_goaway(&client, stage, Box::pin(deny))).await
    })
}

/// A request on a connection whose client has lost its standing. An idle one would be closed; on this
/// one a request is under way, and the client does not hear GOAWAY before it has asked.
async fn after_goaway(client: &Client, stage: &Stage, lose: impl Future<Output = ()>) -> Answer {
    let revoked = stage.gateway.metrics().await.value(REVOKED, &[]);
    let before = stage.orders.requests().len();
    let client = client.clone().alpn(&["h2"]);
    let connection = Box::pin(client.connect()).await;
    let source = connection.local_address().to_string();
    let tls = connection.wire.stream;
    let (hears, deaf) = watch::channel(true);
    let (mut from_gateway, to_gateway) = tokio::io::split(tls);
    let (mut heard, ear) = tokio::io::duplex(64 * 1024);
    let ears = tokio::spawn(async move {
        let (mut deaf, mut buffer) = (deaf, vec![0; 1024]);
        loop {
            deaf.wait_for(|hears| *hears)
                .await
                .expect("the test goes on");
            tokio::select! {
                biased;
                _ = deaf.changed() => {}
                read = from_gateway.read(&mut buffer) => match read {
                    Ok(read @ 1..) => heard.write_all(&buffer[..read]).await.expect("an ear"),
                    _ => return,
                },
            }
        }
    });
    let (sender, driver) = h2::client::handshake(tokio::io::join(ear, to_gateway))
        .await
        .expect("an h2 preface");
    let driver = tokio::spawn(driver);
    let get = |path: &str| {
        let head = http::Request::get(format!("https://{HOST}{path}"));
        head.version(http::Version::HTTP_2)
            .body(())
            .expect("a head")
    };
    let mut sender = sender.ready().await.expect("an open connection");
    let (_hang, _) = sender
        .send_request(get("/open/hang"), true)
        .expect("a stream");
    stage.orders.wait_for_requests(before + 1).await;
    hears.send_replace(false);
    lose.await;
    stage
        .gateway
        .wait_for_metric(REVOKED, &[], |now| now > revoked)
        .await;
    let mut sender = sender.ready().await.expect("GOAWAY is not heard yet");
    let (answer, _) = sender.send_request(get("/open/x"), true).expect("a stream");
    stage
        .gateway
        .wait_for_event(|line| {
            line["status"] == 403 && line["alpn"] == "h2" && line["source"] == source
        })
        .await;
    hears.send_replace(true);
    let answer = within("an answer", read_h2(answer)).await.expect("whole");
    driver.abort();
    ears.abort();
    answer
}

fn peer_not_allowed(stage: &Stage) -> BoxFuture<'_, Answer> {
    let other = stage.world.partner("spiffe://partners.example/batch/a");
    let token = Token::new().sign(&stage.world.issuer);
    let request = Request::get("/orders/7").bearer(&token);
    Box::pin(async move { stage.gateway.client(&other).request(&request).await })
}

fn head_timeout(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let mut connection = stage.client_of("hasty").connect().await;
        let answer = connection.exchange("GET /open/x HTTP/1.1\r\nHost:").await;
        answer.expect("an answer to half a head")
    })
}

fn body_timeout(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let mut connection = stage.client_of("hasty").connect().await;
        let head =
            "POST /open/x HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 9\r\n\r\nhalf";
        connection.exchange(head).await.expect("an answer")
    })
}

fn rate_exceeded(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let mut connection = stage.client().connect().await;
        assert_eq!(connection.get("/limited/x").await.status, 200);
        connection.get("/limited/x").await
    })
}

fn peer_rate_exceeded(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(async move {
        let mut connection = stage.client_of("tight").connect().await;
        assert_eq!(connection.get("/open/x").await.status, 200);
        connection.get("/open/x").await
    })
}

/// Asks once for what hangs, and once more beside it.
async fn beside_a_hanging_one(stage: &Stage, listener: &str, hanging: &str) -> Answer {
    let before = stage.orders.requests().len();
    let mut first = stage.client_of(listener).connect().await;
    let head = format!("GET {hanging} HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    first.send(head).await.expect("to send");
    stage.orders.wait_for_requests(before + 1).await;
    stage.client_of(listener).get(hanging).await
}

fn peer_in_flight_exceeded(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(beside_a_hanging_one(stage, "few", "/open/hang"))
}

fn upstream_in_flight_exceeded(stage: &Stage) -> BoxFuture<'_, Answer> {
    Box::pin(beside_a_hanging_one(stage, "edge", "/full/hang"))
}

/// Another key under the name of the issuer's: no variant of its own, but the classic.
pub fn of_another_key(stage: &Stage) -> Request {
    let key = IssuerKey::es256(&stage.world.issuer.kid);
    Request::get("/orders/7").bearer(&Token::new().claim("x", Value::Null).sign(&key))
}
