//! Every way in which files change: each is noticed, and each once.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::{reloads, started};
use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::{GENERATION, Gateway, RELOADS, Reloaded};
use crate::bench::pki::{Identity, Leaf, write_atomically};

/// A server certificate of the listener, with this serial number.
fn edge(world: &World, serial: u64) -> Identity {
    let leaf = Leaf::server("edge").dns("api.example.com").serial(serial);
    world.edge_authority.issue(leaf)
}

/// The leaf that the listener shows now.
async fn shown(gateway: &Gateway, world: &World) -> Vec<u8> {
    let connection = gateway.client(&world.web()).connect().await;
    connection.server_certificate().to_vec()
}

fn with_route(config: &Config, path: &str) -> Config {
    let mut config = config.clone();
    config.route("more", path, "orders");
    config
}

#[tokio::test]
async fn a_configuration_that_is_written_in_place_is_taken() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    let text = with_route(&gateway.config, "/more").yaml();
    let reloaded = gateway
        .reload_by(|| std::fs::write(gateway.file(), text).expect("written"))
        .await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    assert_eq!(gateway.client(&world.web()).get("/more").await.status, 200);
}

#[tokio::test]
async fn a_configuration_that_is_renamed_over_is_taken_also_from_another_folder() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    let beside = world.folder.write(
        "elsewhere/new.yaml",
        with_route(&gateway.config, "/more").yaml(),
    );
    let reloaded = gateway
        .reload_by(|| std::fs::rename(beside, gateway.file()).expect("renamed"))
        .await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    assert_eq!(gateway.client(&world.web()).get("/more").await.status, 200);
}

#[tokio::test]
async fn sighup_reloads_though_no_file_has_changed() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    assert_eq!(
        gateway.reload_by(|| gateway.sighup()).await,
        Reloaded::Applied(2)
    );
    assert_eq!(
        gateway.reload_by(|| gateway.sighup()).await,
        Reloaded::Applied(3)
    );
    gateway
        .wait_for_event(|line| {
            line["message"] == "configuration reloaded" && line["generation"] == 3
        })
        .await;
}

#[tokio::test]
async fn each_file_that_is_named_is_watched() {
    let world = World::new();
    let mut config = world.config();
    // Each in a folder of its own, so that none is noticed by way of another.
    for name in [
        "edge.pem",
        "edge.key",
        "gateway.pem",
        "gateway.key",
        "partners-ca.pem",
        "mesh-ca.pem",
        "jwks.json",
    ] {
        let text = std::fs::read(world.folder.join(name)).expect(name);
        world.folder.write(&format!("{name}.d/{name}"), text);
    }
    let at = |name: &str| format!("{name}.d/{name}");
    config
        .set("listeners.edge.tls.certificates.0.cert", at("edge.pem"))
        .set("listeners.edge.tls.certificates.0.key", at("edge.key"))
        .set("identities.gateway.cert", at("gateway.pem"))
        .set("identities.gateway.key", at("gateway.key"))
        .set("trust.partners.ca", at("partners-ca.pem"))
        .set("trust.mesh.ca", at("mesh-ca.pem"))
        .set("issuers.corp.keys.file", at("jwks.json"));
    let gateway = world.gateway_with(&config).await;
    let write = |name: &str, text: &str| drop(world.folder.write(&at(name), text));
    let mut generation = 1;
    let stranger = crate::bench::pki::Authority::new("more");
    let bundle = |old: &str| format!("{old}{}", stranger.pem());
    let key_2 = crate::bench::token::IssuerKey::es256("k2");
    let jwks = crate::bench::token::jwks(&[&world.issuer, &key_2]);
    let renewed = edge(&world, 77);
    let other = world
        .mesh
        .issue(Leaf::client("gateway").spiffe("spiffe://mesh.example/gw"));
    let single = [
        ("partners-ca.pem", bundle(world.partners.pem())),
        ("mesh-ca.pem", bundle(world.mesh.pem())),
        ("jwks.json", jwks),
    ];
    for (name, text) in single {
        generation += 1;
        let reloaded = gateway.reload_by(|| write(name, &text)).await;
        assert_eq!(reloaded, Reloaded::Applied(generation), "{name}");
    }
    for (pair, identity) in [("edge", renewed), ("gateway", other)] {
        // One half alone: noticed, and refused, for it does not match. Then the other.
        let (cert, key) = (format!("{pair}.pem"), format!("{pair}.key"));
        let half = gateway.reload_by(|| write(&key, &identity.key_pem())).await;
        assert_eq!(half, Reloaded::Refused, "{key}");
        generation += 1;
        let whole = gateway
            .reload_by(|| write(&cert, &identity.chain_pem))
            .await;
        assert_eq!(whole, Reloaded::Applied(generation), "{cert}");
    }
}

