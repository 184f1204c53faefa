//! [`Spec`]: the configuration as values. After `parse.rs` nobody sees a text that has a meaning.
//!
//! Every default stands here, beside its field, with its reason in `docs/config.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::Value;

use super::acme::{AcmeCertificateSpec, AcmeSpec};
use super::api_keys::{KeyListSpec, WantedKey};
use super::exchange::ExchangeSpec;
use super::external_authorization::{ExternalAuthorizationSpec, ExternallyAuthorizedSpec};
use super::introspection::IntrospectionSpec;
use super::issuer_keys::IssuerKeysSpec;
use super::login::LoginSpec;
use super::oauth_client::OauthClientSpec;
use super::policy::PolicySpec;
use super::possession::{Demand, DpopSpec};
use super::shared_state::StoreSpec;
use super::token::{TokenProfile, WantedTokens};
use super::workload_api::{AgentBundleSpec, SvidSpec, WorkloadApiSpec};
use crate::identity::claim::{ClaimPath, ClaimTest};
use crate::identity::client_pattern::ClientPattern;
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::identity::spiffe::TrustDomain;

/// A whole configuration, parsed. Names that refer to something refer to something that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Worker threads; by default one for each processor.
    pub workers: Option<NonZeroUsize>,
    /// The admin listener.
    pub admin: AdminSpec,
    /// What is logged, and how.
    pub logs: LogSpec,
    /// Stopping.
    pub shutdown: ShutdownSpec,
    /// Tokens of ours that tell services who asks, if a route may ask for them.
    pub signed_identity: Option<SignedIdentitySpec>,
    /// Where clients connect. At least one.
    pub listeners: BTreeMap<Name, ListenerSpec>,
    /// Whose signatures we accept.
    pub trust: BTreeMap<Name, TrustSpec>,
    /// Who issues certificates of ours.
    pub acme: BTreeMap<Name, AcmeSpec>,
    /// Agents of the SPIFFE Workload API.
    pub workload_api: BTreeMap<Name, WorkloadApiSpec>,
    /// Files with certificates, keys and SPIFFE IDs that are not believed.
    pub deny: Vec<PathBuf>,
    /// Who we are to services.
    pub identities: BTreeMap<Name, CertificateSpec>,
    /// What several gateways share, and through which store.
    pub shared_state: Option<StoreSpec>,
    /// Who we are to authorization servers.
    pub oauth_clients: BTreeMap<Name, OauthClientSpec>,
    /// Whose tokens we accept.
    pub issuers: BTreeMap<Name, IssuerSpec>,
    /// How browsers log in.
    pub logins: BTreeMap<Name, LoginSpec>,
    /// Whose API keys we accept.
    pub api_keys: BTreeMap<Name, KeyListSpec>,
    /// The services.
    pub upstreams: BTreeMap<Name, UpstreamSpec>,
    /// Services that are asked whether requests may pass.
    pub external_authorization: BTreeMap<Name, ExternalAuthorizationSpec>,
    /// Who may ask what of which service.
    pub routes: BTreeMap<Name, RouteSpec>,
    /// Rehearsals that must pass before this configuration is used.
    pub tests: Vec<TestSpec>,
}

/// `admin`: metrics and health. Never on the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSpec {
    /// Where it listens. Default `127.0.0.1:9901`.
    pub address: SocketAddr,
}

/// `logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// How lines are written. Default JSON.
    pub format: LogFormat,
    /// The least level that is written. Default `info`.
    pub level: LogLevel,
    /// Whether each request is logged. Default true.
    pub access: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Readable,
}

/// The levels of `tracing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What should be looked at.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
}

/// `shutdown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownSpec {
    /// How long requests under way may take after SIGTERM. Default 30 s.
    pub deadline: Duration,
    /// How long the gateway goes on accepting after it has said "not ready", so that a load
    /// balancer hears of it. Default 0 s.
    pub delay: Duration,
}

