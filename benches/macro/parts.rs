//! The parts of the benchmark: which parties are driven how, and what is read off them.

use std::net::SocketAddr;

use serde_json::Value;

use super::arguments::Arguments;
use super::parties::{Kind, Load, Party, start_service};
use super::revoked;
use super::stage::Stage;
use super::table::{self, Round, Row};

/// Connections at a time where each request has one of its own.
const HANDSHAKING: usize = 16;

struct Bench<'a> {
    arguments: &'a Arguments,
    stage: Stage,
    service: SocketAddr,
    kinds: Vec<Kind>,
    rounds: usize,
}

pub fn run(arguments: &Arguments) {
    let stage = Stage::set();
    let (process, service) = start_service(&stage);
    let wanted = |kind: &Kind| arguments.names("only", kind.name(), true) && kind.is_installed();
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
    let rounds = arguments.number("rounds", 5);
    let bench = Bench {
        arguments,
        stage,
        service,
        kinds,
        rounds,
    };
    let part = |name: &str| arguments.names("parts", name, true);
    let requests = arguments.number("requests", 40_000);
    let handshakes = arguments.number("handshakes", 4_000);
    let connections = arguments.number("connections", 64);
    if part("keep-alive") {
        bench.drive_all("keep-alive", connections, requests);
    }
    if part("full") {
        bench.drive_all("full", HANDSHAKING, handshakes);
    }
    if part("resumed") {
        bench.drive_all("resumed", HANDSHAKING, handshakes);
    }
    if part("crl") && bench.kinds.contains(&Kind::GatewayQuiet) {
        bench.crl(handshakes);
    }
    if part("idle") {
        bench.idle(arguments.number("idle", 2_000));
    }
    if part("routes") {
        bench.routes(arguments.number("routes", 100_000), connections, requests);
    }
    if part("revoked") && bench.kinds.contains(&Kind::Gateway) {
        let party = bench.start(Kind::Gateway);
        let connections = arguments.number("revoked", 10_000);
        revoked::run(&party, &bench.stage, connections, bench.rounds);
    }
    drop(bench);
    drop(process);
}

impl Bench<'_> {
    fn start(&self, kind: Kind) -> Party {
        Party::start(kind, &self.stage, self.service, self.arguments)
    }

    /// All parties run all the time; in each round each is driven once, in turn.
    fn drive_all(&self, mode: &str, connections: usize, requests: usize) {
        let parties: Vec<Party> = self.kinds.iter().map(|kind| self.start(*kind)).collect();
        let named: Vec<(&str, &Party)> = parties
            .iter()
            .map(|party| (party.kind.name(), party))
            .collect();
        let rows = self.rounds(&named, mode, connections, requests);
        let rounds = self.rounds;
        let title = format!(
            "{mode}: {connections} connections at a time, {requests} requests, {rounds} rounds"
        );
        table::print(&title, &rows);
    }

    fn rounds(
        &self,
        parties: &[(&str, &Party)],
        mode: &str,
        connections: usize,
        requests: usize,
    ) -> Vec<Row> {
        let row = |(name, _): &(&str, &Party)| Row {
            name: (*name).to_owned(),
            rounds: Vec::new(),
        };
        let mut rows: Vec<Row> = parties.iter().map(row).collect();
        for round in 0..self.rounds {
            for step in 0..parties.len() {
                // Each round begins with another party, so that none always follows the same.
                let at = (round + step) % parties.len();
                let (name, party) = parties[at];
                let measured = self.measure(name, party, mode, connections, requests);
                rows[at].rounds.push(measured);
            }
        }
        rows
    }

    fn measure(
        &self,
        name: &str,
        party: &Party,
        mode: &str,
        connections: usize,
        requests: usize,
    ) -> Round {
        let mut load = Load::start(&self.stage, party.address, mode, connections, requests);
        let before = party.cpu_micros();
        let found = load.go();
        let cpu = party.cpu_micros() - before;
        let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
        let done = number("requests");
        assert_eq!(found["errors"], 0, "{name}, {mode}: {found}");
        if mode != "keep-alive" {
            let resumed = if mode == "resumed" { done } else { 0.0 };
            let wrong = (number("resumed") - resumed).abs() > done * 0.01;
            if wrong {
                eprintln!(
                    "  {name}, {mode}: {} of {} resumed",
                    found["resumed"], found["handshakes"]
                );
            }
        }
        Round {
            cpu_micros: cpu / done,
            per_second: done / number("seconds"),
            p50: number("p50"),
            p99: number("p99"),
        }
    }

    /// Full handshakes without a CRL and with a large one.
    fn crl(&self, handshakes: usize) {
        let (without, with) = (self.start(Kind::GatewayQuiet), self.start(Kind::GatewayCrl));
        let parties = [("no CRL", &without), ("CRL of 100,000", &with)];
        let rows = self.rounds(&parties, "full", HANDSHAKING, handshakes);
        table::print("crl: full handshakes", &rows);
        let grown = with.settled_kib() - without.settled_kib();
        println!("  the CRL takes {grown:.0} KiB");
    }

    /// Memory of idle connections, each kind in a process of its own.
    fn idle(&self, connections: usize) {
        println!("\nidle: {connections} connections, resident KiB for each");
        println!(
            "  {:<16} {:>12} {:>12} {:>12}",
            "", "at start", "unused", "after one"
        );
        for kind in &self.kinds {
            let mut each = Vec::new();
            let mut at_start = f64::NAN;
            for mode in ["idle", "idle-after-one"] {
                let party = self.start(*kind);
                at_start = party.settled_kib();
                // What is made once, and what the pool to the service takes, does not count.
                drop(Load::start(&self.stage, party.address, "keep-alive", 64, 0));
                let before = party.settled_kib();
                let mut load = Load::start(&self.stage, party.address, mode, connections, 0);
                let grown = party.settled_kib() - before;
                let found: Value = load.go();
                assert_eq!(found["errors"], 0, "{}, {mode}: {found}", kind.name());
                each.push(grown / connections as f64);
            }
            println!(
                "  {:<16} {at_start:>12.0} {:>12.1} {:>12.1}",
                kind.name(),
                each[0],
                each[1]
            );
        }
    }

    /// Start, memory and cost of a request with 10 routes and with many.
    fn routes(&self, many: usize, connections: usize, requests: usize) {
        if !self
            .kinds
            .iter()
            .any(|kind| matches!(kind, Kind::Gateway | Kind::GatewayQuiet))
        {
            return;
        }
        let start = |routes| {
            Party::start_gateway(
                Kind::GatewayQuiet,
                &self.stage,
                self.service,
                self.arguments,
                routes,
            )
        };
        let (few, lots) = (start(10), start(many));
        let (few_name, lots_name) = ("10 routes".to_owned(), format!("{many} routes"));
        println!("\nroutes");
        println!("  {:<16} {:>12} {:>12}", "", "ready ms", "resident KiB");
        for (name, party) in [(&few_name, &few), (&lots_name, &lots)] {
            let millis = party.ready_after.as_secs_f64() * 1000.0;
            println!("  {name:<16} {millis:>12.0} {:>12.0}", party.settled_kib());
        }
        let parties = [(few_name.as_str(), &few), (lots_name.as_str(), &lots)];
        let rows = self.rounds(&parties, "keep-alive", connections, requests);
        table::print("routes: the same request, keep-alive", &rows);
    }
}
