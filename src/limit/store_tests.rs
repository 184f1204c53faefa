//! What a limiter lets through, what it says about it, and what makes it forget.

use governor::clock::FakeRelativeClock;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn rate(count: u32, per: Duration, burst: u32) -> Rate {
    let number = |n| NonZeroU32::new(n).unwrap();
    Rate {
        count: number(count),
        per,
        burst: number(burst),
    }
}

fn store(keys_max: usize) -> (Arc<LimitStore<FakeRelativeClock>>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (LimitStore::with_clock(keys_max, clock.clone()), clock)
}

/// How many of `tries` requests are let through.
fn allowed(limiter: &Limiter<FakeRelativeClock>, key: &str, tries: usize) -> usize {
    (0..tries).filter(|_| limiter.take(key).allowed).count()
}

/// One request, whatever comes of it.
fn touch(limiter: &Limiter<FakeRelativeClock>, key: u32) {
    let Taken { .. } = limiter.take(&key);
}

#[test]
fn the_burst_is_let_through_and_then_the_rate() {
    let cases = [
        // (rate, let through at once, then waiting this long, then let through)
        (rate(100, SECOND, 100), 100, SECOND, 100),
        (rate(100, SECOND, 200), 200, SECOND, 100),
        (rate(100, SECOND, 1), 1, SECOND, 1),
        (rate(5, SECOND, 5), 5, Duration::from_millis(199), 0),
        (rate(5, SECOND, 5), 5, Duration::from_millis(200), 1),
        (rate(5, SECOND, 5), 5, Duration::from_millis(999), 4),
        (rate(60, MINUTE, 10), 10, Duration::from_millis(3500), 3),
        (rate(1, HOUR, 1), 1, Duration::from_secs(3599), 0),
        (rate(1, HOUR, 1), 1, HOUR, 1),
        (rate(10, HOUR, 20), 20, 100 * HOUR, 20),
    ];
    for (rate, at_once, wait, then) in cases {
        let (store, clock) = store(100);
        let limiter = store.limiter("s", rate);
        assert_eq!(allowed(&limiter, "k", 1000), at_once, "{rate:?}");
        clock.advance(wait);
        assert_eq!(
            allowed(&limiter, "k", 1000),
            then,
            "{rate:?} after {wait:?}"
        );
    }
}

#[test]
fn what_was_taken_says_what_is_left_and_when_it_comes_back() {
    let (store, clock) = store(100);
    let limiter = store.limiter("s", rate(10, SECOND, 3));
    let tenths = |n: u64| Duration::from_millis(100 * n);
    let seen = |taken: Taken| {
        (
            taken.allowed,
            taken.remaining,
            taken.reset,
            taken.retry_after,
        )
    };
    assert_eq!(seen(limiter.take("k")), (true, 2, tenths(1), tenths(0)));
    assert_eq!(seen(limiter.take("k")), (true, 1, tenths(2), tenths(0)));
    assert_eq!(seen(limiter.take("k")), (true, 0, tenths(3), tenths(0)));
    assert_eq!(seen(limiter.take("k")), (false, 0, tenths(1), tenths(1)));
    clock.advance(Duration::from_millis(40));
    let wait = Duration::from_millis(60);
    assert_eq!(seen(limiter.take("k")), (false, 0, wait, wait));
    clock.advance(wait);
    assert_eq!(seen(limiter.take("k")), (true, 0, tenths(3), tenths(0)));
}

#[test]
fn a_refused_request_costs_nothing() {
    let (store, clock) = store(100);
    let limiter = store.limiter("s", rate(1, SECOND, 1));
    assert_eq!(allowed(&limiter, "k", 10_000), 1);
    clock.advance(SECOND);
    assert_eq!(allowed(&limiter, "k", 10_000), 1);
}

#[test]
fn the_limit_and_its_window_say_the_rate_and_cover_the_burst() {
    let cases = [
        // (rate, limit, window in seconds)
        (rate(100, SECOND, 100), 100, 1),
        (rate(100, SECOND, 200), 200, 2),
        (rate(100, SECOND, 250), 250, 3),
        (rate(100, SECOND, 1), 100, 1),
        (rate(60, MINUTE, 10), 60, 60),
        (rate(60, MINUTE, 61), 61, 61),
        (rate(1, HOUR, 2), 2, 7200),
    ];
    for (rate, limit, window) in cases {
        let (store, _clock) = store(100);
        let taken = store.limiter("s", rate).take("k");
        assert_eq!(
            (taken.limit, taken.window.as_secs()),
            (limit, window),
            "{rate:?}"
        );
    }
}

#[test]
fn keys_scopes_and_rates_do_not_share_a_bucket() {
    let (store, _clock) = store(100);
    let one = rate(1, HOUR, 1);
    let limiter = store.limiter("orders.0", one);
    assert_eq!(allowed(&limiter, "a", 9), 1);
    assert_eq!(allowed(&limiter, "b", 9), 1);
    assert_eq!(allowed(&store.limiter("orders.1", one), "a", 9), 1);
    assert_eq!(
        allowed(&store.limiter("orders.0", rate(2, HOUR, 2)), "a", 9),
        2
    );
}

