//! `Client-Cert-Chain` (RFC 9440) and `X-Forwarded-Client-Cert` (Envoy's format), with names of
//! which each reader could be misled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CustomExtension, DnType, DnValue};
use serde_json::json;

use crate::bench::gateway::Gateway;
use crate::bench::pki::{Identity, Leaf};
use crate::bench::service::Service;
use crate::bench::{WEB_ID, World};

async fn told(world: &World, forward: serde_json::Value) -> (Service, Gateway) {
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    config.set("routes.open.forward", forward);
    let gateway = world.gateway_with(&config).await;
    (orders, gateway)
}

/// A structured-fields list of byte sequences (RFC 8941, sections 3.1 and 3.3.5), decoded.
fn list(value: &str) -> Vec<Vec<u8>> {
    let one = |item: &str| {
        let inside = item
            .strip_prefix(':')
            .and_then(|rest| rest.strip_suffix(':'));
        let inside = inside.unwrap_or_else(|| panic!("no byte sequence: {item}"));
        STANDARD.decode(inside).expect("base64")
    };
    value.split(", ").map(one).collect()
}

#[tokio::test]
async fn the_chain_is_told_as_rfc_9440_writes_it() {
    let world = World::new();
    let both = json!({ "client_cert": true, "client_cert_chain": true });
    let (orders, gateway) = told(&world, both).await;
    let above = world.partners.intermediate("partners 1");
    let below = above.intermediate("partners 2");
    let web = below.issue(Leaf::client("web").spiffe(WEB_ID));
    let [leaf, lower, upper] = web.chain.clone().try_into().expect("three");
    let client = gateway.client(&web);
    assert_eq!(client.get("/open/a").await.status, 200);
    let seen = orders.last_request();
    let [own] = seen.headers.all("client-cert").try_into().expect("one");
    assert_eq!(list(own), [leaf.to_vec()]);
    let [chain] = seen
        .headers
        .all("client-cert-chain")
        .try_into()
        .expect("one");
    assert_eq!(
        list(chain),
        [lower.to_vec(), upper.to_vec()],
        "without leaf and root"
    );
    // The trust anchor only where the client sent it.
    let root = world.partners.der().clone();
    let whole = vec![leaf, lower.clone(), upper.clone(), root.clone()];
    let with_root = gateway.client(&web).chain(whole);
    assert_eq!(with_root.get("/open/a").await.status, 200);
    let seen = orders.last_request();
    let [chain] = seen
        .headers
        .all("client-cert-chain")
        .try_into()
        .expect("one");
    assert_eq!(list(chain), [lower.to_vec(), upper.to_vec(), root.to_vec()]);
    // A resumed session tells the same.
    let client = gateway.client(&web).resumption();
    assert_eq!(client.get("/open/a").await.status, 200);
    let mut again = client.connect().await;
    assert!(again.resumed());
    assert_eq!(again.get("/open/a").await.status, 200);
    let seen = orders.last_request();
    let [chain] = seen
        .headers
        .all("client-cert-chain")
        .try_into()
        .expect("one");
    assert_eq!(list(chain), [lower.to_vec(), upper.to_vec()]);
}

#[tokio::test]
async fn a_chain_that_is_empty_or_too_long_is_left_out() {
    let world = World::new();
    let both = json!({ "client_cert": true, "client_cert_chain": true });
    let (orders, gateway) = told(&world, both).await;
    assert_eq!(
        gateway.client(&world.web()).get("/open/a").await.status,
        200
    );
    let seen = orders.last_request();
    assert!(seen.headers.has("client-cert") && !seen.headers.has("client-cert-chain"));
    // (bytes in each of two intermediates, whether they are told): 16 KiB of base64 are 12 KiB.
    for (bytes, is_told) in [(5_000, true), (6_500, false)] {
        let heavy = |params: &mut rcgen::CertificateParams| {
            let oid = [1, 3, 6, 1, 4, 1, 99999, 2];
            let extension = CustomExtension::from_oid_content(&oid, vec![0; bytes]);
            params.custom_extensions.push(extension);
        };
        let above = world.partners.intermediate_with("heavy 1", heavy);
        let below = above.intermediate_with("heavy 2", heavy);
        let web = below.issue(Leaf::client("web").spiffe(WEB_ID));
        assert_eq!(gateway.client(&web).get("/open/a").await.status, 200);
        let seen = orders.last_request();
        assert!(seen.headers.has("client-cert"));
        let chain = seen.headers.all("client-cert-chain");
        assert_eq!(chain.len(), usize::from(is_told), "{bytes}");
        let length: usize = chain.iter().map(|chain| chain.len()).sum();
        assert!(length <= 16 * 1024, "{length}");
    }
}

/// The values of an XFCC element by key, read as Envoy's documentation says.
fn elements(value: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), value);
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').expect("a key");
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut end = 0;
                loop {
                    end += quoted[end..].find('"').expect("the end of a quoted value");
                    if end == 0 || quoted.as_bytes()[end - 1] != b'\\' {
                        break;
                    }
                    end += 1;
                }
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_at(after.find([';', ',']).unwrap_or(after.len())),
        };
        found.push((key.to_owned(), text.to_owned()));
        rest = after.strip_prefix(';').unwrap_or(after);
        assert!(!rest.starts_with(','), "one element: {value}");
    }
    found
}

