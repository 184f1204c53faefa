//! Revocation by CRL: what is refused, what is taken, and what stays when a file is not good.

use rustls::AlertDescription::{CertificateRevoked, UnknownCA};
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use super::{HANDSHAKES, failed, passes, refused, started};
use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::crl::Crl;
use crate::bench::gateway::{Reloaded, run};
use crate::bench::pki::{Identity, Leaf};

const CRL: &str = "partners.crl";

fn with_crl(world: &World, crl: Crl) -> impl FnOnce(&mut Config) + use<> {
    world.folder.write(CRL, crl.pem(&world.partners));
    |config| {
        config.set("trust.partners.crl", CRL);
    }
}

fn numbered(world: &World, serial: u64) -> Identity {
    let leaf = Leaf::client("x").spiffe("spiffe://partners.example/web/a");
    world.partners.issue(leaf.serial(serial))
}

#[tokio::test]
async fn who_is_on_the_crl_is_out_and_nobody_else() {
    let world = World::new();
    let crl = Crl::of(&[66, 0xffff_ffff]);
    let (orders, gateway) = started(&world, with_crl(&world, crl)).await;
    for version in [&TLS12, &TLS13] {
        let client = |serial| {
            let client = gateway.client(&numbered(&world, serial));
            client.versions(&[version])
        };
        passes(&client(65)).await;
        passes(&client(67)).await;
        for serial in [66, 0xffff_ffff] {
            let (revoked, reason) = (client(serial), "certificate_revoked");
            refused(&gateway, &revoked, reason, CertificateRevoked).await;
        }
    }
    assert_eq!(orders.requests().len(), 4);
    let line = gateway
        .wait_for_event(|event| event["reason"] == "certificate_revoked")
        .await;
    let error = line["error"].as_str().expect("an error");
    assert_eq!(
        error,
        "the certificate is revoked by the CRL of CN=partners"
    );
    let metrics = gateway.metrics().await;
    let labels = [("trust", "partners"), ("issuer", "CN=partners")];
    assert_eq!(metrics.value("portcullis_crl_entries", &labels), 2.0);
    let this = metrics.value("portcullis_crl_this_update_timestamp_seconds", &labels);
    let next = metrics.value("portcullis_crl_next_update_timestamp_seconds", &labels);
    assert_eq!(next - this, 25.0 * 3600.0);
}

#[tokio::test]
async fn a_crl_that_changes_is_taken_and_its_sessions_are_judged_anew() {
    for version in [&TLS12, &TLS13] {
        let world = World::new();
        let older = Crl::of(&[1]).der(&world.partners);
        let (_orders, gateway) = started(&world, with_crl(&world, Crl::of(&[1]))).await;
        let client = gateway.client(&numbered(&world, 66)).versions(&[version]);
        let client = client.resumption();
        passes(&client).await;
        assert!(client.connect().await.resumed());
        let der = Crl::of(&[1, 66]).number(2).der(&world.partners);
        let taken = gateway
            .reload_by(|| drop(world.folder.write(CRL, der)))
            .await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
        refused(&gateway, &client, "certificate_revoked", CertificateRevoked).await;
        // Back again is a rollback: the file of before is refused, and who is out stays out.
        let taken = gateway
            .reload_by(|| drop(world.folder.write(CRL, older)))
            .await;
        assert_eq!(taken, Reloaded::Refused);
        refused(&gateway, &client, "certificate_revoked", CertificateRevoked).await;
        let line = gateway
            .wait_for_event(|event| {
                let problem = event["problem"].as_str().unwrap_or_default();
                problem.contains("is older than the one in use")
            })
            .await;
        assert_eq!(line["place"], "trust.partners");
        let freed = Crl::of(&[1]).number(3).der(&world.partners);
        let taken = gateway
            .reload_by(|| drop(world.folder.write(CRL, freed)))
            .await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
        passes(&client).await;
    }
}

