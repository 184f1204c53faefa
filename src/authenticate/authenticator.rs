//! [`Authenticator`]: how callers of one route show whom they act for, and what comes of it.
//!
//! A route may take several kinds of credentials. Each is a [`Way`], which says where its credential
//! stands. A request shows exactly one credential, and the way that it stands in decides; none is
//! tried after another.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use serde_json::{Map, Value};

use super::api_keys::ApiKeys;
use super::carried::{self, Shown};
use super::login::Login;
use super::tokens::Tokens;
use super::told::{Reply, Told};
use crate::config::token::Carrier;
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Authority;
use crate::identity::path::NormalPath;
use crate::identity::subject::Subject;
use crate::refusal::Refusal;

/// What one route takes as a proof of whom its caller acts for.
#[derive(Debug, Default)]
pub struct Authenticator {
    ways: Box<[Way]>,
    /// Fields of their own in which credentials stand.
    fields: Box<[HeaderName]>,
}

/// One kind of credential that a route takes.
#[derive(Debug)]
pub enum Way {
    /// A token.
    Tokens(Tokens),
    /// A session of a browser.
    Login(Arc<Login>),
    /// An API key.
    ApiKeys(ApiKeys),
}

/// What is known of a request when it is asked for whom it acts.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// The host, canonical, and the port if one was named.
    pub authority: &'r Authority,
    /// The path in normal form.
    pub path: &'r NormalPath,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The header fields.
    pub headers: &'r HeaderMap,
    /// Whom the connection's certificate names.
    pub peer: Option<&'r PeerIdentity>,
    /// By what limits count the client.
    pub client: &'r str,
    /// Seconds since 1970.
    pub now: u64,
}

/// What came of it.
#[derive(Debug)]
pub enum Authenticated {
    /// The route does not ask: the certificate is enough.
    Anyone,
    /// It acts for this subject.
    As(Arc<Subject>),
    /// The gateway answers by itself, without a refusal: a browser is sent to log in.
    Reply(Box<Reply>),
}

impl Authenticator {
    /// One that takes these; if nothing, the certificate is enough.
    #[must_use]
    pub fn new(ways: Vec<Way>) -> Self {
        let carriers = ways.iter().flat_map(Way::carriers);
        let fields = carriers.filter_map(|carrier| match carrier {
            Carrier::Header(name) => Some(name.clone()),
            Carrier::Authorization | Carrier::Cookie(_) | Carrier::Query(_) => None,
        });
        Self {
            fields: fields.collect(),
            ways: ways.into(),
        }
    }

    /// The fields, beside those that hold credentials on every route, whose values are credentials
    /// here: to be shown to nobody.
    #[must_use]
    pub const fn fields(&self) -> &[HeaderName] {
        &self.fields
    }

    /// Where API keys of this route stand in a request.
    pub fn key_carriers(&self) -> impl Iterator<Item = &Carrier> {
        let ways = self
            .ways
            .iter()
            .filter(|way| matches!(way, Way::ApiKeys(_)));
        ways.flat_map(Way::carriers)
    }

    /// Where credentials of this route stand in a request: what stands there is a secret.
    pub fn carriers(&self) -> impl Iterator<Item = &Carrier> {
        self.ways.iter().flat_map(Way::carriers)
    }

    /// The token that a request shows, if it shows one: to be verified before it is used.
    ///
    /// # Errors
    ///
    /// [`Refusal::CredentialsSeveral`], [`Refusal::TokenMissing`] or [`Refusal::TokenMalformed`].
    pub fn shown_token<'r>(&'r self, asked: &Asked<'r>) -> Result<&'r str, Refusal> {
        let shown = carried::only_one(self.carriers(), asked)?.ok_or(Refusal::TokenMissing)?;
        let (_scheme, token) = shown.token()?;
        str::from_utf8(token).map_err(|_not_ascii| Refusal::TokenMalformed)
    }

