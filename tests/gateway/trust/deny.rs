//! The deny list, at the edge and towards services.

use rustls::AlertDescription::CertificateRevoked;

use super::{HANDSHAKES, passes, refused, started};
use crate::bench::World;
use crate::bench::gateway::Reloaded;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::{ORDERS_ID, WEB_ID};

const LIST: &str = "deny.list";
const DENIED: &str = "certificate_denied";

#[tokio::test]
async fn what_the_list_names_is_out_until_it_is_taken_off() {
    let world = World::new();
    world.folder.write(LIST, "# nothing yet\n");
    let (_orders, gateway) = started(&world, |config| {
        config.set("deny", LIST);
    })
    .await;
    let middle = world.partners.intermediate("middle");
    let leaf = Leaf::client("x").spiffe(WEB_ID).serial(0x4f1a);
    let stolen = middle.issue(leaf);
    let other = world.partner("spiffe://partners.example/web/other");
    let client = gateway.client(&stolen);
    passes(&client).await;
    let middle_hash: String = crate::bench::pki::sha256(middle.der())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for entry in [
        WEB_ID.to_owned(),
        format!("fingerprint:sha256/{}", stolen.fingerprint_hex()),
        format!("pin:sha256/{}", stolen.pin()),
        "serial:4F:1A issuer:CN=middle".to_owned(),
        format!("fingerprint:sha256/{middle_hash}"),
    ] {
        let write = |text: String| drop(world.folder.write(LIST, text));
        let taken = gateway.reload_by(|| write(entry.clone())).await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{entry}");
        refused(&gateway, &client, DENIED, CertificateRevoked).await;
        passes(&gateway.client(&other)).await;
        let taken = gateway.reload_by(|| write("# none".to_owned())).await;
        assert!(matches!(taken, Reloaded::Applied(_)), "{taken:?}");
        passes(&client).await;
    }
}

#[tokio::test]
async fn a_line_that_cannot_be_read_leaves_the_list_of_before_in_place() {
    let world = World::new();
    world.folder.write(LIST, WEB_ID);
    let (_orders, gateway) = started(&world, |config| {
        config.set("deny", LIST);
    })
    .await;
    let client = gateway.client(&world.web());
    refused(&gateway, &client, DENIED, CertificateRevoked).await;
    let text = "# stolen\nspifee://partners.example/web/a\n";
    let taken = gateway
        .reload_by(|| drop(world.folder.write(LIST, text)))
        .await;
    assert_eq!(taken, Reloaded::Refused);
    refused(&gateway, &client, DENIED, CertificateRevoked).await;
    let line = gateway
        .wait_for_event(|event| event["place"] == "deny" && event["level"] == "ERROR")
        .await;
    let problem = line["problem"].as_str().expect("a problem");
    assert!(problem.starts_with("line 2 of "), "{problem}");
    assert!(
        problem.ends_with("is none of the entries that are known"),
        "{problem}"
    );
}

#[tokio::test]
async fn it_counts_for_sessions_open_connections_and_services() {
    let world = World::new();
    world.folder.write(LIST, "");
    let (orders, gateway) = started(&world, |config| {
        config.set("deny", LIST);
    })
    .await;
    let resuming = gateway.client(&world.web()).resumption();
    passes(&resuming).await;
    let mut open = resuming.connect().await;
    assert!(open.resumed());
    let asked = orders.requests().len();
    gateway
        .reload_by(|| drop(world.folder.write(LIST, WEB_ID)))
        .await;
    refused(&gateway, &resuming, DENIED, CertificateRevoked).await;
    let answer = open
        .try_request(&crate::bench::http1::Request::get("/open/x"))
        .await;
    assert!(answer.map_or(true, |answer| answer.status == 403));
    assert_eq!(orders.requests().len(), asked);

    gateway
        .reload_by(|| drop(world.folder.write(LIST, ORDERS_ID)))
        .await;
    let bytes = orders.bytes();
    assert_eq!(resuming.get("/open/x").await.status, 502);
    assert_eq!(orders.bytes(), bytes);
    let labels = [("side", "upstream"), ("reason", DENIED)];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &labels), 1.0);
}

#[tokio::test]
async fn an_issuer_with_a_number_sign_in_its_name_is_denied_as_openssl_prints_it() {
    let world = World::new();
    let second = Authority::new("Partners CA #2");
    let both = format!("{}{}", world.partners.pem(), second.pem());
    world.folder.write("partners-ca.pem", both);
    world
        .folder
        .write(LIST, "serial:07 issuer:CN=Partners CA #2\n");
    let (_orders, gateway) = started(&world, |config| {
        config.set("deny", LIST);
    })
    .await;
    let stolen = second.issue(Leaf::client("x").serial(7));
    refused(
        &gateway,
        &gateway.client(&stolen),
        DENIED,
        CertificateRevoked,
    )
    .await;
    passes(&gateway.client(&second.issue(Leaf::client("x").serial(8)))).await;
}
