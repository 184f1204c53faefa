//! Two gateways and one store: what one says, the other hears; of two who bring the same key, one is
//! told that it is new.

use std::time::Duration;

use bytes::Bytes;
use portcullis::shared_state::{Away, OPERATIONS, Operation, SPACES, SharedState, Space, WhenFull};

use super::server::{Member, Redis, spec, terms, until, with_password, with_trust};
use crate::bench::pki::{Authority, Leaf};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_gateways_that_bring_the_same_proof_one_is_told_that_it_is_new() {
    let redis = Redis::start(&[]);
    let [a, b] = [0, 1].map(|_| Member::new(terms(spec(redis.port))));
    let asked = (0..200_u32).map(|number| {
        let key = number.to_be_bytes();
        let (a, b) = (&a.state, &b.state);
        async move {
            tokio::join!(
                a.put_new(Space::DpopProof, &key, MINUTE),
                b.put_new(Space::DpopProof, &key, MINUTE)
            )
        }
    });
    for (a, b) in futures_util::future::join_all(asked).await {
        let (a, b) = (a.expect("an answer"), b.expect("an answer"));
        assert!(a ^ b, "one of them, and only one: {a} {b}");
    }
    let names = redis.ask(&[b"DBSIZE"]).await;
    assert!(names.starts_with(":200\r\n"), "{names}");
}

