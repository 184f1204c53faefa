//! `routes.NAME.token`: which tokens open a route, and where in a request they stand.

use std::collections::BTreeMap;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};

use super::web::FieldUse;
use super::{Around, claims, possession, web};
use crate::config::file::TokenFile;
use crate::config::issuer_keys::IssuerKeysSpec;
use crate::config::login::{LoginSpec, is_own_cookie, session_cookie};
use crate::config::node::{Field, Node, all};
use crate::config::possession::Demand;
use crate::config::problem::shown;
use crate::config::spec::{IssuerSpec, JwtSpec, TokenSpec};
use crate::config::token::{Carrier, WantedTokens};
use crate::config::tree::Value;
use crate::identity::name::Name;
use crate::identity::scopes::is_scope;

const TOKEN: &str =
    "`token: { issuer: NAME, scopes: [orders:read] }`, or `token: none` if no token is looked at";
const FROM: &str = "`authorization`, `header:NAME`, `cookie:NAME` or, if it must be, `query:NAME`";

/// A request may be asked by so many caches, and has one token.
const ISSUERS_MAX: usize = 8;
/// Each place is looked at in every request.
const PLACES_MAX: usize = 4;
/// Longer than any cookie or parameter is called.
const NAME_BYTES_MAX: usize = 128;

/// What could be read of issuers and logins, to hold a `token` against.
pub(super) struct Credentials<'s> {
    pub(super) issuers: &'s BTreeMap<Name, IssuerSpec>,
    pub(super) logins: &'s BTreeMap<Name, LoginSpec>,
}

