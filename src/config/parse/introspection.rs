//! `issuers.NAME.introspection`: how an issuer is asked about tokens.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::{Around, fetch, oauth_client, path, quantity};
use crate::config::credential_file::IntrospectionFile;
use crate::config::introspection::{
    AnswerForm, AskedTokens, AudienceRule, IntrospectionSpec, WhenAway,
};
use crate::config::node::{Field, Node};
use crate::config::problem::shown;

/// Whoever is revoked is out after that, and an API is asked often enough for it to pay.
const CACHE: Duration = Duration::from_secs(30);
const CACHE_BOUNDS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
/// Long enough against whoever tries on, and too short for a token that comes a moment later.
const NEGATIVE_CACHE: Duration = Duration::from_secs(5);
const NEGATIVE_CACHE_BOUNDS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
/// A request waits as long.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(30);
/// At 10 ms an answer these are 6,400 tokens a second.
const CONCURRENCY: usize = 64;
const CONCURRENCY_MAX: u64 = 1_024;
/// Longer than a restart of the issuer.
const MAX_STALE: Duration = Duration::from_secs(300);
const MAX_STALE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);

const URL: &str = "`https://id.example.com/introspect`";

/// The section. `has_keys`: whether the issuer has keys too.
pub(super) fn introspection(
    node: &Node<'_>,
    has_keys: bool,
    around: &Around<'_>,
) -> Option<IntrospectionSpec> {
    let file = IntrospectionFile::read(node)?;
    let url = file.url.needed(
        "write `url: https://id.example.com/introspect`, the issuer's `introspection_endpoint`",
        url,
    );
    let tls = file.tls.needed(
        "write `tls: { trust: NAME }` or `tls: { ca: FILE }`: on whose word the issuer is believed",
        |node| fetch::tls(node, around),
    );
    let client = file.client.needed(
        "write `client: NAME`, an entry of `oauth_clients`: an issuer does not answer strangers",
        |node| oauth_client::client(node, around),
    );
    let tokens = tokens(&file.tokens, has_keys);
    let form = file
        .signed
        .or(AnswerForm::Plain, |node| signed(node, has_keys));
    let audience = file.audience.or(AudienceRule::Required, |node| {
        node.word(&[
            ("required", AudienceRule::Required),
            ("when_told", AudienceRule::WhenTold),
        ])
    });
    let duration = |field: &Field<'_>, default, bounds| {
        field.or(default, |node| quantity::duration(node, bounds))
    };
    let cache = duration(&file.cache, CACHE, CACHE_BOUNDS);
    let negative_cache = duration(&file.negative_cache, NEGATIVE_CACHE, NEGATIVE_CACHE_BOUNDS);
    let timeout = duration(&file.timeout, TIMEOUT, TIMEOUT_BOUNDS);
    let concurrency = file
        .concurrency
        .optional(|node| node.count::<NonZeroUsize>(CONCURRENCY_MAX));
    let when_away = when_away(&file);
    let share_key = file.share_key.optional(|node| {
        if around.shares_state {
            return path(node, around);
        }
        node.refuse(
            "there is no `shared_state`, so nobody is told",
            "remove it, or write `shared_state` with the store that several gateways share",
        )
    });
    Some(IntrospectionSpec {
        url: url?,
        tls: tls?,
        client: client?,
        tokens: tokens?,
        form: form?,
        audience: audience?,
        cache: cache?,
        negative_cache: negative_cache?,
        timeout: timeout?,
        concurrency: concurrency?.or(NonZeroUsize::new(CONCURRENCY))?,
        when_away: when_away?,
        share_key: share_key?,
    })
}

fn tokens(field: &Field<'_>, has_keys: bool) -> Option<AskedTokens> {
    if !has_keys {
        return match field.written() {
            None => Some(AskedTokens::All),
            Some(node) => node.refuse(
                "there are no `keys` here, so the issuer is asked about every token",
                "leave it out, or write `keys` to have JWTs verified here",
            ),
        };
    }
    field.or(AskedTokens::Opaque, |node| {
        node.word(&[("opaque", AskedTokens::Opaque), ("all", AskedTokens::All)])
    })
}

fn signed(node: &Node<'_>, has_keys: bool) -> Option<AnswerForm> {
    if !node.flag()? {
        return Some(AnswerForm::Plain);
    }
    if has_keys {
        return Some(AnswerForm::Signed);
    }
    node.refuse(
        "there are no `keys` to verify signed answers with",
        "write `keys` and `algorithms` of the issuer, or leave `signed` out",
    )
}

#[derive(Clone, Copy)]
enum Away {
    Refuse,
    Cached,
}

fn when_away(file: &IntrospectionFile<'_>) -> Option<WhenAway> {
    let word = file.when_away.or(Away::Refuse, |node| {
        node.word(&[("refuse", Away::Refuse), ("cached", Away::Cached)])
    });
    let max_stale = file
        .max_stale
        .optional(|node| quantity::duration(node, MAX_STALE_BOUNDS));
    match (word?, max_stale?) {
        (Away::Refuse, None) => Some(WhenAway::Refuse),
        (Away::Refuse, Some(_)) => file.max_stale.written()?.refuse(
            "no answer of before is used while the issuer is away",
            "remove `max_stale`, or write `when_away: cached`",
        ),
        (Away::Cached, max_stale) => Some(WhenAway::Cached {
            max_stale: max_stale.unwrap_or(MAX_STALE),
        }),
    }
}

fn url(node: &Node<'_>) -> Option<Uri> {
    let text = node.text(URL)?;
    if text.contains('@') {
        // It may have a password in it.
        let what = "the URL of an issuer has no user in it";
        return node.refuse(what, format!("write it like {URL}"));
    }
    let url = text.parse::<Uri>().ok().filter(|url| {
        let host = url.host().is_some_and(|host| !host.is_empty());
        host && !text.contains('#')
    });
    match url {
        Some(url) if url.scheme_str() == Some("https") => Some(url),
        Some(_) => node.refuse(
            format!("{} is not https", shown(text)),
            "tokens and their proof go there: name it by https",
        ),
        None => node.refuse(
            format!("{} is no URL that can be asked", shown(text)),
            format!("write it like {URL}"),
        ),
    }
}
