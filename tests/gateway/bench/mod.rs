//! The test bench: certificates, tokens, a service, a client, and the real gateway between them.
//!
//! Each test makes its own [`World`] (a folder, authorities, an issuer's key) and its own gateway
//! process on ports of its own; tests run in parallel. Whatever is waited for is waited for by
//! event, at most [`PATIENCE`], and then the test fails with the gateway's last log lines.
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_right_client_with_a_right_token_gets_the_services_answer() {
//!     let world = World::new();
//!     let orders = world.orders().start().await;                     // 200 "hello"
//!     let gateway = world.gateway(&orders).await;                    // standard configuration
//!     let web = world.web();                                         // spiffe://partners.example/web/a
//!     let token = Token::new().scope("orders:read").sign(&world.issuer);
//!     let answer = gateway.client(&web).request(&Request::get("/orders/7").bearer(&token)).await;
//!     assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
//!     assert_eq!(orders.only_request().header("x-client-identity"), Some(WEB_ID));
//! }
//! ```
//!
//! # The standard configuration ([`config::Config::standard`])
//!
//! One listener `edge` (certificate for `api.example.com`, clients must show one of `partners`),
//! trust `partners` and `mesh`, identity `gateway`, issuer `corp` (ES256, key `world.issuer`),
//! upstream `orders`, one worker, JSON logs, a shutdown deadline of 5 s, and the routes
//!
//! | route | path | clients | token |
//! |---|---|---|---|
//! | `orders-read` | `GET`, `HEAD` `/orders/**` | `spiffe://partners.example/web/*` | scope `orders:read` |
//! | `orders-write` | `POST`, `PUT` `/orders/**` | the same | scope `orders:write`, bound to the certificate |
//! | `open` | `/open/**` | `any` | `none` |
//!
//! Files in the world's folder: `edge`, `gateway` (`.pem`, `.key`), `partners-ca.pem`,
//! `mesh-ca.pem`, `jwks.json`, `gateway.yaml`.
//!
//! # Sheet
//!
//! - **World**: `World::new()`; fields `folder`, `partners`, `mesh`, `edge_authority`, `stranger`
//!   (an authority that nobody trusts), `issuer`; `world.config()`, `world.web()`,
//!   `world.partner("spiffe://..")`, `world.orders()` (a service builder), `world.service(id, dns)`,
//!   `world.gateway(&orders)`, `world.gateway_with(&config)`.
//! - **Config**: `config.set("routes.orders-read.token", "none")` (any JSON value, also
//!   `json!({..})`), `.remove(place)`, `.get(place)`, `.route(name, path, upstream)` (open to all),
//!   `.upstream(name, address, server_name, &[accept])`, `.endpoints("orders", &[addresses])`, `.yaml()`.
//!   Addresses with port 0 (as all in the standard configuration) get a free port: `gateway.address("second")`.
//! - **Certificates**: `authority.issue(Leaf::client("cn").spiffe(..).dns(..).ip(..).expired())`;
//!   `Leaf::{client, server, both, for_usage}`, `.not_yet_valid()`, `.valid(from, until)`, `.key(KeyKind::Rsa2048)`,
//!   `.serial(7)`, `.authority()`, `.unknown_extension(critical)`, `.change(|params| ..)`; several `.spiffe()` are
//!   allowed. `Authority::new`, `::with(name, |params| ..)`, `.intermediate(name)`, `.pem()`. `Identity`:
//!   `.write(&folder, "edge")`, `.fingerprint_hex()`, `.thumbprint()`, `.pin()`.
//!   CRLs: `crl::Crl::of(&[serials]).number(7).updates(from, until).point(uri)`, then `.pem(&authority)`, `.der(..)`.
//! - **Token**: `Token::new().claim(..).without("exp").header("kid", "x").expired().bound_to(&identity)`, then
//!   `.sign(&key)`, `.sign_hs256(secret, kid)`, `.unsigned()`; `token::{with_claims, with_broken_signature, jwks}`;
//!   `IssuerKey::new("kid", Algorithm::Ps256)`, `.jwk()`, `.public_pem()`. A header member set to `Value::Null` is left out.
//! - **DPoP**: `Proof::get(path, &token)`, `Proof::new(method, url, &token)`, `.claim(..)`, `.without(..)`, `.header(..)`, then
//!   `.sign(&key)`, `.unsigned(&key)`, `.sign_hs256(&key)`; `dpop::{bound_to(&key), thumbprint(&jwk), nonce(secret, issuer, seconds)}`;
//!   `Request::get(path).dpop(&token, &proof)`.
//! - **Client**: `gateway.client(&identity)`, `gateway.anonymous()`; `.name("b.example.com")` (SNI, verified name and
//!   Host), `.host(..)` alone, `.without_sni()`, `.alpn(&["h2"])`, `.versions(&[&rustls::version::TLS12])`,
//!   `.source("127.0.0.9")`, `.resumption()` (later connections of this value and its clones resume),
//!   `.chain(..)`; then `.connect()`, `.try_connect()`, `.rejection()` (how the gateway turned us down), `.get(path)`,
//!   `.request(&Request)`, `.connect_h2()`, `.tcp()`.
//! - **Connection**: `.request(&r)`, `.try_request(&r)`, `.get(path)`, `.send(bytes)`, `.exchange(bytes)`,
//!   `.read_answer()`, `.closed()` (waits for the end, returns what came), `.resumed()`, `.version()`, `.alpn()`.
//! - **Request** (nothing in it is checked): `Request::{new, get, post}`, `.header(..)`, `.bearer(..)`, `.host(..)`
//!   (`""`: no Host), `.body(..)`. **Answer**: `status`, `.header(..)`, `headers.all(..)`, `.text()`, `.json()`,
//!   `trailers`, `informational`.
//! - **h2**: `let mut h2 = client.connect_h2().await; h2.request(&r)`, `h2.start(&r)` + `client::read_h2`, `h2.open(&r)`
//!   (body by hand), `h2.ended()`. By hand: `RawH2::start(&client)`, `.headers(1, &raw_h2::get(HOST, "/open/x"), true)`,
//!   `.frame(kind, flags, stream, payload)`, `.data`, `.reset`, `.ping`, `.settings`, `.window_update`, `.next()`,
//!   `.until(|frame| ..)`, `.find(..)`, `.status(stream)`; `frame.error_code()`.
//! - **Service**: `world.orders().reply(|request| Reply::ok("x")).at_head().early(b"..").alpn(..).at(address).start()`;
//!   `Reply::{ok, status, new, raw, hang, close}` + `.then(Step::..)`; steps: `Send`, `Drip`, `Flood`, `Pause`, `Gate`, `Hang`,
//!   `Close`, `Cut`, `Echo`, `Read`. Records: `.requests()`, `.only_request()`, `.last_request()` (`method`, `target`,
//!   `headers`, raw `head`, `body`, `trailers`, `connection`, `peer`), `.handshakes()` (`resumed`, `server_name`,
//!   `error`), `.bytes()` (0: it was told nothing), `.connections()`, `.open_connections()`; `.wait_for_requests(n)`,
//!   `.wait_for_handshakes(n)`, `.wait_until(..)`; `.set_reply(..)`, `.set_identity(..)`, `.stop()`. `service::Plain`: TCP without TLS.
//! - **Provider**: `world.provider().await`, the real `oidc-provider` as an authorization server: tokens of every kind, introspection,
//!   keys that rotate, faults; its own sheet is the head of [`provider`](mod@provider).
//! - **Gateway**: `.metrics().await.value("portcullis_requests_total", &[("route", "open")])` (the sum of all series
//!   with these labels), `.wait_for_metric(name, labels, |v| v >= 1.0)`, `.wait_for_log(|line| ..)`,
//!   `.wait_for_event(|json| ..)`, `.access_line(&answer)`, `.reason(&answer)`, `.log()`, `.admin("/readyz")`, `.reload(&config)`, `.reload_text(..)`,
//!   `.taken_by(|| agent.send(..))`, `.reload_by(|| identity.write(..))` -> `Reloaded::{Applied(generation), Refused}`, `.sighup()`, `.sigterm()`,
//!   `.exited()`, `.pid()`, `.resident_bytes()`, `.config`.
//!   `world.gateway_starting(&config)` does not wait for `/readyz`, `.wait_until_ready()` does.
//!   `Gateway::start_with_file(&world, &config, path)` for a file that the test lays out itself (`config.choose_ports()`
//!   first). `gateway::run(&world, &config, &["check", ..])`: the binary to its end.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;

pub mod client;
pub mod config;
pub mod crl;
pub mod dpop;
pub mod gateway;
pub mod http1;
pub mod pki;
pub mod provider;
pub mod raw_h2;
pub mod service;
pub mod token;

mod proof;
mod proof_provider;
mod whole;

use config::Config;
use gateway::Gateway;
use pki::{Authority, Folder, Identity, Leaf};
use service::{Builder, Service};
use token::IssuerKey;

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// The identity of [`World::web`].
pub const WEB_ID: &str = "spiffe://partners.example/web/a";
/// The identity of [`World::orders`], which the standard configuration accepts.
pub const ORDERS_ID: &str = "spiffe://mesh.example/ns/shop/sa/orders";
/// The DNS name of [`World::orders`], which the standard configuration sends as SNI.
pub const ORDERS_NAME: &str = "orders.internal";

/// Waits for something, at most [`PATIENCE`]; panics with its name if it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// The bench's own provider; that of the gateway is the gateway's.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Arc::clone(PROVIDER.get_or_init(make))
}

