//! What it costs to decide about a request: with a token that is known, with one whose signature
//! must be checked, without any, and for one that is refused; and to tell a service who asks.
#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench may stop, and reads its own files"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use pingora::http::RequestHeader;
use portcullis::assertion::{Asserter, AssertionStore, Statement};
use portcullis::config::spec::ListenerLimits;
use portcullis::edge::facts::{ConnectionCounts, ConnectionFacts, Presented, peer_key};
use portcullis::edge::standing::{Judged, Standing};
use portcullis::identity::certificate::{PeerIdentity, peer_identity};
use portcullis::identity::name::Name;
use portcullis::observe::{ClientHandshake, Metrics, TlsFacts};
use portcullis::pki::{
    Authority, Issued, JwtAlgorithm, Overwrite, Request, SigningKey, Usage, key_set, write_public,
    write_secret,
};
use portcullis::proxy::admit::admit;
use portcullis::proxy::{RequestHead, Story};
use portcullis::refusal::Refusal;
use portcullis::snapshot::Snapshot;
use portcullis::snapshot::compile::build;
use portcullis::snapshot::stores::Stores;
use portcullis::trust::{KeyPair, TrustBundle, TrustStore};
use rustls::pki_types::UnixTime;
use serde_json::{Map, Value, json};

const CONFIGURATION: &str = r#"
version: 1
listeners:
  edge:
    address: 127.0.0.1:8443
    tls:
      certificates: [{ cert: edge.pem, key: edge.key }]
      clients: { certificate: required, trust: partners }
    limits:
      requests_per_peer: { rate: 1000000000/s }
trust:
  partners: { ca: ca.pem }
identities:
  gateway: { cert: gateway.pem, key: gateway.key }
issuers:
  corp:
    issuer: https://id.example.com
    audiences: [orders-api]
    algorithms: [ES256]
    keys: { file: jwks.json }