/// `signed_identity`: tokens of ours that tell services who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIdentitySpec {
    /// The claim `iss`.
    pub issuer: String,
    /// How long a token lasts. Default 60 s.
    pub lifetime: Duration,
    /// What they are signed with.
    pub keys: SigningKeysSpec,
}

/// What our tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeysSpec {
    /// Keys that the process makes, each of which signs for this long. Default, with 24 h.
    Made {
        /// Never shorter than the lifetime of a token.
        rotate: Duration,
    },
    /// PEM files with a P-256 key each: the first signs, all are published. At least one.
    Files(Vec<PathBuf>),
}

/// One entry of `listeners`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSpec {
    /// Where it listens. Cannot change in a reload.
    pub address: SocketAddr,
    /// Its TLS.
    pub tls: ListenerTlsSpec,
    /// Its bounds.
    pub limits: ListenerLimits,
}

/// `listeners.NAME.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTlsSpec {
    /// Our certificates; the one that names the SNI is served. At least one.
    pub certificates: Vec<ServedSpec>,
    /// What clients must show.
    pub clients: ClientCertificateSpec,
    /// The lowest TLS version. Default 1.2.
    pub min_version: TlsVersion,
}

/// `listeners.NAME.tls.clients`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateSpec {
    /// Whether a certificate must be shown. Default required.
    pub certificate: ClientCertificate,
    /// The trust bundles that it is verified against. At least one.
    pub trust: Vec<Name>,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The handshake fails without one.
    Required,
    /// The handshake succeeds without one; each route still says who may use it.
    Optional,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// `listeners.NAME.limits`: what a stranger can make the gateway hold or do.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerLimits {
    /// Open connections. Default 20,000.
    pub connections: NonZeroUsize,
    /// Open connections of one source address. Default 2,000.
    pub connections_per_source: NonZeroUsize,
    /// Handshakes that are under way at a time. Default 1,000.
    pub handshakes: NonZeroUsize,
    /// How long a handshake may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long the head of a request may take, from its first byte; and the first byte of the
    /// first request. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests. Default 60 s.
    pub idle_timeout: Duration,
    /// How long the body may go without a byte. Default 30 s.
    pub body_timeout: Duration,
    /// How long requests under way may go on when their client loses its standing. Default 2 s.
    pub revocation_grace: Duration,
    /// The slowest a body or an answer may be, in bytes a second, measured over `body_timeout`.
    /// Default 128.
    pub min_rate: NonZeroU32,
    /// Header fields of a request. Default 100.
    pub header_fields: NonZeroUsize,
    /// Bytes of the head of a request. Default 32 KiB.
    pub header_bytes: NonZeroUsize,
    /// Bytes of the request target. Default 8 KiB.
    pub uri_bytes: NonZeroUsize,
    /// Requests on one connection before it is closed. Default 10,000.
    pub requests_per_connection: NonZeroU32,
    /// h2: streams at a time on one connection. Default 50.
    pub http2_streams: NonZeroU32,
    /// h2: streams that end in an error or a reset before the connection is closed. Default 100.
    pub http2_resets: NonZeroU32,
    /// h2: frames that carry no request, for each request served, before the connection is closed.
    /// Default 1,000.
    pub http2_idle_frames: NonZeroU32,
    /// Requests under way of one client identity. Default 500.
    pub in_flight_per_peer: NonZeroUsize,
    /// Requests of one peer (client identity, or source address without one) before its token is
    /// looked at. Default 5,000/s with a burst of 10,000.
    pub requests_per_peer: Rate,
}

/// So many a time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many are let through in `per`.
    pub count: NonZeroU32,
    /// The time: a second, a minute or an hour.
    pub per: Duration,
    /// How many may come at once. Default `count`.
    pub burst: NonZeroU32,
}

