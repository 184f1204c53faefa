//! Each proof counts once: by whichever protocol it comes, at the same time, and over a reload.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use super::Stage;
use crate::bench::dpop::{Proof, bound_to};
use crate::bench::gateway::Reloaded;
use crate::bench::http1::Request;
use crate::bench::token::{IssuerKey, unix_now};

const PATH: &str = "/proved/x";

fn request(stage: &Stage, jti: Option<&str>) -> Request {
    let mut proof = Proof::get(PATH, &stage.token);
    if let Some(jti) = jti {
        proof = proof.claim("jti", jti);
    }
    Request::get(PATH).dpop(&stage.token, &proof.sign(&stage.key))
}

#[tokio::test]
async fn of_fifty_that_bring_one_proof_at_a_time_exactly_one_gets_through() {
    let stage = Stage::set().await;
    let request = request(&stage, None);
    let mut h2 = Vec::new();
    for _ in 0..25 {
        h2.push(stage.client().connect_h2().await);
    }
    let mut h1 = Vec::new();
    for _ in 0..25 {
        h1.push(stage.client().connect().await);
    }
    let over_h2 = join_all(h2.iter_mut().map(|connection| connection.request(&request)));
    let over_h1 = join_all(h1.iter_mut().map(|connection| connection.request(&request)));
    let (over_h2, over_h1) = tokio::join!(over_h2, over_h1);
    let mut passed = 0;
    for answer in over_h2.iter().chain(&over_h1) {
        match answer.status {
            200 => passed += 1,
            status => {
                assert_eq!(status, 401);
                let why = stage.reason(answer).await;
                assert_eq!(why.as_deref(), Some("proof_replayed"));
            }
        }
    }
    assert_eq!(passed, 1);
    assert_eq!(stage.orders.requests().len(), 1);
    assert_eq!(stage.count("proved", "dpop", "refused").await, 49.0);
}

#[tokio::test]
async fn a_jti_is_the_clients_own_and_is_used_up_by_good_proofs_alone() {
    let stage = Stage::set().await;
    let client = stage.client();
    let other_key = IssuerKey::es256("other");
    let other_token = stage.token_with(bound_to(&other_key));
    let of_other = Proof::get(PATH, &other_token)
        .claim("jti", "same")
        .sign(&other_key);
    let ask = async |request: &Request| {
        let answer = client.request(request).await;
        stage.reason(&answer).await
    };
    assert_eq!(
        ask(&Request::get(PATH).dpop(&other_token, &of_other)).await,
        None
    );

    // Somebody who has no key signs with a foreign one, or for another path.
    let stolen = Proof::get(PATH, &stage.token).claim("jti", "same");
    let forged = stolen
        .clone()
        .header("jwk", stage.key.bare_jwk())
        .sign(&other_key);
    let forged = ask(&Request::get(PATH).dpop(&stage.token, &forged)).await;
    assert_eq!(forged.as_deref(), Some("proof_signature"));
    let elsewhere = stolen
        .claim("htu", "https://api.example.com/may/x")
        .sign(&stage.key);
    let elsewhere = ask(&Request::get(PATH).dpop(&stage.token, &elsewhere)).await;
    assert_eq!(elsewhere.as_deref(), Some("proof_target"));

    assert_eq!(
        ask(&request(&stage, Some("same"))).await,
        None,
        "not used up by these"
    );
    let again = ask(&request(&stage, Some("same"))).await;
    assert_eq!(
        again.as_deref(),
        Some("proof_replayed"),
        "signed anew, the same jti"
    );
    assert_eq!(
        ask(&request(&stage, Some("Same"))).await,
        None,
        "another jti"
    );
}

#[tokio::test]
async fn a_reload_forgets_no_proof() {
    let mut stage = Stage::set().await;
    let used = request(&stage, None);
    assert_eq!(stage.client().request(&used).await.status, 200);
    let mut next = stage.gateway.config.clone();
    next.set("issuers.corp.dpop", json!({ "window": "90s" }));
    next.set("routes.proved.max_body", "1KiB");
    let reloaded = stage.gateway.reload(&next).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    let answer = stage.client().request(&used).await;
    assert_eq!(
        stage.reason(&answer).await.as_deref(),
        Some("proof_replayed")
    );
    let answer = stage.client().request(&request(&stage, None)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_proof_is_known_until_it_is_over() {
    let stage = Stage::with(|_, config| {
        config.set("issuers.corp.leeway", "0s");
        config.set("issuers.corp.dpop", json!({ "window": "5s" }));
    })
    .await;
    let proof = Proof::get(PATH, &stage.token).claim("iat", unix_now() - 2);
    let used = Request::get(PATH).dpop(&stage.token, &proof.sign(&stage.key));
    let mut connection = stage.client().connect().await;
    assert_eq!(connection.request(&used).await.status, 200);
    let mut again = 0;
    loop {
        let answer = connection.request(&used).await;
        let why = stage.reason(&answer).await;
        if why.as_deref() == Some("proof_expired") {
            break;
        }
        assert_eq!(why.as_deref(), Some("proof_replayed"), "after {again} more");
        again += 1;
        sleep(Duration::from_millis(50)).await;
    }
    assert!(again > 0);
}
