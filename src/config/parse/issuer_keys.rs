//! `issuers.NAME.keys`: a file, a URL, or what the issuer's metadata say.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;

use super::{Around, fetch, path, quantity};
use crate::config::credential_file::{IssuerKeysFile, RefreshFile};
use crate::config::issuer_keys::{IssuerKeysSpec, KeyTermsSpec, KeysFrom, RemoteKeysSpec};
use crate::config::node::{Field, Node};
use crate::config::problem::shown;

/// The defaults; `docs/config.md` says why each.
const TERMS: KeyTermsSpec = KeyTermsSpec {
    refresh_min: Duration::from_secs(60),
    refresh_max: Duration::from_secs(3_600),
    cool_down: Duration::from_secs(30),
    max_stale: Duration::from_secs(24 * 3_600),
    timeout: Duration::from_secs(5),
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
const REFRESH_BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
const COOL_DOWN_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3_600);
const MAX_STALE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600);
/// A request may wait as long.
const TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(30);

const ONE_OF: &str =
    "write one of `file: pki/jwks.json`, `url: https://id.example.com/jwks` and `discovery: true`";
const URL: &str = "`https://id.example.com/jwks`";

/// One `keys`. `issuer` is that of the same entry, if it is one.
pub(super) fn keys(
    node: &Node<'_>,
    issuer: Option<&str>,
    around: &Around<'_>,
) -> Option<IssuerKeysSpec> {
    if let Some(text) = node.as_text() {
        let what = "a text stands where keys are wanted";
        return node.refuse(what, format!("write `keys: {{ file: {} }}`", shown(text)));
    }
    let file = IssuerKeysFile::read(node)?;
    let places = [&file.file, &file.url, &file.discovery];
    match places.map(|field| field.written()) {
        [Some(at), None, None] => {
            alone(&file)?;
            path(at, around).map(IssuerKeysSpec::File)
        }
        [None, Some(at), None] => remote(&file, url(at).map(KeysFrom::Url), around),
        [None, None, Some(at)] => {
            let from = discovery(at, issuer).map(KeysFrom::Discovery);
            remote(&file, from, around)
        }
        [None, None, None] => node.refuse("nothing says where the keys are", ONE_OF),
        _several => node.refuse("several keys say where the keys are", ONE_OF),
    }
}

/// What goes with keys that are fetched says nothing about a file.
fn alone(file: &IssuerKeysFile<'_>) -> Option<()> {
    let beside = [
        &file.tls,
        &file.refresh,
        &file.cool_down,
        &file.max_stale,
        &file.timeout,
    ];
    match beside.iter().find_map(|field| field.written()) {
        None => Some(()),
        Some(field) => field.refuse_key(
            "this goes with keys that are fetched, and a file is named here",
            "remove it, or write `url` or `discovery` in place of `file`",
        ),
    }
}

fn remote(
    file: &IssuerKeysFile<'_>,
    from: Option<KeysFrom>,
    around: &Around<'_>,
) -> Option<IssuerKeysSpec> {
    let tls = file.tls.needed(
        "write `tls: { trust: NAME }`, or `tls: { ca: FILE }` with public CAs: who may vouch for the issuer is said, not guessed",
        |node| fetch::tls(node, around),
    );
    let terms = terms(file);
    Some(IssuerKeysSpec::Remote(RemoteKeysSpec {
        from: from?,
        tls: tls?,
        terms: terms?,
    }))
}

fn terms(file: &IssuerKeysFile<'_>) -> Option<KeyTermsSpec> {
    let refresh = file
        .refresh
        .or((TERMS.refresh_min, TERMS.refresh_max), refresh);
    let time = |field: &Field<'_>, default, bounds| {
        field.or(default, |node| quantity::duration(node, bounds))
    };
    let cool_down = time(&file.cool_down, TERMS.cool_down, COOL_DOWN_BOUNDS);
    let max_stale = time(&file.max_stale, TERMS.max_stale, MAX_STALE_BOUNDS);
    let timeout = time(&file.timeout, TERMS.timeout, TIMEOUT_BOUNDS);
    let ((refresh_min, refresh_max), max_stale) = (refresh?, max_stale?);
    if max_stale < refresh_max {
        let node = file.max_stale.written().or(file.refresh.written())?;
        return node.refuse(
            "keys would be too old before they are fetched again",
            "write a `max_stale` that is not shorter than `refresh.max`",
        );
    }
    Some(KeyTermsSpec {
        refresh_min,
        refresh_max,
        cool_down: cool_down?,
        max_stale,
        timeout: timeout?,
    })
}

