//! From the shape of the file to [`Spec`]: each text becomes a value, or a problem.
//!
//! Every function reads all that it can before it gives up, so that one look at the file shows
//! all problems. Defaults stand beside the keys that they are for; `docs/config.md` says why.

mod acme;
mod api_keys;
mod claims;
mod exchange;
mod external_authorization;
mod fetch;
mod introspection;
mod issuer;
mod issuer_keys;
mod listener;
mod login;
mod oauth_client;
mod pattern;
mod possession;
mod policy;
mod quantity;
mod rehearsal;
mod route;
mod secret_fields;
mod shared_state;
mod signed_identity;
mod token;
mod trust;
mod upstream;
mod web;
mod workload_api;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use api_keys::owners;
pub use pattern::{InvalidHostPattern, InvalidPathPattern};

use super::acme::{AcmeSpec, http_addresses};
use super::file::{AdminFile, IdentityFile, LogsFile, RootFile, ShutdownFile};
use super::node::{Field, Names, Node};
use super::problem::shown;
use super::report::Report;
use super::spec::{
    AdminSpec, CertificateSpec, KeyPairSpec, ListenerSpec, LogFormat, LogLevel, LogSpec,
    ShutdownSpec, Spec,
};
use crate::identity::name::Name;

/// What is known of the whole file while its parts are read.
struct Around<'a> {
    /// Paths are relative to it.
    folder: &'a Path,
    listeners: Names<'a>,
    trust: Names<'a>,
    acme: Names<'a>,
    workload_api: Names<'a>,
    identities: Names<'a>,
    oauth_clients: Names<'a>,
    logins: Names<'a>,
    issuers: Names<'a>,
    api_keys: Names<'a>,
    upstreams: Names<'a>,
    external_authorization: Names<'a>,
    routes: Names<'a>,
    /// Whether there is a section `signed_identity`, for the routes that ask for one.
    signs_identities: bool,
    /// Whether there is a section `shared_state`, for those who share something.
    shares_state: bool,
}

impl<'a> Around<'a> {
    fn of(folder: &'a Path, file: &RootFile<'a>) -> Self {
        Self {
            folder,
            listeners: Names::of(&file.listeners),
            trust: Names::of(&file.trust),
            acme: Names::of(&file.acme),
            workload_api: Names::of(&file.workload_api),
            identities: Names::of(&file.identities),
            oauth_clients: Names::of(&file.oauth_clients),
            logins: Names::of(&file.logins),
            issuers: Names::of(&file.issuers),
            api_keys: Names::of(&file.api_keys),
            upstreams: Names::of(&file.upstreams),
            external_authorization: Names::of(&file.external_authorization),
            routes: Names::of(&file.routes),
            signs_identities: file.signed_identity.written().is_some(),
            shares_state: file.shared_state.written().is_some(),
        }
    }
}

/// The shape that this gateway reads. It changes when a file of before would mean something else.
const VERSION: u64 = 1;
/// Loopback: what it shows is for operators, not for whoever reaches a network card.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const LOGS: LogSpec = LogSpec {
    format: LogFormat::Json,
    level: LogLevel::Info,
    access: true,
};
/// More threads than any machine that we know has processors.
const WORKERS_MAX: u64 = 1_024;
/// What orchestrators give by default between SIGTERM and SIGKILL.
const SHUTDOWN: ShutdownSpec = ShutdownSpec {
    deadline: Duration::from_secs(30),
    delay: Duration::ZERO,
};
const SHUTDOWN_DEADLINE_MAX: Duration = Duration::from_secs(3_600);
const SHUTDOWN_DELAY_MAX: Duration = Duration::from_secs(600);