/// One entry of `trust`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustSpec {
    /// Where its CA certificates come from.
    pub ca: CaSpec,
    /// For whom its CAs vouch. Default: for whomever they signed for.
    pub trust_domain: TrustDomainSpec,
    /// A PEM file with CA certificates below those of `ca`.
    pub intermediates: Option<PathBuf>,
    /// Files with CRLs, PEM or DER.
    pub crl: Vec<PathBuf>,
    /// What is asked of the CRLs. Default required where there is one, off where there is none.
    pub revocation: RevocationSpec,
    /// The bundle as it will be: rehearsed, and believed in nothing. It has no next one itself. Default
    /// none.
    pub next: Option<Box<Self>>,
}

/// Where the CA certificates of a trust bundle come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaSpec {
    /// PEM files with one or more. At least one.
    Files(Vec<PathBuf>),
    /// An agent of the SPIFFE Workload API.
    WorkloadApi(AgentBundleSpec),
}

impl CaSpec {
    /// The files, if they come from files.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Files(files) => files,
            Self::WorkloadApi(_) => &[],
        }
    }
}

/// Where a certificate with its chain and its key come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateSpec {
    /// Files.
    Files(KeyPairSpec),
    /// An agent of the SPIFFE Workload API.
    WorkloadApi(SvidSpec),
}

impl CertificateSpec {
    /// The files, if they come from files.
    #[must_use]
    pub fn files(&self) -> Option<&KeyPairSpec> {
        match self {
            Self::Files(files) => Some(files),
            Self::WorkloadApi(_) => None,
        }
    }
}

/// For whom a trust bundle vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustDomainSpec {
    /// It is not said: for whomever its CAs signed for.
    Anyone,
    /// For the workloads of this trust domain, and for nobody else.
    Domain(TrustDomain),
    /// For whom has no SPIFFE ID.
    None,
}

/// What is asked of CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationSpec {
    /// Nothing.
    Off,
    /// What a CRL lists is refused, the rest passes.
    WhenKnown,
    /// A certificate that no CRL covers is refused.
    Required,
}

/// Where a certificate of a listener comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedSpec {
    /// It is given to the gateway.
    Given(CertificateSpec),
    /// It is ordered from an ACME directory.
    Acme(AcmeCertificateSpec),
}

impl ServedSpec {
    /// The files, if it comes from files.
    #[must_use]
    pub fn files(&self) -> Option<&KeyPairSpec> {
        match self {
            Self::Given(given) => given.files(),
            Self::Acme(_) => None,
        }
    }
}

/// A certificate with its chain, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPairSpec {
    /// A PEM file: the leaf first, then its chain.
    pub cert: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}

/// One entry of `issuers`.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerSpec {
    /// The claim `iss`, byte by byte. Of an issuer whose tokens need none, its trust domain.
    pub issuer: String,
    /// The token must be for one of these (`aud`). At least one.
    pub audiences: Vec<String>,
    /// The algorithms that its keys may use: none symmetric. At least one, if it has keys.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Where its keys are.
    pub keys: IssuerKeysSpec,
    /// How it is asked about tokens. None only where there are `keys`.
    pub introspection: Option<IntrospectionSpec>,
    /// How far clocks may differ. Default 30 s, at most 5 min.
    pub leeway: Duration,
    /// Which proofs are taken with its tokens.
    pub dpop: DpopSpec,
    /// What else holds for all its tokens.
    pub profile: TokenProfile,
}

/// The algorithms of JWS that a token may be signed with (RFC 7518, section 3.1; RFC 8037).
/// Symmetric ones and `none` do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum SignatureAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// One entry of `upstreams`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSpec {
    /// Where the service listens. At least one.
    pub endpoints: Vec<EndpointSpec>,
    /// Its TLS. There is no upstream without.
    pub tls: UpstreamTlsSpec,
    /// Its timeouts.
    pub timeouts: UpstreamTimeouts,
    /// Requests under way, which is also connections. Default 1,024.
    pub in_flight: NonZeroUsize,
}

/// `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointSpec {
    /// A name, which is resolved and resolved again, or an address.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

