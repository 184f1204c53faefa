//! The schedule as a table: what happens, at which second, and what follows.

use std::time::{Duration, Instant};

use super::schedule::{Cause, Schedule, Terms, Unknown};

const TERMS: Terms = Terms {
    refresh_min: Duration::from_secs(60),
    cool_down: Duration::from_secs(30),
    max_stale: Duration::from_secs(86_400),
};

/// A schedule with a clock that is set by hand.
struct Play {
    schedule: Schedule,
    start: Instant,
}

impl Play {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            schedule: Schedule::new(TERMS, start),
            start,
        }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    /// A fetch that begins and goes well at once.
    fn good(&mut self, at: u64, lifetime: u64) -> Cause {
        let at = self.at(at);
        let cause = self.schedule.begin(at);
        self.schedule
            .succeeded(at, Duration::from_secs(lifetime), 0.0);
        cause
    }

    fn bad(&mut self, at: u64) -> Cause {
        let at = self.at(at);
        let cause = self.schedule.begin(at);
        self.schedule.failed(at, false, 1.0);
        cause
    }

    fn ask(&mut self, kid: u64, at: u64) -> Unknown {
        let at = self.at(at);
        self.schedule.unknown(kid, at)
    }

    /// Milliseconds until the next fetch.
    fn pause(&self, at: u64) -> u128 {
        self.schedule.pause(self.at(at)).as_millis()
    }
}

#[test]
fn a_good_answer_is_followed_by_the_next_when_its_time_is_over() {
    let mut play = Play::new();
    assert_eq!(play.pause(0), 0, "the first is due");
    assert_eq!(play.good(1_000, 600), Cause::Due);
    assert_eq!(play.pause(1_000), 600_000);
    assert_eq!(play.pause(400_000), 201_000);
    assert_eq!(play.pause(700_000), 0);
    // Earlier by up to a tenth, and never sooner than the least time.
    for (lifetime, random, want) in [
        (600, 1.0, 540),
        (600, 7.0, 540),
        (600, 0.5, 570),
        (60, 1.0, 60),
        (1, 1.0, 60),
    ] {
        let began = play.at(0);
        let lifetime = Duration::from_secs(lifetime);
        play.schedule.succeeded(began, lifetime, random);
        assert_eq!(play.pause(0), want * 1_000, "{lifetime:?} {random}");
    }
}

#[test]
fn failures_are_tried_again_after_pauses_that_grow_and_good_answers_begin_anew() {
    let pauses = |play: &mut Play| {
        let pauses = (0..9).map(|_| {
            play.bad(0);
            play.pause(0)
        });
        pauses.collect::<Vec<_>>()
    };
    let mut play = Play::new();
    play.good(0, 600);
    let want = [
        1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ];
    assert_eq!(pauses(&mut play), want);
    // Without keys nothing passes until there are some.
    let want = [
        1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 10_000, 10_000,
    ];
    assert_eq!(pauses(&mut Play::new()), want);
    assert_eq!(play.schedule.failures(), 9);
    play.good(0, 600);
    assert_eq!(play.schedule.failures(), 0);
    play.bad(0);
    assert_eq!(play.pause(0), 1_000);
    // Between half of the pause and the whole.
    let now = play.at(0);
    play.schedule.failed(now, false, 0.0);
    assert_eq!(play.pause(0), 1_000);
    for _ in 0..200 {
        play.bad(0);
    }
    assert_eq!(play.pause(0), 60_000, "no arithmetic ends");
}

#[test]
fn keys_are_used_up_to_max_stale_after_the_last_good_fetch_began() {
    let mut play = Play::new();
    assert_eq!(play.schedule.usable_until(), None);
    play.bad(0);
    assert_eq!(play.schedule.usable_until(), None);
    play.good(1_000, 600);
    let until = play.at(1_000) + TERMS.max_stale;
    assert_eq!(play.schedule.usable_until(), Some(until));
    play.bad(700_000);
    assert_eq!(
        play.schedule.usable_until(),
        Some(until),
        "failing is not forgetting"
    );
    let now = play.at(701_000);
    play.schedule.failed(now, true, 0.0);
    assert_eq!(play.schedule.usable_until(), None, "but taking away is");
}