#[tokio::test]
async fn a_pair_that_is_replaced_in_two_steps_ends_up_good_in_either_order() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    for (serial, steps) in [
        (101, ["edge.pem", "edge.key"]),
        (102, ["edge.key", "edge.pem"]),
    ] {
        let before = shown(&gateway, &world).await;
        let renewed = edge(&world, serial);
        let text = |name: &str| match name {
            "edge.pem" => renewed.chain_pem.clone(),
            _ => renewed.key_pem(),
        };
        let generation = gateway.metrics().await.value(GENERATION, &[]) as u64;
        let half = gateway
            .reload_by(|| drop(world.folder.write(steps[0], text(steps[0]))))
            .await;
        assert_eq!(half, Reloaded::Refused);
        assert_eq!(shown(&gateway, &world).await, before, "the old pair stays");
        let whole = gateway
            .reload_by(|| drop(world.folder.write(steps[1], text(steps[1]))))
            .await;
        assert_eq!(whole, Reloaded::Applied(generation + 1));
        assert_eq!(shown(&gateway, &world).await, renewed.leaf().to_vec());
    }
}

#[tokio::test]
async fn rapid_changes_are_taken_together_and_the_last_one_counts() {
    const CHANGES: usize = 40;
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    for number in 1..=CHANGES {
        let text = with_route(&gateway.config, &format!("/number-{number}")).yaml();
        world.folder.write("gateway.yaml", text);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let client = gateway.client(&world.web());
    let last = format!("/number-{CHANGES}");
    let end = tokio::time::Instant::now() + crate::bench::PATIENCE;
    while client.get(&last).await.status != 200 {
        assert!(
            tokio::time::Instant::now() < end,
            "the last change was never taken"
        );
    }
    let count = gateway.metrics().await.value(RELOADS, &[]);
    assert!(
        count <= 3.0,
        "{count} reloads for {CHANGES} changes in a moment"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_the_gateway_starts_is_taken() {
    let world = World::new();
    let orders = world.orders().start().await;
    // So many routes that it takes a moment to start, and the file is another before it runs.
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    let last = config.clone();
    for number in 0..1_000 {
        config.route(&format!("r{number}"), &format!("/r{number}"), "orders");
    }
    for millis in [20, 60, 150, 400] {
        let (mut config, mut last) = (config.clone(), last.clone());
        config.choose_ports();
        for place in ["admin.address", "listeners.edge.address"] {
            last.set(place, config.get(place).clone());
        }
        let last = with_route(&last, "/last").yaml();
        let file = world.folder.write("gateway.yaml", config.yaml());
        let path = file.clone();
        let writer = tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
            write_atomically(&path, last.as_bytes());
        });
        let gateway = Gateway::start_with_file(&world, &config, file).await;
        writer.await.expect("the file is written");
        let client = gateway.client(&world.web());
        let end = tokio::time::Instant::now() + crate::bench::PATIENCE;
        while client.get("/last").await.status != 200 {
            assert!(
                tokio::time::Instant::now() < end,
                "{millis} ms: never taken"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_is_touched_but_not_changed_reloads_nothing() {
    let world = World::new();
    let (_orders, gateway) = started(&world).await;
    let text = std::fs::read(gateway.file()).expect("the configuration");
    let write = || drop(world.folder.write("gateway.yaml", &text));
    write();
    world.folder.write("something-else", "beside it");
    // A real change behind them shows that they were passed over: it is generation 2.
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let more = with_route(&gateway.config, "/more").yaml();
    let reloaded = gateway
        .reload_by(|| drop(world.folder.write("gateway.yaml", more)))
        .await;
    assert_eq!(reloaded, Reloaded::Applied(2));
    assert_eq!(reloads(&gateway, "ok").await, 1.0);
}

/// Writes files into a folder of its own, as kubelet does, and swaps `..data` to it.
fn mount(folder: &Path, version: &str, files: &[(&str, String)]) {
    let inside = folder.join(version);
    std::fs::create_dir_all(&inside).expect("the version's folder");
    for (name, text) in files {
        std::fs::write(inside.join(name), text).expect("a file");
        let link = folder.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(name), link).expect("the link of a file");
        }
    }
    let next = folder.join("..data_tmp");
    symlink(version, &next).expect("the next ..data");
    std::fs::rename(next, folder.join("..data")).expect("the swap");
    for old in std::fs::read_dir(folder).expect("the folder") {
        let old = old.expect("an entry");
        let name = old.file_name().to_string_lossy().into_owned();
        if name.starts_with("..v") && name != version {
            std::fs::remove_dir_all(old.path()).expect("the old version goes");
        }
    }
}

fn pair(identity: &Identity) -> [(&'static str, String); 2] {
    [
        ("tls.crt", identity.chain_pem.clone()),
        ("tls.key", identity.key_pem()),
    ]
}

#[tokio::test]
async fn the_swap_of_a_kubernetes_mount_is_taken_for_secrets_and_for_the_configuration() {
    let world = World::new();
    let orders = world.orders().start().await;
    let (secret, map) = (world.folder.join("secret"), world.folder.join("map"));
    mount(&secret, "..v1", &pair(&edge(&world, 1)));
    let mut config = world.config();
    config
        .endpoints("orders", &[orders.address])
        .set(
            "listeners.edge.tls.certificates.0.cert",
            "../secret/tls.crt",
        )
        .set("listeners.edge.tls.certificates.0.key", "../secret/tls.key")
        .set(
            "identities.gateway",
            serde_json::json!({"cert": "../gateway.pem", "key": "../gateway.key"}),
        )
        .set("trust.partners.ca", "../partners-ca.pem")
        .set("trust.mesh.ca", "../mesh-ca.pem")
        .set("issuers.corp.keys.file", "../jwks.json");
    config.choose_ports();
    mount(&map, "..v1", &[("gateway.yaml", config.yaml())]);
    let gateway = Gateway::start_with_file(&world, &config, map.join("gateway.yaml")).await;
    // Twice each: what is watched must follow the link to where it leads now.
    let mut generation = 1;
    for round in 2..=3 {
        let renewed = edge(&world, round);
        generation += 1;
        let version = format!("..v{round}");
        let taken = gateway
            .reload_by(|| mount(&secret, &version, &pair(&renewed)))
            .await;
        assert_eq!(
            taken,
            Reloaded::Applied(generation),
            "the secret, round {round}"
        );
        assert_eq!(shown(&gateway, &world).await, renewed.leaf().to_vec());

        generation += 1;
        let yaml = with_route(&gateway.config, &format!("/round-{round}")).yaml();
        let taken = gateway
            .reload_by(|| mount(&map, &version, &[("gateway.yaml", yaml)]))
            .await;
        assert_eq!(
            taken,
            Reloaded::Applied(generation),
            "the map, round {round}"
        );
        let answer = gateway
            .client(&world.web())
            .get(&format!("/round-{round}"))
            .await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_link_to_a_folder_in_the_middle_of_a_path_is_watched() {
    let world = World::new();
    let renewed = edge(&world, 2);
    let first = edge(&world, 1);
    for (version, identity) in [("v1", &first), ("v2", &renewed)] {
        for (name, text) in pair(identity) {
            world
                .folder
                .write(&format!("versions/{version}/{name}"), text);
        }
    }
    let link = world.folder.join("links/current");
    std::fs::create_dir_all(world.folder.join("links")).expect("a folder");
    symlink("../versions/v1", &link).expect("a link");
    let mut config = world.config();
    config
        .set(
            "listeners.edge.tls.certificates.0.cert",
            "links/current/tls.crt",
        )
        .set(
            "listeners.edge.tls.certificates.0.key",
            "links/current/tls.key",
        );
    let gateway = world.gateway_with(&config).await;
    let swap = || {
        let next = world.folder.join("links/next");
        symlink("../versions/v2", &next).expect("the next link");
        std::fs::rename(next, &link).expect("the swap");
    };
    assert_eq!(gateway.reload_by(swap).await, Reloaded::Applied(2));
    assert_eq!(shown(&gateway, &world).await, renewed.leaf().to_vec());
}

#[tokio::test]
async fn a_folder_that_disappears_and_comes_back_is_watched_again() {
    let world = World::new();
    for (name, text) in pair(&edge(&world, 1)) {
        world.folder.write(&format!("deep/er/pki/{name}"), text);
    }
    let mut config = world.config();
    config
        .set(
            "listeners.edge.tls.certificates.0.cert",
            "deep/er/pki/tls.crt",
        )
        .set(
            "listeners.edge.tls.certificates.0.key",
            "deep/er/pki/tls.key",
        );
    let gateway = world.gateway_with(&config).await;
    let before = shown(&gateway, &world).await;
    let gone = gateway
        .reload_by(|| std::fs::remove_dir_all(world.folder.join("deep")).expect("removed"))
        .await;
    assert_eq!(gone, Reloaded::Refused);
    assert_eq!(shown(&gateway, &world).await, before);
    for (round, generation) in [(2, 2), (3, 3)] {
        let renewed = edge(&world, round);
        // Beside, then in one step: a folder that comes back half full is another test's.
        for (name, text) in pair(&renewed) {
            world
                .folder
                .write(&format!("coming-{round}/er/pki/{name}"), text);
        }
        let coming = world.folder.join(&format!("coming-{round}"));
        let back = gateway
            .reload_by(|| {
                drop(std::fs::remove_dir_all(world.folder.join("deep")));
                std::fs::rename(coming, world.folder.join("deep")).expect("back");
            })
            .await;
        assert_eq!(back, Reloaded::Applied(generation), "round {round}");
        assert_eq!(shown(&gateway, &world).await, renewed.leaf().to_vec());
    }
    // And in the folder that is there now, a change of one file.
    let renewed = edge(&world, 4);
    let [cert, key] = pair(&renewed)
        .map(|(name, text)| (world.folder.join(&format!("deep/er/pki/{name}")), text));
    let changed = gateway
        .reload_by(|| {
            write_atomically(&key.0, key.1.as_bytes());
            write_atomically(&cert.0, cert.1.as_bytes());
        })
        .await;
    assert_eq!(changed, Reloaded::Applied(4));
}

#[tokio::test]
async fn a_file_that_was_missing_in_a_refused_configuration_completes_it_when_it_comes() {
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let mut config = with_route(&gateway.config, "/more");
    config
        .set(
            "listeners.edge.tls.certificates.0.cert",
            "later/new/tls.crt",
        )
        .set("listeners.edge.tls.certificates.0.key", "later/new/tls.key");
    assert_eq!(gateway.reload(&config).await, Reloaded::Refused);
    let renewed = edge(&world, 2);
    for (name, text) in pair(&renewed) {
        world.folder.write(&format!("coming/new/{name}"), text);
    }
    let (coming, later) = (world.folder.join("coming"), world.folder.join("later"));
    let complete = gateway
        .reload_by(|| std::fs::rename(coming, later).expect("it comes"))
        .await;
    assert_eq!(complete, Reloaded::Applied(2));
    assert_eq!(shown(&gateway, &world).await, renewed.leaf().to_vec());
    assert_eq!(gateway.client(&world.web()).get("/more").await.status, 200);
}
