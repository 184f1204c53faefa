//! Equal terms are one policy; different terms are never one.

use std::sync::Arc;

use super::bench::{Gateway, Leaf};
use crate::upstream::{Policies, PolicyParts, Protocol};

const ORDERS: &str = "spiffe://mesh.example/ns/shop/sa/orders";

#[test]
fn equal_terms_are_the_same_policy_in_any_order() {
    let gateway = Gateway::new();
    let policies = Policies::new();
    let parts = gateway.parts(&[ORDERS, "dns:a.internal"]);
    let first = policies.policy(&parts).unwrap();
    assert_eq!(first.group_key, 1);
    let order = gateway.parts(&["dns:a.internal", ORDERS, ORDERS]).accept;
    let trust = gateway.mesh.store(); // read again, as a reload does
    let again = PolicyParts {
        accept: order,
        trust,
        ..parts
    };
    let second = policies.policy(&again).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let found = policies.by_group_key(first.group_key).unwrap();
    assert!(Arc::ptr_eq(&first, &found));
}

#[test]
fn a_difference_in_any_part_is_another_policy() {
    let gateway = Gateway::new();
    let parts = || gateway.parts(&[ORDERS]);
    let issued = gateway
        .clients
        .issue(&Leaf::client(&["spiffe://mesh.example/other"]));
    let billing = "billing".parse().unwrap();
    let metrics = gateway.metrics.upstream(&billing);
    let cases = [
        parts(),
        PolicyParts {
            upstream: billing,
            metrics,
            ..parts()
        },
        PolicyParts {
            key_pair: issued.key_pair(),
            ..parts()
        },
        PolicyParts {
            trust: gateway.stranger.store(),
            ..parts()
        },
        PolicyParts {
            server_name: "other.internal".parse().unwrap(),
            ..parts()
        },
        PolicyParts {
            server_name: "192.0.2.1".parse().unwrap(),
            ..parts()
        },
        PolicyParts {
            protocol: Protocol::Http2,
            ..parts()
        },
        gateway.parts(&[]),
        gateway.parts(&["spiffe://mesh.example/*"]),
        gateway.parts(&[ORDERS, "spiffe://mesh.example/*"]),
    ];
    let policies = Policies::new();
    let all: Vec<_> = cases
        .iter()
        .map(|parts| policies.policy(parts).unwrap())
        .collect();
    let keys: Vec<u64> = all.iter().map(|policy| policy.group_key).collect();
    assert_eq!(keys, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_policy_that_nobody_holds_is_gone_and_its_number_is_not_used_again() {
    let gateway = Gateway::new();
    let policies = Policies::new();
    let parts = gateway.parts(&[ORDERS]);
    drop(policies.policy(&parts).unwrap());
    assert!(policies.by_group_key(1).is_none());
    assert_eq!(policies.policy(&parts).unwrap().group_key, 2);
    assert!(policies.by_group_key(0).is_none());
}

#[test]
fn an_upstream_that_was_removed_and_came_back_counts_in_its_new_series() {
    let gateway = Gateway::new();
    let policies = Policies::new();
    let parts = gateway.parts(&[ORDERS]);
    let old = policies.policy(&parts).unwrap();
    gateway.metrics.keep_only(&[], &[], &[], &[]);
    let new = policies.policy(&gateway.parts(&[ORDERS])).unwrap();
    assert_ne!(old.group_key, new.group_key);
}

#[test]
fn nothing_is_sent_before_the_handshake_is_complete() {
    let gateway = Gateway::new();
    let config = &gateway.policy(&[ORDERS]).client_config;
    assert!(!config.enable_early_data && config.require_ems);
    assert_eq!(config.alpn_protocols, [b"http/1.1"]);
}

#[test]
fn what_is_remembered_of_policies_that_are_gone_is_bounded() {
    let gateway = Gateway::new();
    let policies = Policies::new();
    let mut parts = gateway.parts(&[]);
    for number in 0..500 {
        parts.server_name = format!("s{number}.internal").parse().unwrap();
        drop(policies.policy(&parts).unwrap());
    }
    assert!(policies.remembered() <= 64);
}
