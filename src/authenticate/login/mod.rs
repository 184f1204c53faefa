//! OpenID Connect login for browsers: the authorization code flow with PKCE (RFC 6749, RFC 7636, OpenID
//! Connect Core), as a confidential client.
//!
//! The gateway keeps nothing of a browser. A login under way (`pending`) and a session (`session`)
//! stand in cookies that only the gateway can read (`seal`, `cookies`); what cannot stand there,
//! that a session was ended before its time (`ended`), is shared by all gateways. A browser is sent
//! away (`begin`), comes back with a code (`callback`) that becomes tokens (`tokens`), of which the ID
//! token says who it is (`id_token`). Each request shows its session (`found`). Tokens are renewed once however many ask (`refresh`, `renew`), and
//! a session ends by the user or by the server (`logout`, `logout_token`).

mod begin;
mod callback;
mod cookies;
mod ended;
mod endpoints;
mod found;
mod id_token;
mod logout;
mod logout_token;
mod pending;
mod query;
mod refresh;
mod renew;
mod seal;
mod session;
mod tokens;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::authenticator::{Asked, Authenticated};
use super::issuer::Issuer;
use super::told::{AtLogin, Reply, Told};
use crate::complaints::Complaints;
use crate::config::login::LoginSpec;
use crate::config::token::Carrier;
use crate::fetch;
use crate::identity::host::Authority;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;
use crate::identity::subject::Subject;
use crate::oauth;
use crate::oauth::places::Places;
use crate::observe::{LoginMetrics, LoginResult};
use crate::refusal::Refusal;
use crate::shared_state::SharedState;
use cookies::Cookies;
use ended::EndedSessions;
use endpoints::{Discovered, Endpoints};
use id_token::Wrong;
use refresh::Refreshes;
use session::Session;

pub use cookies::OwnCookies;
pub use logout::BODY_BYTES_MAX;
pub use seal::{InvalidSealKey, SealKey, Seals};

/// One entry of `logins`, compiled.
pub struct Login {
    name: Name,
    spec: LoginSpec,
    issuer: Arc<Issuer>,
    cookies: Cookies,
    carrier: Carrier,
    parts: LoginParts,
    written: Option<Arc<Endpoints>>,
    /// The longest `session.max` since the process began: sessions of then may be there yet.
    longest: Duration,
    kept: Arc<Kept>,
}

/// What a [`Login`] works with.
#[derive(Debug)]
pub struct LoginParts {
    /// Asks the server as our client.
    pub client: Arc<oauth::client::Client>,
    /// Asks the server for its metadata.
    pub http: Arc<fetch::Client>,
    /// The keys of its cookies.
    pub seals: Seals,
    /// Where ended sessions are known.
    pub shared: Arc<SharedState>,
    /// Its counters.
    pub metrics: Arc<LoginMetrics>,
}

/// What outlives reloads that do not touch the login.
#[derive(Debug)]
struct Kept {
    discovered: Discovered,
    refreshes: Refreshes,
    /// The places of those who ask for tokens.
    places: Arc<Places>,
    complaints: Complaints<Wrong>,
}

/// Questions for tokens under way: people log in by the hundred each second at a server that answers at
/// once, and one that is slow is not buried. A client has half of them.
const ASKING_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// A path that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPlace {
    /// A browser comes back with a code.
    Callback,
    /// A user logs out.
    Logout,
    /// A browser comes back after it logged out at the server.
    LoggedOut,
    /// The server tells that a session ended.
    BackChannel,
}

