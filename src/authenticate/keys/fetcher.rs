//! [`Fetcher`]: asks one issuer for its keys, once: first for its metadata, if they say where the keys
//! are, then for the keys.
//!
//! Only an answer with the status 200 is read. Redirects are never followed, not even to the same
//! host: where the keys are, the operator or the verified metadata says.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, StatusCode, Uri};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::freshness::lifetime;
use super::metadata::{METADATA_BYTES_MAX, jwks_uri};
use crate::authenticate::jwks::{FILE_BYTES_MAX, JwksError, KeySet};
use crate::config::issuer_keys::{KeysFrom, RemoteKeysSpec};
use crate::config::spec::{IssuerSpec, SignatureAlgorithm};
use crate::fetch::{Answer, Bounds, Client, FetchError};
use crate::observe::KeysFetchResult;

/// Asks one issuer.
#[derive(Debug)]
pub(super) struct Fetcher {
    issuer: String,
    from: KeysFrom,
    algorithms: Vec<SignatureAlgorithm>,
    client: Arc<Client>,
    lifetimes: RangeInclusive<Duration>,
    timeout: Duration,
}

/// What an issuer has published.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    /// For how long it may be kept.
    pub(super) lifetime: Duration,
}

/// Why there is nothing to use.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) result: KeysFetchResult,
    /// What is wrong, in one line.
    pub(super) what: String,
    /// What to do.
    pub(super) hint: &'static str,
}

/// How much of an address is shown.
const SHOWN_CHARS_MAX: usize = 256;

impl Fetcher {
    pub(super) fn new(issuer: &IssuerSpec, remote: &RemoteKeysSpec, client: Arc<Client>) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            from: remote.from.clone(),
            algorithms: issuer.algorithms.clone(),
            client,
            lifetimes: remote.terms.refresh_min..=remote.terms.refresh_max,
            timeout: remote.terms.timeout,
        }
    }

    /// How long [`Self::fetch`] may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks for the keys. `form` is which of the forms of discovery was the right one the last time.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) async fn fetch(&self, form: &mut usize) -> Result<Fetched, Failure> {
        let fetched = timeout(self.timeout, self.exchange(form)).await;
        fetched.unwrap_or_else(|_elapsed| {
            let what = format!("no whole answer within {:?}", self.timeout);
            Err(Failure::unreachable(what))
        })
    }

    async fn exchange(&self, form: &mut usize) -> Result<Fetched, Failure> {
        let url = match &self.from {
            KeysFrom::Url(url) => url.clone(),
            KeysFrom::Discovery(forms) => self.discover(forms, form).await?,
        };
        let answer = self.ask(&url, FILE_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(Failure::status(&url, answer.status));
        }
        let lifetime = lifetime(&answer.headers, OffsetDateTime::now_utc(), &self.lifetimes);
        match KeySet::read(&answer.body, &self.algorithms) {
            Ok(keys) => Ok(Fetched { keys, lifetime }),
            Err(error) => Err(Failure::keys(&url, &error)),
        }
    }

    /// Where the metadata say that the keys are. Another form is tried only where one is not there
    /// (404, 410): an issuer that is down, or says something that is not believed, is not asked in
    /// another way.
    async fn discover(&self, forms: &[Uri], form: &mut usize) -> Result<Uri, Failure> {
        let mut missing = None;
        for step in 0..forms.len() {
            let place = (*form + step) % forms.len();
            let Some(url) = forms.get(place) else { break };
            let answer = self.ask(url, METADATA_BYTES_MAX).await?;
            match answer.status {
                StatusCode::OK => {
                    *form = place;
                    return jwks_uri(&answer.body, &self.issuer)
                        .map_err(|error| Failure::refused(url, &error, METADATA_HINT));
                }
                StatusCode::NOT_FOUND | StatusCode::GONE => {
                    missing = Some(Failure::status(url, answer.status));
                }
                other => return Err(Failure::status(url, other)),
            }
        }
        Err(missing.unwrap_or_else(|| Failure::unreachable("no metadata is known of".to_owned())))
    }

    async fn ask(&self, url: &Uri, body: usize) -> Result<Answer, Failure> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.clone();
        let accept = HeaderValue::from_static("application/json, application/jwk-set+json");
        request.headers_mut().insert(ACCEPT, accept);
        let bounds = Bounds {
            time: self.timeout,
            body,
        };
        let answer = self.client.ask(request, &bounds).await;
        answer.map_err(|error| match error {
            FetchError::Body { .. } | FetchError::NotHttps => {
                Failure::refused(url, &error, "look at what the issuer serves there")
            }
            FetchError::NoKeyMaterial
            | FetchError::NotReached(_)
            | FetchError::Failed(_)
            | FetchError::TooSlow(_) => Failure::unreachable(format!("{}: {error}", shown(url))),
        })
    }
}

const METADATA_HINT: &str = "`issuer` in the configuration is what the metadata say, byte by byte; else write `discovery:` with the URL of this issuer's own, or `url:`";

impl Failure {
    fn unreachable(what: String) -> Self {
        Self {
            result: KeysFetchResult::Unreachable,
            what,
            hint: "is the issuer up, can it be reached from here, and does `tls` say who vouches for it?",
        }
    }

    fn refused(url: &Uri, error: &dyn Display, hint: &'static str) -> Self {
        Self {
            result: KeysFetchResult::Refused,
            what: format!("{}: {error}", shown(url)),
            hint,
        }
    }

    fn status(url: &Uri, status: StatusCode) -> Self {
        let answered = format!("it answered {}", status.as_u16());
        if status.is_redirection() {
            let hint = "redirects are not followed: write the URL that they lead to";
            return Self::refused(url, &answered, hint);
        }
        let overloaded = status == StatusCode::TOO_MANY_REQUESTS;
        if status.is_server_error() || overloaded {
            return Self::unreachable(format!("{}: {answered}", shown(url)));
        }
        Self::refused(url, &answered, "is this the right URL?")
    }

    fn keys(url: &Uri, error: &JwksError) -> Self {
        let none = matches!(error, JwksError::NoUsableKey(_));
        Self {
            result: match none {
                true => KeysFetchResult::NoKeys,
                false => KeysFetchResult::Refused,
            },
            ..Self::refused(
                url,
                error,
                "have the issuer publish public keys for the `algorithms` of the configuration, each with a `kid` of its own",
            )
        }
    }
}

fn shown(url: &Uri) -> String {
    url.to_string().chars().take(SHOWN_CHARS_MAX).collect()
}
