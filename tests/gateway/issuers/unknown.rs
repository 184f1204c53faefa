//! Tokens with keys that nobody knows: one fetch for each cool-down, whoever asks for what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::bench::http1::Request;
use crate::bench::service::{Reply, Step};
use crate::bench::token::{self, IssuerKey, Token};
use crate::bench::within;

use super::{Stage, UNAVAILABLE, UNKNOWN, retry_after};

/// A stage whose keys are fetched on account of unknown keys alone.
async fn quiet(cool_down: &str) -> Stage {
    Stage::with(|config, _| {
        config.set("issuers.corp.keys.refresh.max", "1h");
        config.set("issuers.corp.keys.cool_down", cool_down);
    })
    .await
}

impl Stage {
    /// A token of the issuer that names this key.
    fn naming(&self, kid: &str) -> String {
        Token::new().header("kid", kid).sign(&self.world.issuer)
    }
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch_for_each_cool_down() {
    const COOL_DOWN: Duration = Duration::from_secs(2);
    const REQUESTS: usize = 2_000;
    const CONNECTIONS: usize = 8;
    let stage = quiet("2s").await;
    let before = stage.idp.asked("/jwks");
    let tokens: Vec<String> = (0..REQUESTS)
        .map(|number| stage.naming(&format!("made-up-{number}")))
        .collect();
    let good = stage.token(&stage.world.issuer);
    let began = Instant::now();
    let asking = tokens.chunks(REQUESTS / CONNECTIONS).map(|tokens| {
        let (client, good) = (stage.client(), &good);
        async move {
            let mut connection = client.connect().await;
            for (number, token) in tokens.iter().enumerate() {
                let request = Request::get("/orders/7").bearer(token);
                let answer = connection.request(&request).await;
                assert!([401, 503].contains(&answer.status), "{answer:?}");
                // Who has a good one is let in all the while.
                if number % 50 == 0 {
                    let request = Request::get("/orders/7").bearer(good);
                    assert_eq!(connection.request(&request).await.status, 200);
                }
            }
        }
    });
    futures_util::future::join_all(asking).await;
    let took = began.elapsed();
    let fetches = stage.idp.asked("/jwks") - before;
    let most = 1 + usize::try_from(took.as_secs() / COOL_DOWN.as_secs()).expect("short");
    assert!((1..=most).contains(&fetches), "{fetches} in {took:?}");
    let counted = stage.fetches(&[("cause", "unknown_key")]).await;
    assert_eq!(counted, fetches as f64);
    eprintln!("{REQUESTS} unknown keys in {took:?}: {fetches} fetches");
}

#[tokio::test]
async fn a_key_that_the_issuer_does_not_have_is_asked_for_once() {
    let stage = quiet("1s").await;
    let before = stage.idp.asked("/jwks");
    let token = stage.naming("nobodys");
    for _ in 0..5 {
        assert_eq!(stage.verdict(&token).await, (401, Some(UNKNOWN.into())));
    }
    assert_eq!(stage.idp.asked("/jwks"), before + 1);
    // A second key within the cool-down: nobody can say whose fault that is.
    let answer = stage.ask(&stage.naming("another")).await;
    let reason = stage.gateway.reason(&answer).await;
    assert_eq!((answer.status, reason.as_deref()), (503, Some(UNAVAILABLE)));
    assert_eq!(retry_after(&answer), Some(1));
    // After it, it is asked for, and then known to be nobody's too.
    within("the cool-down to end", async {
        while stage.verdict(&stage.naming("another")).await.0 == 503 {}
    })
    .await;
    assert_eq!(stage.verdict(&stage.naming("another")).await.0, 401);
    assert_eq!(stage.idp.asked("/jwks"), before + 2);
    // The first one is remembered beyond the cool-down.
    assert_eq!(stage.verdict(&token).await.0, 401);
    assert_eq!(stage.idp.asked("/jwks"), before + 2);
}

/// Anybody can guess what the issuer will call its next key.
#[tokio::test]
async fn a_name_that_was_asked_for_too_early_is_looked_for_again_after_the_cool_down() {
    let stage = quiet("1s").await;
    let guessed = stage.naming("2026-12");
    assert_eq!(stage.verdict(&guessed).await, (401, Some(UNKNOWN.into())));
    let next = IssuerKey::es256("2026-12");
    stage.idp.publish(&[&stage.world.issuer, &next]);
    let began = Instant::now();
    let token = stage.token(&next);
    within("the key to be found", async {
        while stage.verdict(&token).await.0 != 200 {}
    })
    .await;
    let took = began.elapsed();
    // Ten cool-downs would be ten seconds.
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(stage.fetches(&[("cause", "unknown_key")]).await, 2.0);
}

#[tokio::test]
async fn tokens_of_others_and_tokens_that_no_key_could_verify_ask_nobody() {
    let stage = quiet("1s").await;
    let before = stage.idp.asked("/jwks");
    let strange = IssuerKey::es256("strange");
    let of_other = Token::new().claim("iss", "https://other.example");
    let cases = [
        of_other.sign(&strange),
        Token::new().without("iss").sign(&strange),
        Token::new().sign(&IssuerKey::new("rsa", token::Algorithm::Rs256)),
        Token::new()
            .header("jku", "https://evil.example/jwks")
            .sign(&strange),
        Token::new().sign_hs256(b"secret", "strange"),
        format!("{}.x", Token::new().sign(&strange)),
    ];
    for token in cases {
        assert_eq!(stage.verdict(&token).await.0, 401, "{token}");
    }
    assert_eq!(stage.idp.asked("/jwks"), before);
}

#[tokio::test]
async fn a_fetch_blocks_nobody_whose_key_is_there_and_lets_nobody_wait_for_long() {
    let stage = Stage::with(|config, _| {
        config.set("issuers.corp.keys.refresh.max", "1h");
        config.set("issuers.corp.keys.timeout", "1s");
    })
    .await;
    let gate = Arc::new(Notify::new());
    let mut slow = vec![Step::Gate(Arc::clone(&gate))];
    slow.extend(Reply::ok(token::jwks(&[&stage.world.issuer])).0);
    stage.idp.page("/jwks", Reply(slow));
    let before = stage.idp.asked("/jwks");
    let unknown = stage.naming("unknown");
    let waiting = stage.ask(&unknown);
    let meanwhile = async {
        stage.idp.wait_for("/jwks", before + 1).await;
        // It is under way, and nothing comes of it.
        let good = stage.token(&stage.world.issuer);
        for _ in 0..10 {
            assert_eq!(stage.verdict(&good).await, (200, None));
        }
    };
    let began = Instant::now();
    let (answer, ()) = tokio::join!(waiting, meanwhile);
    assert_eq!(answer.status, 503, "who must wait is not kept for ever");
    assert!(retry_after(&answer).is_some_and(|seconds| (1..=60).contains(&seconds)));
    assert!(began.elapsed() < Duration::from_secs(10));
    gate.notify_one();
}