impl Login {
    /// `previous` is the login of the same name in the snapshot before, if there is one.
    #[must_use]
    pub fn new(
        name: &Name,
        spec: &LoginSpec,
        issuer: Arc<Issuer>,
        parts: LoginParts,
        previous: Option<&Self>,
    ) -> Self {
        let same = previous.filter(|before| {
            before.spec == *spec && before.issuer_text() == issuer.spec().issuer.as_str()
        });
        let written = spec.endpoints.as_ref().map(|urls| {
            Arc::new(Endpoints {
                urls: urls.clone(),
                says_issuer: false,
            })
        });
        let before = previous.map_or(Duration::ZERO, |before| before.longest);
        Self {
            name: name.clone(),
            spec: spec.clone(),
            longest: before.max(spec.session.max),
            issuer,
            carrier: Carrier::Cookie(Cookies::new(&spec.cookie).session_name().into()),
            cookies: Cookies::new(&spec.cookie),
            parts,
            written,
            kept: same.map_or_else(Arc::default, |before| Arc::clone(&before.kept)),
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What it does at a path itself.
    #[must_use]
    pub fn place(&self, path: &NormalPath) -> Option<LoginPlace> {
        let paths = &self.spec.paths;
        if *path == paths.callback {
            Some(LoginPlace::Callback)
        } else if paths.logout.as_ref() == Some(path) {
            Some(LoginPlace::Logout)
        } else if paths.logged_out.as_ref() == Some(path) {
            Some(LoginPlace::LoggedOut)
        } else if paths.back_channel.as_ref() == Some(path) {
            Some(LoginPlace::BackChannel)
        } else {
            None
        }
    }

    /// The paths that it answers itself.
    pub fn paths(&self) -> impl Iterator<Item = &NormalPath> {
        let paths = &self.spec.paths;
        let others = [&paths.logout, &paths.logged_out, &paths.back_channel];
        let others = others.into_iter().filter_map(Option::as_ref);
        std::iter::once(&paths.callback).chain(others)
    }

    /// Where a session of it stands in a request.
    pub(super) const fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// Finds out whose session a request is of; without one, sends the browser to log in.
    ///
    /// # Errors
    ///
    /// [`Refusal::LoginRequired`] without a good session, if it is not a browser that goes somewhere;
    /// [`Refusal::LoginUnavailable`] if nobody can say whether it is good.
    pub(super) async fn authenticate(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Authenticated, Refusal> {
        told.shown = begin::shown(asked.headers);
        told.login = Some(self.at_login());
        let Some(mut found) = self.found(asked, told) else {
            return self.begin(asked, told).await;
        };
        if self.is_ended(&found, told).await? {
            return self.begin(asked, told).await;
        }
        if self.is_due(&found.session, asked.now) {
            match self.renewed(&found, asked).await? {
                Some(renewed) => found = renewed,
                None => return self.begin(asked, told).await,
            }
        }
        if found.touch {
            found.session.seen = found.session.seen.max(asked.now);
            told.fields.extend(self.set_session(&found.session, asked)?);
        }
        if self.spec.forward_access_token {
            told.forwarded = bearer(&found.session);
        }
        let times = &self.spec.session;
        let subject = found
            .session
            .subject(found.claims, self.issuer.name(), times);
        Ok(Authenticated::As(Arc::new(subject)))
    }

    /// As [`Self::authenticate`], for claims that nobody signed.
    pub(super) fn rehearse(&self, claims: Map<String, Value>, now: u64) -> Arc<Subject> {
        let scope = claims.get("scope").and_then(Value::as_str);
        let scope = scope.map_or_else(|| self.spec.scopes.join(" "), str::to_owned);
        let ends = now.saturating_add(self.spec.session.max.as_secs());
        Arc::new(session::subject(claims, self.issuer.name(), &scope, ends))
    }

    /// Answers a request for one of its own paths, but for [`LoginPlace::BackChannel`], which has a
    /// body: see [`Self::back_channel`].
    ///
    /// # Errors
    ///
    /// What is wrong with the request, or why it cannot be answered now.
    pub async fn answer(
        self: &Arc<Self>,
        place: LoginPlace,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Box<Reply>, Refusal> {
        told.shown = begin::shown(asked.headers);
        match place {
            LoginPlace::Callback => {
                let came = self.callback(asked, told).await;
                self.count(&came, LoginResult::Completed);
                came
            }
            LoginPlace::Logout => {
                let came = self.logout(asked, told).await;
                self.parts.metrics.logged_out(came.is_ok());
                came
            }
            LoginPlace::LoggedOut => self.logged_out(asked, told),
            LoginPlace::BackChannel => Err(Refusal::MethodRefused),
        }
    }

    /// What the access log says of it before more is known.
    #[must_use]
    pub fn at_login(&self) -> AtLogin {
        AtLogin {
            login: self.name.clone(),
            issuer: self.issuer.name().clone(),
            sub: None,
            session: None,
        }
    }

    fn count<T>(&self, came: &Result<T, Refusal>, good: LoginResult) {
        let result = came.as_ref().err().copied();
        let result = result.map_or(good, LoginResult::of);
        self.parts.metrics.login(result);
    }

    fn ended(&self) -> EndedSessions<'_> {
        EndedSessions {
            shared: &self.parts.shared,
            issuer: self.issuer_text(),
            client_id: self.parts.client.client_id(),
            longest: self.longest,
        }
    }

    /// Seals a session into cookies.
    fn set_session(
        &self,
        session: &Session,
        asked: &Asked<'_>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let purpose = self.purpose("session", asked);
        let sealed = self.parts.seals.seal(&purpose, &session.to_text());
        let sealed = sealed.ok_or(Refusal::Internal)?;
        let set = self.cookies.set_session(asked.headers, &sealed);
        set.ok_or(Refusal::SessionTooLarge)
    }

    /// Where the server is asked.
    async fn endpoints(&self) -> Result<Arc<Endpoints>, Refusal> {
        if let Some(written) = &self.written {
            return Ok(Arc::clone(written));
        }
        let issuer = self.issuer_text();
        let discovered = &self.kept.discovered;
        let found = discovered
            .endpoints(issuer, &self.parts.http, self.spec.timeout)
            .await;
        found.map_err(|error| {
            if self.complains("the server cannot be asked") {
                tracing::warn!(login = %self.name, error, "the server for logins cannot be asked");
            }
            Refusal::LoginUnavailable
        })
    }

    /// Whether a complaint of this kind is due: strangers may bring about as many as they like.
    fn complains(&self, kind: Wrong) -> bool {
        self.kept.complaints.is_due(kind, Instant::now())
    }

    /// What a sealed text is good for: this cookie of this login on this host.
    fn purpose(&self, cookie: &str, asked: &Asked<'_>) -> String {
        self.purpose_of(cookie, &asked.authority.host.to_string())
    }

    /// What a sealed text is good for, and for what of it. When the login has another issuer, client or name
    /// for its cookies, what was sealed before is good no more: a code and its verifier are not told
    /// to another server, and a service that got a cookie under its old name has got nothing.
    fn purpose_of(&self, what: &str, which: &str) -> String {
        let client_id = self.parts.client.client_id();
        let (name, cookie) = (self.name.as_str(), &self.spec.cookie);
        let of = [what, which, name, cookie, self.issuer_text(), client_id];
        format!("portcullis {}", json!(of)) // as JSON: none runs into the next
    }

    fn issuer_text(&self) -> &str {
        self.issuer.spec().issuer.as_str()
    }

    fn leeway(&self) -> u64 {
        self.issuer.spec().leeway.as_secs()
    }

    /// An address of ours on the host that was asked.
    fn own_address(asked: &Asked<'_>, path: &NormalPath) -> String {
        format!("{}{path}", origin(asked.authority))
    }
}

/// How browsers write the host of a request: with its port only where that is not the usual one.
fn origin(authority: &Authority) -> String {
    match authority.port {
        None | Some(443) => format!("https://{}", authority.host),
        Some(port) => format!("https://{}:{port}", authority.host),
    }
}

/// The access token as services get it.
fn bearer(session: &Session) -> Option<HeaderValue> {
    let token = session.tokens.access.as_deref()?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// How long something that ends then is to be remembered: a little longer.
fn until(ends: u64, now: u64) -> Duration {
    Duration::from_secs(ends.saturating_sub(now).saturating_add(60))
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            discovered: Discovered::default(),
            refreshes: Refreshes::default(),
            places: Arc::new(Places::new(ASKING_MAX)),
            complaints: Complaints::default(),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
