//! `api_keys`, `api_key` of a route, and the file of a list of keys.

use std::collections::{BTreeMap, HashMap};

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use serde_json::Map;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::route::one_client;
use super::token::scope;
use super::web::FieldUse;
use super::{Around, claims, path, web};
use crate::config::api_keys::{KeyListSpec, KeySpec, OwnerSpec, WantedKey};
use crate::config::credential_file::ApiKeysFile;
use crate::config::file::ApiKeyFile;
use crate::config::node::{Field, Node, all};
use crate::config::report::Report;
use crate::config::spec::TokenSpec;
use crate::config::token::Carrier;
use crate::config::tree::Value;
use crate::identity::name::Name;

const HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The section. A name of a list is told to services and counts for limits, as that of an issuer is.
pub(super) fn lists(field: &Field<'_>, around: &Around<'_>) -> BTreeMap<Name, KeyListSpec> {
    super::section(field, |node| {
        let list = list(node, around)?;
        if around.issuers.has(node.key()) {
            return node.refuse_key(
                "an issuer has this name too: whose subject is meant could not be told",
                "give one of them another name",
            );
        }
        Some(list)
    })
}

fn list(node: &Node<'_>, around: &Around<'_>) -> Option<KeyListSpec> {
    let file = ApiKeysFile::read(node)?;
    let keys = file.file.needed(
        "write `file: keys/partners.yaml`; `portcullis api-key new` makes its entries",
        |node| path(node, around),
    );
    let header = file.header.or(HEADER, header);
    Some(KeyListSpec {
        file: keys?,
        header: header?,
    })
}

fn header(node: &Node<'_>) -> Option<HeaderName> {
    let text = node.text("`x-api-key`")?;
    let name = web::field_name(node, text, FieldUse::Credential)?;
    if name == AUTHORIZATION || name == COOKIE {
        let what = format!("`{name}` has a form of its own, which no key has");
        return node.refuse(what, "name a field of its own, like `x-api-key`");
    }
    Some(name)
}

/// `api_key` of a route: the name of a list, or what is asked beside it.
pub(super) fn of_route(
    field: &Field<'_>,
    token: Option<&TokenSpec>,
    lists: &BTreeMap<Name, KeyListSpec>,
    around: &Around<'_>,
) -> Option<Option<WantedKey>> {
    field.optional(|node| {
        let wanted = wanted(node, lists, around)?;
        let own = Carrier::Header(wanted.header.clone());
        let taken = |carrier: &Carrier| carrier.is_read_as(&own);
        if let Some(TokenSpec::Wanted(tokens)) = token
            && tokens.from.iter().any(taken)
        {
            let what = format!("the route's tokens stand in `{}` too", wanted.header);
            let hint =
                "let each have a field of its own: `header` of the list, or `from` of the token";
            return node.refuse(what, hint);
        }
        Some(wanted)
    })
}

fn wanted(
    node: &Node<'_>,
    lists: &BTreeMap<Name, KeyListSpec>,
    around: &Around<'_>,
) -> Option<WantedKey> {
    let reference = |node: &Node<'_>| node.reference::<Name>("list of API keys", &around.api_keys);
    let (list, scopes, claims) = if node.as_text().is_some() {
        (reference(node), Some(Vec::new()), Some(BTreeMap::new()))
    } else {
        let file = ApiKeyFile::read(node)?;
        let list = file
            .list
            .needed("write `list: NAME`, an entry of `api_keys`", reference);
        let scopes = file
            .scopes
            .or(Vec::new(), |node| node.some("`[orders:read]`", scope));
        (
            list,
            scopes,
            file.claims.or(BTreeMap::new(), claims::wanted),
        )
    };
    let list = list?;
    // What is wrong with the entry is said there.
    let header = lists.get(&list).map_or(HEADER, |list| list.header.clone());
    Some(WantedKey {
        list,
        header,
        scopes: scopes?,
        claims: claims?,
    })
}

const OWNERS: &str = "write `owners:` with `NAME:` below it, and `keys` below that";
const NEW: &str = "`portcullis api-key new` makes such entries";
/// Some 50 MiB of memory, and half a second to read.
const KEYS_MAX: usize = 200_000;
/// One in use, one that comes, and those that other places of one owner use.
const KEYS_OF_ONE_MAX: usize = 16;
const CLIENTS_MAX: usize = 64;

