//! [`Policy`]: on what terms we connect to a service. [`Policies`] knows all that are alive.
//!
//! A policy has a number, its group key. pingora pools connections by that number, and rustls keeps
//! sessions in the policy's own configuration: what is in a policy is never shared with another
//! one. Equal terms are the same policy, also after a reload, so that connections and sessions
//! survive it. The registry holds nothing: a policy lives as long as a snapshot uses it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ClientConfig;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::pki_types::{CertificateDer, DnsName, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::{Fingerprint, PeerIdentity};
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::observe::UpstreamMetrics;
use crate::trust::{self, KeyPair, TrustStore};

use super::lease::{Lease, Leases};
use super::verifier::ServiceVerifier;

/// What makes a policy.
#[derive(Clone, Debug)]
pub struct PolicyParts {
    /// The upstream, whose metrics count the handshakes.
    pub upstream: Name,
    /// Who we are.
    pub key_pair: Arc<KeyPair>,
    /// Who may have signed the service's certificate.
    pub trust: Arc<TrustStore>,
    /// The SNI that we send.
    pub server_name: Host,
    /// Who may answer. Nobody, if it is empty.
    pub accept: Vec<ServerPattern>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Where handshakes are counted.
    pub metrics: Arc<UpstreamMetrics>,
}

/// What is spoken on a connection. A service that agrees to nothing is taken to speak HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, with services.
    Http1,
    /// HTTP/2, with those who are asked over gRPC.
    Http2,
}

impl Protocol {
    /// As ALPN names it (RFC 7301, section 6).
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Why parts make no policy.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPolicy {
    /// The server name cannot be sent as SNI.
    #[error("{0} cannot be sent as the name of a server")]
    ServerName(Host),
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// On what terms we connect to a service.
pub struct Policy {
    /// The number that is this policy's alone, in this process.
    pub group_key: u64,
    /// The upstream that it belongs to.
    pub upstream: Name,
    /// The SNI that we send.
    pub server_name: Host,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// The certificate that we show there.
    pub certificate: Option<Fingerprint>,
    /// Built once, so that sessions resume.
    pub client_config: Arc<ClientConfig>,
    pub(super) tls_name: ServerName<'static>,
    pub(super) metrics: Arc<UpstreamMetrics>,
    verifier: Arc<ServiceVerifier>,
    sessions: Arc<ClientSessionMemoryCache>,
    leases: Leases,
}

/// Sessions that a policy remembers: those of one name, for a handful of endpoints.
const SESSIONS_MAX: usize = 256;
/// rustls keeps 8 tickets of TLS 1.3 for a name; the bound is for the loop that forgets them.
const TICKETS_MAX: usize = 64;

impl Policy {
    fn build(
        parts: &PolicyParts,
        group_key: u64,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, InvalidPolicy> {
        let provider = trust::provider();
        let verifier = Arc::new(ServiceVerifier::new(
            Arc::clone(&parts.trust),
            &parts.accept,
            Arc::clone(&parts.metrics),
            Arc::clone(&provider),
        ));
        let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX));
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls' word for a verifier that is not its own
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                parts.key_pair.certified_key(),
            )));
        config.alpn_protocols = vec![parts.protocol.alpn().to_vec()];
        config.resumption = Resumption::store(Arc::clone(&sessions) as _);
        config.enable_early_data = false; // a request in 0-RTT can be replayed
        // Without it a resumed session of TLS 1.2 is not tied to our certificate (RFC 7627).
        config.require_ems = true;
        Ok(Self {
            group_key,
            upstream: parts.upstream.clone(),
            server_name: parts.server_name.clone(),
            protocol: parts.protocol,
            certificate: parts
                .key_pair
                .certified_key()
                .cert
                .first()
                .map(|leaf| Fingerprint::of(leaf)),
            client_config: Arc::new(config),
            tls_name: tls_name(&parts.server_name)?,
            metrics: Arc::clone(&parts.metrics),
            verifier,
            sessions,
            leases: Leases::default(),
        })
    }

    /// For a connection that was made on these terms.
    pub(super) fn lease(&self) -> Arc<Lease> {
        self.leases.grant()
    }

    /// Judges the chain that a resumed session has kept: rustls does not ask the verifier then, and
    /// since the session began a certificate may have ended.
    pub(super) fn judge_again(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Result<Arc<PeerIdentity>, HandshakeFailure> {
        let (leaf, intermediates) = chain
            .split_first()
            .ok_or(HandshakeFailure::CertificateMissing)?;
        let now = self.client_config.time_provider.current_time();
        let now = now.ok_or(HandshakeFailure::Other)?; // no clock, no validity
        self.verifier
            .judge(leaf, intermediates, now)
            .map_err(|refused| refused.reason)
    }

    /// Forgets all sessions, so that the next handshake shows a certificate.
    pub(super) fn forget_sessions(&self) {
        self.sessions.remove_tls12_session(&self.tls_name);
        for _ in 0..TICKETS_MAX {
            if self.sessions.take_tls13_ticket(&self.tls_name).is_none() {
                return;
            }
        }
    }
}

