//! Reloads and rotations while clients ask without a pause: not one request fails, and not one
//! connection is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::bench::World;
use crate::bench::client::Client;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::http1::Request;
use crate::bench::pki::{Authority, Leaf};
use crate::bench::service::Service;
use crate::bench::token::{IssuerKey, Token, jwks};
use crate::bench::{ORDERS_ID, ORDERS_NAME};

const H1: usize = 6;
const H2: usize = 3;
const STREAMS: usize = 3;

/// Clients that ask again and again, each on one connection, and what went wrong.
struct Load {
    tasks: JoinSet<Vec<String>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    async fn start(client: &Client, request: &Request) -> Self {
        let mut load = Self {
            tasks: JoinSet::new(),
            stop: Arc::default(),
            answered: Arc::default(),
        };
        for _ in 0..H1 {
            let mut connection = client.connect().await;
            let (stop, answered, request) = load.parts(request);
            load.tasks.spawn(async move {
                let mut wrong = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match connection.try_request(&request).await {
                        Ok(answer) if answer.status == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed)
                        }
                        Ok(answer) => {
                            wrong.push(format!("h1: {} {}", answer.status, answer.text()));
                            0
                        }
                        Err(error) => {
                            wrong.push(format!("h1: the connection: {error}"));
                            return wrong;
                        }
                    };
                }
                wrong
            });
        }
        for _ in 0..H2 {
            let connection = Arc::new(tokio::sync::Mutex::new(client.connect_h2().await));
            for _ in 0..STREAMS {
                let connection = Arc::clone(&connection);
                let (stop, answered, request) = load.parts(request);
                load.tasks.spawn(async move {
                    let mut wrong = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let begun = connection.lock().await.start(&request).await;
                        let answer = match begun {
                            Ok((response, _stream)) => {
                                crate::bench::client::read_h2(response).await
                            }
                            Err(error) => Err(error),
                        };
                        match answer {
                            Ok(answer) if answer.status == 200 => {
                                answered.fetch_add(1, Ordering::Relaxed)
                            }
                            Ok(answer) => {
                                wrong.push(format!("h2: {} {}", answer.status, answer.text()));
                                0
                            }
                            Err(error) => {
                                wrong.push(format!("h2: {error}"));
                                return wrong;
                            }
                        };
                    }
                    wrong
                });
            }
        }
        load
    }

    fn parts(&self, request: &Request) -> (Arc<AtomicBool>, Arc<AtomicUsize>, Request) {
        (
            Arc::clone(&self.stop),
            Arc::clone(&self.answered),
            request.clone(),
        )
    }

    /// Waits until this many more answers came.
    async fn more(&self, count: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + count;
        crate::bench::within("answers under load", async {
            while self.answered.load(Ordering::Relaxed) < wanted {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Ends it; panics if a request failed. Says how many were answered.
    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut wrong = Vec::new();
        while let Some(one) = self.tasks.join_next().await {
            wrong.extend(one.expect("a client's task"));
        }
        let answered = self.answered.load(Ordering::Relaxed);
        let count = wrong.len();
        wrong.truncate(10);
        assert!(wrong.is_empty(), "{count} of {answered} failed: {wrong:#?}");
        answered
    }
}

async fn started(world: &World) -> (Service, Gateway) {
    super::started(world).await
}

fn authorized(world: &World) -> Request {
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    Request::get("/orders/7").bearer(&token)
}

async fn connections(gateway: &Gateway) -> f64 {
    gateway
        .metrics()
        .await
        .value("portcullis_connections_total", &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_fail_no_request_and_close_no_connection() {
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let load = Box::pin(Load::start(
        &gateway.client(&world.web()),
        &authorized(&world),
    ))
    .await;
    load.more(50).await;
    let opened = connections(&gateway).await;
    assert_eq!(opened, (H1 + H2) as f64);
    let good = gateway.config.clone();
    for round in 0..10 {
        let mut config = good.clone();
        config.route(
            &format!("round-{round}"),
            &format!("/round-{round}"),
            "orders",
        );
        config.set("listeners.edge.limits.header_fields", 90 + round);
        config.set("upstreams.orders.in_flight", 500 + round);
        assert_eq!(gateway.reload(&config).await, Reloaded::Applied(round + 2));
        load.more(20).await;
        if round % 3 == 0 {
            let refused = gateway
                .reload_text(&format!("# {round}\nversion: 7\n"))
                .await;
            assert_eq!(refused, Reloaded::Refused);
        }
    }
    assert_eq!(
        connections(&gateway).await,
        opened,
        "no client had to connect again"
    );
    let now = gateway.metrics().await.value("portcullis_connections", &[]);
    assert_eq!(now, opened, "all of them are open");
    let answered = load.end().await;
    assert!(answered > 250, "{answered} is no load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_keys_authorities_and_key_sets_rotate_under_load() {
    let world = World::new();
    let (orders, gateway) = started(&world).await;
    let load = Box::pin(Load::start(
        &gateway.client(&world.web()),
        &authorized(&world),
    ))
    .await;
    load.more(20).await;
    let opened = connections(&gateway).await;
    let mut generation = 1;
    let mut step = async |what: &str, cause: &dyn Fn()| {
        generation += 1;
        let reloaded = Box::pin(gateway.reload_by(cause)).await;
        assert_eq!(reloaded, Reloaded::Applied(generation), "{what}");
        load.more(20).await;
    };
    let folder = &world.folder;

    // The listener's certificate and key: new connections see the new one.
    let edge = world
        .edge_authority
        .issue(Leaf::server("edge").dns("api.example.com").serial(9));
    step("the listener's pair", &|| edge.write(folder, "edge")).await;
    let fresh = gateway.client(&world.web()).connect().await;
    assert_eq!(&fresh.server_certificate(), edge.leaf());

    // The clients' CA: both for a while. Clients of the new one come in, those of the old one stay.
    let partners = Authority::new("partners-2");
    let both = format!("{}{}", world.partners.pem(), partners.pem());
    step("both CAs of clients", &|| {
        drop(folder.write("partners-ca.pem", &both))
    })
    .await;
    let newcomer = partners.issue(Leaf::client("new").spiffe("spiffe://partners.example/web/new"));
    let newcomer = gateway.client(&newcomer);
    assert_eq!(newcomer.request(&authorized(&world)).await.status, 200);

    // Our own certificate towards services.
    let renewed = world
        .mesh
        .issue(Leaf::client("gateway").spiffe("spiffe://mesh.example/ns/edge/sa/gateway"));
    step("our identity", &|| renewed.write(folder, "gateway")).await;
    assert_eq!(orders.last_request().peer, renewed.fingerprint());

    // The mesh's CA: both, then a service of the new one, which is asked from its first connection.
    let mesh = Authority::new("mesh-2");
    let both = format!("{}{}", world.mesh.pem(), mesh.pem());
    step("both CAs of services", &|| {
        drop(folder.write("mesh-ca.pem", &both))
    })
    .await;
    orders.set_identity(&mesh.issue(Leaf::server("service").spiffe(ORDERS_ID).dns(ORDERS_NAME)));
    let again = world
        .mesh
        .issue(Leaf::client("gateway").spiffe("spiffe://mesh.example/ns/edge/sa/gateway"));
    step("our identity again", &|| again.write(folder, "gateway")).await;

    // The issuer's keys: the new key beside the old one.
    let key = IssuerKey::es256("k2");
    step("the issuer's keys", &|| {
        drop(folder.write("jwks.json", jwks(&[&world.issuer, &key])))
    })
    .await;
    let token = Token::new().scope("orders:read").sign(&key);
    let answer = gateway
        .client(&world.web())
        .request(&Request::get("/orders/8").bearer(&token))
        .await;
    assert_eq!(answer.status, 200);

    let probes = 3.0; // the connections that the test itself opened
    assert_eq!(
        connections(&gateway).await,
        opened + probes,
        "no client had to connect again"
    );
    load.end().await;

    // The end of a rotation: what is gone is refused, also on connections that are open.
    let mut old = gateway.client(&world.web()).connect().await;
    assert_eq!(old.request(&authorized(&world)).await.status, 200);
    generation += 1;
    let only_new = gateway
        .reload_by(|| drop(folder.write("partners-ca.pem", partners.pem())))
        .await;
    assert_eq!(only_new, Reloaded::Applied(generation));
    assert!(
        old.closed().await.is_empty(),
        "it is closed, and told nothing"
    );
    gateway.client(&world.web()).rejection().await;
    assert_eq!(newcomer.request(&authorized(&world)).await.status, 200);
    generation += 1;
    let only_new = gateway
        .reload_by(|| drop(folder.write("jwks.json", jwks(&[&key]))))
        .await;
    assert_eq!(only_new, Reloaded::Applied(generation));
    assert_eq!(newcomer.request(&authorized(&world)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_under_way_survive_a_reload() {
    let world = World::new();
    let (_orders, mut gateway) = started(&world).await;
    let client = gateway.client(&world.web());
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (client, stop) = (client.clone(), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get("/open/x").await.status, 200);
                count += 1;
            }
            count
        });
    }
    let good = gateway.config.clone();
    for round in 0..6 {
        let mut config = good.clone();
        config.set("listeners.edge.limits.header_fields", 90 + round);
        assert_eq!(gateway.reload(&config).await, Reloaded::Applied(round + 2));
    }
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    while let Some(one) = tasks.join_next().await {
        count += one.expect("a client");
    }
    assert!(count > 20, "{count} handshakes are no load");
    let failed = gateway.metrics().await.value(
        "portcullis_handshakes_total",
        &[("side", "downstream"), ("result", "failed")],
    );
    assert_eq!(failed, 0.0);
}