/// The file of a list of keys.
pub(in crate::config) fn owners(report: &Report<'_>) -> Option<BTreeMap<Name, OwnerSpec>> {
    let root = Node::root(report);
    root.section(&["owners"])?;
    let mut ids = HashMap::new();
    let owners = root.field("owners").needed(OWNERS, |node| {
        // A file with nobody in it: the last of them is gone.
        if node.value() == Value::Mapping && node.entries(OWNERS)?.next().is_none() {
            return Some(BTreeMap::new());
        }
        super::named(node, |node| owner(node, &mut ids))
    })?;
    if ids.len() > KEYS_MAX {
        let what = format!("{} keys are more than a gateway holds", ids.len());
        return root.refuse(what, format!("write at most {KEYS_MAX}"));
    }
    Some(owners)
}

fn owner(node: &Node<'_>, ids: &mut HashMap<[u8; 8], ()>) -> Option<OwnerSpec> {
    node.section(&["scopes", "claims", "clients", "keys"])?;
    let scopes = node
        .field("scopes")
        .or(Vec::new(), |node| node.some("`[orders:read]`", scope));
    let claims = node.field("claims").or(Map::new(), claims::token);
    let clients = node.field("clients").or(Vec::new(), |node| {
        let clients = node.some("`[spiffe://partners.example/acme/*]`", one_client)?;
        if clients.len() > CLIENTS_MAX {
            let what = format!("{} certificates stand here", clients.len());
            return node.refuse(what, format!("write at most {CLIENTS_MAX}"));
        }
        Some(clients)
    });
    let keys = node.field("keys").needed(NEW, |node| {
        let items = node.items("`[{ id: .., sha256: .., expires: .. }]`")?;
        if items.len() > KEYS_OF_ONE_MAX {
            let what = format!("{} keys of one owner stand here", items.len());
            return node.refuse(what, format!("write at most {KEYS_OF_ONE_MAX}"));
        }
        all(&items, |node| {
            let key = key(node)?;
            if ids.insert(key.id, ()).is_some() {
                let what = "this `id` stands twice: which key is meant could not be told";
                return node.refuse(what, "keep one of them; each key has an id of its own");
            }
            Some(key)
        })
    });
    Some(OwnerSpec {
        scopes: scopes?,
        claims: claims?,
        clients: clients?,
        keys: keys?,
    })
}

fn key(node: &Node<'_>) -> Option<KeySpec> {
    node.section(&["id", "sha256", "expires"])?;
    let id = node
        .field("id")
        .needed(NEW, |node| hex(node, "16 digits of 0-9 and a-f, in quotes"));
    let sha256 = node
        .field("sha256")
        .needed(NEW, |node| hex(node, "64 digits of 0-9 and a-f, in quotes"));
    let expires = node.field("expires").needed(
        "write `expires: 2027-06-30T00:00:00Z`, or `expires: never`",
        expires,
    );
    Some(KeySpec {
        id: id?,
        sha256: sha256?,
        expires: expires?,
    })
}

/// Never shows what stands there: it might be the key itself.
fn hex<const N: usize>(node: &Node<'_>, wanted: &str) -> Option<[u8; N]> {
    let read = node.as_text().and_then(|text| {
        let mut bytes = [0; N];
        decode(text.as_bytes(), &mut bytes).then_some(bytes)
    });
    match read {
        Some(bytes) => Some(bytes),
        None => node.refuse("this is no such number", format!("write {wanted}; {NEW}")),
    }
}

/// Reads as many bytes as there is room for, in lower case.
fn decode(text: &[u8], bytes: &mut [u8]) -> bool {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if text.len() != bytes.len() * 2 {
        return false;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return false };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return false;
        };
        *byte = high << 4 | low;
    }
    true
}

fn expires(node: &Node<'_>) -> Option<Option<u64>> {
    if node.is("never") {
        return Some(None);
    }
    let text = node.text("`2027-06-30T00:00:00Z`")?;
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    match time.and_then(|time| u64::try_from(time.unix_timestamp()).ok()) {
        Some(seconds) => Some(Some(seconds)),
        // Not shown, as above.
        None => node.refuse(
            "this is no time",
            "write it like `2027-06-30T00:00:00Z`, or `never`",
        ),
    }
}
