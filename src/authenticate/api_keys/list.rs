//! [`KeyList`]: who has which API keys, as a file says.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::key::{ApiKey, hex};
use crate::authenticate::told::Whose;
use crate::config::api_keys::{KeySpec, OwnerSpec, read_owners};
use crate::config::problem::Problem;
use crate::detail::Detail;
use crate::identity::certificate::PeerIdentity;
use crate::identity::client_pattern::ClientPattern;
use crate::identity::name::Name;
use crate::identity::scopes::Scopes;
use crate::identity::subject::{Credential, Subject};
use crate::refusal::Refusal;
use crate::trust::{Published, TrustError, open};

/// Who has which keys. Never changed: another file is another list. Cheap to clone.
#[derive(Clone)]
pub struct KeyList(Arc<Content>);

struct Content {
    keys: HashMap<[u8; 8], Entry>,
    /// When the keys end, in order; `u64::MAX` for those that never do.
    ends: Arc<[u64]>,
    digest: [u8; 32],
}

struct Entry {
    sha256: [u8; 32],
    expires: u64,
    owner: Arc<Owner>,
    /// Made when the key is first used.
    subject: OnceLock<Arc<Subject>>,
}

struct Owner {
    list: Name,
    name: Arc<str>,
    scopes: Scopes,
    claims: Map<String, Value>,
    clients: Box<[ClientPattern]>,
}

/// One key of a list, for people.
#[derive(Debug)]
pub struct Listed {
    /// Its id, as it stands in the file and in the key.
    pub id: String,
    /// Whose it is.
    pub owner: Arc<str>,
    /// When it ends, in seconds since 1970; `u64::MAX` for never.
    pub expires: u64,
}

/// 200,000 keys take some 30 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

impl KeyList {
    /// Reads the file of the list `name`; `before` again, if nothing in it is new.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if it cannot be read or has a mistake.
    pub fn load(name: &Name, file: &Path, before: Option<&Self>) -> Result<Self, TrustError> {
        let mut bytes = Vec::new();
        // One more than is read, so that a file that is too large is seen to be.
        open(file)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| TrustError::Unreadable {
                file: file.to_owned(),
                error,
            })?;
        let digest = digest_of(name, &bytes);
        if let Some(before) = before.filter(|before| before.0.digest == digest) {
            return Ok(before.clone());
        }
        let owners = read_owners(file, &bytes).map_err(|problems| mistakes(file, &problems))?;
        Ok(Self::new(name, owners, digest))
    }

    fn new(
        list: &Name,
        owners: impl IntoIterator<Item = (Name, OwnerSpec)>,
        digest: [u8; 32],
    ) -> Self {
        let mut keys = HashMap::new();
        for (name, spec) in owners {
            let scopes = spec.scopes.iter().map(String::as_str);
            let owner = Arc::new(Owner {
                list: list.clone(),
                name: name.as_str().into(),
                scopes: Scopes::of(scopes),
                claims: spec.claims,
                clients: spec.clients.into(),
            });
            keys.extend(
                spec.keys
                    .iter()
                    .map(|key| (key.id, Entry::new(key, &owner))),
            );
        }
        let mut ends: Vec<u64> = keys.values().map(|entry| entry.expires).collect();
        ends.sort_unstable();
        Self(Arc::new(Content {
            keys,
            ends: ends.into(),
            digest,
        }))
    }

    /// Whom a key speaks for, that came with this certificate at `now`, in seconds since 1970.
    ///
    /// A key with an id that is not there costs what one with another secret does.
    ///
    /// # Errors
    ///
    /// [`Refusal::ApiKeyUnknown`], [`Refusal::ApiKeyExpired`] or [`Refusal::ApiKeyOfAnotherPeer`]:
    /// what is wrong with a key is told only to who has it.
    pub(super) fn check(
        &self,
        key: &ApiKey,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Arc<Subject>, Refusal> {
        const NOBODYS: [u8; 32] = [0; 32];
        let (entry, sha256) = (self.0.keys.get(&key.id()), key.sha256());
        let known = entry.map_or(&NOBODYS, |entry| &entry.sha256);
        let same = verify_slices_are_equal(known, &sha256).is_ok();
        let entry = entry.filter(|_| same).ok_or(Refusal::ApiKeyUnknown)?;
        if entry.expires <= now {
            return Err(Refusal::ApiKeyExpired);
        }
        if !entry.owner.is_at_home(peer) {
            return Err(Refusal::ApiKeyOfAnotherPeer);
        }
        Ok(Arc::clone(entry.subject()))
    }

    /// Why a key is refused, for the log; and whose it is, if it is one of the list.
    pub(super) fn explain(&self, key: &ApiKey, now: u64) -> (Detail, Option<Whose>) {
        let Some(entry) = self.0.keys.get(&key.id()) else {
            return (Detail::new("no key of the list has this id"), None);
        };
        if verify_slices_are_equal(&entry.sha256, &key.sha256()).is_err() {
            return (Detail::new("the key of this id has another secret"), None);
        }
        let detail = if entry.expires <= now {
            let ago = now.saturating_sub(entry.expires);
            Detail::new(format_args!("expired {ago} s ago"))
        } else {
            Detail::new("the certificate is none of the owner's `clients`")
        };
        (detail, Some(Whose::from(&**entry.subject())))
    }

    /// The key's entry, if it is one of the list, over or not.
    #[must_use]
    pub fn find(&self, key: &ApiKey) -> Option<Listed> {
        let entry = self.0.keys.get(&key.id())?;
        let same = verify_slices_are_equal(&entry.sha256, &key.sha256()).is_ok();
        same.then(|| entry.listed(key.id()))
    }

    /// All keys, by owner and end.
    #[must_use]
    pub fn all(&self) -> Vec<Listed> {
        let keys = self.0.keys.iter();
        let mut all: Vec<Listed> = keys.map(|(id, entry)| entry.listed(*id)).collect();
        all.sort_unstable_by(|a, b| {
            (&a.owner, a.expires, &a.id).cmp(&(&b.owner, b.expires, &b.id))
        });
        all
    }

    /// When the keys end, in order, in seconds since 1970; `u64::MAX` for those that never do.
    #[must_use]
    pub fn ends(&self) -> &Arc<[u64]> {
        &self.0.ends
    }
}