/// All that one test needs around its gateway.
#[derive(Debug)]
pub struct World {
    pub folder: Folder,
    /// Signs clients.
    pub partners: Authority,
    /// Signs services, and the gateway's own identity.
    pub mesh: Authority,
    /// Signs the certificate of the listener.
    pub edge_authority: Arc<Authority>,
    /// Trusted by nobody.
    pub stranger: Authority,
    /// The key of the issuer `corp`, with `kid` `k1`.
    pub issuer: IssuerKey,
    /// What the gateway shows to services.
    pub gateway_identity: Identity,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes everything and writes the files of the standard configuration.
    pub fn new() -> Self {
        let folder = Folder::new();
        let partners = Authority::new("partners");
        let mesh = Authority::new("mesh");
        let edge_authority = Arc::new(Authority::new("edge"));
        let issuer = IssuerKey::es256("k1");
        let edge = Leaf::server("edge").dns(client::HOST).dns("*.example.org");
        edge_authority.issue(edge).write(&folder, "edge");
        let gateway = Leaf::client("gateway").spiffe("spiffe://mesh.example/ns/edge/sa/gateway");
        let gateway_identity = mesh.issue(gateway);
        gateway_identity.write(&folder, "gateway");
        folder.write("partners-ca.pem", partners.pem());
        folder.write("mesh-ca.pem", mesh.pem());
        folder.write("jwks.json", token::jwks(&[&issuer]));
        let stranger = Authority::new("stranger");
        Self {
            folder,
            partners,
            mesh,
            edge_authority,
            stranger,
            issuer,
            gateway_identity,
        }
    }