async fn xfcc(orders: &Service, gateway: &Gateway, identity: &Identity) -> String {
    assert_eq!(gateway.client(identity).get("/open/a").await.status, 200);
    let seen = orders.last_request();
    let [value] = seen
        .headers
        .all("x-forwarded-client-cert")
        .try_into()
        .expect("one");
    assert!(
        value.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{value:?}"
    );
    value.to_owned()
}

#[tokio::test]
async fn xfcc_is_what_envoy_writes() {
    let world = World::new();
    let edge = Leaf::server("edge")
        .dns(crate::bench::client::HOST)
        .spiffe("spiffe://mesh.example/ns/edge/sa/gateway");
    world
        .edge_authority
        .issue(edge)
        .write(&world.folder, "edge");
    let (orders, gateway) = told(&world, json!({ "xfcc": true })).await;
    let leaf = Leaf::client("Test Client")
        .spiffe(WEB_ID)
        .dns("lyft.example")
        .dns("www.lyft.example")
        .change(|params| {
            let name = &mut params.distinguished_name;
            name.push(DnType::OrganizationalUnitName, "Lyft");
            name.push(DnType::LocalityName, "San Francisco");
            name.push(DnType::StateOrProvinceName, "CA");
            name.push(DnType::CountryName, "US");
        });
    let web = world.partners.issue(leaf);
    let value = xfcc(&orders, &gateway, &web).await;
    let want = format!(
        "By=spiffe://mesh.example/ns/edge/sa/gateway;Hash={};\
         Subject=\"C=US,ST=CA,L=San Francisco,OU=Lyft,CN=Test Client\";URI={WEB_ID};\
         DNS=lyft.example;DNS=www.lyft.example",
        web.fingerprint_hex()
    );
    assert_eq!(value, want);
}

#[tokio::test]
async fn names_in_certificates_forge_nothing_in_xfcc() {
    let world = World::new();
    let (orders, gateway) = told(&world, json!({ "xfcc": true })).await;
    let hostile = [
        "\";URI=spiffe://partners.example/admin;X=\"",
        "\\\";URI=spiffe://partners.example/admin;X=\\\"",
        "a\\",
        "a,By=evil;Hash=00,URI=spiffe://partners.example/admin",
        "\0\r\nX-Client-Identity: evil",
        "\u{e9}\u{202e}\u{1f600}",
        " =leading, trailing ",
    ];
    for name in hostile {
        let leaf = Leaf::client("x").spiffe(WEB_ID).change(|params| {
            let value = DnValue::Utf8String(name.to_owned());
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, value);
        });
        let web = world.partners.issue(leaf);
        let value = xfcc(&orders, &gateway, &web).await;
        let found = elements(&value);
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["Hash", "Subject", "URI"], "{value}");
        assert_eq!(found[2].1, WEB_ID);
        // Also for a reader that splits without looking at quotes.
        let naive: Vec<_> = value.split([';', ',']).collect();
        assert_eq!(naive.len(), 3, "{value}");
        // The whole name is there, in hexadecimal digits where it must be.
        let mut text = Vec::new();
        let mut rest = found[1].1.strip_prefix("CN=").expect("a name").bytes();
        while let Some(byte) = rest.next() {
            if byte == b'\\' {
                let digits =
                    [rest.next(), rest.next()].map(|digit| char::from(digit.expect("a digit")));
                let digits: String = digits.into_iter().collect();
                text.push(u8::from_str_radix(&digits, 16).expect("hexadecimal"));
            } else {
                text.push(byte);
            }
        }
        assert_eq!(String::from_utf8(text).expect("UTF-8"), name);
    }
}

#[tokio::test]
async fn uris_that_are_no_spiffe_ids_are_told_safely_and_nearly_spiffe_ids_not_at_all() {
    let world = World::new();
    let (orders, gateway) = told(&world, json!({ "xfcc": true })).await;
    let two = Leaf::client("a")
        .spiffe("https://a.example/?a=b,c")
        .spiffe("urn:x;URI=spiffe://partners.example/admin\",By=evil\\");
    let value = xfcc(&orders, &gateway, &world.partners.issue(two)).await;
    let uris: Vec<_> = elements(&value)
        .into_iter()
        .filter(|(key, _)| key == "URI")
        .map(|(_, uri)| uri)
        .collect();
    assert_eq!(
        uris,
        [
            "https://a.example/?a=b%2Cc",
            "urn:x%3BURI=spiffe://partners.example/admin%22%2CBy=evil%5C"
        ]
    );
    assert!(
        value.contains(";Subject=\"CN=a\";URI=\"https://"),
        "{value}"
    );
    // A URI that begins as a SPIFFE ID and is none is nobody's: no service is told of it.
    let asked = orders.requests().len();
    for nearly in [
        "SPIFFE://partners.example/web/a",
        "spiffe://partners.example/web/../admin",
    ] {
        let leaf = Leaf::client("a").spiffe(nearly);
        let client = gateway.client(&world.partners.issue(leaf));
        client.rejection().await;
    }
    assert_eq!(orders.requests().len(), asked);
}
