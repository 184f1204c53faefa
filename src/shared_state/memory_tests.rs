//! Bounds and times of the memory.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(number: usize) -> Key {
    Key::of(Space::DpopProof, &number.to_be_bytes())
}

fn bounds(when_full: WhenFull) -> Bounds {
    Bounds {
        entries: 3,
        bytes: 10,
        when_full,
    }
}

fn at(now: Instant) -> Time {
    Time { now, ttl: SECOND }
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![0; length])
}

#[test]
fn a_key_is_new_once_until_its_time_is_over() {
    let memory = Memory::new(Arc::default());
    let start = Instant::now();
    let put = |after| memory.put_new(Space::DpopProof, None, key(1), at(start + after));
    let cases = [
        (Duration::ZERO, true),
        (Duration::ZERO, false),
        (SECOND - Duration::from_nanos(1), false),
        (SECOND, true),
        (SECOND, false),
    ];
    for (after, new) in cases {
        assert_eq!(put(after), Ok(new), "{after:?}");
    }
    assert_eq!(memory.counts.entries(Space::DpopProof), 1);
}

#[test]
fn spaces_do_not_meet() {
    let memory = Memory::new(Arc::default());
    let now = Instant::now();
    let put = memory.put(Space::Session, None, key(1), &bytes(1), at(now));
    assert_eq!(put, Ok(()));
    assert_eq!(memory.get(Space::Session, key(1), now), Some(bytes(1)));
    assert_eq!(memory.get(Space::Introspection, key(1), now), None);
    let keys = [Space::Session, Space::Introspection].map(|space| Key::of(space, b"a"));
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn of_many_who_bring_the_same_key_one_is_told_that_it_is_new() {
    let memory = Memory::new(Arc::default());
    let now = Instant::now();
    let new = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let put = |number| memory.put_new(Space::DpopProof, None, key(number), at(now));
                    (0..1000).filter(|number| put(*number) == Ok(true)).count()
                })
            })
            .collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        counts.sum::<usize>()
    });
    assert_eq!(new, 1000);
}

#[test]
fn what_may_not_be_forgotten_is_refused_when_full() {
    let (mut shard, bounds) = (Shard::default(), bounds(WhenFull::Refuse));
    let now = Instant::now();
    for number in 0..3 {
        assert_eq!(shard.put_new(None, key(number), at(now), bounds), Ok(true));
    }
    assert_eq!(
        shard.put_new(None, key(3), at(now), bounds),
        Err(Away::Full)
    );
    assert_eq!(
        shard.put_new(None, key(0), at(now), bounds),
        Ok(false),
        "it stays"
    );
    let later = at(now + SECOND);
    assert_eq!(shard.put_new(None, key(3), later, bounds), Ok(true));
    assert_eq!((shard.entries.len(), shard.by_end.len()), (1, 1));
}

#[test]
fn no_owner_gets_more_than_is_left_for_all_others() {
    const ROOM: usize = 1_000;
    let mut shard = Shard::default();
    let bounds = Bounds {
        entries: ROOM,
        ..bounds(WhenFull::Refuse)
    };
    let (now, mut next) = (Instant::now(), 0);
    let mut fill = |shard: &mut Shard, owner: Owner, now: Instant| {
        let mut put = || {
            next += 1;
            shard.put_new(Some(owner), key(next), at(now), bounds)
        };
        let taken = std::iter::repeat_with(&mut put).take_while(|put| *put == Ok(true));
        let taken = taken.count();
        (taken, put())
    };
    let shares = [1, 2, 3].map(|owner| fill(&mut shard, owner, now));
    let full = Err(Away::Share);
    assert_eq!(shares, [(500, full), (250, full), (125, full)]);
    assert_eq!(fill(&mut shard, 1, now), (0, full), "still");
    // What was noted is known again, also when its owner has all that it may.
    assert_eq!(
        shard.put_new(Some(1), key(1), at(now), bounds),
        Ok(false),
        "it stays"
    );
    let put = shard.put(Some(1), key(1), &bytes(1), at(now), bounds);
    assert_eq!(put, Ok(()), "nor does another value of it take more");
    assert_eq!(
        shard.put(Some(1), key(0), &[], at(now), bounds),
        full.map(drop)
    );
    // However many there are, whoever has nothing yet gets something, until there is nothing left.
    let many = (4..).map_while(|owner| match fill(&mut shard, owner, now) {
        (0, Err(Away::Full)) => None,
        (taken, _) => Some(taken),
    });
    let many: Vec<_> = many.collect();
    assert_eq!(many.iter().sum::<usize>(), ROOM - 875);
    assert!(!many.contains(&0), "{many:?}");
    let later = now + SECOND;
    assert_eq!(fill(&mut shard, 1, later), (500, full), "all are over");
    assert_eq!((shard.held.len(), shard.held.get(&1)), (1, Some(&500)));
}

#[test]
fn a_cache_forgets_what_ends_first() {
    let (mut shard, bounds) = (Shard::default(), bounds(WhenFull::Forget));
    let now = Instant::now();
    for (number, seconds) in [(0, 30), (1, 10), (2, 20), (3, 40)] {
        let ttl = SECOND * seconds;
        let put = shard.insert(None, key(number), &bytes(0), Time { now, ttl }, bounds);
        assert_eq!(put, Ok(()));
    }
    let left = [0, 1, 2, 3].map(|number| shard.get(key(number), now).is_some());
    assert_eq!(left, [true, false, true, true]);
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let (mut shard, bounds) = (Shard::default(), bounds(WhenFull::Refuse));
    let now = Instant::now();
    let cases = [
        // (key, bytes, whether they fit)
        (0, 11, Err(Away::Full)),
        (0, 8, Ok(())),
        (1, 3, Err(Away::Full)),
        (0, 11, Err(Away::Full)), // what was there stays
        (1, 3, Err(Away::Full)),
        (0, 7, Ok(())),
        (1, 3, Ok(())),
    ];
    for (number, length, fits) in cases {
        let put = shard.insert(None, key(number), &bytes(length), at(now), bounds);
        assert_eq!(put, fits, "{length} bytes under {number}");
    }
    shard.remove(key(0));
    assert_eq!((shard.bytes, shard.by_end.len()), (3, 1));
}
