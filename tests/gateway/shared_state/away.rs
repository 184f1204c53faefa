//! The store goes away, comes back, and hangs: nobody waits longer than he may, and what happens then
//! is what the configuration says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis::config::shared_state::WhenAway;
use portcullis::shared_state::{Away, Operation, Space};

use super::server::{Member, Proxy, Redis, spec, terms, until};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_store_that_was_killed_is_away_until_it_is_back() {
    let mut redis = Redis::start(&[]);
    let refuse = Member::new(terms(spec(redis.port)));
    let mut local = spec(redis.port);
    local.when_away = WhenAway::Local;
    let local = Member::new(terms(local));
    for member in [&refuse, &local] {
        member.connected(1).await;
    }
    let put = async |member: &Member, key: &[u8]| {
        member.state.put_new(Space::DpopProof, key, MINUTE).await
    };
    assert_eq!(
        (put(&refuse, b"a").await, put(&local, b"a").await),
        (Ok(true), Ok(false))
    );
    redis.kill();
    for member in [&refuse, &local] {
        member.connected(0).await;
    }
    // Whoever refuses says so at once; whoever decides alone knows what he has seen himself.
    let new = put(&refuse, b"b").await;
    assert!(new.is_err(), "{new:?}");
    assert_eq!(put(&local, b"b").await, Ok(true));
    assert_eq!(
        (put(&local, b"a").await, put(&local, b"b").await),
        (Ok(false), Ok(false))
    );
    let value = Bytes::from_static(b"v");
    for space in [Space::Introspection, Space::Session] {
        local
            .state
            .put(space, b"k", value.clone(), MINUTE)
            .await
            .expect("kept here");
        assert_eq!(local.state.get(space, b"k").await, Ok(Some(value.clone())));
        refuse
            .state
            .put(space, b"k", value.clone(), MINUTE)
            .await
            .expect_err("not kept");
        refuse
            .state
            .get(space, b"k")
            .await
            .expect_err("nobody can say");
        refuse
            .state
            .remove(space, b"k")
            .await
            .expect_err("it may be there");
    }
    let [(refused, count), _] = refuse.counts.away(Space::DpopProof);
    assert_eq!((refused, count), ("refused", 1));
    let [_, (handled, count)] = local.counts.away(Space::DpopProof);
    assert_eq!(
        (handled, count),
        ("local", 1),
        "what is known here needs no store"
    );
    redis.start_again();
    for member in [&refuse, &local] {
        member.connected(1).await;
    }
    // It has lost all, and what was let through here is not let through again.
    assert_eq!(put(&refuse, b"c").await, Ok(true));
    assert_eq!(
        (put(&local, b"c").await, put(&local, b"b").await),
        (Ok(false), Ok(false))
    );
    assert_eq!(local.state.get(Space::Session, b"k").await, Ok(Some(value)));
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_hangs() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.port).await;
    let mut spec = spec(proxy.port);
    spec.timeout = Duration::from_millis(100);
    let member = Member::new(terms(spec));
    member.connected(1).await;
    assert_eq!(member.state.get(Space::Session, b"x").await, Ok(None));
    proxy.hold(true);
    let began = Instant::now();
    assert_eq!(
        member.state.get(Space::Session, b"x").await,
        Err(Away::Slow)
    );
    assert!(began.elapsed() >= Duration::from_millis(100));
    // One has found out that it hangs: the others need not wait, each for itself.
    member.connected(0).await;
    let began = Instant::now();
    for _ in 0..1_000 {
        member
            .state
            .get(Space::Session, b"x")
            .await
            .expect_err("it hangs");
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    let slow = member.counts.results(Space::Session, Operation::Get);
    assert!(
        slow.contains(&("slow", 1))
            || slow
                .iter()
                .any(|(label, count)| *label == "slow" && *count > 0)
    );
    proxy.hold(false);
    until("an answer of the store", async || {
        member.state.get(Space::Session, b"x").await.ok()
    })
    .await;
}

#[tokio::test]
async fn no_more_than_a_bounded_number_waits() {
    let redis = Redis::start(&[]);
    let proxy = Proxy::start(redis.port).await;
    let member = Member::new(terms(spec(proxy.port)));
    member.connected(1).await;
    proxy.hold(true);
    let asked = (0..3_000_u32).map(|number| {
        let state = &member.state;
        async move {
            state
                .put_new(Space::DpopProof, &number.to_be_bytes(), MINUTE)
                .await
        }
    });
    let answers = futures_util::future::join_all(asked).await;
    let busy = answers
        .iter()
        .filter(|answer| **answer == Err(Away::Busy))
        .count();
    assert_eq!(busy, 3_000 - 1_024);
    assert!(answers.iter().all(Result::is_err));
}

#[tokio::test]
async fn a_store_that_never_was_there_is_away_and_found_when_it_comes() {
    let mut redis = Redis::start(&[]);
    redis.kill();
    let member = Member::new(terms(spec(redis.port)));
    let answer = member.state.get(Space::Session, b"x").await;
    assert_eq!(answer, Err(Away::Unreachable));
    assert_eq!(member.counts.stores(), (1, 0));
    redis.start_again();
    member.connected(1).await;
    assert_eq!(member.state.get(Space::Session, b"x").await, Ok(None));
}
