//! `portcullis pki`: makes CAs and certificates, and shows any.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use time::OffsetDateTime;

use crate::identity::host::Host;
use crate::identity::spiffe::SpiffeId;
use crate::pki::{
    Authority, KeyKind, Lifetime, Overwrite, PkiError, Request, Usage, read_text, show,
    write_public, write_secret,
};

use super::print::print;

pub(super) const EXAMPLES: &str = "Examples:
  portcullis pki ca --name Partners --out pki/partners
  portcullis pki client --ca pki/partners.pem --out pki/shop \\
    --spiffe spiffe://partners.example/web/shop
  portcullis pki server --ca pki/edge-ca.pem --dns api.example.com --lifetime 90d --out pki/edge
  portcullis pki show pki/shop.pem";

/// The commands below `portcullis pki`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a CA
    ///
    /// Writes OUT.pem, which goes into a trust bundle, and OUT.key, with which it signs.
    Ca(Ca),
    /// Issue a certificate for a server, such as the gateway's own at the edge
    Server(Leaf),
    /// Issue a certificate for a client
    Client(Leaf),
    /// Issue a certificate for a service, which is server and client
    Service(Leaf),
    /// Show a certificate in plain words
    ///
    /// Subject, issuer, names, the identity that the gateway reads, validity with the time that is
    /// left, usages, key, fingerprint (as in `cnf.x5t#S256` of a token) and pin (as in an
    /// upstream's `accept`).
    Show(Show),
}

#[derive(Args, Debug)]
pub(super) struct Ca {
    /// The common name
    #[arg(long, default_value = "Development CA")]
    name: String,
    /// How long it is valid: 24h, 90d, 1y
    #[arg(long, default_value = "365d")]
    lifetime: Lifetime,
    /// Where to write: OUT.pem and OUT.key
    #[arg(long, default_value = "ca")]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub(super) struct Leaf {
    /// The certificate of the CA that signs
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Its key; by default the file beside it that ends in .key
    #[arg(long, value_name = "FILE")]
    ca_key: Option<PathBuf>,
    #[command(flatten)]
    names: Names,
    /// The common name; by default the last part of --out. Shown in logs, never a credential
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// How long it is valid: 24h, 90d, 1y
    #[arg(long, default_value = "90d")]
    lifetime: Lifetime,
    /// The kind of its key
    #[arg(long, value_enum, default_value = "ecdsa-p256")]
    key: KeyName,
    /// Where to write: OUT.pem and OUT.key
    #[arg(long)]
    out: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// For whom the certificate is: one name at least.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Names {
    /// A DNS name (may be given several times; `*.example.com` for all one label below)
    #[arg(long, value_name = "NAME", value_parser = dns_name)]
    dns: Vec<String>,
    /// An address (may be given several times)
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// The SPIFFE ID: spiffe://DOMAIN/PATH
    #[arg(long, value_name = "ID", value_parser = spiffe_id)]
    spiffe: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// A PEM file with one certificate or more
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyName {
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    #[value(name = "rsa-2048")]
    Rsa2048,
}

pub(super) fn run(command: Command) -> Result<(), PkiError> {
    match command {
        Command::Ca(ca) => make_ca(&ca),
        Command::Server(leaf) => issue(leaf, Usage::Server),
        Command::Client(leaf) => issue(leaf, Usage::Client),
        Command::Service(leaf) => issue(leaf, Usage::Both),
        Command::Show(file) => {
            let text = show(&read_text(&file.file)?, OffsetDateTime::now_utc())
                .map_err(|error| error.in_file(&file.file))?;
            print(text.trim_end());
            Ok(())
        }
    }
}

fn make_ca(wanted: &Ca) -> Result<(), PkiError> {
    let ca = Authority::new(&wanted.name, wanted.lifetime.duration())?;
    write_pair(&wanted.out, ca.cert(), ca.key(), wanted.force)
}

fn issue(wanted: Leaf, usage: Usage) -> Result<(), PkiError> {
    let key = wanted
        .ca_key
        .unwrap_or_else(|| wanted.ca.with_extension("key"));
    let ca = Authority::load(&wanted.ca, &key)?;
    let name = wanted.name.unwrap_or_else(|| last_part(&wanted.out));
    let mut request = Request::new(name, usage, wanted.lifetime.duration());
    if request.not_after > ca.not_after() {
        let ca_ends = ca.not_after().date().to_string();
        return Err(PkiError::OutlivesCa { ca_ends });
    }
    request.dns = wanted.names.dns;
    request.ips = wanted.names.ip;
    request.spiffe = wanted.names.spiffe.into_iter().collect();
    request.key = wanted.key.kind();
    let issued = ca.issue(request)?;
    write_pair(&wanted.out, &issued.cert, &issued.key, wanted.force)
}

fn write_pair(out: &Path, cert: &str, key: &str, force: bool) -> Result<(), PkiError> {
    let overwrite = overwrite(force);
    let (cert_file, key_file) = (with_ending(out, "pem"), with_ending(out, "key"));
    // Neither without the other: a pair that does not match helps nobody.
    if overwrite == Overwrite::No && cert_file.exists() {
        return Err(PkiError::Exists { file: cert_file });
    }
    write_secret(&key_file, key, overwrite)?;
    write_public(&cert_file, cert, overwrite)?;
    print(&format!(
        "wrote {} and {}",
        cert_file.display(),
        key_file.display()
    ));
    Ok(())
}

pub(super) const fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Yes } else { Overwrite::No }
}

/// `api.example.com` has a dot already, so that `with_extension` would cut it.
fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let mut file = out.as_os_str().to_owned();
    file.push(".");
    file.push(ending);
    file.into()
}

fn last_part(out: &Path) -> String {
    let part = out.file_name().unwrap_or_default();
    part.to_string_lossy().into_owned()
}

fn dns_name(text: &str) -> Result<String, String> {
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    match Host::parse_name(name) {
        Ok(host) => match host.dns_name() {
            Some(name) => Ok(format!("{wildcard}{name}")),
            None => Err("this is an address: write --ip".to_owned()),
        },
        Err(error) => Err(error.to_string()),
    }
}

fn spiffe_id(text: &str) -> Result<String, String> {
    let id: Result<SpiffeId, _> = text.parse();
    id.map(|id| id.to_string())
        .map_err(|error| error.to_string())
}

impl KeyName {
    const fn kind(self) -> KeyKind {
        match self {
            Self::EcdsaP256 => KeyKind::EcdsaP256,
            Self::EcdsaP384 => KeyKind::EcdsaP384,
            Self::Ed25519 => KeyKind::Ed25519,
            Self::Rsa2048 => KeyKind::Rsa2048,
        }
    }
}