#[test]
fn counts_outlive_a_reload_and_end_with_the_last_user() {
    let (store, _clock) = store(100);
    let one = rate(1, HOUR, 1);
    let old = store.limiter("s", one);
    assert_eq!(allowed(&old, "k", 9), 1);
    let new = store.limiter("s", one);
    drop(old);
    assert_eq!(
        allowed(&new, "k", 9),
        0,
        "the new snapshot goes on counting"
    );
    drop(new);
    assert_eq!(
        allowed(&store.limiter("s", one), "k", 9),
        1,
        "nobody had the limit meanwhile"
    );
}

#[test]
fn limiters_that_nobody_holds_are_forgotten() {
    let (store, _clock) = store(100);
    let kept = store.limiter("kept", rate(1, HOUR, 1));
    assert_eq!(allowed(&kept, "k", 9), 1);
    for i in 0..10_000 {
        drop(store.limiter(&format!("s{i}"), rate(1, HOUR, 1)));
    }
    let known = store.limiters.lock().unwrap().by_scope.len();
    assert!(known <= SWEEP_AT_LEAST, "{known}");
    assert_eq!(allowed(&store.limiter("kept", rate(1, HOUR, 1)), "k", 9), 0);
}

#[test]
fn a_key_that_comes_again_keeps_its_count_while_many_others_pass_by() {
    let (store, _clock) = store(10_000);
    let limiter = store.limiter("s", rate(1, HOUR, 100));
    assert_eq!(allowed(&limiter, "hot", 1_000), 100);
    let mut let_through = 0;
    for other in 0..200_000 {
        touch(&limiter, other);
        if other % 1_000 == 0 {
            let_through += allowed(&limiter, "hot", 1);
        }
    }
    assert_eq!(let_through, 0);
    assert!(store.keys() <= 10_000, "{}", store.keys());
}

#[test]
fn a_key_that_rests_keeps_its_count_while_others_pass_by_once() {
    let (store, _clock) = store(10_000);
    let limiter = store.limiter("s", rate(1, HOUR, 100));
    assert_eq!(allowed(&limiter, "resting", 1_000), 100);
    for other in 0..200_000 {
        touch(&limiter, other);
    }
    assert_eq!(allowed(&limiter, "resting", 1), 0);
}

#[test]
fn memory_is_bounded_however_many_keys_and_limits_there_are() {
    let (store, _clock) = store(1_000);
    let limiters: Vec<_> = (0..50)
        .map(|i| store.limiter(&i.to_string(), rate(1, HOUR, 1)))
        .collect();
    for key in 0..1_000 {
        limiters.iter().for_each(|limiter| touch(limiter, key));
    }
    assert!(store.keys() <= 1_000, "{}", store.keys());
}

#[test]
fn the_greatest_and_smallest_rates_do_not_wrap_around() {
    let cases = [
        (rate(1, HOUR, u32::MAX), true),
        (rate(u32::MAX, SECOND, u32::MAX), true),
        (rate(u32::MAX, HOUR, 1), false),
        (rate(u32::MAX, Duration::from_nanos(1), u32::MAX), true),
        (rate(1, Duration::ZERO, 1), false),
        (rate(1, 24 * 365 * HOUR, u32::MAX), true),
        (rate(1, Duration::MAX, 1), false),
    ];
    for (rate, second) in cases {
        let (store, clock) = store(100);
        let limiter = store.limiter("s", rate);
        let first = limiter.take("k");
        assert!(first.allowed, "{rate:?}");
        assert!(first.window >= rate.per.min(SECOND), "{rate:?}");
        assert_eq!(limiter.take("k").allowed, second, "{rate:?}");
        clock.advance(Duration::from_secs(1));
        assert!(limiter.take("k").reset <= 2 * BURST_TIME_MAX, "{rate:?}");
    }
}

#[test]
fn threads_that_share_a_key_get_no_more_than_the_burst() {
    let (store, _clock) = store(100_000);
    let limiter = store.limiter("s", rate(1, HOUR, 1_000));
    let count = || (0..1_000).filter(|_| limiter.take("k").allowed).count();
    let total: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(total, 1_000);
}

#[test]
fn the_real_clock_lets_through_the_burst_too() {
    let store = LimitStore::new();
    let limiter = store.limiter("s", rate(1, HOUR, 3));
    assert_eq!((0..9).filter(|_| limiter.take("k").allowed).count(), 3);
    let wait = limiter.take("k").retry_after;
    assert!(wait > HOUR - MINUTE && wait <= HOUR, "{wait:?}");
}

#[test]
fn a_key_that_came_once_is_not_the_next_to_go() {
    let (store, _clock) = store(10_000);
    let limiter = store.limiter("s", rate(1, HOUR, 1));
    for other in 0..50_000 {
        touch(&limiter, other); // the cache is full, and its hot part too
        touch(&limiter, other);
    }
    assert_eq!(allowed(&limiter, "once", 1), 1);
    for other in 50_000..53_000 {
        touch(&limiter, other);
    }
    assert_eq!(allowed(&limiter, "once", 1), 0);
}