#[tokio::test]
async fn an_open_connection_is_judged_anew_with_each_crl() {
    let world = World::new();
    let (orders, gateway) = started(&world, with_crl(&world, Crl::of(&[]))).await;
    let mut open = gateway.client(&numbered(&world, 66)).connect().await;
    assert_eq!(open.get("/open/x").await.status, 200);
    let pem = Crl::of(&[66]).number(2).pem(&world.partners);
    gateway
        .reload_by(|| drop(world.folder.write(CRL, pem)))
        .await;
    let answer = open
        .try_request(&crate::bench::http1::Request::get("/open/x"))
        .await;
    // Closed, or refused: nothing more gets through.
    assert!(answer.map_or(true, |answer| answer.status == 403));
    assert_eq!(orders.requests().len(), 1);
}

#[tokio::test]
async fn a_crl_that_is_not_good_leaves_the_last_good_one_in_place() {
    let world = World::new();
    let (_orders, gateway) = started(&world, with_crl(&world, Crl::of(&[66]).number(5))).await;
    let revoked = gateway.client(&numbered(&world, 66));
    let good = gateway.client(&numbered(&world, 67));
    let next = || Crl::of(&[]).number(6);
    let sound = next().pem(&world.partners);
    let labels = [("place", "trust.partners"), ("result", "refused")];
    let cases: [(&str, Vec<u8>); 6] = [
        ("CN=stranger", next().pem(&world.stranger).into_bytes()),
        (
            "not yet",
            next().updates(3600, 7200).pem(&world.partners).into_bytes(),
        ),
        ("broken PEM", sound.as_bytes()[..sound.len() / 2].to_vec()),
        ("has no revocation list", Vec::new()),
        ("has a certificate in it", world.partners.pem().into()),
        ("larger than 64 MiB", vec![b'x'; (64 << 20) + 1]),
    ];
    for (number, (what, content)) in (1..).zip(cases) {
        world.folder.write(CRL, content);
        gateway
            .wait_for_metric("portcullis_source_reloads_total", &labels, |count| {
                count >= f64::from(number)
            })
            .await;
        gateway
            .wait_for_log(|line| line.contains(what) && line.contains("trust.partners"))
            .await;
        refused(
            &gateway,
            &revoked,
            "certificate_revoked",
            CertificateRevoked,
        )
        .await;
        passes(&good).await;
    }
    assert_eq!(
        gateway
            .reload_by(|| drop(world.folder.write(CRL, sound)))
            .await,
        Reloaded::Applied(2)
    );
    passes(&revoked).await;
}

#[tokio::test]
async fn without_a_crl_for_it_nobody_passes_where_it_is_required() {
    let world = World::new();
    let middle = world.partners.intermediate("middle");
    let leaf = || Leaf::client("x").spiffe("spiffe://partners.example/web/a");
    let (listed, below) = (middle.issue(leaf().serial(66)), middle.issue(leaf()));
    let (_orders, mut gateway) = started(&world, with_crl(&world, Crl::of(&[]))).await;
    let client = gateway.client(&below);
    refused(&gateway, &client, "revocation_unknown", UnknownCA).await;

    // `when_known`: what no CRL says passes.
    let mut config = gateway.config.clone();
    config.set("trust.partners.revocation", "when_known");
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    passes(&client).await;

    // With the CRL of the intermediate, which must be known for that.
    world.folder.write("middle.pem", middle.pem());
    world
        .folder
        .write("middle.crl", Crl::of(&[66]).pem(&middle));
    config.set("trust.partners.revocation", "required");
    config.set("trust.partners.crl", json!([CRL, "middle.crl"]));
    assert_eq!(gateway.reload(&config).await, Reloaded::Refused);
    config.set("trust.partners.intermediates", "middle.pem");
    assert!(matches!(
        gateway.reload(&config).await,
        Reloaded::Applied(_)
    ));
    passes(&client).await;
    refused(
        &gateway,
        &gateway.client(&listed),
        "certificate_revoked",
        CertificateRevoked,
    )
    .await;
    // Its CA completes a chain that was sent in part.
    passes(&gateway.client(&below).chain(vec![below.leaf().clone()])).await;

    // The intermediate itself is taken back.
    let serial = serial_of(&middle.der().clone());
    let crl = Crl::listing(vec![serial]).number(2).pem(&world.partners);
    gateway
        .reload_by(|| drop(world.folder.write(CRL, crl)))
        .await;
    refused(&gateway, &client, "certificate_revoked", CertificateRevoked).await;
}

