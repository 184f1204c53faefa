//! What all parties share: the folder with certificates, the token, the configurations, the one
//! request that is sent again and again.

use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

/// The host of every request, and the name of the listener's certificate.
pub const HOST: &str = "api.example.com";
/// The name of the service's certificate.
pub const SERVICE_NAME: &str = "orders.internal";

/// The request.
pub fn request(token: &str) -> String {
    format!(
        "GET /orders/7 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: macro\r\nAccept: */*\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// Runs on the calling thread alone.
pub fn on_one_thread(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future);
}

/// Tells the program that started this one where it listens.
pub fn say_address(listener: &tokio::net::TcpListener) {
    println!("{}", listener.local_addr().expect("a bound listener"));
    std::io::stdout().flush().expect("flush");
}

/// A folder that is removed when dropped.
pub struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Stage {
    /// Makes certificates, keys and the token.
    pub fn set() -> Self {
        let name = format!("portcullis-macro-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let stage = Self(folder);
        let edge = Authority::new("edge");
        let partners = Authority::new("partners");
        let mesh = Authority::new("mesh");
        let leavers = Authority::new("leavers");
        for authority in [&edge, &partners, &mesh, &leavers] {
            stage.write(&format!("{}-ca.pem", authority.name), &authority.pem);
        }
        let (server, client) = (
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        );
        stage.write("partners-alone.pem", &partners.pem);
        stage.write("partners.crl", &partners.crl());
        stage.issue(&edge, "edge", &server, dns(HOST));
        stage.issue(
            &partners,
            "client",
            &client,
            uri("spiffe://partners.example/web/shop"),
        );
        stage.issue(
            &leavers,
            "leaver",
            &client,
            uri("spiffe://partners.example/web/leaver"),
        );
        stage.issue(
            &mesh,
            "gateway",
            &client,
            uri("spiffe://mesh.example/ns/edge/sa/gateway"),
        );
        stage.issue(&mesh, "orders", &server, dns(SERVICE_NAME));
        stage.make_token();
        stage
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether clients of the second authority are trusted beside those of the first.
    pub fn trust_leavers(&self, trusted: bool) {
        let read = |name: &str| std::fs::read_to_string(self.0.join(name)).expect("a CA");
        let (partners, leavers) = (read("partners-alone.pem"), read("leavers-ca.pem"));
        let both = if trusted {
            partners + &leavers
        } else {
            partners
        };
        let next = self.write("partners-next.pem", &both);
        std::fs::rename(next, self.0.join("partners-ca.pem")).expect("swap the bundle");
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("write a file");
        path
    }

    fn issue(&self, by: &Authority, name: &str, usage: &ExtendedKeyUsagePurpose, names: SanType) {
        let mut params = dated(name);
        params.subject_alt_names = vec![names];
        params.extended_key_usages = vec![usage.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&by.params, &by.key);
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// An ES256 token of one day, and the key set that it is verified with.
    fn make_token(&self) {
        let key = KeyPair::generate().expect("a key");
        let raw = key.public_key_raw();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": encode(&raw[1..33]), "y": encode(&raw[33..]),
            "kid": "k1", "use": "sig", "alg": "ES256",
        });
        self.write("jwks.json", &json!({ "keys": [jwk] }).to_string());
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let part = |value: Value| encode(value.to_string().as_bytes());
        let header = part(json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" }));
        let claims = part(json!({
            "iss": "https://id.example.com", "aud": "orders-api", "sub": "alice",
            "scope": "orders:read", "iat": now, "exp": now + 86_400,
        }));
        let message = format!("{header}.{claims}");
        let signer =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der());
        let signature = signer
            .expect("a key")
            .sign(&SystemRandom::new(), message.as_bytes());
        let signature = encode(signature.expect("a signature").as_ref());
        self.write("token", &format!("{message}.{signature}"));
    }

    /// A configuration of the gateway with so many routes, of which one is used.
    pub fn gateway_yaml(
        &self,
        ports: &Ports,
        routes: usize,
        access_log: bool,
        crl: bool,
    ) -> PathBuf {
        let Ports {
            edge,
            admin,
            service,
        } = ports;
        let crl = if crl { ", crl: partners.crl" } else { "" };
        let mut yaml = format!(
            "version: 1\nworkers: 1\nadmin: {{ address: {admin} }}\n\
             logs: {{ format: json, level: info, access: {access_log} }}\n\
             listeners:\n  edge:\n    address: {edge}\n    tls:\n      certificates: [{{ cert: edge.pem, key: edge.key }}]\n      \
             clients: {{ certificate: required, trust: partners }}\n    limits:\n      \
             connections_per_source: 20000\n      idle_timeout: 10m\n      requests_per_connection: 1000000\n      \
             in_flight_per_peer: 10000\n      requests_per_peer: {{ rate: 1000000/s, burst: 1000000 }}\n\
             trust:\n  partners: {{ ca: partners-ca.pem{crl} }}\n  mesh: {{ ca: mesh-ca.pem }}\n\
             identities:\n  gateway: {{ cert: gateway.pem, key: gateway.key }}\n\
             issuers:\n  corp:\n    issuer: https://id.example.com\n    audiences: [orders-api]\n    \
             algorithms: [ES256]\n    keys: {{ file: jwks.json }}\n\
             upstreams:\n  orders:\n    endpoints: [\"{service}\"]\n    tls:\n      identity: gateway\n      trust: mesh\n      \
             server_name: {SERVICE_NAME}\n      accept: [\"dns:{SERVICE_NAME}\"]\n\
             routes:\n  orders-read:\n    match: {{ host: {HOST}, path: /orders/**, methods: [GET] }}\n    \
             clients: [\"spiffe://partners.example/web/*\"]\n    token: {{ issuer: corp, scopes: [\"orders:read\"] }}\n    \
             limits: [{{ rate: 1000000/s, per: client }}]\n    upstream: orders\n"
        );
        for number in 1..routes {
            let host = if number % 2 == 0 {
                HOST.to_owned()
            } else {
                format!("h{}.example.com", number % 1000)
            };
            write!(
                yaml,
                "  r{number}:\n    match: {{ host: {host}, path: \"/r{number}/{{id}}/**\" }}\n    \
                 clients: any\n    token: none\n    upstream: orders\n"
            )
            .expect("writing to a String");
        }
        self.write(&format!("gateway-{}.yaml", edge.port()), &yaml)
    }

    /// nginx with the same TLS on both sides, pooled connections and an access log.
    pub fn nginx_conf(&self, ports: &Ports) -> PathBuf {
        let Ports { edge, service, .. } = ports;
        let folder = self.0.display();
        let conf = format!(
            "daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;\n\
             events {{ worker_connections 10000; }}\n\
             http {{\n  access_log {folder}/nginx-access.log;\n  client_body_temp_path {folder}/nginx-1;\n  \
             proxy_temp_path {folder}/nginx-2; fastcgi_temp_path {folder}/nginx-3;\n  \
             uwsgi_temp_path {folder}/nginx-4; scgi_temp_path {folder}/nginx-5;\n  \
             keepalive_requests 1000000; keepalive_timeout 600s;\n  \
             upstream orders {{ server {service}; keepalive 128; keepalive_requests 1000000; }}\n  \
             server {{\n    listen {edge} ssl; server_name {HOST};\n    \
             ssl_certificate {folder}/edge.pem; ssl_certificate_key {folder}/edge.key;\n    \
             ssl_client_certificate {folder}/partners-ca.pem; ssl_verify_client on;\n    \
             ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:10m; ssl_session_timeout 1h;\n    \
             location / {{\n      proxy_pass https://orders; proxy_http_version 1.1; proxy_set_header Connection \"\";\n      \
             proxy_set_header Host $host;\n      \
             proxy_ssl_certificate {folder}/gateway.pem; proxy_ssl_certificate_key {folder}/gateway.key;\n      \
             proxy_ssl_trusted_certificate {folder}/mesh-ca.pem; proxy_ssl_verify on; proxy_ssl_verify_depth 2;\n      \
             proxy_ssl_protocols TLSv1.2 TLSv1.3;\n      \
             proxy_ssl_name {SERVICE_NAME}; proxy_ssl_server_name on; proxy_ssl_session_reuse on;\n    }}\n  }}\n}}\n"
        );
        self.write("nginx.conf", &conf)
    }
}

/// Where a party listens, and where its service does.
pub struct Ports {
    pub edge: SocketAddr,
    pub admin: SocketAddr,
    pub service: SocketAddr,
}

struct Authority {
    name: &'static str,
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Authority {
    fn new(name: &'static str) -> Self {
        let mut params = dated(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a root").pem();
        Self {
            name,
            params,
            key,
            pem,
        }
    }
}

/// Entries of the CRL.
const REVOKED: usize = 100_000;

impl Authority {
    /// A CRL that revokes nobody who is here.
    fn crl(&self) -> String {
        let now = OffsetDateTime::now_utc();
        let mut random = fastrand::Rng::with_seed(7);
        let mut revoked = || RevokedCertParams {
            serial_number: SerialNumber::from_slice(&std::array::from_fn::<u8, 16, _>(|_| {
                random.u8(1..0x80)
            })),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: now - Duration::HOUR,
            next_update: now + Duration::WEEK,
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: (0..REVOKED).map(|_| revoked()).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        let crl = params.signed_by(&issuer).expect("a CRL");
        crl.pem().expect("its PEM")
    }
}

fn dated(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::HOUR;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(30);
    params
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}