    /// The standard configuration, to be changed.
    pub fn config(&self) -> Config {
        Config::standard()
    }

    /// The client that the standard routes let in: [`WEB_ID`].
    pub fn web(&self) -> Identity {
        self.partner(WEB_ID)
    }

    /// A client of a trusted authority with this SPIFFE ID.
    pub fn partner(&self, spiffe: &str) -> Identity {
        self.partners.issue(Leaf::client("partner").spiffe(spiffe))
    }

    /// A service with this identity, signed by the mesh.
    pub fn service(&self, spiffe: &str, dns: &str) -> Builder {
        let identity = self
            .mesh
            .issue(Leaf::server("service").spiffe(spiffe).dns(dns));
        self.service_as(&identity)
    }

    /// A service that proves any identity, and takes clients of the mesh.
    pub fn service_as(&self, identity: &Identity) -> Builder {
        Service::builder(identity, &self.mesh)
    }

    /// The service of the standard configuration.
    pub fn orders(&self) -> Builder {
        self.service(ORDERS_ID, ORDERS_NAME)
    }

    /// A gateway with the standard configuration in front of this service.
    pub async fn gateway(&self, orders: &Service) -> Gateway {
        let mut config = self.config();
        config.endpoints("orders", &[orders.address]);
        self.gateway_with(&config).await
    }

    /// A gateway that is not awaited: it may wait itself.
    pub async fn gateway_starting(&self, config: &Config) -> Gateway {
        Gateway::start_unready(self, config).await
    }

    /// A gateway with any configuration.
    pub async fn gateway_with(&self, config: &Config) -> Gateway {
        Gateway::start(self, config).await
    }
}