#[tokio::test]
async fn what_one_gateway_puts_another_gets_until_it_is_removed_or_over() {
    let redis = Redis::start(&[]);
    let [a, b] = [0, 1].map(|_| Member::new(terms(spec(redis.port))));
    let (a, b) = (&a.state, &b.state);
    for space in SPACES {
        let values = [&b""[..], b"\0\r\n$-1\r\n", &[7; 256 * 1024]];
        for value in values.map(Bytes::copy_from_slice) {
            a.put(space, b"key", value.clone(), MINUTE)
                .await
                .expect("kept");
            assert_eq!(b.get(space, b"key").await, Ok(Some(value)));
        }
        assert_eq!(b.get(space, b"other").await, Ok(None));
        b.remove(space, b"key").await.expect("removed");
        if space.when_full() == WhenFull::Forget {
            // What may be forgotten is not known elsewhere once it was removed.
            assert_eq!(a.get(space, b"key").await, Ok(None));
        }
    }
    let soon = Duration::from_millis(50);
    a.put(Space::Introspection, b"soon", Bytes::new(), soon)
        .await
        .expect("kept");
    until("the end of an entry", async || {
        let found = b
            .get(Space::Introspection, b"soon")
            .await
            .expect("an answer");
        found.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn spaces_and_prefixes_do_not_meet() {
    let redis = Redis::start(&[]);
    let one = Member::new(terms(spec(redis.port)));
    let mut other = spec(redis.port);
    other.prefix = "other:".to_owned();
    let other = Member::new(terms(other));
    for space in SPACES {
        for member in [&one, &other] {
            let new = member.state.put_new(space, b"key", MINUTE).await;
            assert_eq!(new, Ok(true), "{space:?}");
        }
    }
}

#[tokio::test]
async fn a_name_in_the_store_tells_nothing_of_the_key() {
    let redis = Redis::start(&[]);
    let member = Member::new(terms(spec(redis.port)));
    let new = member
        .state
        .put_new(Space::Session, b"s3cr3t-token", MINUTE)
        .await;
    assert_eq!(new, Ok(true));
    let names = redis.ask(&[b"KEYS", b"*"]).await;
    assert!(
        names.starts_with("*1\r\n$62\r\nportcullis:session:"),
        "{names}"
    );
    assert!(!names.contains("s3cr3t"), "{names}");
}

#[tokio::test]
async fn a_store_with_users_wants_the_right_password() {
    let user = "--user gateway on >right ~portcullis:* +@read +@write +ping";
    let user: Vec<&str> = user.split(' ').collect();
    let redis = Redis::start(&[&["--requirepass", "main"], &user[..]].concat());
    let cases = [
        (None, "main", Ok(true)),
        (None, "wrong", Err(Away::Refused)),
        (Some("gateway"), "right", Ok(true)),
        (Some("gateway"), "main", Err(Away::Refused)),
        (Some("nobody"), "right", Err(Away::Refused)),
    ];
    for (number, (name, password, want)) in (0_u8..).zip(cases) {
        let member = Member::new(with_password(name, password, spec(redis.port)));
        let new = member
            .state
            .put_new(Space::DpopProof, &[number], MINUTE)
            .await;
        assert_eq!(new, want, "{name:?} {password}");
    }
    let member = Member::new(terms(spec(redis.port)));
    let new = member
        .state
        .put_new(Space::DpopProof, b"none", MINUTE)
        .await;
    assert_eq!(new, Err(Away::Refused), "no password at all");
    // An ACL that does not allow the names that we use is no answer either.
    let mut elsewhere = spec(redis.port);
    elsewhere.prefix = "elsewhere:".to_owned();
    let member = Member::new(with_password(Some("gateway"), "right", elsewhere));
    let new = member.state.put_new(Space::DpopProof, b"x", MINUTE).await;
    assert_eq!(new, Err(Away::Refused));
}

#[tokio::test]
async fn a_store_must_prove_who_it_is() {
    let (mesh, stranger) = (Authority::new("mesh"), Authority::new("stranger"));
    let server = || Leaf::server("redis").dns("localhost");
    let cases = [
        ("right", mesh.issue(server()), Ok(true)),
        (
            "of a stranger",
            stranger.issue(server()),
            Err(Away::Unreachable),
        ),
        (
            "for another name",
            mesh.issue(Leaf::server("x").dns("other.internal")),
            Err(Away::Unreachable),
        ),
        (
            "over",
            mesh.issue(server().expired()),
            Err(Away::Unreachable),
        ),
    ];
    for (which, identity, want) in cases {
        let redis = Redis::with_tls(&identity, &[]);
        let mut spec = spec(redis.port);
        spec.endpoints = vec![super::server::endpoint("localhost", redis.port)];
        let member = Member::new(with_trust(&mesh, spec.clone()));
        let new = member.state.put_new(Space::DpopProof, b"key", MINUTE).await;
        assert_eq!(new, want, "{which}");
        // In the clear it does not speak at all.
        let member = Member::new(terms(spec));
        let new = member.state.put_new(Space::DpopProof, b"key", MINUTE).await;
        assert!(new.is_err(), "{which}: {new:?}");
    }
}

#[tokio::test]
async fn what_is_known_here_stays_known_when_another_store_is_named() {
    let (first, second) = (Redis::start(&[]), Redis::start(&[]));
    let state = SharedState::in_memory();
    let terms = [&first, &second].map(|redis| std::sync::Arc::new(terms(spec(redis.port))));
    let put = async |key: &[u8]| state.put_new(Space::DpopProof, key, MINUTE).await;
    assert_eq!(put(b"a").await, Ok(true));
    state.follow(Some(&terms[0]));
    assert_eq!((put(b"a").await, put(b"b").await), (Ok(false), Ok(true)));
    state.follow(Some(&terms[1]));
    assert_eq!((put(b"a").await, put(b"b").await), (Ok(false), Ok(false)));
    assert_eq!(put(b"c").await, Ok(true));
    state.follow(None);
    for key in [b"a", b"b", b"c"] {
        assert_eq!(put(key).await, Ok(false));
    }
    // A store that lost what it was told lets nothing through twice here.
    state.follow(Some(&terms[1]));
    second.ask(&[b"FLUSHALL"]).await;
    assert_eq!(put(b"c").await, Ok(false));
}

#[tokio::test]
async fn the_same_terms_keep_their_connection() {
    let redis = Redis::start(&[]);
    let member = Member::new(terms(spec(redis.port)));
    member.connected(1).await;
    let clients = || async { redis.ask(&[b"INFO", b"stats"]).await };
    let received = |text: String| -> u64 {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"));
        line.and_then(|number| number.parse().ok())
            .expect("a number")
    };
    let before = received(clients().await);
    for _ in 0..3 {
        member
            .state
            .follow(Some(&std::sync::Arc::new(terms(spec(redis.port)))));
        assert_eq!(member.state.get(Space::Session, b"x").await, Ok(None));
    }
    assert_eq!(received(clients().await), before + 1, "this question's own");
    assert_eq!(member.counts.stores(), (1, 1));
}

#[tokio::test]
async fn what_is_asked_is_counted() {
    let redis = Redis::start(&[]);
    let member = Member::new(terms(spec(redis.port)));
    let (state, counts) = (&member.state, &member.counts);
    // The second is known here, and needs no store.
    for key in [b"a", b"b", b"b"] {
        state
            .put_new(Space::DpopProof, key, MINUTE)
            .await
            .expect("an answer");
    }
    state
        .put(Space::Session, b"b", Bytes::new(), MINUTE)
        .await
        .expect("kept");
    state.get(Space::Session, b"b").await.expect("an answer");
    state.remove(Space::Session, b"b").await.expect("removed");
    let ok = |space, operation| counts.results(space, operation)[0];
    assert_eq!(ok(Space::DpopProof, Operation::PutNew), ("ok", 2));
    for operation in [Operation::Put, Operation::Get, Operation::Remove] {
        assert_eq!(ok(Space::Session, operation), ("ok", 1));
    }
    let all: u64 = OPERATIONS
        .iter()
        .map(|operation| counts.durations(*operation).count)
        .sum();
    assert_eq!(all, 5);
    assert_eq!(counts.entries(Space::DpopProof), 2);
    assert_eq!(counts.entries(Space::Session), 0);
}