/// Reads the whole file. What is wrong goes to `report` and is left out; `None` if nothing can be
/// read at all.
pub(super) fn spec(folder: &Path, report: &Report<'_>) -> Option<Spec> {
    let root = Node::root(report);
    let file = RootFile::read(&root)?;
    let around = Around::of(folder, &file);
    if file
        .version
        .needed("write `version: 1` at the top", version)
        .is_none()
    {
        report.gap();
    }
    let admin = file.admin.or(AdminSpec { address: ADMIN }, admin);
    if admin.is_none() {
        report.gap();
    }
    let listeners = listeners(&file, &around);
    if listeners.is_none() {
        report.gap();
    }
    let listeners = listeners.unwrap_or_default();
    let acme = section(&file.acme, |node| acme::acme(node, &around));
    apart(&file, admin.as_ref(), &listeners, &acme);
    let upstreams = section(&file.upstreams, |node| upstream::upstream(node, &around));
    let asked = external_authorization::authorizations(&file, &around);
    let api_keys = api_keys::lists(&file.api_keys, &around);
    let issuers = section(&file.issuers, |node| issuer::issuer(node, &around));
    let logins = section(&file.logins, |node| login::login(node, &around));
    let credentials = token::Credentials {
        issuers: &issuers,
        logins: &logins,
    };
    let trust = section(&file.trust, |node| trust::trust(node, &around));
    trust::federated(&file, &trust, &listeners, &upstreams, &asked);
    Some(Spec {
        trust,
        workers: file
            .workers
            .or_go_on(None, |node| node.count(WORKERS_MAX).map(Some)),
        admin: admin.unwrap_or(AdminSpec { address: ADMIN }),
        logs: file.logs.or_go_on(LOGS, logs),
        shutdown: file.shutdown.or_go_on(SHUTDOWN, shutdown),
        signed_identity: file.signed_identity.or_go_on(None, |node| {
            signed_identity::signed_identity(node, &around).map(Some)
        }),
        listeners,
        acme,
        workload_api: section(&file.workload_api, workload_api::agent),
        deny: file
            .deny
            .or_go_on(Vec::new(), |node| trust::files(node, &around)),
        shared_state: shared_state::store(&file.shared_state, &around),
        identities: section(&file.identities, |node| identity(node, &around)),
        oauth_clients: section(&file.oauth_clients, |node| {
            oauth_client::oauth_client(node, &around)
        }),
        routes: section(&file.routes, |node| {
            route::route(node, &around, &upstreams, &credentials, &api_keys)
        }),
        logins,
        issuers,
        api_keys,
        upstreams,
        external_authorization: asked,
        tests: file
            .tests
            .or_go_on(Vec::new(), |node| rehearsal::tests(node, &around)),
    })
}

fn listeners(file: &RootFile<'_>, around: &Around<'_>) -> Option<BTreeMap<Name, ListenerSpec>> {
    let missing = "a gateway listens somewhere: write `listeners:`";
    file.listeners.needed(missing, |node| {
        let listeners = named(node, |node| listener::listener(node, around))?;
        if node.entries("`NAME:`")?.next().is_none() {
            return node.refuse("there is no listener", "write at least one");
        }
        Some(listeners)
    })
}

fn version(node: &Node<'_>) -> Option<()> {
    let number = node.number();
    if number.and_then(|number| number.as_u64()) == Some(VERSION) {
        return Some(());
    }
    node.refuse(
        "this gateway reads version 1 of the file",
        "write `version: 1`, without quotes",
    )
}

fn admin(node: &Node<'_>) -> Option<AdminSpec> {
    let file = AdminFile::read(node)?;
    let address = file.address.or(ADMIN, web::address)?;
    Some(AdminSpec { address })
}

fn logs(node: &Node<'_>) -> Option<LogSpec> {
    let file = LogsFile::read(node)?;
    let format = file.format.or(LOGS.format, |node| {
        node.word(&[("json", LogFormat::Json), ("readable", LogFormat::Readable)])
    });
    let level = file.level.or(LOGS.level, |node| {
        node.word(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
        ])
    });
    let access = file.access.or(LOGS.access, Node::flag);
    Some(LogSpec {
        format: format?,
        level: level?,
        access: access?,
    })
}

fn shutdown(node: &Node<'_>) -> Option<ShutdownSpec> {
    let file = ShutdownFile::read(node)?;
    let deadline = file.deadline.or(SHUTDOWN.deadline, |node| {
        quantity::duration(node, Duration::ZERO..=SHUTDOWN_DEADLINE_MAX)
    });
    let delay = file.delay.or(SHUTDOWN.delay, |node| {
        quantity::duration(node, Duration::ZERO..=SHUTDOWN_DELAY_MAX)
    });
    Some(ShutdownSpec {
        deadline: deadline?,
        delay: delay?,
    })
}

fn identity(node: &Node<'_>, around: &Around<'_>) -> Option<CertificateSpec> {
    let file = IdentityFile::read(node)?;
    certificate(
        &file.workload_api,
        &file.spiffe_id,
        [&file.cert, &file.key],
        around,
    )
}