#[test]
fn an_unknown_key_is_fetched_once_and_then_known_to_be_absent() {
    let mut play = Play::new();
    play.good(0, 3_600);
    assert_eq!(play.ask(1, 1_000), Unknown::Awaited);
    assert_eq!(play.pause(1_000), 0, "at once");
    assert_eq!(play.ask(1, 1_000), Unknown::Awaited, "single flight");
    assert_eq!(play.good(1_001, 3_600), Cause::UnknownKey);
    assert_eq!(play.ask(1, 1_002), Unknown::Absent);
    assert_eq!(
        play.ask(1, 200_000),
        Unknown::Absent,
        "without another fetch"
    );
    // After ten cool-downs it may have come meanwhile.
    assert_eq!(play.ask(1, 302_000), Unknown::Awaited);
}

#[test]
fn another_key_within_the_cool_down_is_not_known_to_be_absent() {
    let mut play = Play::new();
    play.good(0, 3_600);
    play.ask(1, 1_000);
    play.good(1_000, 3_600);
    let left = |seconds| Unknown::NotNow(Duration::from_secs(seconds));
    assert_eq!(play.ask(2, 2_000), left(29));
    assert_eq!(play.ask(2, 30_000), left(1));
    assert_eq!(play.pause(30_000), 3_571_000, "none was caused");
    assert_eq!(play.ask(3, 31_000), Unknown::Awaited);
    assert_eq!(play.good(31_000, 3_600), Cause::UnknownKey);
    // The fetch for the third has told about the second too.
    assert_eq!(play.ask(2, 31_001), Unknown::Absent);
    assert_eq!(play.ask(3, 31_001), Unknown::Absent);
}

#[test]
fn a_fetch_that_was_under_way_proves_nothing_about_a_key_asked_for_after_it_began() {
    let mut play = Play::new();
    play.good(0, 600);
    let began = play.at(600_000);
    assert_eq!(play.schedule.begin(began), Cause::Due);
    assert_eq!(play.ask(1, 600_500), Unknown::Awaited, "it may bring it");
    play.schedule
        .succeeded(began, Duration::from_secs(600), 0.0);
    assert_eq!(play.ask(1, 601_000), Unknown::Awaited, "one of its own");
    assert_eq!(play.good(601_000, 600), Cause::UnknownKey);
    assert_eq!(play.ask(1, 601_001), Unknown::Absent);
}

#[test]
fn while_the_issuer_is_down_nobody_is_told_that_a_key_is_absent() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, 100), Unknown::Awaited, "the first is due");
    assert_eq!(play.bad(200), Cause::Due);
    assert_eq!(
        play.ask(1, 500),
        Unknown::NotNow(Duration::from_millis(700)),
        "nothing was fetched yet"
    );
    play.good(1_000, 3_600);
    assert_eq!(play.ask(1, 2_000), Unknown::Awaited);
    assert_eq!(play.bad(2_000), Cause::UnknownKey);
    // The next attempt is due in a second.
    assert_eq!(play.ask(1, 2_000), Unknown::NotNow(Duration::from_secs(1)));
    for _ in 0..10 {
        play.bad(3_000);
    }
    assert_eq!(
        play.ask(1, 10_000),
        Unknown::NotNow(Duration::from_secs(22)),
        "the cool-down ends sooner than the pause"
    );
    assert_eq!(
        play.ask(2, 33_000),
        Unknown::Awaited,
        "one for each cool-down"
    );
    let stale = 1_000 + 86_400_000;
    assert!(matches!(play.ask(1, stale - 1), Unknown::Awaited));
    assert!(matches!(play.ask(1, stale), Unknown::NotNow(_)));
}

#[test]
fn a_thousand_unknown_keys_a_second_cause_one_fetch_for_each_cool_down() {
    let mut play = Play::new();
    play.good(0, 86_400);
    let mut fetches = 0;
    for kid in 0..120_000_u64 {
        let now = 1_000 + kid; // one each millisecond, for two minutes
        play.ask(kid, now);
        if play.pause(now) == 0 {
            assert_eq!(play.good(now, 86_400), Cause::UnknownKey);
            fetches += 1;
        }
    }
    assert_eq!(fetches, 4);
}
