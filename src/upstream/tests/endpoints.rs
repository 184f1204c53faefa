//! Which address is asked next, and where addresses come from.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::config::spec::EndpointSpec;
use crate::identity::name::Name;
use crate::observe::{Metrics, UpstreamMetrics};
use crate::upstream::endpoints::{EndpointStore, Endpoints};
use crate::upstream::resolve::Lookup;

/// A resolver whose answers tests set. It counts how often it is asked.
struct Names {
    answers: Mutex<HashMap<String, Vec<SocketAddr>>>,
    asked: watch::Sender<u32>,
}

impl Names {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::default(),
            asked: watch::Sender::new(0),
        })
    }

    fn set(&self, host: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.answers
            .lock()
            .unwrap()
            .insert(host.to_owned(), addresses);
    }
}

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.send_modify(|asked| *asked += 1);
        let known = self.answers.lock().unwrap().get(host).cloned();
        known.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn specs(texts: &[(&str, u16)]) -> Vec<EndpointSpec> {
    let spec = |(host, port): &(&str, u16)| EndpointSpec {
        host: host.parse().unwrap(),
        port: *port,
    };
    texts.iter().map(spec).collect()
}

fn orders() -> (Name, Arc<Metrics>, Arc<UpstreamMetrics>) {
    let name: Name = "orders".parse().unwrap();
    let metrics = Metrics::new();
    let ours = metrics.upstream(&name);
    (name, metrics, ours)
}

fn endpoints(texts: &[(&str, u16)], names: &Arc<Names>) -> Arc<Endpoints> {
    let (name, _all, metrics) = orders();
    EndpointStore::with_lookup(Arc::clone(names) as _).endpoints(&name, &specs(texts), &metrics)
}

fn next(endpoints: &Endpoints, now: Instant) -> String {
    endpoints.choose_at(now).unwrap().address.to_string()
}

const THREE: [(&str, u16); 3] = [("192.0.2.1", 1), ("192.0.2.2", 2), ("2001:db8::3", 3)];

#[test]
fn those_that_answer_take_turns() {
    let endpoints = endpoints(&THREE, &Names::new());
    let now = Instant::now();
    let all = ["192.0.2.1:1", "192.0.2.2:2", "[2001:db8::3]:3"];
    for want in all.iter().chain(&all) {
        assert_eq!(next(&endpoints, now), *want);
    }
    let chosen = endpoints.choose_at(now + Duration::from_secs(1)).unwrap();
    assert_eq!(&*chosen.text, "192.0.2.1:1");
}

#[test]
fn one_that_failed_is_left_alone_and_the_others_share_its_turns() {
    let endpoints = endpoints(&THREE, &Names::new());
    let now = Instant::now();
    let second = "192.0.2.2:2".parse().unwrap();
    endpoints.failed(&second, now);
    let mut turns: HashMap<String, u32> = HashMap::new();
    for _ in 0..10 {
        *turns.entry(next(&endpoints, now)).or_default() += 1;
    }
    assert_eq!(turns.get("192.0.2.2:2"), None);
    assert!(turns.values().all(|count| *count == 5), "{turns:?}");

    let due = now + Duration::from_millis(500);
    assert_eq!(next(&endpoints, due), "192.0.2.2:2", "one trial");
    assert!((0..10).all(|_| next(&endpoints, due) != "192.0.2.2:2"));
    endpoints.answered(&second);
    assert!((0..3).any(|_| next(&endpoints, due) == "192.0.2.2:2"));
}

#[test]
fn when_all_are_down_the_one_whose_time_is_over_first_is_asked() {
    let endpoints = endpoints(&THREE, &Names::new());
    let now = Instant::now();
    for (address, after) in [
        ("192.0.2.1:1", 20),
        ("192.0.2.2:2", 10),
        ("[2001:db8::3]:3", 30),
    ] {
        endpoints.failed(
            &address.parse().unwrap(),
            now + Duration::from_millis(after),
        );
    }
    assert_eq!(next(&endpoints, now), "192.0.2.2:2");
    assert_eq!(next(&endpoints, now), "192.0.2.2:2");
}

#[test]
fn an_address_that_nobody_has_changes_nothing() {
    let endpoints = endpoints(&THREE, &Names::new());
    let now = Instant::now();
    endpoints.failed(&"192.0.2.9:9".parse().unwrap(), now);
    endpoints.answered(&"192.0.2.9:9".parse().unwrap());
    assert_eq!(next(&endpoints, now), "192.0.2.1:1");
}

#[tokio::test]
async fn a_name_has_no_address_before_it_is_resolved_and_several_then() {
    let names = Names::new();
    names.set(
        "orders.internal",
        &["192.0.2.2:7", "192.0.2.1:7", "192.0.2.2:7"],
    );
    let endpoints = endpoints(&[("orders.internal", 7), ("missing.internal", 7)], &names);
    assert_eq!(endpoints.choose(), None);
    assert!(endpoints.choose_or_wait().await.is_some());
    let now = Instant::now();
    let turns = [next(&endpoints, now), next(&endpoints, now)];
    assert!(
        turns.contains(&"192.0.2.1:7".to_owned()) && turns[0] != turns[1],
        "{turns:?}"
    );
    assert_eq!(&*endpoints.choose().unwrap().text, "orders.internal:7");
}

