//! The fields of one route that carry credentials: no condition of the route and no counter is made of
//! them. A secret would stand in the configuration, or whoever guesses one would count for its owner.

use std::borrow::Cow;

use crate::config::api_keys::WantedKey;
use crate::config::file::RouteFile;
use crate::config::node::Node;
use crate::config::spec::TokenSpec;
use crate::config::token::Carrier;
use crate::config::tree::Value;
use crate::identity::fields::folded;

/// Refuses `match.headers` and `limits` of a route that name a field with a credential of its own.
/// `Authorization` and `Cookie`, which are that on every route, are refused where they are read.
pub(super) fn apart(
    file: &RouteFile<'_>,
    token: Option<&TokenSpec>,
    key: Option<&WantedKey>,
) -> Option<()> {
    let from = match token {
        Some(TokenSpec::Wanted(tokens)) => &*tokens.from,
        Some(TokenSpec::None) | None => &[],
    };
    let tokens = from.iter().filter_map(|carrier| match carrier {
        Carrier::Header(name) => Some(folded(name.as_str())),
        Carrier::Authorization | Carrier::Cookie(_) | Carrier::Query(_) => None,
    });
    let keys = key.map(|key| folded(key.header.as_str()));
    let secret: Vec<Cow<'_, str>> = tokens.chain(keys).collect();
    if secret.is_empty() {
        return Some(());
    }
    let is_secret = |name: &str| secret.contains(&folded(name));
    let mut apart = Some(());
    for (name, node) in conditions(file).filter(|(name, _)| is_secret(name)) {
        let what = format!("`{name}` carries a credential of this route");
        apart = node.refuse_key(
            what,
            "no secret stands in this file: ask for it with `token` or `api_key`",
        );
    }
    for (name, node) in counters(file).filter(|(name, _)| is_secret(name)) {
        let what = format!("`{name}` carries a credential of this route");
        apart = node.refuse(
            what,
            "count by whom it is of with `per: subject`, or `per: client`",
        );
    }
    apart
}

/// The names below `match.headers`. What is none of that form is refused where it is read.
fn conditions<'a>(file: &RouteFile<'a>) -> impl Iterator<Item = (&'a str, Node<'a>)> {
    let headers = file.matches.written().and_then(|node| node.at("headers"));
    let headers = headers.filter(|node| node.value() == Value::Mapping);
    let entries = headers.and_then(|node| node.entries("`x-tenant: acme`"));
    entries.into_iter().flatten()
}

/// The names behind `per: header:`.
fn counters<'a>(file: &RouteFile<'a>) -> impl Iterator<Item = (&'a str, Node<'a>)> {
    let limits = file.limits.written();
    let limits = limits.filter(|node| node.value() == Value::List);
    let items = limits.and_then(|node| node.items("`[{ rate: 100/s, per: client }]`"));
    let keys = items.into_iter().flatten();
    keys.filter_map(|limit| {
        let per = limit.at("per")?;
        let name = per.as_text()?.strip_prefix("header:")?;
        Some((name, per))
    })
}
