//! The fields of one route that carry credentials: no condition of the route, no counter and no rule is
//! made of them. A rule does not see them, so that one which asks whether they are there holds for everybody. A secret would stand in the configuration, or whoever guesses one would count for its owner.

use std::borrow::Cow;

use crate::config::api_keys::WantedKey;
use crate::config::file::RouteFile;
use crate::config::node::Node;
use crate::config::policy::{PolicySpec, RuleAsks};
use crate::config::spec::TokenSpec;
use crate::config::token::Carrier;
use crate::config::tree::Value;
use crate::identity::fields::folded;

/// Refuses `match.headers`, `limits` and `policy` of a route that name a field with a credential of its own.
/// `Authorization` and `Cookie`, which are that on every route, are refused where they are read.
pub(super) fn apart(
    file: &RouteFile<'_>,
    token: Option<&TokenSpec>,
    key: Option<&WantedKey>,
    policy: Option<&PolicySpec>,
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
    for (index, rule) in policy
        .iter()
        .flat_map(|policy| policy.rules.iter().enumerate())
    {
        let RuleAsks::Cel(expression) = &rule.asks else {
            continue;
        };
        let named = expression
            .fields()
            .iter()
            .find(|name| is_secret(name.as_str()));
        if let (Some(name), Some(node)) = (named, rule_at(file, index)) {
            apart = node.refuse(
                format!("`{name}` carries a credential of this route, and no rule sees it"),
                "ask what was shown with `token.credential`, and for whom with `token.sub`",
            );
        }
    }
    apart
}

/// The expression of one of the rules.
fn rule_at<'a>(file: &RouteFile<'a>, index: usize) -> Option<Node<'a>> {
    let rules = file.policy.written()?;
    let rules = rules.items("`[{ name: own-tenant, cel: \"..\" }]`")?;
    rules.get(index)?.at("cel")
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
