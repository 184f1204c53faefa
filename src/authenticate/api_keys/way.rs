//! [`ApiKeys`]: the API keys that one route takes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::key::ApiKey;
use super::list::KeyList;
use crate::authenticate::authenticator::Asked;
use crate::authenticate::carried::Shown;
use crate::authenticate::told::Told;
use crate::config::api_keys::WantedKey;
use crate::config::token::Carrier;
use crate::detail::Detail;
use crate::identity::name::Name;
use crate::identity::scopes::Scopes;
use crate::identity::subject::{Credential, Subject};
use crate::observe::ApiKeyMetrics;
use crate::refusal::Refusal;
use crate::trust::Source;

/// The API keys that one route takes.
#[derive(Debug)]
pub struct ApiKeys {
    list: Name,
    /// The list of now: a key that was taken out of the file is refused from the next request on.
    source: Arc<Source<KeyList>>,
    carriers: [Carrier; 1],
    metrics: Arc<ApiKeyMetrics>,
}

impl ApiKeys {
    /// Keys of the list that `source` gives.
    #[must_use]
    pub fn new(
        wanted: &WantedKey,
        source: Arc<Source<KeyList>>,
        metrics: Arc<ApiKeyMetrics>,
    ) -> Self {
        Self {
            list: wanted.list.clone(),
            source,
            carriers: [Carrier::Header(wanted.header.clone())],
            metrics,
        }
    }

    /// Where a key stands in a request.
    pub(in crate::authenticate) const fn carriers(&self) -> &[Carrier] {
        &self.carriers
    }

    /// That there is no key, where one is wanted.
    pub(in crate::authenticate) fn missing(&self, told: &mut Told) -> Refusal {
        self.metrics.refused(Refusal::ApiKeyMissing);
        told.challenge = Some(self.challenge());
        Refusal::ApiKeyMissing
    }

    /// Whom the key speaks for that a request shows.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(in crate::authenticate) fn check(
        &self,
        shown: &Shown<'_>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        let checked = self.look(shown, asked, told);
        match &checked {
            Ok(_subject) => self.metrics.used(),
            Err(refusal) => {
                self.metrics.refused(*refusal);
                told.challenge = Some(self.challenge());
            }
        }
        checked
    }

    fn look(
        &self,
        shown: &Shown<'_>,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Arc<Subject>, Refusal> {
        let (_scheme, text) = shown.token().map_err(|_empty| Refusal::ApiKeyMissing)?;
        let Some(key) = ApiKey::parse(text) else {
            told.detail = Some(Detail::new("not of the form of an API key"));
            return Err(Refusal::ApiKeyUnknown);
        };
        told.api_key = Some(key.id());
        let list = self.source.current().ok_or(Refusal::ApiKeyUnknown)?;
        let checked = list.check(&key, asked.peer, asked.now);
        if checked.is_err() {
            let (detail, whose) = list.explain(&key, asked.now);
            told.detail = Some(detail);
            told.whose = whose.map(Box::new);
        }
        checked
    }

    /// RFC 9110, section 15.5.2, wants a challenge with each 401. No scheme for such keys is
    /// registered: this one has a name that none is.
    pub(in crate::authenticate) fn challenge(&self) -> String {
        let [carrier] = &self.carriers;
        format!("ApiKey in=\"{carrier}\"")
    }

    /// An owner with these claims, as a rehearsal has it: `sub` and `scope` are what they are in a
    /// token.
    pub(in crate::authenticate) fn rehearse(&self, claims: &Map<String, Value>) -> Arc<Subject> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let mut all = claims.clone();
        let owner: Arc<str> = text("sub").unwrap_or("rehearsed").into();
        all.insert("sub".to_owned(), json!(&*owner));
        Arc::new(Subject {
            credential: Credential::ApiKey,
            issuer: self.list.clone(),
            sub: Some(owner),
            scopes: Scopes::of(text("scope").unwrap_or_default().split(' ')),
            claims: all.into(),
            expires: u64::MAX,
        })
    }
}