fn refresh(node: &Node<'_>) -> Option<(Duration, Duration)> {
    let file = RefreshFile::read(node)?;
    let bound = |field: &Field<'_>, default| {
        field.or(default, |node| quantity::duration(node, REFRESH_BOUNDS))
    };
    let (min, max) = (
        bound(&file.min, TERMS.refresh_min),
        bound(&file.max, TERMS.refresh_max),
    );
    let (min, max) = (min?, max?);
    if min > max {
        return node.refuse(
            "`min` is longer than `max`",
            "write the shorter time as `min`; what is not written is 1m and 1h",
        );
    }
    Some((min, max))
}

/// `https`, with a host and without user information and fragment.
fn url(node: &Node<'_>) -> Option<Uri> {
    let text = node.text(URL)?;
    if text.contains('@') {
        // It may have a password in it.
        return node.refuse(
            "the URL of keys has no user in it",
            format!("write it like {URL}"),
        );
    }
    match https(text) {
        Ok(url) => Some(url),
        Err(NotHttps::Plain) => node.refuse(
            format!("{} is not https", shown(text)),
            "who could change the keys on their way could sign tokens: name them by https",
        ),
        Err(NotHttps::NoUrl) => node.refuse(
            format!("{} is no URL of keys", shown(text)),
            format!("write it like {URL}"),
        ),
    }
}

/// Why a text is no address that is asked over HTTPS.
pub(super) enum NotHttps {
    Plain,
    NoUrl,
}

/// An address that is asked over HTTPS.
pub(super) fn https(text: &str) -> Result<Uri, NotHttps> {
    let url: Uri = text.parse().map_err(|_no_url| NotHttps::NoUrl)?;
    let host = url.host().filter(|host| !host.is_empty());
    if host.is_none() || text.contains(['#', '@']) {
        return Err(NotHttps::NoUrl);
    }
    match url.scheme_str() {
        Some("https") => Ok(url),
        Some(_) | None => Err(NotHttps::Plain),
    }
}

/// Where the metadata may be: where it is written, or where the issuer's name puts it.
fn discovery(node: &Node<'_>, issuer: Option<&str>) -> Option<Vec<Uri>> {
    if node.as_text().is_some() {
        return url(node).map(|url| vec![url]);
    }
    if !node.flag()? {
        return node.refuse("keys that are not discovered are elsewhere", ONE_OF);
    }
    let known = issuer?; // what is wrong with it was said there
    match well_known(known) {
        Some(urls) => Some(urls),
        None => node.refuse(
            format!("the issuer {} is no https URL without a query", shown(known)),
            "only such an issuer says where its metadata is: write the URL of the metadata as `discovery:`, or that of the keys as `url:`",
        ),
    }
}

/// First what nearly every issuer has, also those that are no OpenID providers: the path of OpenID
/// Connect Discovery 1.0, section 4, behind the issuer; then that of RFC 8414, section 3, before the
/// issuer's path, for authorization servers that know nothing of OpenID Connect.
fn well_known(issuer: &str) -> Option<Vec<Uri>> {
    let issuer = https(issuer).ok().filter(|url| url.query().is_none())?;
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut parts = issuer.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    };
    Some(vec![
        at(format!("{path}/.well-known/openid-configuration"))?,
        at(format!("/.well-known/oauth-authorization-server{path}"))?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_put_it() {
        let cases = [
            (
                "https://id.example.com",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com/",
                "https://id.example.com/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server",
            ),
            (
                "https://id.example.com:8443/realms/shop",
                "https://id.example.com:8443/realms/shop/.well-known/openid-configuration",
                "https://id.example.com:8443/.well-known/oauth-authorization-server/realms/shop",
            ),
            (
                "https://login.example/7f/v2.0/",
                "https://login.example/7f/v2.0/.well-known/openid-configuration",
                "https://login.example/.well-known/oauth-authorization-server/7f/v2.0",
            ),
        ];
        for (issuer, openid, oauth) in cases {
            let urls = well_known(issuer).unwrap();
            let urls: Vec<_> = urls.iter().map(ToString::to_string).collect();
            assert_eq!(urls, [openid, oauth], "{issuer}");
        }
        for issuer in [
            "http://id.example.com",
            "id.example.com",
            "corp",
            "https://",
            "https://id.example.com/?a=b",
            "https://id.example.com/#x",
            "https://me@id.example.com/",
            "",
        ] {
            assert!(well_known(issuer).is_none(), "{issuer}");
        }
    }
}