/// `upstreams.NAME.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTlsSpec {
    /// Our key pair, by its name in `identities`.
    pub identity: Name,
    /// The trust bundles of the service's certificate. At least one.
    pub trust: Vec<Name>,
    /// The SNI that we send. A DNS name.
    pub server_name: Host,
    /// Who may answer. At least one.
    pub accept: Vec<ServerPattern>,
}

/// `upstreams.NAME.timeouts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// TCP and TLS together. Default 5 s.
    pub connect: Duration,
    /// From the end of the request to the head of the answer, and between two pieces of its body.
    /// Default 30 s.
    pub response: Duration,
    /// The whole request, body and answer. Default 5 min.
    pub total: Duration,
    /// How long an unused connection is kept. Default 60 s.
    pub idle: Duration,
}

/// One entry of `routes`.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSpec {
    /// Which requests.
    pub matches: MatchSpec,
    /// The only listeners that may reach it. Empty: every listener.
    pub listeners: Vec<Name>,
    /// Which client certificates.
    pub clients: ClientsSpec,
    /// How long after its end a client's certificate is still let in. Default none, at most 72 h.
    pub grace_after_expiry: Option<Duration>,
    /// Which token.
    pub token: TokenSpec,
    /// How browsers log in, by the name in `logins`. Default: not at all.
    pub login: Option<Name>,
    /// Which API key, if one is taken.
    pub api_key: Option<WantedKey>,
    /// How often.
    pub limits: Vec<LimitSpec>,
    /// Who else is asked.
    pub external_authorization: Option<ExternallyAuthorizedSpec>,
    /// What becomes of the client's token. Default: it stays as it is.
    pub exchange: Option<ExchangeSpec>,
    /// To which service.
    pub upstream: Name,
    /// Who may answer, if narrower than the upstream says. Empty: as the upstream says.
    pub accept: Vec<ServerPattern>,
    /// What the service is told about the client.
    pub forward: ForwardSpec,
    /// The largest body. Default 16 MiB.
    pub max_body: u64,
    /// Whether WebSocket may be spoken. Default no.
    pub websocket: bool,
    /// What must hold beside `clients` and `token`. Default nothing.
    pub policy: PolicySpec,
}

impl RouteSpec {
    /// The largest body where nothing else is written, in bytes: 16 MiB.
    pub const MAX_BODY: u64 = 16 << 20;

    /// What these four say, which every route must write; all else as where nothing is written.
    #[must_use]
    pub fn plain(
        matches: MatchSpec,
        clients: ClientsSpec,
        token: TokenSpec,
        upstream: Name,
    ) -> Self {
        Self {
            matches,
            listeners: Vec::new(),
            clients,
            grace_after_expiry: None,
            token,
            login: None,
            api_key: None,
            limits: Vec::new(),
            external_authorization: None,
            exchange: None,
            upstream,
            accept: Vec::new(),
            forward: ForwardSpec::default(),
            max_body: Self::MAX_BODY,
            websocket: false,
            policy: PolicySpec::default(),
        }
    }
}

/// `routes.NAME.match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchSpec {
    /// The host.
    pub host: HostPattern,
    /// The path.
    pub path: PathPattern,
    /// The methods. Empty: every method that the gateway forwards.
    pub methods: Vec<Method>,
    /// Header fields that must have exactly these values.
    pub headers: Vec<(HeaderName, String)>,
}

/// A host, or every host one label below a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `api.example.com`.
    Exact(Host),
    /// `*.example.com`, kept as `example.com`: one label in front, no more.
    Below(Host),
}

/// A path by segments: `/orders`, `/orders/{id}`, `/orders/**`. Already in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    /// The segments between the slashes. `/` is one empty segment; a trailing slash is an empty
    /// last segment.
    pub segments: Vec<SegmentPattern>,
    /// Whether `**` follows: the path itself and everything below it.
    pub rest: bool,
}

/// One segment of a [`PathPattern`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SegmentPattern {
    /// These characters, in the normal form of paths.
    Exact(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Any(Box<str>),
}

