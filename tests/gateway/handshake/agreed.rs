//! What a handshake that succeeds agrees on.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, ProtocolVersion};

use super::table::HANDSHAKES;
use super::{EDGE, alert_of, gateway};
use crate::bench::client::HOST;
use crate::bench::{World, provider, within};

#[tokio::test]
async fn what_a_handshake_agreed_on_is_counted() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let web = gateway.client(&world.web()).resumption();
    let cases = [
        (
            web.clone().versions(&[&TLS13]).alpn(&["h2"]),
            "1.3",
            "false",
            "h2",
        ),
        (
            web.clone().versions(&[&TLS12]).alpn(&["http/1.1"]),
            "1.2",
            "false",
            "http/1.1",
        ),
        (gateway.client(&world.web()), "1.3", "false", "none"),
    ];
    for (client, version, resumed, protocol) in &cases {
        let before = gateway.metrics().await;
        let connection = client.connect().await;
        let ok = [
            EDGE,
            ("result", "ok"),
            ("version", version),
            ("resumed", resumed),
        ];
        let count = before.value(HANDSHAKES, &ok);
        gateway
            .wait_for_metric(HANDSHAKES, &ok, |now| now == count + 1.0)
            .await;
        let after = gateway.metrics().await;
        let protocols = [EDGE, ("protocol", protocol)];
        let grew = |name: &str, labels: &[(&str, &str)]| {
            after.value(name, labels) - before.value(name, labels)
        };
        assert_eq!(grew("portcullis_tls_protocols_total", &protocols), 1.0);
        let timed = [EDGE, ("result", "ok")];
        assert_eq!(
            grew("portcullis_handshake_duration_seconds_count", &timed),
            1.0
        );
        let suite = connection.tls().negotiated_cipher_suite().expect("a suite");
        let suite = suite
            .suite()
            .as_str()
            .expect("a known one")
            .replace("TLS13_", "TLS_");
        assert_eq!(
            grew(
                "portcullis_tls_cipher_suites_total",
                &[EDGE, ("cipher_suite", &suite)]
            ),
            1.0
        );
    }
}

#[tokio::test]
async fn resumed_handshakes_are_counted_as_resumed_in_both_versions() {
    let world = World::new();
    let gateway = gateway(&world).await;
    for (version, label) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let client = gateway
            .client(&world.web())
            .versions(&[version])
            .resumption();
        assert!(!client.connect().await.resumed());
        client.get("/nothing").await; // reads the tickets
        let resumed = [EDGE, ("version", label), ("resumed", "true")];
        let before = gateway.metrics().await.value(HANDSHAKES, &resumed);
        assert!(client.connect().await.resumed(), "{label}");
        gateway
            .wait_for_metric(HANDSHAKES, &resumed, |now| now == before + 1.0)
            .await;
    }
}

#[tokio::test]
async fn the_group_against_quantum_computers_is_taken_where_a_share_of_it_is_offered() {
    let world = World::new();
    let gateway = gateway(&world).await;
    let cases = [
        (
            vec![kx_group::X25519MLKEM768, kx_group::X25519],
            "X25519MLKEM768",
        ),
        (
            vec![kx_group::X25519MLKEM768, kx_group::SECP256R1],
            "X25519MLKEM768",
        ),
        (vec![kx_group::X25519], "X25519"),
        (vec![kx_group::SECP256R1], "secp256r1"),
        (vec![kx_group::SECP384R1], "secp384r1"),
    ];
    for (groups, want) in cases {
        let offered: Vec<_> = groups.iter().map(|group| group.name()).collect();
        let label = [EDGE, ("group", want)];
        let before = gateway
            .metrics()
            .await
            .value("portcullis_tls_groups_total", &label);
        let mut provider = provider().as_ref().clone();
        provider.kx_groups = groups;
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(world.edge_authority.roots());
        let web = world.web();
        let config = config.with_client_auth_cert(web.chain.clone(), web.key_der());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config.expect("a key pair")));
        let tcp = gateway.anonymous().tcp().await.expect("TCP");
        let name = ServerName::try_from(HOST).expect("a name");
        let stream = within("TLS", connector.connect(name, tcp))
            .await
            .expect("a handshake");
        let agreed = stream
            .get_ref()
            .1
            .negotiated_key_exchange_group()
            .expect("a group");
        assert_eq!(agreed.name().as_str(), Some(want), "{offered:?}");
        let groups = "portcullis_tls_groups_total";
        gateway
            .wait_for_metric(groups, &label, |now| now == before + 1.0)
            .await;
    }
}

#[tokio::test]
async fn a_listener_from_tls_1_3_on_refuses_tls_1_2() {
    let world = World::new();
    let mut config = world.config();
    config.set("listeners.edge.tls.min_version", "1.3");
    let gateway = world.gateway_with(&config).await;
    let web = gateway.client(&world.web());
    let rejection = web.clone().versions(&[&TLS12]).rejection().await;
    assert_eq!(
        alert_of(&rejection),
        Some(AlertDescription::ProtocolVersion),
        "{rejection:?}"
    );
    let reason = [EDGE, ("reason", "no_common_version")];
    assert_eq!(gateway.metrics().await.value(HANDSHAKES, &reason), 1.0);
    assert_eq!(web.connect().await.version(), ProtocolVersion::TLSv1_3);
}

#[tokio::test]
async fn both_versions_serve_requests() {
    let world = World::new();
    let orders = world.orders().start().await;
    let gateway = world.gateway(&orders).await;
    for (version, want) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut connection = gateway
            .client(&world.web())
            .versions(&[version])
            .connect()
            .await;
        assert_eq!(connection.version(), want);
        assert_eq!(connection.get("/open/x").await.status, 200);
    }
}