fn tls_name(host: &Host) -> Result<ServerName<'static>, InvalidPolicy> {
    if let Some(address) = host.ip() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let name = host.dns_name().unwrap_or_default().to_owned();
    DnsName::try_from(name)
        .map(ServerName::DnsName)
        .map_err(|_not_sendable| InvalidPolicy::ServerName(host.clone()))
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("group_key", &self.group_key)
            .field("upstream", &self.upstream)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Every policy that is alive, by its content and by its group key.
#[derive(Debug)]
pub struct Policies {
    live: Mutex<Live>,
    /// The last group key that was given out. Never one twice: pingora's pool may still hold
    /// connections of a policy that is gone.
    last: AtomicU64,
    clock: Arc<dyn TimeProvider>,
}

#[derive(Debug, Default)]
struct Live {
    by_content: HashMap<[u8; 32], Weak<Policy>>,
    by_group_key: HashMap<u64, Weak<Policy>>,
    /// How many were alive when we last looked.
    alive: usize,
}

/// As many dead policies may stay as are alive, and these: so that looking for them costs little
/// when a snapshot with many policies is compiled.
const DEAD_MAX: usize = 64;

impl Live {
    fn forget_the_dead(&mut self) {
        if self.by_group_key.len() < 2 * self.alive + DEAD_MAX {
            return;
        }
        let alive = |policy: &Weak<Policy>| policy.strong_count() > 0;
        self.by_content.retain(|_, policy| alive(policy));
        self.by_group_key.retain(|_, policy| alive(policy));
        self.alive = self.by_group_key.len();
    }
}

impl Policies {
    /// An empty registry, on the system's clock. One for each process: group keys count from 1.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_clock(Arc::new(DefaultTimeProvider))
    }

    pub(super) fn with_clock(clock: Arc<dyn TimeProvider>) -> Arc<Self> {
        Arc::new(Self {
            live: Mutex::default(),
            last: AtomicU64::new(0),
            clock,
        })
    }

    /// The policy with these parts: the one that is alive, or a new one. The order of `accept` does
    /// not matter.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicy`], which no configuration that was parsed comes to.
    pub fn policy(&self, parts: &PolicyParts) -> Result<Arc<Policy>, InvalidPolicy> {
        let content = content(parts);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // An upstream that was removed and came back counts in new series.
        let known = live
            .by_content
            .get(&content)
            .and_then(Weak::upgrade)
            .filter(|policy| Arc::ptr_eq(&policy.metrics, &parts.metrics));
        if let Some(policy) = known {
            return Ok(policy);
        }
        live.forget_the_dead();
        let group_key = self.last.fetch_add(1, Relaxed) + 1;
        let policy = Arc::new(Policy::build(parts, group_key, Arc::clone(&self.clock))?);
        live.by_content.insert(content, Arc::downgrade(&policy));
        live.by_group_key.insert(group_key, Arc::downgrade(&policy));
        Ok(policy)
    }

    /// Lets the connections of all policies but these end when nothing is under way on them: to be
    /// called when a snapshot goes live that has these.
    pub fn keep_only<'p>(&self, used: impl Iterator<Item = &'p Arc<Policy>>) {
        let used: HashSet<u64> = used.map(|policy| policy.group_key).collect();
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<_> = live
            .by_group_key
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        drop(live); // the last of a policy may be dropped below
        for policy in &all {
            policy.leases.end(!used.contains(&policy.group_key));
        }
    }

    /// The policy with this group key, if it is alive.
    #[must_use]
    pub fn by_group_key(&self, group_key: u64) -> Option<Arc<Policy>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.by_group_key.get(&group_key)?.upgrade()
    }
}

#[cfg(test)]
impl Policies {
    pub(super) fn remembered(&self) -> usize {
        let live = self.live.lock().unwrap();
        live.by_content.len().max(live.by_group_key.len())
    }
}

/// SHA-256 over everything that two policies can differ in.
fn content(parts: &PolicyParts) -> [u8; 32] {
    let mut accept: Vec<String> = parts.accept.iter().map(ToString::to_string).collect();
    accept.sort_unstable();
    accept.dedup();
    let mut hash = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        // The length first, so that no two lists of parts run together to the same bytes.
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    };
    add(parts.upstream.as_str().as_bytes());
    add(&parts.key_pair.digest());
    add(&parts.trust.digest());
    for rehearsal in parts.trust.rehearsals() {
        add(&rehearsal.digest()); // for the verifier, which is the policy's, asks it as well
    }
    add(parts.server_name.to_string().as_bytes());
    add(parts.protocol.alpn());
    for wanted in &accept {
        add(wanted.as_bytes());
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}