/// `routes.NAME.clients`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientsSpec {
    /// `any`: whoever the listener let in, with a certificate or, where the listener says
    /// `optional`, without.
    Any,
    /// `any_certificate`: whoever shows a certificate that the listener trusts.
    AnyCertificate,
    /// One of these. At least one.
    Of(Vec<ClientPattern>),
}

/// `routes.NAME.token`.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenSpec {
    /// `none`: no token is looked at.
    None,
    /// One of these.
    Wanted(WantedTokens),
}

/// What a route wants of a JWT.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtSpec {
    /// The issuer, by its name in `issuers`.
    pub issuer: Name,
    /// Scopes that the token must give, all of them.
    pub scopes: Vec<String>,
    /// Claims that the token must have, and what each must be.
    pub claims: BTreeMap<ClaimPath, ClaimTest>,
    /// The `typ` that the token must have, as in [`TokenProfile::typ`].
    pub typ: Option<String>,
    /// Whether `cnf.x5t#S256` must be the fingerprint of the connection's certificate (RFC 8705).
    pub bound_to_certificate: Demand,
    /// Whether `cnf.jkt` must be there, and a proof of its key with the token (RFC 9449).
    pub dpop: Demand,
}

/// One entry of `routes.NAME.limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSpec {
    /// How often.
    pub rate: Rate,
    /// Whose requests count together.
    pub per: LimitKey,
}

/// Whose requests count together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// `client`: the certificate identity, or the source address without one.
    Client,
    /// `subject`: issuer and `sub` of the token, or as `client` without one.
    Subject,
    /// `source`: the source address (IPv6: its /64).
    Source,
    /// `header:NAME`: the value of this header field; requests without it count together.
    Header(HeaderName),
}

/// `routes.NAME.forward`: what the service is told. Whatever is not set here is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a header field that is set or not"
)]
pub struct ForwardSpec {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`. Default true.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239). Default false.
    pub forwarded: bool,
    /// `Client-Cert` (RFC 9440). Default false.
    pub client_cert: bool,
    /// `Client-Cert-Chain` (RFC 9440). Default false, and only with `client_cert`.
    pub client_cert_chain: bool,
    /// `X-Forwarded-Client-Cert` (Envoy's format). Default false.
    pub xfcc: bool,
    /// `X-Client-Identity` and, with a token, `X-Token-Issuer` and `X-Token-Subject`. Default true.
    pub identity: bool,
    /// `X-Client-Identity-Token`, as [`SignedIdentitySpec`] says. Default false.
    pub signed_identity: bool,
    /// Whether the token itself (`Authorization`) goes on to the service. Default true.
    pub authorization: bool,
    /// Whether an API key goes on to the service. Default false.
    pub api_key: bool,
}

/// As `docs/config.md` says, which also says why.
impl Default for ForwardSpec {
    fn default() -> Self {
        Self {
            x_forwarded: true,
            forwarded: false,
            client_cert: false,
            client_cert_chain: false,
            xfcc: false,
            identity: true,
            signed_identity: false,
            authorization: true,
            api_key: false,
        }
    }
}

/// One entry of `tests`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSpec {
    /// The request.
    pub request: TestRequest,
    /// What must come of it.
    pub expect: Expectation,
}

/// `tests[N].request`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRequest {
    /// The method. Default GET.
    pub method: Method,
    /// The host of `url`.
    pub host: Host,
    /// The path of `url`, as a client would send it.
    pub path: String,
    /// The listener that it comes to. None: one that may reach the route.
    pub listener: Option<Name>,
    /// What the client's certificate states, if it has one: never a pattern of several.
    pub client: Option<ClientPattern>,
    /// The claims of the client's token, if it has one. The signature counts as verified.
    pub claims: Option<serde_json::Map<String, Value>>,
    /// Header fields.
    pub headers: Vec<(HeaderName, String)>,
}

/// `tests[N].expect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This route lets it through.
    Route(Name),
    /// It is refused with this reason.
    Refusal(crate::refusal::Refusal),
}