#[tokio::test]
async fn an_upstream_whose_names_have_no_address_is_counted_and_chosen_from_never() {
    let (name, all, metrics) = orders();
    let store = EndpointStore::with_lookup(Names::new() as _);
    let list = specs(&[("missing.internal", 7)]);
    let endpoints = store.endpoints(&name, &list, &metrics);
    assert_eq!(endpoints.choose_or_wait().await, None);
    endpoints.publish();
    let page = all.render();
    let failures =
        r#"portcullis_upstream_connect_failures_total{upstream="orders",reason="no_address"} 1"#;
    assert!(page.contains(failures), "{page}");
    let up =
        r#"portcullis_upstream_endpoint_up{upstream="orders",endpoint="missing.internal:7"} 0"#;
    assert!(page.contains(up), "{page}");
}

#[tokio::test]
async fn a_look_up_that_fails_keeps_the_last_good_addresses_and_their_health() {
    let names = Names::new();
    let endpoints = endpoints(&[("a.internal", 1)], &names);
    let one: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let two: SocketAddr = "192.0.2.2:1".parse().unwrap();
    endpoints.learn(vec![(0, Some(vec![one, two]))]);
    let now = Instant::now();
    endpoints.failed(&one, now);
    endpoints.learn(vec![(0, None)]);
    assert_eq!(endpoints.choose_at(now).unwrap().address, two);
    endpoints.learn(vec![(0, Some(vec![one]))]);
    assert_eq!(endpoints.choose_at(now).unwrap().address, one);
    let due = now + Duration::from_millis(500);
    endpoints.learn(vec![(0, Some(vec![one, two]))]);
    assert!((0..4).all(|_| endpoints.choose_at(now).unwrap().address == two));
    assert_eq!(endpoints.choose_at(due).unwrap().address, one, "its trial");
}

#[tokio::test]
async fn names_are_asked_for_again_soon_after_a_failure_and_never_when_nobody_is_left() {
    let names = Names::new();
    names.set("a.internal", &["192.0.2.1:1"]);
    let endpoints = endpoints(&[("a.internal", 1)], &names);
    endpoints.resolved().await;
    names.set("a.internal", &["192.0.2.2:1"]);
    endpoints.failed(&"192.0.2.1:1".parse().unwrap(), Instant::now());
    let mut asked = names.asked.subscribe();
    asked.wait_for(|asked| *asked >= 2).await.unwrap();
    let task = Arc::downgrade(&endpoints);
    drop(endpoints);
    // The task gives the resolver back when it ends.
    while Arc::strong_count(&names) > 1 {
        tokio::task::yield_now().await;
    }
    assert!(task.upgrade().is_none());
}

#[test]
fn resolving_goes_on_when_the_runtime_that_began_it_is_gone() {
    let names = Names::new();
    let endpoints = endpoints(&[("a.internal", 1)], &names);
    assert_eq!(endpoints.choose(), None, "no runtime, no look-up");
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime().block_on(endpoints.choose_or_wait()), None);
    names.set("a.internal", &["192.0.2.1:1"]);
    runtime().block_on(async {
        assert_eq!(endpoints.choose(), None); // begins to resolve again
        names
            .asked
            .subscribe()
            .wait_for(|asked| *asked >= 2)
            .await
            .unwrap();
        while endpoints.choose().is_none() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn endpoints_survive_a_reload_with_the_same_list_only() {
    let (name, all, metrics) = orders();
    let store = EndpointStore::new();
    let first = store.endpoints(&name, &specs(&THREE), &metrics);
    let again = store.endpoints(&name, &specs(&THREE), &metrics);
    assert!(Arc::ptr_eq(&first, &again));
    let fewer = store.endpoints(&name, &specs(&THREE[..2]), &metrics);
    assert!(!Arc::ptr_eq(&first, &fewer));
    let billing: Name = "billing".parse().unwrap();
    let other = store.endpoints(&billing, &specs(&THREE), &all.upstream(&billing));
    assert!(!Arc::ptr_eq(&first, &other));
    let weak = Arc::downgrade(&first);
    drop((first, again));
    assert!(weak.upgrade().is_none(), "the store holds nothing");
}

#[test]
fn metrics_say_which_endpoints_are_up() {
    let (name, all, metrics) = orders();
    let store = EndpointStore::new();
    let endpoints = store.endpoints(&name, &specs(&THREE), &metrics);
    endpoints.publish();
    let line = |up: u8| {
        let labels = r#"{upstream="orders",endpoint="192.0.2.1:1"}"#;
        format!("portcullis_upstream_endpoint_up{labels} {up}\n")
    };
    assert!(all.render().contains(&line(1)), "{}", all.render());
    let first = "192.0.2.1:1".parse().unwrap();
    endpoints.failed(&first, Instant::now());
    assert!(all.render().contains(&line(0)));
    endpoints.answered(&first);
    assert!(all.render().contains(&line(1)));
}
