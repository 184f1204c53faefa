//! The part `revoked`: a CA is removed, and with it many connections lose their standing, while others
//! go on asking. What do the others see of it, and how long does it take?

use std::time::{Duration, Instant};

use serde_json::Value;

use super::parties::{Load, Party};
use super::stage::Stage;

/// Connections that ask for something, each every [`super::load`]'s `PACE`.
const ASKING: usize = 32;
/// So that one run takes some four seconds: as long as closing 10,000 and a little more.
const REQUESTS: usize = 8_000;
/// No more is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(party: &Party, stage: &Stage, connections: usize, rounds: usize) {
    println!("\nrevoked: {connections} idle connections are closed while {ASKING} others ask");
    println!(
        "  {:<8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "", "p50 before", "p99 before", "p50 during", "p99 during", "closed ms", "CPU us each"
    );
    for round in 0..rounds {
        stage.trust_leavers(true);
        std::thread::sleep(Duration::from_secs(3)); // until it is taken, by whatever way
        let mut leavers = Load::start_as(
            stage,
            party.address,
            "leaver",
            "idle-after-one",
            connections,
            0,
        );
        let idle: Value = leavers.go();
        assert_eq!(idle["errors"], 0, "the leavers: {idle}");
        let before_cpu = party.cpu_micros();
        let before = asked(party, stage, || {});
        let before_cpu = party.cpu_micros() - before_cpu;
        let open = party.descriptors();
        assert!(open > connections, "the leavers were not let in: {open}");
        let cpu = party.cpu_micros();
        let (during, closed) = std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let closing = scope.spawn(move || {
                let begin: Instant = told.recv().expect("the moment of the change");
                while party.descriptors() + connections > open + ASKING {
                    assert!(begin.elapsed() < PATIENCE, "connections stay open");
                    std::thread::sleep(Duration::from_millis(50));
                }
                begin.elapsed()
            });
            let during = asked(party, stage, || {
                stage.trust_leavers(false);
                tell.send(Instant::now()).expect("the watching thread");
            });
            (during, closing.join().expect("the watching thread"))
        });
        let cpu = party.cpu_micros() - cpu - before_cpu;
        println!(
            "  {:<8} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12.0}",
            format!("round {}", round + 1),
            before["p50"],
            before["p99"],
            during["p50"],
            during["p99"],
            closed.as_millis(),
            cpu / connections as f64,
        );
        drop(leavers);
    }
}

/// What those who ask found, with something done as they begin.
fn asked(party: &Party, stage: &Stage, meanwhile: impl FnOnce()) -> Value {
    let mut load = Load::start_as(stage, party.address, "client", "steady", ASKING, REQUESTS);
    meanwhile();
    let found = load.go();
    assert_eq!(found["errors"], 0, "those who ask: {found}");
    found
}