/// `token` of a route. Who acts for whom must be asked in one way at least, or `none` be written:
/// `others` are the keys beside it, by their names, that ask in another way.
pub(super) fn of_route(
    token: &Field<'_>,
    others: &[(&str, &Field<'_>)],
    around: &Around<'_>,
    credentials: &Credentials<'_>,
) -> Option<TokenSpec> {
    let beside = others.iter().find(|(_, other)| other.written().is_some());
    if token.written().is_none() && beside.is_some() {
        return Some(TokenSpec::None);
    }
    token.needed(&format!("say it either way: write {TOKEN}"), |node| {
        if let Some((name, _)) = beside.filter(|_| node.is("none")) {
            return node.refuse(
                format!("`none` says that nothing is asked for beside the certificate, and `{name}` asks"),
                format!("leave `token` out, and only `{name}` opens the route; or leave `{name}` out"),
            );
        }
        spec(node, around, credentials)
    })
}

fn spec(node: &Node<'_>, around: &Around<'_>, credentials: &Credentials<'_>) -> Option<TokenSpec> {
    let text = node.as_text();
    if text == Some("none") {
        return Some(TokenSpec::None);
    }
    if text.is_some() || node.value() == Value::Null {
        let what = match text {
            Some(text) => format!(
                "{} is neither `none` nor what a token must have",
                shown(text)
            ),
            None => "nothing is said here: leaving it open would let everybody in".to_owned(),
        };
        return node.refuse(what, format!("write {TOKEN}"));
    }
    let file = TokenFile::read(node)?;
    let from = file.from.or(vec![Carrier::Authorization], |node| {
        places(node, credentials.logins)
    });
    let asked = Asked {
        around,
        issuers: credentials.issuers,
        // What is wrong with it is said there.
        from: from.as_deref().unwrap_or(&[Carrier::Authorization]),
    };
    let any = match file.any.written() {
        Some(list) => {
            let alone = nothing_beside(node);
            let any = several(list, &asked);
            alone.and(any)
        }
        None => jwt(&file, &asked).map(|jwt| vec![jwt]),
    };
    let (any, from) = (any?, from?);
    Some(TokenSpec::Wanted(WantedTokens { any, from }))
}

/// What the entries of one `token` are held against.
struct Asked<'s> {
    around: &'s Around<'s>,
    issuers: &'s BTreeMap<Name, IssuerSpec>,
    from: &'s [Carrier],
}

/// Beside `any` stands nothing that would hold for one issuer, or for all: who reads it would not
/// know which.
fn nothing_beside(node: &Node<'_>) -> Option<()> {
    let mut alone = Some(());
    for (key, value) in node.entries("`any: [..]`")? {
        if !matches!(key, "any" | "from") {
            alone = value.refuse_key(
                "this stands beside `any`",
                "write it in each entry of `any` for which it is meant",
            );
        }
    }
    alone
}

/// The entries of `any`.
fn several(node: &Node<'_>, asked: &Asked<'_>) -> Option<Vec<JwtSpec>> {
    let items = node.items("`[{ issuer: corp }, { issuer: partner }]`")?;
    if items.is_empty() || items.len() > ISSUERS_MAX {
        return node.refuse(
            format!("{} entries stand here", items.len()),
            format!("write one for each issuer, from 1 to {ISSUERS_MAX}"),
        );
    }
    let mut known: Vec<Name> = Vec::new();
    all(&items, |node| {
        let file = TokenFile::read(node)?;
        for field in [&file.any, &file.from] {
            if let Some(inner) = field.written() {
                return inner.refuse_key(
                    "this stands in an entry of `any`",
                    "write `any` once, and `from` beside it: where a token stands does not depend on whose it is",
                );
            }
        }
        let jwt = jwt(&file, asked)?;
        let iss = |name: &Name| asked.issuers.get(name).map(|spec| &spec.issuer);
        let twin = known.iter().find(|other| {
            **other == jwt.issuer || (iss(other).is_some() && iss(other) == iss(&jwt.issuer))
        });
        if let (Some(twin), Some(at)) = (twin, file.issuer.written()) {
            let what = if *twin == jwt.issuer {
                format!("{twin} stands twice")
            } else {
                format!(
                    "the tokens of {} have the same `iss` as those of {twin}",
                    jwt.issuer
                )
            };
            return at.refuse(
                what,
                "by its `iss` a token is held against one entry: let each have its own",
            );
        }
        known.push(jwt.issuer.clone());
        Some(jwt)
    })
}

/// What is asked of the tokens of one issuer.
fn jwt(file: &TokenFile<'_>, asked: &Asked<'_>) -> Option<JwtSpec> {
    let issuer = file
        .issuer
        .needed("write `issuer: NAME`, an entry of `issuers`", |node| {
            node.reference::<Name>("issuer", &asked.around.issuers)
        });
    let scopes = file
        .scopes
        .or(Vec::new(), |node| node.some("`[orders:read]`", scope));
    let wanted = file.claims.or(BTreeMap::new(), claims::wanted);
    let of_issuer = issuer.as_ref().and_then(|name| asked.issuers.get(name));
    let typ = file.typ.optional(|node| {
        let typ = typ(node)?;
        if of_issuer.is_some_and(|spec| spec.keys == IssuerKeysSpec::None) {
            return node.refuse(NO_TYPE, NO_TYPE_HINT);
        }
        let other = of_issuer.and_then(|spec| spec.profile.typ.as_deref());
        match other.filter(|other| !is_same_typ(other, &typ)) {
            None => Some(typ),
            Some(other) => node.refuse(
                format!(
                    "the issuer says that its tokens are of the type {}",
                    shown(other)
                ),
                "no token is of two types: leave one of them out",
            ),
        }
    });
    let bound = file.bound_to_certificate.or(Demand::No, possession::demand);
    let dpop = file.dpop.or(Demand::No, |node| {
        let demand = possession::demand(node)?;
        if demand == Demand::Required && !asked.from.contains(&Carrier::Authorization) {
            return node.refuse(
                "nobody could show such a token: with a proof it stands in `Authorization` alone (RFC 9449, section 7.1)",
                "add `authorization` to `from`, or leave `dpop` out",
            );
        }
        Some(demand)
    });
    Some(JwtSpec {
        issuer: issuer?,
        scopes: scopes?,
        claims: wanted?,
        typ: typ?,
        bound_to_certificate: bound?,
        dpop: dpop?,
    })
}

pub(super) const NO_TYPE: &str =
    "the issuer has no `keys`, and of a token that is asked about nobody says its type";
pub(super) const NO_TYPE_HINT: &str =
    "remove it, or write `keys` and have the issuer give signed tokens";

/// The type of a token.
pub(super) fn typ(node: &Node<'_>) -> Option<String> {
    Some(node.text("`at+jwt`")?.to_owned())
}

fn is_same_typ(one: &str, other: &str) -> bool {
    let bare = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/")
            .map_or(typ.clone(), str::to_owned)
    };
    bare(one) == bare(other)
}