fn serial_of(der: &[u8]) -> rcgen::SerialNumber {
    use x509_parser::prelude::FromDer as _;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).expect("X.509");
    rcgen::SerialNumber::from_slice(certificate.raw_serial())
}

#[tokio::test]
async fn a_stale_crl_refuses_all_where_it_is_required_and_those_on_it_where_it_is_known() {
    let world = World::new();
    let stale = Crl::of(&[66]).updates(-7200, -60);
    let (_orders, mut gateway) = started(&world, with_crl(&world, stale)).await;
    let (listed, free) = (numbered(&world, 66), numbered(&world, 67));
    refused(&gateway, &gateway.client(&free), "crl_expired", UnknownCA).await;
    let revoked = "certificate_revoked";
    refused(
        &gateway,
        &gateway.client(&listed),
        revoked,
        CertificateRevoked,
    )
    .await;
    let mut config = gateway.config.clone();
    config.set("trust.partners.revocation", "when_known");
    gateway.reload(&config).await;
    passes(&gateway.client(&free)).await;
    refused(
        &gateway,
        &gateway.client(&listed),
        revoked,
        CertificateRevoked,
    )
    .await;
    config.set("trust.partners.revocation", "off");
    gateway.reload(&config).await;
    passes(&gateway.client(&listed)).await;
    let checked = run(&world, &config, &["check"]);
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    let want = "the CRL of CN=partners was to be renewed on ";
    assert!(said.contains(want), "{said}");
}

#[tokio::test]
async fn a_crl_goes_out_of_date_while_the_gateway_runs() {
    let world = World::new();
    let crl = Crl::of(&[]).updates(-3600, 3);
    let (_orders, gateway) = started(&world, with_crl(&world, crl)).await;
    let client = gateway.client(&numbered(&world, 67));
    let mut open = client.connect().await;
    assert_eq!(open.get("/open/x").await.status, 200);
    // By then, the judgement of the open connection does not hold any more.
    while failed(&gateway, "crl_expired").await == 0.0 {
        drop(client.try_connect().await);
    }
    let answer = open
        .try_request(&crate::bench::http1::Request::get("/open/x"))
        .await;
    assert!(answer.map_or(true, |answer| answer.status == 403));
    gateway
        .reload_by(|| {
            let next = Crl::of(&[]).number(2).pem(&world.partners);
            drop(world.folder.write(CRL, next));
        })
        .await;
    passes(&client).await;
}

#[tokio::test]
async fn a_service_that_is_revoked_is_told_nothing() {
    let world = World::new();
    let leaf = Leaf::server("orders").spiffe(crate::bench::ORDERS_ID);
    let identity = world
        .mesh
        .issue(leaf.dns(crate::bench::ORDERS_NAME).serial(66));
    let orders = world.service_as(&identity).start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("trust.mesh.crl", "mesh.crl");
    world
        .folder
        .write("mesh.crl", Crl::of(&[1]).pem(&world.mesh));
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    passes(&client).await;
    let told = orders.bytes();
    let crl = Crl::of(&[66]).number(2).pem(&world.mesh);
    gateway
        .reload_by(|| drop(world.folder.write("mesh.crl", crl)))
        .await;
    // Neither over the pooled connection nor by a resumed session.
    for _ in 0..3 {
        assert_eq!(client.get("/open/x").await.status, 502);
    }
    assert_eq!(orders.bytes(), told);
    let labels = [("side", "upstream"), ("reason", "certificate_revoked")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &labels), 3.0);
}
