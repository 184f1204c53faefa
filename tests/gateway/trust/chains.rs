//! Chains that were made to cost: each is refused in bounded time, and others are served meanwhile.

use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::{failed, passes, started};
use crate::bench::World;
use crate::bench::pki::{Authority, Leaf};

#[tokio::test]
async fn entangled_long_and_crowded_chains_are_refused_in_bounded_time() {
    let world = World::new();
    let (_orders, gateway) = started(&world, |_| {}).await;
    let good = world.web();
    let issued = |authority: &Authority| authority.issue(Leaf::client("x"));
    let of_one_name: Vec<Authority> = (0..10).map(|_| Authority::new("knot")).collect();
    let ders = |authorities: &[Authority]| -> Vec<CertificateDer<'static>> {
        authorities.iter().map(|one| one.der().clone()).collect()
    };
    let knot = issued(&of_one_name[0]);
    let names: Vec<Authority> = (0..4).map(|n| Authority::new(&format!("n{n}"))).collect();
    let cycle: Vec<_> = (0..10)
        .map(|n| names[n % 4].cross_signed(&names[(n + 1 + n / 4) % 4]).0)
        .collect();
    let wheel = issued(&names[0]);
    let namesakes: Vec<Authority> = (0..10).map(|_| Authority::new("partners")).collect();
    let twin = issued(&namesakes[0]);
    let mut deep = world.partners.intermediate("d0");
    for n in 1..8 {
        deep = deep.intermediate(&format!("d{n}"));
    }
    let deep = issued(&deep);
    let many: Vec<_> = std::iter::repeat_n(world.partners.der().clone(), 100).collect();
    let crowd = Leaf::client("x");
    let crowd = (0..2_000).fold(crowd, |leaf, n| leaf.dns(&format!("n{n}.example")));
    let crowd = world.partners.issue(crowd);
    let behind = |identity: &crate::bench::pki::Identity, above: Vec<CertificateDer<'static>>| {
        let chain = [vec![identity.leaf().clone()], above].concat();
        gateway.client(identity).chain(chain)
    };
    let cases = [
        (
            "ten keys of one name",
            behind(&knot, ders(&of_one_name)),
            "chain_too_long",
        ),
        (
            "cross-signed in circles",
            behind(&wheel, cycle),
            "unknown_issuer",
        ),
        (
            "namesakes of the CA",
            behind(&twin, ders(&namesakes)),
            "chain_too_long",
        ),
        ("eight CAs deep", gateway.client(&deep), "chain_too_long"),
        (
            "a hundred certificates",
            behind(&good, many),
            "chain_too_long",
        ),
        (
            "2,000 names",
            gateway.client(&crowd),
            "certificate_malformed",
        ),
    ];
    for (what, client, reason) in cases {
        let before = failed(&gateway, reason).await;
        let began = Instant::now();
        client.rejection().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{what}: {took:?}");
        assert_eq!(failed(&gateway, reason).await, before + 1.0, "{what}");
        passes(&gateway.client(&good)).await;
    }
    // As deep as is looked at.
    let mut six = world.partners.intermediate("s0");
    for n in 1..6 {
        six = six.intermediate(&format!("s{n}"));
    }
    passes(&gateway.client(&issued(&six))).await;
}

#[tokio::test]
async fn a_ca_of_the_bundle_is_held_to_its_own_path_length() {
    let world = World::new();
    let short = Authority::with("short", |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
    });
    let both = format!("{}{}", world.partners.pem(), short.pem());
    world.folder.write("partners-ca.pem", both);
    let (_orders, gateway) = started(&world, |_| {}).await;
    let one = short.intermediate("one");
    let two = one.intermediate("two");
    passes(&gateway.client(&one.issue(Leaf::client("x")))).await;
    let before = failed(&gateway, "path_length").await;
    let deep = two.issue(Leaf::client("x"));
    gateway.client(&deep).rejection().await;
    assert_eq!(failed(&gateway, "path_length").await, before + 1.0);
}
