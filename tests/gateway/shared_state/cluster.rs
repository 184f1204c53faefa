//! A cluster of three nodes.

use std::time::Duration;

use bytes::Bytes;
use portcullis::config::shared_state::StoreSpec;
use portcullis::shared_state::Space;

use super::server::{Member, Redis, endpoint, spec, terms, until};
use crate::bench::config::free_port;

const MINUTE: Duration = Duration::from_secs(60);

/// Three nodes with a third of the slots each.
async fn cluster() -> [Redis; 3] {
    let nodes = [0, 1, 2].map(|_| {
        let bus = free_port().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let more = [
            "--cluster-node-timeout",
            "15000", // a busy machine is no partition
            "--cluster-require-full-coverage",
            "no",
        ];
        (Redis::start(&[&arguments[..], &more[..]].concat()), bus)
    });
    let [(first, _), ..] = &nodes;
    let ranges = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (((node, bus), (from, to)), epoch) in nodes.iter().zip(ranges).zip(["1", "2", "3"]) {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        // Else they settle by and by who has which, and one that was just given a slot may lose it.
        let epoch = epoch.as_bytes();
        let set = node.ask(&[b"CLUSTER", b"SET-CONFIG-EPOCH", epoch]).await;
        assert!(set.starts_with("+OK"), "{set}");
        let added = node.ask(&[b"CLUSTER", b"ADDSLOTSRANGE", from, to]).await;
        assert!(added.starts_with("+OK"), "{added}");
        let port = node.port.to_string();
        let meet: [&[u8]; 5] = [
            b"CLUSTER",
            b"MEET",
            b"127.0.0.1",
            port.as_bytes(),
            bus.as_bytes(),
        ];
        let met = first.ask(&meet).await;
        assert!(met.starts_with("+OK"), "{met}");
    }
    for (node, _) in &nodes {
        until("the cluster to know itself", async || {
            let slots = node.ask(&[b"CLUSTER", b"SLOTS"]).await;
            let info = node.ask(&[b"CLUSTER", b"INFO"]).await;
            let whole = slots.starts_with("*3\r\n") && info.contains("cluster_state:ok");
            whole.then_some(())
        })
        .await;
    }
    nodes.map(|(node, _)| node)
}

fn of(nodes: &[Redis]) -> StoreSpec {
    let mut spec = spec(0);
    spec.endpoints = nodes
        .iter()
        .map(|node| endpoint("127.0.0.1", node.port))
        .collect();
    spec.cluster = true;
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_go_to_the_nodes_that_have_them_and_follow_them_when_they_move() {
    let nodes = cluster().await;
    // One knows all of them, the other finds them through one.
    let a = Member::new(terms(of(&nodes)));
    let b = Member::new(terms(of(&nodes[..1])));
    for number in 0..300_u32 {
        let key = number.to_be_bytes();
        let put = |member: &'static str, new| (member, new);
        let first = put("a", a.state.put_new(Space::DpopProof, &key, MINUTE).await);
        let second = put("b", b.state.put_new(Space::DpopProof, &key, MINUTE).await);
        assert_eq!(
            (first, second),
            (("a", Ok(true)), ("b", Ok(false))),
            "{number}"
        );
    }
    for node in &nodes {
        let size = node.ask(&[b"DBSIZE"]).await;
        let size: u32 = size[1..]
            .lines()
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        assert!((50..=150).contains(&size), "a third of them: {size}");
    }
    assert_eq!((a.counts.stores(), b.counts.stores()), ((3, 3), (3, 3)));
    // A slot goes to another node: first it is said to move, then it has moved.
    let value = Bytes::from_static(b"v");
    a.state
        .put(Space::Introspection, b"mover", value.clone(), MINUTE)
        .await
        .expect("kept");
    let (slot, from) = place_of(&nodes).await;
    let to = (from + 1) % 3;
    let id = |text: String| text.lines().nth(1).expect("an id").to_owned();
    let (from_id, to_id) = (
        id(nodes[from].ask(&[b"CLUSTER", b"MYID"]).await),
        id(nodes[to].ask(&[b"CLUSTER", b"MYID"]).await),
    );
    let slot_text = slot.to_string();
    let set = async |node: &Redis, how: &[u8], id: &str| {
        let slot = slot_text.as_bytes();
        let done = node
            .ask(&[b"CLUSTER", b"SETSLOT", slot, how, id.as_bytes()])
            .await;
        assert!(done.starts_with("+OK"), "{done}");
    };
    set(&nodes[to], b"IMPORTING", &from_id).await;
    set(&nodes[from], b"MIGRATING", &to_id).await;
    let port = nodes[to].port.to_string();
    let names = nodes[from]
        .ask(&[b"CLUSTER", b"GETKEYSINSLOT", slot_text.as_bytes(), b"100"])
        .await;
    for name in names.lines().filter(|line| line.starts_with("portcullis:")) {
        let command: [&[u8]; 6] = [
            b"MIGRATE",
            b"127.0.0.1",
            port.as_bytes(),
            name.as_bytes(),
            b"0",
            b"1000",
        ];
        let moved = nodes[from].ask(&command).await;
        assert!(moved.starts_with("+OK"), "{moved}");
    }
    // `ASK`
    assert_eq!(
        b.state.get(Space::Introspection, b"mover").await,
        Ok(Some(value.clone()))
    );
    set(&nodes[to], b"NODE", &to_id).await;
    set(&nodes[from], b"NODE", &to_id).await;
    // `MOVED`
    assert_eq!(
        b.state.get(Space::Introspection, b"mover").await,
        Ok(Some(value))
    );
}

/// The slot of the one entry of the space, and the node that has it.
async fn place_of(nodes: &[Redis]) -> (u16, usize) {
    for (index, node) in nodes.iter().enumerate() {
        let names = node.ask(&[b"KEYS", b"portcullis:introspection:*"]).await;
        if let Some(name) = names.lines().nth(2) {
            let slot = node.ask(&[b"CLUSTER", b"KEYSLOT", name.as_bytes()]).await;
            let slot = slot[1..].lines().next().and_then(|n| n.parse().ok());
            return (slot.expect("a slot"), index);
        }
    }
    panic!("no node has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_takes_only_its_own_entries_with_it() {
    let mut nodes = cluster().await;
    let member = Member::new(terms(of(&nodes)));
    member.connected(3).await;
    nodes[1].kill();
    member.connected(2).await;
    let (mut known, mut away) = (0, 0);
    for number in 0..60_u32 {
        match member
            .state
            .put_new(Space::DpopProof, &number.to_be_bytes(), MINUTE)
            .await
        {
            Ok(new) => {
                assert!(new);
                known += 1;
            }
            Err(_away) => away += 1,
        }
    }
    assert!(known >= 20 && away >= 5, "{known} known, {away} away");
}
