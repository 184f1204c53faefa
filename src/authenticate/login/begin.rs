//! Sending a browser to log in.

use bytes::Bytes;
use http::header::{ACCEPT, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::pending::Pending;
use super::query::with_query;
use super::{Login, cookies};
use crate::authenticate::authenticator::{Asked, Authenticated};
use crate::authenticate::told::{Reply, Shown, Told};
use crate::observe::LoginResult;
use crate::refusal::Refusal;

/// RFC 9110, section 11.6.1, asks for one; a script that reads it knows what is missing.
const CHALLENGE: &str = "Cookie realm=\"api\"";

impl Login {
    /// Sends a browser that goes somewhere to the server, and tells everybody else that there is no
    /// session. One that is no good is removed.
    pub(in crate::authenticate) async fn begin(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Authenticated, Refusal> {
        told.shown = shown(asked.headers);
        told.login.get_or_insert_with(|| self.at_login());
        told.fields
            .extend(self.cookies.remove_session(asked.headers));
        if !goes_somewhere(asked) {
            told.challenge = Some(CHALLENGE.to_owned());
            return Err(Refusal::LoginRequired);
        }
        let sent = self.send(asked, told).await;
        self.count(&sent, LoginResult::Begun);
        Ok(Authenticated::Reply(Box::new(sent?)))
    }

    async fn send(&self, asked: &Asked<'_>, told: &mut Told) -> Result<Reply, Refusal> {
        let endpoints = self.endpoints().await?;
        let certificate = self.certificate(asked);
        let pending = Pending::begin(asked.path, asked.query, certificate, asked.now);
        let pending = pending.ok_or(Refusal::Internal)?;
        let purpose = self.purpose("login", asked);
        let sealed = self.parts.seals.seal(&purpose, &pending.to_text());
        let name = self.cookies.pending(&pending.state);
        let (sealed, name) = sealed.zip(name).ok_or(Refusal::Internal)?;
        told.fields.extend(self.remove_surplus(asked));
        let seconds = self.spec.login_timeout.as_secs();
        told.fields
            .extend(cookies::set(&name, &sealed, Some(seconds)));
        let scope = self.spec.scopes.join(" ");
        let callback = Self::own_address(asked, &self.spec.paths.callback);
        let address = with_query(
            &endpoints.urls.authorization,
            &[
                ("response_type", "code"),
                ("client_id", self.parts.client.client_id()),
                ("redirect_uri", &callback),
                ("scope", &scope),
                ("state", &pending.state),
                ("nonce", &pending.nonce),
                ("code_challenge", &pending.challenge()),
                ("code_challenge_method", "S256"),
            ],
        );
        redirect(&address)
    }

    /// Removes logins under way that are over, are not ours, or are more than one browser may have,
    /// the oldest first.
    fn remove_surplus(&self, asked: &Asked<'_>) -> Vec<(http::HeaderName, HeaderValue)> {
        let purpose = self.purpose("login", asked);
        let mut good = Vec::new();
        let mut surplus = Vec::new();
        for (name, sealed) in self.cookies.all_pending(asked.headers) {
            let text = self.parts.seals.open(&purpose, sealed);
            match text.as_deref().and_then(Pending::of_text) {
                Some(pending) if self.is_under_way(&pending, asked.now) => {
                    good.push((pending.begun, name, sealed.len()));
                }
                Some(_) | None => surplus.push(name),
            }
        }
        good.sort_unstable();
        let mut count = self.spec.in_progress.saturating_sub(1);
        let mut bytes = PENDING_BYTES_MAX;
        for (_, name, length) in good.into_iter().rev() {
            match (count.checked_sub(1), bytes.checked_sub(length)) {
                (Some(one_less), Some(left)) => (count, bytes) = (one_less, left),
                (None, _) | (_, None) => surplus.push(name),
            }
        }
        surplus.into_iter().filter_map(cookies::remove).collect()
    }

    /// Whether a login began a short while ago.
    pub(super) fn is_under_way(&self, pending: &Pending, now: u64) -> bool {
        let ends = pending
            .begun
            .saturating_add(self.spec.login_timeout.as_secs());
        pending.begun <= now.saturating_add(self.leeway()) && now < ends
    }
}

/// What logins under way may take of the header fields of a browser, beside the one that begins: with the
/// longest session there is room left in the 32 KiB that a listener takes.
const PENDING_BYTES_MAX: usize = 12 * 1024;

/// Whether a browser goes somewhere with its address bar, and would show a page. A script cannot
/// follow a login, and would only begin it.
fn goes_somewhere(asked: &Asked<'_>) -> bool {
    let is = |name: &str, wanted: &str| match one(asked.headers, name) {
        Ok(None) => true, // an older browser does not say
        Ok(Some(value)) => value.eq_ignore_ascii_case(wanted),
        Err(Twice) => false,
    };
    asked.method == Method::GET
        && takes_html(asked.headers)
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document")
        && !is_ahead_of_time(asked.headers)
        && !asked.headers.contains_key("x-requested-with")
        && !asked.headers.contains_key(http::header::UPGRADE)
}

/// Whether a browser asks before its user does, in case he will (HTML, section 7.6): nobody goes
/// anywhere, and nothing is meant to happen.
pub(super) fn is_ahead_of_time(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-purpose") || headers.contains_key("purpose")
}

/// A person reads what a browser asks for as a page.
pub(super) fn shown(headers: &HeaderMap) -> Shown {
    match takes_html(headers) {
        true => Shown::Page,
        false => Shown::Problem,
    }
}

fn takes_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut ranges = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    ranges.any(|range| {
        let bare = range.split(|byte| *byte == b';').next().unwrap_or_default();
        bare.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

/// A field stands there twice.
pub(super) struct Twice;

/// The value of a field that stands there once at most; what is no text is empty.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Twice> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Twice),
        (value, None) => Ok(value.map(|value| value.to_str().unwrap_or_default())),
    }
}

/// An answer that sends a browser elsewhere, to GET.
pub(super) fn redirect(address: &str) -> Result<Reply, Refusal> {
    let address = HeaderValue::try_from(address).map_err(|_not_ascii| Refusal::Internal)?;
    let referrer = HeaderValue::from_static("no-referrer");
    Ok(Reply {
        status: StatusCode::SEE_OTHER,
        fields: vec![
            (LOCATION, address),
            (http::header::REFERRER_POLICY, referrer),
        ],
        body: Bytes::new(),
    })
}
