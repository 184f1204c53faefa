//! What carries a credential of a route besides `Authorization`: a header field, a cookie, a
//! parameter of the query. Each is treated as `Authorization` is.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONNECTION, COOKIE};
use http::{HeaderMap, HeaderValue};
use pingora::http::RequestHeader;

use crate::authenticate::authenticator::Authenticator;
use crate::authenticate::login::OwnCookies;
use crate::config::token::Carrier;
use crate::identity::fields::{folded, has_twin};
use crate::identity::query::{self, is_read_as};
use crate::refusal::Refusal;

/// Whether the fields that may carry a credential of the route are what they seem.
///
/// # Errors
///
/// [`Refusal::HeaderAmbiguous`] if another spelling of such a field is there, which a service may read
/// as that field; [`Refusal::ConnectionNominates`] if `Connection` would take one away.
pub(super) fn check_fields(
    headers: &HeaderMap,
    authenticator: &Authenticator,
) -> Result<(), Refusal> {
    for carrier in authenticator.carriers() {
        let Carrier::Header(name) = carrier else {
            continue; // `Authorization` and `Cookie` are looked at on every route
        };
        let bare = folded(name.as_str());
        if has_twin(headers, name) {
            return Err(Refusal::HeaderAmbiguous);
        }
        let nominated = headers.get_all(CONNECTION).into_iter();
        let mut nominated = nominated.flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let is_it = |text: &[u8]| {
            let text = String::from_utf8_lossy(text.trim_ascii());
            folded(&text) == bare
        };
        if nominated.any(is_it) {
            return Err(Refusal::ConnectionNominates);
        }
    }
    Ok(())
}

/// Takes away all that carried a token, or could have.
pub(super) fn remove(request: &mut RequestHeader, authenticator: &Authenticator) {
    request.remove_header(&AUTHORIZATION);
    request.remove_header("dpop"); // says nothing without the token
    let keys: Vec<&Carrier> = authenticator.key_carriers().collect();
    for carrier in authenticator.carriers().filter(|one| !keys.contains(one)) {
        match carrier {
            Carrier::Authorization | Carrier::Query(_) => {} // gone by now
            Carrier::Header(name) => drop(request.remove_header(name)),
            Carrier::Cookie(name) => remove_cookie(request, name),
        }
    }
}

/// Takes API keys away: they last, and are nobody's but the owner's and ours.
pub(super) fn remove_keys(request: &mut RequestHeader, authenticator: &Authenticator) {
    for carrier in authenticator.key_carriers() {
        if let Carrier::Header(name) = carrier {
            request.remove_header(name);
        }
    }
}

/// Takes one cookie away, and leaves the others as they are. There is at most one field `Cookie` by
/// now.
fn remove_cookie(request: &mut RequestHeader, name: &str) {
    let Some(field) = request.headers.get(COOKIE) else {
        return;
    };
    let left = without_cookie(field.as_bytes(), name);
    if left.is_empty() || request.insert_header(COOKIE, left).is_err() {
        request.remove_header(&COOKIE);
    }
}

fn without_cookie(field: &[u8], name: &str) -> Vec<u8> {
    let is_other = |pair: &&[u8]| {
        let own = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        !is_read_as(own, name)
    };
    let pairs = field.split(|byte| *byte == b';');
    let left: Vec<&[u8]> = pairs.filter(is_other).map(<[u8]>::trim_ascii).collect();
    left.join(&b"; "[..])
}

/// The cookies of a request that are no credentials of ours: neither the gateway's own nor what a token
/// of the route stands in. `None` if there are none.
pub(super) fn foreign_cookies(
    headers: &HeaderMap,
    own: &OwnCookies,
    authenticator: &Authenticator,
) -> Option<Vec<u8>> {
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().collect();
    let crumbs: Vec<_> = crumbs.into_iter().map(HeaderValue::as_bytes).collect();
    let mut left = own.without(&crumbs.join(&b"; "[..]))?;
    for carrier in authenticator.carriers() {
        if let Carrier::Cookie(name) = carrier {
            left = without_cookie(&left, name);
        }
    }
    (!left.is_empty()).then_some(left)
}

/// The query without the parameters that may carry a credential of the route: what stands in a URL
/// stands in logs.
pub(super) fn without_parameters<'q>(
    query: Option<&'q str>,
    authenticator: &Authenticator,
) -> Option<Cow<'q, str>> {
    let mut left = Cow::Borrowed(query?);
    for carrier in authenticator.carriers() {
        if let Carrier::Query(name) = carrier {
            left = Cow::Owned(query::without(&left, name)?);
        }
    }
    Some(left)
}
