//! The authorization server of the tests: the certified `oidc-provider` (npm), as a process of its
//! own (`tests/provider/provider.js`) on a free port of loopback, with HTTPS.
//!
//! ```ignore
//! let provider = world.provider().await;
//! provider.issuer                                       // https://localhost:PORT
//! provider.url("/jwks")                                 // also DISCOVERY, TOKEN, INTROSPECTION, ..
//! let token = provider.token(Grant::jwt().scope("orders:read")).await;            // at+jwt
//! let token = provider.token(Grant::opaque()).await;
//! let token = provider.token(Grant::jwt().bound_to(&web)).await;                  // RFC 8705
//! let token = provider.token(Grant::jwt().dpop(&key)).await;                      // RFC 9449
//! provider.introspect(&token).await; provider.revoke(&token).await;
//! provider.rotate().await; provider.remove_key("es256-1").await;
//! provider.faults(json!([{ "path": "/jwks", "how": "hang" }])).await;
//! provider.requests("/jwks"); provider.wait_for_requests("/jwks", 2).await;
//! ```
//!
//! Its certificate is of an authority of its own, whose PEM is `provider-ca.pem` in the world's
//! folder. It asks everybody for a certificate and takes those of `partners` and `mesh`.
//!
//! # Clients
//!
//! | client | authenticates by | tokens |
//! |---|---|---|
//! | `svc` | `client_secret_basic`, [`SECRET`] | `client_credentials` |
//! | `svc-bound` | the same | the same, bound to the certificate of the connection |
//! | `gateway` | the same | also codes, refresh and token exchange; see [`Provider::gateway_client`] |
//! | `gateway-mtls` | `tls_client_auth`: the world's gateway identity | as `gateway` |
//! | `gateway-key` | `private_key_jwt`: `client.key` of the folder, `kid` `client` | as `gateway` |
//!
//! Every user exists; the one of now (`alice`; [`Provider::user`]) is logged in without a question, unless
//! its own pages are to ask ([`Provider::forms`]).

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use super::client::{Client, HOST};
use super::http1::{Answer, Request};
use super::pki::{Authority, Identity, Leaf, sha256};
use super::token::{IssuerKey, unix_now};
use super::{World, within};

/// The secret of every client that has one.
pub const SECRET: &str = "a secret of the tests: 32 bytes and more";
/// Where its metadata are (OpenID Connect Discovery).
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The same by RFC 8414.
pub const METADATA: &str = "/.well-known/oauth-authorization-server";
pub const JWKS: &str = "/jwks";
pub const TOKEN: &str = "/token";
pub const AUTHORIZATION: &str = "/auth";
pub const INTROSPECTION: &str = "/token/introspection";
pub const REVOCATION: &str = "/token/revocation";
pub const END_SESSION: &str = "/session/end";
/// The audience of its tokens unless a [`Grant`] says another: that of the standard configuration.
pub const AUDIENCE: &str = super::token::AUDIENCE;
/// RFC 8693.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The provider, until it is dropped.
pub struct Provider {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
    heard: Arc<Heard>,
    next: AtomicU64,
    pub port: u16,
    /// `https://localhost:PORT`.
    pub issuer: String,
    /// Signs its certificate; `provider-ca.pem` in the folder.
    pub authority: Authority,
    /// The key of `gateway-key`.
    pub client_key: PathBuf,
}

/// What it said on stdout and stderr.
#[derive(Default)]
struct Heard {
    log: Mutex<Vec<String>>,
    asked: Mutex<Vec<Asked>>,
    reached: Mutex<Vec<Value>>,
    results: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    ready: Mutex<Option<oneshot::Sender<Value>>>,
    changed: watch::Sender<()>,
}

/// A request that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Value,
    /// SHA-256 of the client's certificate in lower-case hex.
    pub certificate: Option<String>,
    /// Its answer; none yet, or cut off.
    pub status: Option<u64>,
}

/// What token is asked for. By `client_credentials`, of `svc`, unless said otherwise.
#[derive(Clone, Debug)]
pub struct Grant {
    client: String,
    format: &'static str,
    algorithm: String,
    audience: String,
    scope: String,
    claims: Value,
    certificate: Option<Arc<Identity>>,
    proof: Option<Arc<IssuerKey>>,
}