    /// Finds out for whom a request acts. What the answer must say, whatever it will be, goes to
    /// `told`.
    ///
    /// # Errors
    ///
    /// [`Refusal::CredentialsSeveral`] if it shows more than one credential; else the first thing that is
    /// wrong with the one that it shows, or why it cannot be checked now.
    pub async fn authenticate(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Authenticated, Refusal> {
        if self.ways.is_empty() {
            return Ok(Authenticated::Anyone);
        }
        // A credential that stands where no way looks for one is none of ours.
        let shown = carried::only_one(self.carriers(), asked)?;
        let shown = shown
            .as_ref()
            .and_then(|shown| Some((self.way_of(shown)?, shown)));
        let Some((way, shown)) = shown else {
            self.ways.iter().for_each(|way| way.announce(told));
            return self.nothing_shown(asked, told).await;
        };
        way.announce(told);
        match way {
            Way::ApiKeys(keys) => keys.check(shown, asked, told).map(Authenticated::As),
            Way::Tokens(tokens) => {
                let verified = tokens.verify(shown, asked, told).await;
                verified.map(Authenticated::As)
            }
            Way::Login(login) => login.authenticate(asked, told).await,
        }
    }

    /// What comes of a request that shows nothing: a route with a login sends browsers there.
    async fn nothing_shown(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Authenticated, Refusal> {
        match self.login() {
            Some(login) => login.begin(asked, told).await,
            None => Err(self.missing(told)),
        }
    }

    /// The login, if the route has one.
    fn login(&self) -> Option<&Arc<Login>> {
        self.ways.iter().find_map(|way| match way {
            Way::Login(login) => Some(login),
            Way::Tokens(_) | Way::ApiKeys(_) => None,
        })
    }

    /// That nothing is shown. A route that takes tokens asks for one, and says that an API key does too.
    fn missing(&self, told: &mut Told) -> Refusal {
        match &*self.ways {
            [Way::ApiKeys(keys)] => keys.missing(told),
            [Way::Login(_)] => Refusal::LoginRequired,
            _ => {
                told.challenge_beside = self.keys().map(ApiKeys::challenge);
                Refusal::TokenMissing
            }
        }
    }

    /// The API keys, if the route takes any.
    fn keys(&self) -> Option<&ApiKeys> {
        self.ways.iter().find_map(|way| match way {
            Way::ApiKeys(keys) => Some(keys),
            Way::Tokens(_) | Way::Login(_) => None,
        })
    }

    /// The way that a credential is shown in. Where two could be meant, the first: `config/` lets no
    /// two of a route stand in one place.
    fn way_of(&self, shown: &Shown<'_>) -> Option<&Way> {
        let mut ways = self.ways.iter();
        ways.find(|way| way.carriers().contains(shown.carrier))
    }

    /// As [`Self::authenticate`], for claims that nobody signed: the rehearsal of `tests:`.
    ///
    /// # Errors
    ///
    /// What [`Self::authenticate`] would refuse a credential with these claims for.
    pub fn rehearse(
        &self,
        claims: Option<&Map<String, Value>>,
        peer: Option<&PeerIdentity>,
        now: u64,
    ) -> Result<Option<Arc<Subject>>, Refusal> {
        if self.ways.is_empty() {
            return Ok(None);
        }
        let Some(claims) = claims else {
            return Err(self.missing(&mut Told::default()));
        };
        // Where tokens are taken, claims are those of a token; else of an ID token, or an owner's.
        let tokens = self.ways.iter().find_map(|way| match way {
            Way::Tokens(tokens) => Some(tokens),
            Way::ApiKeys(_) | Way::Login(_) => None,
        });
        match (tokens, self.login(), self.keys()) {
            (Some(tokens), _, _) => tokens.rehearse(claims, peer, now).map(Some),
            (None, Some(login), _) => Ok(Some(login.rehearse(claims.clone(), now))),
            (None, None, Some(keys)) => Ok(Some(keys.rehearse(claims))),
            (None, None, None) => Err(Refusal::TokenMissing),
        }
    }
}

impl Way {
    /// Notes what a refusal will tell of how this credential is shown.
    fn announce(&self, told: &mut Told) {
        match self {
            Self::Tokens(tokens) => tokens.announce(told),
            Self::Login(_) | Self::ApiKeys(_) => {}
        }
    }

    /// Where its credential stands in a request.
    fn carriers(&self) -> &[Carrier] {
        match self {
            Self::Tokens(tokens) => tokens.carriers(),
            Self::Login(login) => std::slice::from_ref(login.carrier()),
            Self::ApiKeys(keys) => keys.carriers(),
        }
    }
}
