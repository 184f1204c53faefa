//! `logins`: how browsers log in.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Uri;

use super::{Around, fetch, key_files, oauth_client, quantity, token};
use crate::config::credential_file::{LoginEndpointsFile, LoginFile, LoginSessionFile};
use crate::config::login::{LoginEndpoints, LoginPaths, LoginSpec, SessionTimes};
use crate::config::node::{Field, Node};
use crate::config::problem::shown;
use crate::identity::path::NormalPath;

const SESSION: SessionTimes = SessionTimes {
    idle: Duration::from_secs(30 * 60),
    max: Duration::from_secs(12 * 3_600),
};
const IDLE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3_600);
/// What is shared is kept for a year at most, and nobody stays at a desk for a month.
const MAX_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3_600);
/// Long enough to find one's second factor.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(600);
const LOGIN_TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(3_600);
const TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);
/// Tabs that one opens at once. Each is a cookie of some 300 bytes.
const IN_PROGRESS: usize = 8;
const IN_PROGRESS_MAX: u64 = 16;
/// One that encrypts, one that comes, one that goes.
const KEYS_MAX: usize = 4;
const COOKIE_CHARS_MAX: usize = 48;
const AFTER_LOGOUT_MAX: usize = 16;

/// One entry of `logins`.
pub(super) fn login(node: &Node<'_>, around: &Around<'_>) -> Option<LoginSpec> {
    let file = LoginFile::read(node)?;
    let issuer = file
        .issuer
        .needed("write `issuer: NAME`, an entry of `issuers`", |node| {
            node.reference("issuer", &around.issuers)
        });
    let client = file.client.needed(
        "write `client: NAME`, an entry of `oauth_clients`",
        |node| oauth_client::client(node, around),
    );
    let tls = file.tls.needed(
        "write `tls: { trust: NAME }` or `tls: { ca: FILE }`, on whose word the server is believed",
        |node| fetch::tls(node, around),
    );
    let endpoints = file.endpoints.optional(endpoints);
    let scopes = file.scopes.or(vec!["openid".to_owned()], scopes);
    let paths = paths(&file);
    let root = NormalPath::parse(b"/").ok()?;
    let after_logout = file.after_logout.or(vec![root], after_logout);
    let cookie = file.cookie.or(default_cookie(node), cookie);
    let keys = file.keys.needed(
        "write `keys: [FILE]` with a file of 32 random bytes in base64: `openssl rand -base64 32`",
        |node| key_files(node, around, "`[keys/cookie.key]`", KEYS_MAX),
    );
    let session = file.session.or(SESSION, session);
    let bound_to_certificate = file.bound_to_certificate.or(true, Node::flag);
    let forward_access_token = file.forward_access_token.or(false, Node::flag);
    let in_progress = file.in_progress.or(IN_PROGRESS, |node| {
        node.count::<std::num::NonZeroUsize>(IN_PROGRESS_MAX)
            .map(std::num::NonZeroUsize::get)
    });
    let login_timeout = file.login_timeout.or(LOGIN_TIMEOUT, |node| {
        quantity::duration(node, LOGIN_TIMEOUT_BOUNDS)
    });
    let timeout = file
        .timeout
        .or(TIMEOUT, |node| quantity::duration(node, TIMEOUT_BOUNDS));
    Some(LoginSpec {
        issuer: issuer?,
        client: client?,
        tls: tls?,
        endpoints: endpoints?,
        scopes: scopes?,
        paths: paths?,
        after_logout: after_logout?,
        cookie: cookie?,
        keys: keys?,
        session: session?,
        bound_to_certificate: bound_to_certificate?,
        forward_access_token: forward_access_token?,
        in_progress: in_progress?,
        login_timeout: login_timeout?,
        timeout: timeout?,
    })
}

fn endpoints(node: &Node<'_>) -> Option<LoginEndpoints> {
    let file = LoginEndpointsFile::read(node)?;
    let authorization = file.authorization.needed(
        "write `authorization: https://id.example.com/auth`, where browsers are sent",
        https,
    );
    let token = file.token.needed(
        "write `token: https://id.example.com/token`, where codes become tokens",
        https,
    );
    let end_session = file.end_session.optional(https);
    Some(LoginEndpoints {
        authorization: authorization?,
        token: token?,
        end_session: end_session?,
    })
}