/// Mistakes of a file that are told one by one; of whoever has more, something else is wrong.
const MISTAKES_MAX: usize = 30;

fn mistakes(file: &Path, problems: &[Problem]) -> TrustError {
    let file = file.display();
    let told = problems.iter().take(MISTAKES_MAX);
    let mut told: Vec<_> = told.map(|problem| format!("{file}: {problem}")).collect();
    if told.is_empty() {
        told.push(format!("{file}: it is no list of keys"));
    }
    let more = problems.len().saturating_sub(MISTAKES_MAX);
    if more > 0 {
        told.push(format!("{file}: and {more} more"));
    }
    TrustError::ApiKeys(told)
}

/// The list and what stands in its file: the same keys of another list are others.
fn digest_of(name: &Name, bytes: &[u8]) -> [u8; 32] {
    let content = digest(&SHA256, bytes);
    let both = [name.as_str().as_bytes(), b"\0", content.as_ref()].concat();
    let mut whole = [0; 32];
    whole.copy_from_slice(digest(&SHA256, &both).as_ref());
    whole
}

impl Entry {
    fn new(spec: &KeySpec, owner: &Arc<Owner>) -> Self {
        Self {
            sha256: spec.sha256,
            expires: spec.expires.unwrap_or(u64::MAX),
            owner: Arc::clone(owner),
            subject: OnceLock::new(),
        }
    }

    fn subject(&self) -> &Arc<Subject> {
        self.subject.get_or_init(|| {
            let owner = &self.owner;
            let mut claims = owner.claims.clone();
            claims.insert("sub".to_owned(), json!(&*owner.name));
            Arc::new(Subject {
                credential: Credential::ApiKey,
                issuer: owner.list.clone(),
                sub: Some(Arc::clone(&owner.name)),
                scopes: owner.scopes.clone(),
                claims: claims.into(),
                expires: self.expires,
            })
        })
    }

    fn listed(&self, id: [u8; 8]) -> Listed {
        Listed {
            id: hex(&id),
            owner: Arc::clone(&self.owner.name),
            expires: self.expires,
        }
    }
}

impl Owner {
    /// Whether its keys may come with this certificate.
    fn is_at_home(&self, peer: Option<&PeerIdentity>) -> bool {
        if self.clients.is_empty() {
            return true;
        }
        peer.is_some_and(|peer| self.clients.iter().any(|pattern| pattern.matches(peer)))
    }
}

impl Published for KeyList {
    fn digest(&self) -> [u8; 32] {
        self.0.digest
    }
}

impl fmt::Debug for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyList({} keys)", self.0.keys.len())
    }
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
