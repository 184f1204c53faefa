//! Nonces: a client that has none gets one, keeps it over reloads and rotated keys, and takes it to
//! another gateway that has the same key file.

use serde_json::json;

use super::{ALGS, Stage};
use crate::bench::dpop::{Proof, nonce};
use crate::bench::gateway::Reloaded;
use crate::bench::http1::{Answer, Request};
use crate::bench::service::Reply;

const PATH: &str = "/proved/x";
const FIRST: &str = "the first secret, which has more than 32 letters";
const SECOND: &str = "the second secret, which has more than 32 letters";

fn request(stage: &Stage, nonce: Option<&str>) -> Request {
    let mut proof = Proof::get(PATH, &stage.token);
    if let Some(nonce) = nonce {
        proof = proof.claim("nonce", nonce);
    }
    Request::get(PATH).dpop(&stage.token, &proof.sign(&stage.key))
}

async fn ask(stage: &Stage, nonce: Option<&str>) -> (Answer, Option<String>) {
    let answer = stage.client().request(&request(stage, nonce)).await;
    let why = stage.reason(&answer).await;
    (answer, why)
}

fn given(answer: &Answer) -> Option<String> {
    answer.header("dpop-nonce").map(str::to_owned)
}

#[tokio::test]
async fn a_client_without_a_nonce_is_given_one_and_comes_back_with_it() {
    let mut stage = Stage::with(|_, config| {
        config.set("issuers.corp.dpop", json!({ "nonces": "required" }));
    })
    .await;
    let (answer, why) = ask(&stage, None).await;
    assert_eq!(
        (answer.status, why.as_deref()),
        (401, Some("proof_nonce_missing"))
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some(&*format!(
            "DPoP error=\"use_dpop_nonce\", error_description=\"The DPoP proof needs a nonce.\", {ALGS}"
        ))
    );
    assert_eq!(answer.headers.all("dpop-nonce").len(), 1);
    let first = given(&answer).expect("a nonce");
    let (answer, why) = ask(&stage, Some(&first)).await;
    assert_eq!((why, given(&answer)), (None, None), "it is still young");
    let mut h2 = stage.client().connect_h2().await;
    assert_eq!(h2.request(&request(&stage, Some(&first))).await.status, 200);
    for (what, nonce) in [
        ("empty", ""),
        ("made up", "AAAAAGtJ05CG5P8y-7KaAppWWSuYOiPp"),
    ] {
        let (answer, why) = ask(&stage, Some(nonce)).await;
        assert_eq!(why.as_deref(), Some("proof_nonce_unknown"), "{what}");
        assert!(given(&answer).is_some(), "{what}");
    }

    // A reload does not send the clients for another one.
    let mut next = stage.gateway.config.clone();
    next.set("routes.proved.max_body", "1KiB");
    let reloaded = stage.gateway.reload(&next).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    assert_eq!(ask(&stage, Some(&first)).await.1, None);
    assert_eq!(stage.count("proved", "nonce", "proved").await, 3.0);
    assert_eq!(stage.count("proved", "dpop", "refused").await, 3.0);
}

#[tokio::test]
async fn gateways_with_one_key_file_take_each_others_nonces_while_the_keys_rotate() {
    let mut stage = Stage::with(|world, config| {
        world.folder.write("first.key", FIRST);
        world.folder.write("second.key", SECOND);
        config.set(
            "issuers.corp.dpop",
            json!({ "nonces": "required", "nonce_lifetime": "60s", "nonce_keys": ["first.key"] }),
        );
    })
    .await;
    let young = nonce(FIRST, "corp", 0);
    assert_eq!(ask(&stage, Some(&young)).await.1, None, "another gateway's");
    let ahead = nonce(FIRST, "corp", 20);
    assert_eq!(
        ask(&stage, Some(&ahead)).await.1,
        None,
        "whose clock is ahead"
    );
    let (answer, why) = ask(&stage, Some(&nonce(FIRST, "corp", -45))).await;
    assert_eq!(why, None, "an old one still counts");
    assert!(given(&answer).is_some(), "and is replaced");
    let cases = [
        ("over", nonce(FIRST, "corp", -90), "proof_nonce_expired"),
        ("far ahead", nonce(FIRST, "corp", 90), "proof_nonce_expired"),
        (
            "of another issuer",
            nonce(FIRST, "other", 0),
            "proof_nonce_unknown",
        ),
        (
            "of a foreign key",
            nonce(SECOND, "corp", 0),
            "proof_nonce_unknown",
        ),
    ];
    for (what, nonce, reason) in cases {
        let (answer, why) = ask(&stage, Some(&nonce)).await;
        assert_eq!(why.as_deref(), Some(reason), "{what}");
        let next = given(&answer).expect("another one");
        assert_eq!(ask(&stage, Some(&next)).await.1, None, "{what}");
    }

    // The second key comes, makes the nonces, and is alone in the end.
    let keys = |keys: &[&str]| {
        let mut next = stage.gateway.config.clone();
        next.set("issuers.corp.dpop.nonce_keys", json!(keys));
        next
    };
    let of = |secret: &str| nonce(secret, "corp", 0);
    let steps = [
        (keys(&["second.key", "first.key"]), None, None),
        (keys(&["second.key"]), None, Some("proof_nonce_unknown")),
    ];
    for (config, second, first) in steps {
        let reloaded = stage.gateway.reload(&config).await;
        assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
        assert_eq!(ask(&stage, Some(&of(SECOND))).await.1.as_deref(), second);
        assert_eq!(ask(&stage, Some(&of(FIRST))).await.1.as_deref(), first);
    }
    // A key file that changes is taken like any other.
    let write = || drop(stage.world.folder.write("second.key", FIRST));
    let reloaded = stage.gateway.reload_by(write).await;
    assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
    assert_eq!(ask(&stage, Some(&of(FIRST))).await.1, None);
    assert!(!stage.gateway.log().join("\n").contains("secret, which"));
}

#[tokio::test]
async fn nonces_that_are_only_reported_are_offered_and_counted() {
    let stage = Stage::with(|_, config| {
        config.set("issuers.corp.dpop", json!({ "nonces": "report_only" }));
    })
    .await;
    let (answer, why) = ask(&stage, None).await;
    assert_eq!(why, None);
    let line = stage.gateway.access_line(&answer).await;
    assert_eq!(line["possession_reported"], "nonce");
    let offered = given(&answer).expect("a nonce to come with");
    // Whatever the service says: no cache gives it to others, and no other stands beside it.
    let fields = [("Cache-Control", "max-age=60"), ("DPoP-Nonce", "theirs")];
    stage
        .orders
        .set_reply(move |_| Reply::new(200, &fields, "x"));
    let (answer, _) = ask(&stage, None).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let given = answer.headers.all("dpop-nonce");
    assert!(given.len() == 1 && given[0] != "theirs", "{given:?}");
    let (answer, why) = ask(&stage, Some(&offered)).await;
    assert_eq!(why, None);
    let line = stage.gateway.access_line(&answer).await;
    assert!(line.get("possession_reported").is_none(), "{line}");
    assert_eq!(stage.count("proved", "nonce", "reported").await, 2.0);
    assert_eq!(stage.count("proved", "nonce", "proved").await, 1.0);
}
