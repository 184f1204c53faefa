//! A demo's folder, what it tells, and its services, without a gateway.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::lines::{page, told};
use super::material::Material;
use super::place::Place;
use super::service::{listen, serve};
use crate::handshake_failure::HandshakeFailure;
use crate::pki::{ends, read_text};
use crate::refusal::Refusal;
use crate::trust::{KeyPair, TrustBundle, TrustStore, Usage};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("portcullis-demo-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn at(day: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + time::Duration::days(day)
}

#[test]
fn material_is_used_again_while_it_is_good_for_another_day() {
    let folder = Folder::new("again");
    let edge = |material: &Material| read_text(&material.pki("edge.pem")).unwrap();
    let first = edge(&Material::ready(&folder.0, at(0)).unwrap());
    assert!(ends(&first).unwrap() > at(29));
    let second = Material::ready(&folder.0, at(28)).unwrap();
    assert_eq!(edge(&second), first);
    assert_ne!(edge(&Material::ready(&folder.0, at(29)).unwrap()), first);

    let third = edge(&Material::ready(&folder.0, at(0)).unwrap());
    std::fs::remove_file(second.pki("shop.key")).unwrap();
    assert_ne!(edge(&Material::ready(&folder.0, at(0)).unwrap()), third);
}

#[test]
fn what_gateway_yaml_names_is_made_and_is_good() {
    let folder = Folder::new("named");
    let material = Material::ready(&folder.0, at(0)).unwrap();
    let text = include_str!("../../gateway.yaml");
    let named: Vec<_> = text.split(".portcullis/demo/").skip(1).collect();
    assert_eq!(named.len(), 7);
    for rest in named {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/-.".contains(c));
        let file = folder.0.join(rest.get(..end.unwrap()).unwrap());
        assert!(file.exists(), "{}", file.display());
    }

    let now = UnixTime::now();
    let pair = |name: &str| {
        let file = |ending: &str| material.pki(&format!("{name}.{ending}"));
        KeyPair::load(&file("pem"), &file("key"), now).unwrap()
    };
    assert!(pair("edge").serves(&"api.example.com".parse().unwrap()));
    let under = |name: &str, ca: &str, usage: Usage| {
        let bundle = TrustBundle::load(&material.pki(&format!("{ca}.pem"))).unwrap();
        let leaf = &pair(name).certified_key().cert[0];
        let store = TrustStore::new(vec![Arc::new(bundle)], Arc::default());
        let verdict = store.verify(leaf, &[], usage, now);
        verdict.err().map(|untrusted| untrusted.reason)
    };
    assert_eq!(under("shop", "clients-ca", Usage::Client), None);
    assert_eq!(under("warehouse", "clients-ca", Usage::Client), None);
    assert_eq!(under("gateway", "mesh-ca", Usage::Client), None);
    assert_eq!(under("orders", "mesh-ca", Usage::Server), None);
    assert_eq!(under("impostor", "mesh-ca", Usage::Server), None);
    let unknown = Some(HandshakeFailure::UnknownIssuer);
    assert_eq!(under("stranger", "clients-ca", Usage::Client), unknown);
}

#[test]
fn demo_json_has_the_shape_that_scripts_read() {
    let folder = Folder::new("shape");
    let material = Material::ready(&folder.0, at(0)).unwrap();
    let told = told(&Place::sample(), &material).unwrap();
    let keys: Vec<_> = told.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "admin", "ca", "clients", "config", "edge", "lines", "tokens"
        ]
    );
    assert_eq!(
        (&told["edge"], &told["admin"]),
        (&json!("127.0.0.1:9443"), &json!("127.0.0.1:7001"))
    );
    assert_eq!(told["config"], "/tmp/a demo/gateway.yaml");
    let exists = |path: &Value| {
        let path = Path::new(path.as_str().unwrap());
        path.is_absolute() && path.exists()
    };
    assert!(exists(&told["ca"]));
    for client in told["clients"].as_object().unwrap().values() {
        assert!(exists(&client["cert"]) && exists(&client["key"]));
    }
    for token in told["tokens"].as_object().unwrap().values() {
        assert_eq!(token.as_str().unwrap().split('.').count(), 3);
    }
    for line in told["lines"].as_array().unwrap() {
        let named = |of: &str, key: &str| {
            line[key]
                .as_str()
                .is_none_or(|name| !told[of][name].is_null())
        };
        assert!(
            named("clients", "client") && named("tokens", "token"),
            "{line}"
        );
        let url = line["url"].as_str().unwrap();
        assert!(url.starts_with("https://api.example.com:9443/"), "{url}");
        assert!(line["repeat"].as_u64().unwrap() >= 1);
        let reason = line["reason"].as_str().unwrap();
        let known = match line["expect"].as_str() {
            Some("tls") => HandshakeFailure::ALL
                .iter()
                .any(|failure| failure.reason() == reason),
            Some(_) => false,
            None if line["expect"] == 200 => reason == "none",
            None => Refusal::ALL.iter().any(|refusal| {
                refusal.reason() == reason && line["expect"] == refusal.status().as_u16()
            }),
        };
        assert!(known, "{line}");
    }
}

#[test]
fn a_page_has_one_curl_line_for_each_request_and_no_secret() {
    let folder = Folder::new("page");
    let material = Material::ready(&folder.0, at(0)).unwrap();
    let page = page(&Place::sample(), &material, false);
    let curls: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert_eq!(curls.len(), 8);
    for line in &curls {
        assert!(
            line.contains("--resolve api.example.com:9443:127.0.0.1 --cacert "),
            "{line}"
        );
    }
    assert!(!curls[1].contains("--cert "), "{}", curls[1]);
    assert!(
        curls[7].ends_with("'https://api.example.com:9443/health?[1-12]'"),
        "{}",
        curls[7]
    );
    assert!(!page.contains('\x1b'));
    for token in material.tokens.values() {
        assert!(!page.contains(token.as_str().unwrap()));
    }
}

/// Asks the service at `port` with the certificate of `caller`; none if there is no answer.
async fn asked(material: &Material, port: u16, caller: &str) -> Option<String> {
    let text = |name: &str| read_text(&material.pki(name)).unwrap();
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(text("mesh-ca.pem").as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let cert = text(&format!("{caller}.pem"));
    let chain = CertificateDer::pem_slice_iter(cert.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(text(&format!("{caller}.key")).as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("orders.internal").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, socket).await.ok()?;
    let request = "PUT /a?b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nX-A: 1\r\n\
        X-A: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn a_service_tells_the_gateway_what_arrived_and_tells_others_nothing() {
    let folder = Folder::new("service");
    let material = Material::ready(&folder.0, at(0)).unwrap();
    let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(serve(listener, material.service("orders").unwrap()));

    let answer = asked(&material, port, "gateway").await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!(told["service"], "spiffe://mesh.example/ns/shop/sa/orders");
    assert_eq!(
        told["called_by"],
        "spiffe://mesh.example/ns/edge/sa/gateway"
    );
    assert_eq!(
        (&told["method"], &told["path"]),
        (&json!("PUT"), &json!("/a?b"))
    );
    assert_eq!(
        (&told["headers"]["x-a"], &told["body_bytes"]),
        (&json!("1, 2"), &json!(3))
    );
    assert!(!body.contains("secret"), "{body}");

    let answer = asked(&material, port, "impostor").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(asked(&material, port, "shop").await, None);
    served.abort();
}