impl Grant {
    /// A JWT (RFC 9068), signed by ES256.
    pub fn jwt() -> Self {
        Self {
            client: "svc".to_owned(),
            format: "jwt",
            algorithm: "ES256".to_owned(),
            audience: AUDIENCE.to_owned(),
            scope: "orders:read orders:write".to_owned(),
            claims: json!({}),
            certificate: None,
            proof: None,
        }
    }

    /// A token that says nothing; the provider must be asked.
    pub fn opaque() -> Self {
        Self {
            format: "opaque",
            algorithm: String::new(),
            ..Self::jwt()
        }
    }

    pub fn client(mut self, id: &str) -> Self {
        self.client = id.to_owned();
        self
    }

    /// Another algorithm: one of the set-up's `algorithms`.
    pub fn algorithm(mut self, name: &str) -> Self {
        self.algorithm = name.to_owned();
        self
    }

    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = audience.to_owned();
        self
    }

    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = scope.to_owned();
        self
    }

    /// Claims beside its own (`iss`, `sub`, `exp` and the like cannot be changed by this).
    pub fn claims(mut self, claims: Value) -> Self {
        self.claims = claims;
        self
    }

    /// Bound to this certificate (RFC 8705): asked for by `svc-bound` over a connection with it.
    pub fn bound_to(mut self, identity: &Identity) -> Self {
        self.certificate = Some(Arc::new(identity.duplicate()));
        self.client("svc-bound")
    }

    /// Bound to this key (RFC 9449).
    pub fn dpop(mut self, key: IssuerKey) -> Self {
        self.proof = Some(Arc::new(key));
        self
    }

    /// Bound to this key, which the test goes on using.
    pub fn dpop_shared(mut self, key: &Arc<IssuerKey>) -> Self {
        self.proof = Some(Arc::clone(key));
        self
    }
}

impl World {
    /// The provider with the clients of the table in [`super::provider`].
    pub async fn provider(&self) -> Provider {
        self.provider_with(json!({})).await
    }

    /// The provider with further members of its set-up: `algorithms` (`ES256`, `RS256`, ..; the
    /// keys it makes), `users`, `clients` (beside ours), `port`.
    pub async fn provider_with(&self, set_up: Value) -> Provider {
        Provider::start(self, set_up).await
    }
}

impl Provider {
    async fn start(world: &World, set_up: Value) -> Self {
        let authority = Authority::new("provider");
        let leaf = Leaf::server("provider").dns("localhost").ip("127.0.0.1");
        let identity = authority.issue(leaf);
        world.folder.write("provider-ca.pem", authority.pem());
        let client_key = IssuerKey::es256("client");
        let key_file = world.folder.write("client.key", client_key.private_pem());
        let mut all = json!({
            "key": identity.key_pem(),
            "cert": identity.chain_pem,
            "ca": [world.partners.pem(), world.mesh.pem()],
            "clients": clients(&client_key),
        });
        for (name, value) in set_up.as_object().expect("an object") {
            match (name.as_str(), value.as_array()) {
                ("clients", Some(more)) => {
                    let clients = all["clients"].as_array_mut().expect("clients");
                    clients
                        .retain(|one| more.iter().all(|new| new["client_id"] != one["client_id"]));
                    clients.extend(more.iter().cloned());
                }
                _ => all[name] = value.clone(),
            }
        }
        let mut child = spawn();
        let heard = Arc::new(Heard::default());
        let (is_ready, ready) = oneshot::channel();
        *heard.ready.lock().expect("ready") = Some(is_ready);
        heard.follow(child.stdout.take().expect("its stdout"), Heard::take_line);
        heard.follow(child.stderr.take().expect("its stderr"), Heard::take_log);
        let mut provider = Self {
            stdin: Mutex::new(child.stdin.take()),
            child,
            heard,
            next: AtomicU64::new(1),
            port: 0,
            issuer: String::new(),
            authority,
            client_key: key_file,
        };
        provider.write(&all);
        let said = within("the provider (is `scripts/tools test` done?)", ready).await;
        let said = said.unwrap_or_else(|_| {
            let log = provider.log().join("\n");
            panic!("the provider ended; `scripts/tools test` installs it:\n{log}")
        });
        provider.port = said["port"].as_u64().expect("a port") as u16;
        provider.issuer = said["issuer"].as_str().expect("an issuer").to_owned();
        provider
    }