/// An absolute address of an HTTPS server, without user information and fragment.
fn https(node: &Node<'_>) -> Option<Uri> {
    const EXAMPLE: &str = "`https://id.example.com/auth`";
    let text = node.text(EXAMPLE)?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        uri.scheme_str() == Some("https") && host && !text.contains(['#', '@'])
    });
    uri.or_else(|| {
        let what = format!("{} is not an address of an HTTPS server", shown(text));
        node.refuse(what, format!("write it like {EXAMPLE}"))
    })
}

fn scopes(node: &Node<'_>) -> Option<Vec<String>> {
    let scopes = node.some("`[openid]`", token::scope)?;
    if scopes.iter().any(|scope| scope == "openid") {
        return Some(scopes);
    }
    node.refuse(
        "without `openid` it is no login: the server would give no ID token",
        "add `openid` to the list",
    )
}

fn paths(file: &LoginFile<'_>) -> Option<LoginPaths> {
    let callback = file.callback.needed(
        "write `callback: /oauth/callback`, and register `https://HOST/oauth/callback` at the server",
        one_path,
    );
    let logout = file.logout.optional(one_path);
    let back_channel = file.back_channel.optional(one_path);
    let (callback, logout, back_channel) = (callback?, logout?, back_channel?);
    let logged_out = match &logout {
        None => None,
        Some(path) => NormalPath::parse(format!("{path}/done").as_bytes()).ok(),
    };
    let all = [
        (&file.callback, Some(&callback)),
        (&file.logout, logout.as_ref()),
        (&file.logout, logged_out.as_ref()),
        (&file.back_channel, back_channel.as_ref()),
    ];
    let mut known: Vec<&NormalPath> = Vec::new();
    for (key, path) in all {
        let Some(path) = path else { continue };
        if known.contains(&path) {
            return key.written()?.refuse(
                format!("{path} stands for two things"),
                "give `callback`, `logout` (and what is `/done` below it) and `back_channel` paths of their own",
            );
        }
        known.push(path);
    }
    Some(LoginPaths {
        callback,
        logout,
        logged_out,
        back_channel,
    })
}

/// A path in its normal form, not `/` and without a slash at its end.
fn one_path(node: &Node<'_>) -> Option<NormalPath> {
    let text = node.text("`/oauth/callback`")?;
    let path = NormalPath::parse(text.as_bytes()).ok();
    let fits = |path: &NormalPath| path.as_str() == text && !text.ends_with('/');
    path.filter(fits).or_else(|| {
        let what = format!("{} is not a path of its own", shown(text));
        node.refuse(what, "write it like `/oauth/callback`")
    })
}

fn after_logout(node: &Node<'_>) -> Option<Vec<NormalPath>> {
    let paths = node.some("`[/bye]`", |node| {
        let text = node.text("`/bye`")?;
        let path = NormalPath::parse(text.as_bytes()).ok();
        path.filter(|path| path.as_str() == text).or_else(|| {
            let what = format!("{} is not a path in its normal form", shown(text));
            node.refuse(what, "write it like `/bye`, without a host")
        })
    })?;
    if paths.len() > AFTER_LOGOUT_MAX {
        let hint = format!("write at most {AFTER_LOGOUT_MAX}");
        return node.refuse("these are more than anybody goes to", hint);
    }
    Some(paths)
}

/// No dot: behind it stand the parts of a cookie, and other cookies of the same login.
fn default_cookie(node: &Node<'_>) -> String {
    format!("portcullis-{}", node.name().replace('.', "_"))
}

fn cookie(node: &Node<'_>) -> Option<String> {
    let text = node.text("`portcullis-staff`")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if text.len() <= COOKIE_CHARS_MAX && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} cannot be the name of a cookie here", shown(text)),
        format!("write at most {COOKIE_CHARS_MAX} letters, digits, `-` and `_`; `__Host-` is put in front"),
    )
}

fn session(node: &Node<'_>) -> Option<SessionTimes> {
    let file = LoginSessionFile::read(node)?;
    let max = file
        .max
        .or(SESSION.max, |node| quantity::duration(node, MAX_BOUNDS));
    let idle = match max {
        Some(max) => idle(&file.idle, max),
        None => None,
    };
    Some(SessionTimes {
        idle: idle?,
        max: max?,
    })
}

fn idle(field: &Field<'_>, max: Duration) -> Option<Duration> {
    field.or(SESSION.idle.min(max), |node| {
        let idle = quantity::duration(node, IDLE_BOUNDS)?;
        if idle > max {
            let what = "a session would be over before it is idle for so long";
            return node.refuse(what, "write at most as much as `max`");
        }
        Some(idle)
    })
}
