//! API keys: the lists of the configuration, what a route wants of a key, and what stands in the
//! file of a list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::HeaderName;
use serde_json::{Map, Value};

use super::problem::Problem;
use super::report::Report;
use super::{parse, reader};
use crate::identity::claim::{ClaimPath, ClaimTest};
use crate::identity::client_pattern::ClientPattern;
use crate::identity::name::Name;

/// One entry of `api_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyListSpec {
    /// The file with the owners and the hashes of their keys.
    pub file: PathBuf,
    /// The header field that a key stands in. Default `x-api-key`.
    pub header: HeaderName,
}

/// `routes.NAME.api_key`: what a route wants of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedKey {
    /// The list.
    pub list: Name,
    /// Where the list says that a key stands.
    pub header: HeaderName,
    /// The scopes that its owner must have.
    pub scopes: Vec<String>,
    /// What the owner's claims must be.
    pub claims: BTreeMap<ClaimPath, ClaimTest>,
}

/// An owner of keys, as the file of a list says.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerSpec {
    /// What its keys give access to.
    pub scopes: Vec<String>,
    /// What is known of it.
    pub claims: Map<String, Value>,
    /// The certificates that its keys may come with; if empty, any.
    pub clients: Vec<ClientPattern>,
    /// Its keys: two while it changes from one to the other.
    pub keys: Vec<KeySpec>,
}

/// One key, as the file of a list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// By which it is found. No secret.
    pub id: [u8; 8],
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// When it ends, in seconds since 1970; `None` for never, which is written out.
    pub expires: Option<u64>,
}

/// Reads the file of a list; `file` is for what is said of it. Hashes are no secrets, and are shown
/// nowhere all the same.
///
/// # Errors
///
/// Every problem that was found, each with its place.
pub fn read_owners(file: &Path, bytes: &[u8]) -> Result<BTreeMap<Name, OwnerSpec>, Vec<Problem>> {
    let text = super::text(file, bytes).map_err(|problem| vec![problem])?;
    let places = reader::read(file, text)?;
    let report = Report::new(&places, text);
    let owners = parse::owners(&report);
    report.finish()?;
    owners.ok_or_else(Vec::new)
}