    /// A URL of it.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A client that speaks to it, without a certificate.
    pub fn client(&self) -> Client {
        Client::new(self.address(), &self.authority)
            .name("localhost")
            .host(&format!("localhost:{}", self.port))
    }

    /// The metadata of a client with all that a gateway needs: the redirect address is
    /// `https://api.example.com/oauth/callback`, after logout `https://api.example.com/oauth/logout/done`,
    /// back-channel `https://api.example.com/oauth/back-channel-logout`. To be changed and given
    /// to [`Provider::put_client`].
    pub fn gateway_client(id: &str) -> Value {
        gateway_client(id)
    }

    /// A new token, or panics with what the provider said.
    pub async fn token(&self, grant: Grant) -> String {
        let answer = self.ask_token(&grant).await;
        let token = answer.json()["access_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("no token: {} {}", answer.status, answer.text()))
    }

    /// Its whole answer to the request for a token.
    pub async fn ask_token(&self, grant: &Grant) -> Answer {
        let resource = format!(
            "urn:{}:{}:{}",
            grant.format, grant.algorithm, grant.audience
        );
        let claims = grant.claims.to_string();
        let form = [
            ("grant_type", "client_credentials"),
            ("resource", &resource),
            ("scope", &grant.scope),
            ("extra", &claims),
        ];
        let mut request = basic(Request::post(TOKEN, encode_form(&form)), &grant.client);
        if let Some(key) = &grant.proof {
            let proof = dpop_proof(key, "POST", &self.url(TOKEN), json!({}));
            request = request.header("DPoP", &proof);
        }
        let client = match &grant.certificate {
            None => self.client(),
            Some(identity) => self.client().identity(identity),
        };
        client.request(&form_type(request)).await
    }

    /// A form to any of its paths, as a client with a secret.
    pub async fn ask(&self, client: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.client().request(&self.form(client, path, form)).await
    }

    /// The request of [`Provider::ask`], to be changed.
    pub fn form(&self, client: &str, path: &str, form: &[(&str, &str)]) -> Request {
        let request = Request::post(path, encode_form(form));
        form_type(basic(request, client))
    }

    /// What it says of a token, to `gateway`.
    pub async fn introspect(&self, token: &str) -> Value {
        let form = [("token", token)];
        self.ask("gateway", INTROSPECTION, &form).await.json()
    }

    /// Revokes a token that is not a JWT.
    pub async fn revoke(&self, token: &str) {
        let answer = self.ask("svc", REVOCATION, &[("token", token)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// A command of `provider.js`.
    pub async fn command(&self, name: &str, mut wish: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, result) = oneshot::channel();
        self.heard
            .results
            .lock()
            .expect("results")
            .insert(id, sender);
        wish["id"] = json!(id);
        wish["do"] = json!(name);
        self.write(&wish);
        let said = within(name, result).await.expect("the provider lives");
        assert!(said.get("error").is_none(), "{name}: {said}");
        said["result"].clone()
    }

    /// New keys sign from now on, the old ones stay published. Returns the `kid`s, newest first.
    pub async fn rotate(&self) -> Vec<String> {
        texts(&self.command("rotate", json!({})).await)
    }

    /// Takes a key out of its JWKS. Returns the `kid`s that are left.
    pub async fn remove_key(&self, kid: &str) -> Vec<String> {
        texts(&self.command("remove", json!({ "kid": kid })).await)
    }

    /// Misbehaves for these paths instead of answering; an empty list ends it. Each: `path`, and
    /// `how: "hang"`, `how: "close"`, or `status`, `headers`, `body`, `delay` (milliseconds);
    /// `times` (else for good).
    pub async fn faults(&self, faults: Value) {
        self.command("faults", json!({ "faults": faults })).await;
    }

    /// Who is logged in from now on (null: the user says no), with further claims.
    pub async fn user(&self, sub: impl Into<Value>, claims: Value) {
        let wish = json!({ "sub": sub.into(), "claims": claims });
        self.command("user", wish).await;
    }

    /// Whether its own pages ask from now on: who it is, for consent, and before a logout.
    pub async fn forms(&self, shown: bool) {
        self.command("forms", json!({ "shown": shown })).await;
    }

    /// How long things live, in seconds: `AccessToken`, `IdToken`, `RefreshToken`, ..
    pub async fn ttl(&self, ttl: Value) {
        self.command("ttl", json!({ "ttl": ttl })).await;
    }

    /// Changes ID tokens that it gives: `header`, `claims` (null takes one away), `raw`, `kid`,
    /// `jwk` (a private one). Null ends it.
    pub async fn tamper(&self, tamper: Value) {
        self.command("tamper", json!({ "tamper": tamper })).await;
    }

    /// Any JWT signed by one of its keys (`kid`, else the newest of ES256).
    pub async fn sign(&self, header: Value, claims: Value) -> String {
        let wish = json!({ "header": header, "claims": claims });
        let signed = self.command("sign", wish).await;
        signed.as_str().expect("a JWT").to_owned()
    }

    /// Members of its metadata that it says instead (null of a member: what it would say).
    pub async fn discovery(&self, members: Value) {
        self.command("discovery", json!({ "discovery": members }))
            .await;
    }

    /// Whether it asks for a nonce in DPoP proofs.
    pub async fn dpop_nonces(&self, required: bool) {
        self.command("nonces", json!({ "required": required }))
            .await;
    }

    /// Adds a client, or takes the place of the one with this `client_id`.
    pub async fn put_client(&self, client: Value) {
        self.command("client", json!({ "client": client })).await;
    }

    /// Where a host is when the provider itself asks (back-channel logout), and who it is there.
    pub async fn reaches(&self, host: &str, port: u16, trust: &Authority, as_: &Identity) {
        let wish = json!({
            "host": host, "port": port, "ca": trust.pem(),
            "cert": as_.chain_pem, "key": as_.key_pem(),
        });
        self.command("reach", wish).await;
    }

    /// What came of its asking others.
    pub fn reached(&self) -> Vec<Value> {
        self.heard.reached.lock().expect("reached").clone()
    }

    /// The requests for a path so far.
    pub fn requests(&self, path: &str) -> Vec<Asked> {
        let asked = self.heard.asked.lock().expect("asked");
        asked
            .iter()
            .filter(|one| one.path == path)
            .cloned()
            .collect()
    }

    /// Waits until it got so many requests for a path.
    pub async fn wait_for_requests(&self, path: &str, count: usize) -> Vec<Asked> {
        self.wait_until(path, || self.requests(path).len() >= count)
            .await;
        self.requests(path)
    }

    /// Waits for something that it says.
    pub async fn wait_until(&self, what: &str, done: impl Fn() -> bool) {
        let mut changes = self.heard.changed.subscribe();
        within(what, async {
            while !done() {
                changes.changed().await.expect("the provider lives");
            }
        })
        .await;
    }

    /// What it wrote on stderr.
    pub fn log(&self) -> Vec<String> {
        self.heard.log.lock().expect("the log").clone()
    }

    fn write(&self, line: &Value) {
        let mut stdin = self.stdin.lock().expect("its stdin");
        let stdin = stdin.as_mut().expect("its stdin");
        // An end is seen where an answer is waited for.
        drop(writeln!(stdin, "{line}").and_then(|()| stdin.flush()));
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let lines = self.log();
            eprintln!("the provider's last lines:");
            let last = lines.iter().skip(lines.len().saturating_sub(40));
            last.for_each(|line| eprintln!("  {line}"));
            let asked = self.heard.asked.lock().expect("asked");
            for one in asked.iter().skip(asked.len().saturating_sub(20)) {
                eprintln!(
                    "  {} {}{} -> {:?}",
                    one.method, one.path, one.query, one.status
                );
            }
        }
    }
}

impl Heard {
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static, take: fn(&Self, String)) {
        let heard = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                take(&heard, line);
                heard.changed.send_replace(());
            }
            // Whoever waits for an answer waits in vain.
            drop(heard.ready.lock().expect("ready").take());
            heard.results.lock().expect("results").clear();
        });
    }

    fn take_log(&self, line: String) {
        self.log.lock().expect("the log").push(line);
    }

    fn take_line(&self, line: String) {
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            return self.take_log(line);
        };
        let number = || {
            said["number"]
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
        };
        match said["event"].as_str() {
            Some("request") => self.asked.lock().expect("asked").push(Asked::of(&said)),
            Some("answer") => {
                let mut asked = self.asked.lock().expect("asked");
                if let Some(one) = number().and_then(|number| asked.get_mut(number)) {
                    one.status = said["status"].as_u64();
                }
            }
            Some("reached") => self.reached.lock().expect("reached").push(said),
            _ if said.get("ready").is_some() => {
                if let Some(ready) = self.ready.lock().expect("ready").take() {
                    drop(ready.send(said["ready"].clone()));
                }
            }
            _ => {
                let id = said["id"].as_u64().unwrap_or_default();
                if let Some(waiting) = self.results.lock().expect("results").remove(&id) {
                    drop(waiting.send(said));
                }
            }
        }
    }
}

