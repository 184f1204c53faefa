//! `routes.NAME.exchange`: whom the client's token is exchanged with, and for what.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::issuer_keys::{NotHttps, https};
use super::{Around, fetch, oauth_client, quantity, token};
use crate::config::exchange::{ExchangeSpec, TokenTypeSpec};
use crate::config::file::ExchangeFile;
use crate::config::node::{Field, Node};
use crate::config::problem::shown;

const TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(2);
const CACHE_BOUNDS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
const CACHE: Duration = Duration::from_secs(300);
const TEXT_CHARS_MAX: usize = 512;

/// One `exchange`. `takes_token`: whether the route wants a token. `others` are the keys beside it, by
/// their names, that open the route without one.
pub(super) fn exchange(
    node: &Node<'_>,
    around: &Around<'_>,
    takes_token: bool,
    others: &[(&str, &Field<'_>)],
) -> Option<ExchangeSpec> {
    if !takes_token {
        return node.refuse_key(
            "the route takes no token, so there is none to exchange",
            "write `token: { issuer: NAME }`, or remove `exchange`",
        );
    }
    if let Some((name, _)) = others.iter().find(|(_, other)| other.written().is_some()) {
        return node.refuse_key(
            format!("who comes by `{name}` has no token to exchange, and would always be refused"),
            format!("write a route of its own for `{name}`, without `exchange`"),
        );
    }
    let file = ExchangeFile::read(node)?;
    let client = file.client.needed(
        "write `client: NAME`, an entry of `oauth_clients`: who we are to the authorization server",
        |node| oauth_client::client(node, around),
    );
    let url = file.url.needed(
        "write `url: https://id.example.com/token`, the token endpoint",
        url,
    );
    let tls = file.tls.needed(
        "write `tls: { trust: NAME }`, or `tls: { ca: FILE }` with public CAs: who may vouch for the server is said, not guessed",
        |node| fetch::tls(node, around),
    );
    let audience = file.audience.optional(|node| text(node, "`orders`"));
    let resource = file
        .resource
        .optional(|node| text(node, "`https://orders.internal`"));
    if file.audience.written().is_none() && file.resource.written().is_none() {
        return node.refuse(
            "nothing says for whom the new token is meant",
            "write `audience: NAME`, or `resource: URL`",
        );
    }
    let scopes = file.scopes.or(Vec::new(), |node| {
        node.some("`[orders:read]`", token::scope)
    });
    let subject_token_type = file
        .subject_token_type
        .or(TokenTypeSpec::AccessToken, token_type);
    let requested_token_type = file.requested_token_type.optional(token_type);
    let timeout = file
        .timeout
        .or(TIMEOUT, |node| quantity::duration(node, TIMEOUT_BOUNDS));
    let cache = file
        .cache
        .or(CACHE, |node| quantity::duration(node, CACHE_BOUNDS));
    Some(ExchangeSpec {
        client: client?,
        url: url?,
        tls: tls?,
        audience: audience?,
        resource: resource?,
        scopes: scopes?,
        subject_token_type: subject_token_type?,
        requested_token_type: requested_token_type?,
        timeout: timeout?,
        cache: cache?,
    })
}

/// The token endpoint: `https`, with a host and without user information and fragment.
fn url(node: &Node<'_>) -> Option<Uri> {
    const URL: &str = "`https://id.example.com/token`";
    let text = node.text(URL)?;
    match https(text) {
        Ok(url) => Some(url),
        Err(NotHttps::Plain) => node.refuse(
            format!("{} is not https", shown(text)),
            "who reads the exchange has both tokens: name the server by https",
        ),
        // It may have a password in it.
        Err(NotHttps::NoUrl) => node.refuse(
            "this is no URL of a token endpoint, or has a user or a fragment in it",
            format!("write it like {URL}"),
        ),
    }
}

fn token_type(node: &Node<'_>) -> Option<TokenTypeSpec> {
    node.word(&[
        ("access_token", TokenTypeSpec::AccessToken),
        ("jwt", TokenTypeSpec::Jwt),
    ])
}

fn text(node: &Node<'_>, example: &str) -> Option<String> {
    let text = node.text(example)?;
    let fits = text.chars().count() <= TEXT_CHARS_MAX && !text.contains(char::is_control);
    if fits {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} is too long, or has a control character", shown(text)),
        format!("write at most {TEXT_CHARS_MAX} characters, like {example}"),
    )
}