upstreams:
  orders:
    endpoints: ["127.0.0.1:9443"]
    tls:
      identity: gateway
      trust: partners
      server_name: orders.internal
      accept: [spiffe://mesh.example/ns/shop/sa/orders]
routes:
  orders:
    match: { host: api.example.com, path: /orders/**, methods: [GET] }
    clients: [spiffe://partners.example/web/*]
    token: { issuer: corp, scopes: [orders:read], bound_to_certificate: true }
    limits: [{ rate: 1000000000/s, per: client }]
    upstream: orders
  open:
    match: { host: api.example.com, path: /open/** }
    clients: [spiffe://partners.example/web/*]
    token: none
    limits: [{ rate: 1000000000/s, per: client }]
    upstream: orders
"#;

const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A compiled configuration, a connection, and who signs tokens for it.
struct Stage {
    now: Snapshot,
    facts: ConnectionFacts,
    signer: SigningKey,
    thumbprint: String,
}

impl Stage {
    fn set() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("admit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let stage = Self::set_in(&folder);
        std::fs::remove_dir_all(&folder).expect("the folder, to be removed");
        stage
    }

    fn set_in(folder: &Path) -> Self {
        let authority = Authority::new("bench", LIFETIME).expect("a CA");
        let issue = |usage, dns: &str, spiffe: &str| {
            let mut request = Request::new("bench", usage, LIFETIME);
            let given = |name: &str| (!name.is_empty()).then(|| name.to_owned());
            request.dns.extend(given(dns));
            request.spiffe.extend(given(spiffe));
            authority.issue(request).expect("a certificate")
        };
        let public = |name: &str, text: &str| {
            write_public(&folder.join(name), text, Overwrite::Yes).expect("a file");
        };
        let pair = |name: &str, issued: &Issued| {
            public(&format!("{name}.pem"), &issued.cert);
            let key = folder.join(format!("{name}.key"));
            write_secret(&key, &issued.key, Overwrite::Yes).expect("a file");
        };
        let gateway = "spiffe://mesh.example/ns/edge/sa/gateway";
        pair("edge", &issue(Usage::Server, "api.example.com", ""));
        pair("gateway", &issue(Usage::Client, "", gateway));
        let client = issue(Usage::Client, "", "spiffe://partners.example/web/shop");
        let signer = SigningKey::generate(JwtAlgorithm::ES256).expect("a key");
        public("ca.pem", authority.cert());
        public("jwks.json", &key_set(&[&signer]).to_string());
        public("gateway.yaml", CONFIGURATION);
        let now = UnixTime::now();
        let compiled = build(
            &folder.join("gateway.yaml"),
            &Stores::default(),
            None,
            1,
            now,
        );
        let compiled = compiled.map_err(|refused| refused.problems.to_string());
        let identity = Arc::new(peer_identity(&client.der).expect("an identity"));
        Self {
            now: compiled.expect("a good configuration").snapshot,
            thumbprint: identity.fingerprint.to_base64url(),
            facts: facts(folder, identity, &client, now),
            signer,
        }
    }

    fn token(&self, number: u64) -> String {
        let now = UnixTime::now().as_secs();
        let claims = json!({
            "iss": "https://id.example.com", "aud": "orders-api", "sub": "alice",
            "scope": "orders:read orders:write", "exp": now + 3600, "iat": now, "jti": number,
            "cnf": { "x5t#S256": self.thumbprint },
        });
        let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
        self.signer.sign(&claims).expect("a token")
    }

    /// Decides about a request; true if it may pass.
    fn decide(&self, request: &RequestHeader) -> Result<(), Refusal> {
        let edge: Name = "edge".parse().expect("a name");
        let listener = self.now.listener(&edge).expect("the listener");
        let limits: &ListenerLimits = &listener.edge.limits;
        let head = RequestHead::read(black_box(request), limits)?;
        let mut story = Story::default();
        let decided = admit(&head, &self.facts, &self.now, &mut story).now_or_never();
        decided.expect("nothing to wait for").map(drop)
    }
}

/// What a handshake would have found out about the client.
fn facts(
    folder: &Path,
    identity: Arc<PeerIdentity>,
    client: &Issued,
    now: UnixTime,
) -> ConnectionFacts {
    let (cert, key) = (folder.join("edge.pem"), folder.join("edge.key"));
    let source = "127.0.0.1:50000".parse().expect("an address");
    let tls = TlsFacts {
        version: "1.3",
        cipher_suite: "TLS_AES_256_GCM_SHA384",
        group: "X25519MLKEM768",
        resumed: false,
        alpn: "http/1.1",
    };
    let listener = "edge".parse().expect("a name");
    let seen = Metrics::new().clients().connected(&ClientHandshake {
        text: &identity.display(),
        identity: &identity,
        listener: &listener,
        tls: &tls,
        post_quantum: true,
        next: None,
        rehearsed: None,
    });
    let peer = Presented::Certificate {
        identity,
        chain: Box::new([client.der.clone()]),
    };
    let bundle = TrustBundle::load(&folder.join("ca.pem")).expect("a bundle");
    let judged = Judged {
        trust: TrustStore::new(vec![Arc::new(bundle)], Arc::default()).digest(),
        good_until: i64::MAX,
    };
    ConnectionFacts {
        listener,
        source,
        server_name: Some("api.example.com".parse().expect("a host")),
        served: Arc::new(KeyPair::load(&cert, &key, now).expect("a key pair")),
        peer_key: peer_key(&peer, source.ip()),
        peer,
        tls,
        client: Some(seen),
        xfcc: std::sync::OnceLock::new(),
        counts: ConnectionCounts::default(),
        standing: Standing::new(judged, None),
    }
}

fn request(path: &str, token: Option<&str>) -> RequestHeader {
    let mut request = RequestHeader::build("GET", path.as_bytes(), None).expect("a request");
    let mut set = |name: &'static str, value: &str| {
        request.insert_header(name, value).expect("a field");
    };
    set("host", "api.example.com");
    set("user-agent", "curl/8.5.0");
    set("accept", "application/json");
    if let Some(token) = token {
        set("authorization", &format!("Bearer {token}"));
    }
    request
}

fn admission(criterion: &mut Criterion) {
    let stage = Stage::set();
    let mut group = criterion.benchmark_group("admit");

    let known = request("/orders/7?page=2", Some(&stage.token(0)));
    assert_eq!(stage.decide(&known), Ok(()));
    group.bench_function("cached_token", |bench| {
        bench.iter(|| stage.decide(&known));
    });

    let mut number = 0;
    let mut fresh = || {
        number += 1;
        request("/orders/7?page=2", Some(&stage.token(number)))
    };
    assert_eq!(stage.decide(&fresh()), Ok(()));
    group.bench_function("uncached_token", |bench| {
        bench.iter_batched(
            &mut fresh,
            |request| stage.decide(&request),
            BatchSize::SmallInput,
        );
    });

    let open = request("/open/7", None);
    assert_eq!(stage.decide(&open), Ok(()));
    group.bench_function("no_token", |bench| bench.iter(|| stage.decide(&open)));

    let unknown = request("/elsewhere", None);
    assert_eq!(stage.decide(&unknown), Err(Refusal::RouteUnknown));
    group.bench_function("route_unknown", |bench| {
        bench.iter(|| stage.decide(&unknown));
    });
    group.finish();
}

/// What it costs to tell a service who asks: a token that goes out again, and a new one.
fn assertion(criterion: &mut Criterion) {
    let store = AssertionStore::new(Metrics::new().signed_identities());
    let (lifetime, rotate) = (Duration::from_secs(60), Duration::from_secs(86_400));
    let asserter = Asserter::rotating("https://gateway.example.com", lifetime, rotate, store);
    let id = "spiffe://partners.example/web/a".parse().expect("an ID");
    let peer = PeerIdentity::rehearsed(Some(id), Vec::new());
    let (audience, route) = (
        "orders".parse().expect("a name"),
        "open".parse().expect("a name"),
    );
    let statement = Statement {
        audience: &audience,
        route: &route,
        peer: Some(&peer),
        subject: None,
        presenter: Some(&peer.fingerprint),
    };
    let (mut now, at) = (1_800_000_000, Instant::now());
    let mut group = criterion.benchmark_group("signed_identity");
    assert!(asserter.token(&statement, now, at).is_some());
    group.bench_function("again", |bench| {
        bench.iter(|| asserter.token(black_box(&statement), now, at));
    });
    group.bench_function("new", |bench| {
        bench.iter(|| {
            now += lifetime.as_secs();
            asserter.token(black_box(&statement), now, at)
        });
    });
    group.finish();
}

criterion_group!(benches, admission, assertion);
criterion_main!(benches);