impl Asked {
    fn of(said: &Value) -> Self {
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Self {
            method: text("method"),
            path: text("path"),
            query: text("query"),
            headers: said["headers"].clone(),
            certificate: said["certificate"].as_str().map(str::to_owned),
            status: None,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers[name].as_str()
    }
}

/// Starts node: the one that `scripts/tools test` brought if the system's is too old.
fn spawn() -> Child {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider");
    let brought = folder.join(".node/node");
    let node = if brought.exists() {
        brought
    } else {
        "node".into()
    };
    let spawned = Command::new(node)
        .arg(folder.join("provider.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    spawned.unwrap_or_else(|error| {
        panic!("node cannot be started ({error}): `scripts/tools test` installs it")
    })
}

fn clients(key: &IssuerKey) -> Value {
    let mut by_certificate = gateway_client("gateway-mtls");
    let members = by_certificate.as_object_mut().expect("an object");
    members.remove("client_secret");
    members.insert(
        "token_endpoint_auth_method".to_owned(),
        json!("tls_client_auth"),
    );
    let name = "spiffe://mesh.example/ns/edge/sa/gateway";
    members.insert("tls_client_auth_san_uri".to_owned(), json!(name));
    let mut by_key = gateway_client("gateway-key");
    let members = by_key.as_object_mut().expect("an object");
    members.remove("client_secret");
    members.insert(
        "token_endpoint_auth_method".to_owned(),
        json!("private_key_jwt"),
    );
    members.insert("jwks".to_owned(), json!({ "keys": [key.jwk()] }));
    json!([
        { "client_id": "svc", "client_secret": SECRET },
        { "client_id": "svc-bound", "client_secret": SECRET,
          "tls_client_certificate_bound_access_tokens": true },
        gateway_client("gateway"), by_certificate, by_key,
    ])
}

fn gateway_client(id: &str) -> Value {
    json!({
        "client_id": id,
        "client_secret": SECRET,
        "grant_types": ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE],
        "response_types": ["code"],
        "redirect_uris": [format!("https://{HOST}/oauth/callback")],
        "post_logout_redirect_uris": [format!("https://{HOST}/oauth/logout/done")],
        "backchannel_logout_uri": format!("https://{HOST}/oauth/back-channel-logout"),
        "backchannel_logout_session_required": true,
    })
}

fn basic(request: Request, client: &str) -> Request {
    let credentials = STANDARD.encode(format!("{}:{}", encode(client), encode(SECRET)));
    request.header("Authorization", &format!("Basic {credentials}"))
}

fn form_type(request: Request) -> Request {
    request.header("Content-Type", "application/x-www-form-urlencoded")
}

/// `application/x-www-form-urlencoded`.
pub fn encode_form(members: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    members.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// Percent-encoded, but for what needs it nowhere.
pub fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// A DPoP proof (RFC 9449, section 4.2) of now; `more` adds claims or takes their place.
pub fn dpop_proof(key: &IssuerKey, method: &str, url: &str, more: Value) -> String {
    let mut claims = json!({ "jti": random_text(), "htm": method, "htu": url, "iat": unix_now() });
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm.name(), "jwk": key.bare_jwk() });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// The `ath` of a token.
pub fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()))
}

pub fn random_text() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

fn texts(value: &Value) -> Vec<String> {
    let own = |one: &Value| one.as_str().map(str::to_owned);
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(own)
        .collect()
}

/// The claims of a JWT, unverified.
pub fn claims_of(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}
