//! `shared_state`: what several gateways share, and through which store.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, fetch, path, quantity, web};
use crate::config::credential_file::{RedisFile, SharedStateFile};
use crate::config::fetch::FetchTlsSpec;
use crate::config::node::{Field, Node};
use crate::config::problem::shown;
use crate::config::shared_state::{StoreSpec, WhenAway};
use crate::config::spec::EndpointSpec;

/// Twenty times what a store in the same data centre takes; each request that needs it waits as long.
const TIMEOUT: Duration = Duration::from_millis(100);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(10);
const PREFIX: &str = "portcullis:";
const PREFIX_CHARS_MAX: usize = 64;
const ENDPOINTS_MAX: usize = 64;
const USERNAME_CHARS_MAX: usize = 256;

const TLS: &str = "write `tls: { trust: NAME }` or `tls: { ca: FILE }`, or `tls: none` if the way to \
     it is safe otherwise";
const AWAY: &str = "write `when_away: refuse`, or `when_away: local` if each gateway may then decide by \
     what it has seen itself";

/// The section.
pub(super) fn store(field: &Field<'_>, around: &Around<'_>) -> Option<StoreSpec> {
    field.or_go_on(None, |node| section(node, around).map(Some))
}

fn section(node: &Node<'_>, around: &Around<'_>) -> Option<StoreSpec> {
    let file = SharedStateFile::read(node)?;
    file.redis.needed(
        "write `redis: { endpoints: [\"redis.internal:6379\"], tls: { trust: NAME }, when_away: refuse }`",
        |node| redis(node, around),
    )
}

fn redis(node: &Node<'_>, around: &Around<'_>) -> Option<StoreSpec> {
    let file = RedisFile::read(node)?;
    let cluster = file.cluster.or(false, Node::flag);
    let endpoints = file
        .endpoints
        .needed("write `endpoints: [\"redis.internal:6379\"]`", |node| {
            endpoints(node, cluster != Some(false))
        });
    let password_file = file.password_file.optional(|node| path(node, around));
    let username = username(&file.username, &file.password_file);
    let timeout = file
        .timeout
        .or(TIMEOUT, |node| quantity::duration(node, TIMEOUT_BOUNDS));
    let prefix = file.prefix.or(PREFIX.to_owned(), prefix);
    let tls = file
        .tls
        .needed(&format!("say how it is spoken to: {TLS}"), |node| {
            tls(node, around)
        });
    let when_away = file
        .when_away
        .needed(&format!("say what happens without it: {AWAY}"), |node| {
            node.word(&[("refuse", WhenAway::Refuse), ("local", WhenAway::Local)])
        });
    Some(StoreSpec {
        endpoints: endpoints?,
        cluster: cluster?,
        username: username?,
        password_file: password_file?,
        timeout: timeout?,
        prefix: prefix?,
        tls: tls?,
        when_away: when_away?,
    })
}

fn endpoints(node: &Node<'_>, several: bool) -> Option<Vec<EndpointSpec>> {
    let mut seen = HashSet::new();
    let endpoints = node.some("`[\"redis.internal:6379\"]`", |node| {
        let endpoint = web::endpoint(node)?;
        if seen.insert(endpoint.clone()) {
            return Some(endpoint);
        }
        node.refuse("this endpoint stands twice", "keep one of them")
    })?;
    if endpoints.len() > 1 && !several {
        return node.refuse(
            "several stores that know nothing of each other share nothing",
            "write one, or `cluster: true` if they are nodes of one cluster",
        );
    }
    if endpoints.len() > ENDPOINTS_MAX {
        return node.refuse(
            format!(
                "{} endpoints are more than are needed to find a cluster",
                endpoints.len()
            ),
            format!("write at most {ENDPOINTS_MAX}"),
        );
    }
    Some(endpoints)
}

fn username(field: &Field<'_>, password: &Field<'_>) -> Option<Option<String>> {
    field.optional(|node| {
        let text = node.text("`portcullis`")?;
        if text.chars().count() > USERNAME_CHARS_MAX || text.contains(char::is_control) {
            return node.refuse(
                format!("{} is no name of a user", shown(text)),
                format!("write at most {USERNAME_CHARS_MAX} characters, like `portcullis`"),
            );
        }
        if password.written().is_none() {
            return node.refuse(
                "a user stands here without a password",
                "write `password_file:` with the path of a file that holds it",
            );
        }
        Some(text.to_owned())
    })
}

/// Braces would put all names into one slot of a cluster.
fn prefix(node: &Node<'_>) -> Option<String> {
    let text = node.text("`\"portcullis:\"`")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_./".contains(&b);
    if text.len() <= PREFIX_CHARS_MAX && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} cannot begin the names of entries", shown(text)),
        format!(
            "write at most {PREFIX_CHARS_MAX} letters, digits and `:-_./`, like `\"shop:gateway:\"`"
        ),
    )
}

fn tls(node: &Node<'_>, around: &Around<'_>) -> Option<Option<FetchTlsSpec>> {
    if node.is("none") {
        return Some(None);
    }
    if let Some(text) = node.as_text() {
        let what = format!(
            "{} is neither `none` nor whose word is believed",
            shown(text)
        );
        return node.refuse(what, TLS);
    }
    fetch::tls(node, around).map(Some)
}