/// A key pair from an agent, or from files.
fn certificate(
    agent: &Field<'_>,
    spiffe_id: &Field<'_>,
    [cert, key]: [&Field<'_>; 2],
    around: &Around<'_>,
) -> Option<CertificateSpec> {
    if let Some(agent) = agent.written() {
        let svid = workload_api::svid(agent, spiffe_id, &[cert, key], around)?;
        return Some(CertificateSpec::WorkloadApi(svid));
    }
    let alone = workload_api::no_spiffe_id(spiffe_id);
    let files = key_pair(cert, key, around);
    alone.and(files).map(CertificateSpec::Files)
}

fn key_pair(cert: &Field<'_>, key: &Field<'_>, around: &Around<'_>) -> Option<KeyPairSpec> {
    let cert = cert.needed(
        "write `cert:` with a PEM file: the certificate, then its chain",
        |node| path(node, around),
    );
    let key = key.needed(
        "write `key:` with the PEM file of the certificate's private key",
        |node| path(node, around),
    );
    Some(KeyPairSpec {
        cert: cert?,
        key: key?,
    })
}

/// The path of a file, joined to the folder of the configuration.
fn path(node: &Node<'_>, around: &Around<'_>) -> Option<PathBuf> {
    let text = node.text("`pki/edge.pem`")?;
    if text.contains("-----BEGIN") {
        let hint = "write the content to a file, and its path here";
        return node.refuse("PEM text stands where the path of a file is wanted", hint);
    }
    if text.contains(char::is_control) {
        let what = format!("{} has a control character", shown(text));
        return node.refuse(what, "write the path of a file, like `pki/edge.pem`");
    }
    Some(around.folder.join(text))
}

/// Files with keys of ours that rotate: each once, at most `max`.
fn key_files(
    node: &Node<'_>,
    around: &Around<'_>,
    example: &str,
    max: usize,
) -> Option<Vec<PathBuf>> {
    let mut seen: Vec<PathBuf> = Vec::new();
    node.some(example, |node| {
        let file = path(node, around)?;
        if seen.contains(&file) {
            return node.refuse("this file stands twice", "keep one of them");
        }
        seen.push(file);
        Some(())
    })?;
    if seen.len() > max {
        return node.refuse(
            format!("{} keys are more than anybody rotates through", seen.len()),
            format!("write at most {max}"),
        );
    }
    Some(seen)
}

/// A section whose keys are names; empty if it is not written, or no section.
fn section<'a, T>(
    field: &Field<'a>,
    read: impl FnMut(&Node<'a>) -> Option<T>,
) -> BTreeMap<Name, T> {
    field.or_go_on(BTreeMap::new(), |node| named(node, read))
}

/// Entries by name. All are read, so that the problems of all are found; those that have one are
/// left out.
fn named<'a, T>(
    node: &Node<'a>,
    mut read: impl FnMut(&Node<'a>) -> Option<T>,
) -> Option<BTreeMap<Name, T>> {
    let mut named = BTreeMap::new();
    for (name, node) in node.entries("`NAME:` and its keys below that")? {
        let name = match name.parse::<Name>() {
            Ok(name) => Some(name),
            Err(error) => node.refuse_key(
                format!("{} cannot be a name: {error}", shown(name)),
                "names are labels in metrics and logs: keep them short and plain",
            ),
        };
        match (name, read(&node)) {
            (Some(name), Some(value)) => drop(named.insert(name, value)), // keys stand once
            (None, _) | (_, None) => node.gap(),
        }
    }
    Some(named)
}

/// No two listeners, and no listener and `admin`, on one address. Entries of `acme` may share one.
fn apart(
    file: &RootFile<'_>,
    admin: Option<&AdminSpec>,
    listeners: &BTreeMap<Name, ListenerSpec>,
    acme: &BTreeMap<Name, AcmeSpec>,
) {
    let admin = admin.map(|admin| admin.address);
    let mut taken: Vec<(String, SocketAddr)> = Vec::new();
    taken.extend(admin.map(|address| ("`admin`".to_owned(), address)));
    let serving = listeners.iter().map(|(name, listener)| {
        let shown = format!("the listener `{name}`");
        (shown, name, listener.address, &file.listeners, "address")
    });
    let proving = http_addresses(acme).into_iter();
    let proving = proving.map(|(address, name)| {
        let shown = format!("`acme.{name}`");
        (shown, name, address, &file.acme, "http")
    });
    for (shown, name, address, section, key) in serving.chain(proving) {
        let found = taken.iter().find(|(_, at)| web::overlap(*at, address));
        if let (Some((other, at)), Some(section)) = (found, section.written()) {
            let hint = if Some(*at) == admin {
                "what `admin` shows is not for clients: give it a port of its own"
            } else {
                "give each listener a port of its own"
            };
            let what = format!("{address} is taken: {other} listens on {at}");
            let place = section.at(name.as_str()).and_then(|entry| entry.at(key));
            place.as_ref().unwrap_or(section).refuse::<()>(what, hint);
            section.gap();
        }
        taken.push((shown, address));
    }
}