/// A scope-token (RFC 6749, section 3.3).
pub(super) fn scope(node: &Node<'_>) -> Option<String> {
    let text = node.text("`orders:read`")?;
    if is_scope(text) {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} is not one scope", shown(text)),
        "write each scope as an entry of its own: visible ASCII without spaces, `\"` and `\\`",
    )
}

/// One place, or a list of them.
fn places(node: &Node<'_>, logins: &BTreeMap<Name, LoginSpec>) -> Option<Vec<Carrier>> {
    if node.as_text().is_some() {
        return carrier(node, logins).map(|place| vec![place]);
    }
    let items = node.items("`[authorization, cookie:NAME]`")?;
    if items.is_empty() || items.len() > PLACES_MAX {
        return node.refuse(
            format!("{} places stand here", items.len()),
            format!("write from 1 to {PLACES_MAX}: {FROM}"),
        );
    }
    let mut known: Vec<Carrier> = Vec::new();
    let read = all(&items, |node| {
        let place = carrier(node, logins)?;
        if let Some(twin) = known.iter().find(|known| place.is_read_as(known)) {
            let what = match *twin == place {
                true => format!("`{place}` stands twice"),
                false => format!("to some services `{place}` is `{twin}`"),
            };
            return node.refuse(what, "keep one of them");
        }
        known.push(place);
        Some(())
    });
    read.map(|_all| known)
}

/// A place in a request where a credential stands.
fn carrier(node: &Node<'_>, logins: &BTreeMap<Name, LoginSpec>) -> Option<Carrier> {
    let text = node.text(FROM)?;
    if text == "authorization" {
        return Some(Carrier::Authorization);
    }
    let of_kind = |kind: &str| text.strip_prefix(kind)?.strip_prefix(':');
    if let Some(name) = of_kind("header") {
        return web::field_name(node, name, FieldUse::Credential)
            .and_then(|name| header(node, name));
    }
    if let Some(name) = of_kind("cookie") {
        // A cookie-name is a token (RFC 6265, section 4.1.1).
        let own = |login: &LoginSpec| is_own_cookie(&session_cookie(&login.cookie), name);
        if let Some((login, _)) = logins.iter().find(|(_, login)| own(login)) {
            return node.refuse(
                format!(
                    "{} is a cookie of `logins.{login}`, and never a token",
                    shown(name)
                ),
                "write the name of another cookie; a session opens the route with `login`",
            );
        }
        let plain = |b: u8| HeaderName::from_bytes(&[b]).is_ok();
        return named(node, name, plain).map(Carrier::Cookie);
    }
    if let Some(name) = of_kind("query") {
        // What needs no encoding, so that it has one spelling (RFC 3986, section 2.3).
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        return named(node, name, plain).map(Carrier::Query);
    }
    node.refuse(
        format!("{} is no place where a token stands", shown(text)),
        format!("write {FROM}"),
    )
}

fn header(node: &Node<'_>, name: HeaderName) -> Option<Carrier> {
    let hint = if name == AUTHORIZATION {
        "write `authorization`, which reads what stands behind `Bearer`"
    } else if name == COOKIE {
        "write `cookie:NAME` with the name of the cookie"
    } else {
        return Some(Carrier::Header(name));
    };
    node.refuse(format!("`{name}` has a form of its own"), hint)
}

fn named(node: &Node<'_>, name: &str, plain: impl Fn(u8) -> bool) -> Option<Box<str>> {
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) {
        return Some(name.into());
    }
    node.refuse(
        format!("{} is no such name", shown(name)),
        "write letters, digits, `-`, `_` and `.`",
    )
}
