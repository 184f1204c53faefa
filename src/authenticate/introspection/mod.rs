//! [`Introspector`]: asks an issuer about tokens that say nothing by themselves, or that it may have
//! taken back (RFC 7662).
//!
//! What is known already is in `cache`; what other gateways know in `shared`; of all who ask
//! about one token, one asks for all (`flight`). What the issuer says is read in `answer`, by the
//! rules for JWTs. When the fault is the issuer's, or ours, the client is never told that its token
//! is bad.

mod answer;
mod cache;
mod complaints;
mod flight;
mod shared;
pub(super) mod ways;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use self::answer::{Beside, Expected, NoFacts, Unusable, Verdict};
use self::cache::{AnswerCache, Found, Known, TokenDigest};
use self::complaints::Complaints;
use self::flight::Flights;
use self::shared::SharedAnswers;
use super::issuer::Issuer;
use super::told::Told;
use crate::config::introspection::{AnswerForm, IntrospectionSpec, WhenAway};
use crate::fetch::{Bounds, FetchError};
use crate::oauth::client::{Answer, Client};
use crate::oauth::error::OauthError;
use crate::observe::{IntrospectionLookup, IntrospectionMetrics, IntrospectionResult};
use crate::refusal::Refusal;
use crate::shared_state::SharedState;

/// Asks one issuer about tokens.
#[derive(Debug)]
pub struct Introspector {
    spec: IntrospectionSpec,
    client: Arc<Client>,
    answers: AnswerCache,
    flights: Flights<Answered>,
    slots: Semaphore,
    shared: Option<SharedAnswers>,
    /// Until when nobody need wait for the issuer who can do without: it has just not answered.
    away_until: Mutex<Option<Instant>>,
    complaints: Complaints,
    metrics: Arc<IntrospectionMetrics>,
}

/// What came of a question: what is known of the token, or that nobody knows.
type Answered = Result<Result<Arc<Known>, Refusal>, IntrospectionResult>;

/// Questions that wait, for each that may be under way.
const WAITING_FOR_EACH: usize = 16;

/// After an issuer has not answered, whoever has an older answer does not wait for it for so long.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// Claims have some KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What somebody could guess seals nothing.
const SHARE_KEY_CHARS_MIN: usize = 32;

/// A secret that is too short to seal answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret has less than {SHARE_KEY_CHARS_MIN} characters")]
pub struct ShareKeyTooShort;

/// What several gateways share, and the secret that seals it.
#[derive(Clone, Debug)]
pub struct Sharing<'s> {
    /// Where it is.
    pub state: &'s Arc<SharedState>,
    /// The gateways' own secret.
    pub secret: &'s str,
}

impl Introspector {
    /// How long an answer may take, and how large it may be: for the client that asks.
    #[must_use]
    pub const fn bounds(spec: &IntrospectionSpec) -> Bounds {
        Bounds {
            time: spec.timeout,
            body: ANSWER_BYTES_MAX,
        }
    }

    /// One that asks with this client, and shares what it hears if there is somebody to share it
    /// with.
    ///
    /// # Errors
    ///
    /// [`ShareKeyTooShort`].
    pub fn new(
        spec: &IntrospectionSpec,
        client: Arc<Client>,
        sharing: Option<Sharing<'_>>,
        metrics: Arc<IntrospectionMetrics>,
    ) -> Result<Self, ShareKeyTooShort> {
        let url = spec.url.to_string();
        let shared = match sharing {
            Some(sharing) if sharing.secret.chars().count() < SHARE_KEY_CHARS_MIN => {
                return Err(ShareKeyTooShort);
            }
            Some(Sharing { state, secret }) => {
                let about = [url.as_str(), client.client_id()];
                Some(SharedAnswers::new(Arc::clone(state), secret, &about))
            }
            None => None,
        };
        let slots = spec.concurrency.get();
        Ok(Self {
            answers: AnswerCache::new(spec),
            flights: Flights::new(slots.saturating_mul(WAITING_FOR_EACH)),
            slots: Semaphore::new(slots),
            shared,
            away_until: Mutex::default(),
            complaints: Complaints::default(),
            spec: spec.clone(),
            client,
            metrics,
        })
    }

    /// Whether the other asks the same as the same: what that one has heard counts for this one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let shared = match (&self.shared, &other.shared) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        shared && self.spec == other.spec && self.client.is_same(&other.client)
    }

    /// What is known of a token of `issuer` at `now` (seconds since 1970). `beside` is what is known
    /// of it without the issuer.
    ///
    /// # Errors
    ///
    /// Why the token is not good; [`Refusal::IntrospectionUnavailable`] if nobody can say.
    async fn known(
        &self,
        token: &str,
        beside: Beside,
        issuer: &Issuer,
        now: u64,
    ) -> Result<Arc<Known>, Refusal> {
        let digest = TokenDigest::of(token);
        let at = Instant::now();
        let stale = match self.answers.get(&digest, at, now) {
            Found::Fresh(known) => {
                self.metrics.lookup(IntrospectionLookup::Hit);
                return Ok(known);
            }
            Found::Bad(why) => {
                self.metrics.lookup(IntrospectionLookup::Negative);
                return Err(why);
            }
            Found::Stale(known) if self.may_be_stale() => Some(known),
            Found::Stale(_) | Found::Nothing => None,
        };
        if let Some(known) = stale.clone().filter(|_| self.is_away(at)) {
            self.metrics.lookup(IntrospectionLookup::Stale);
            return Ok(known);
        }
        let question = Question {
            token,
            digest,
            beside,
            issuer,
            now,
        };
        // Boxed: it is large, and most requests never come here.
        let asked = Box::pin(self.flights.join(digest, self.ask(&question)));
        let answered = asked.await.unwrap_or_else(|| {
            self.metrics.result(IntrospectionResult::Busy);
            Err(IntrospectionResult::Busy)
        });
        match (answered, stale) {
            (Ok(known), _) => known,
            // How many ask is up to clients: the issuer is not away.
            (Err(IntrospectionResult::Busy), _) => Err(Refusal::IntrospectionUnavailable),
            (Err(_nobody_knows), Some(known)) => {
                self.metrics.lookup(IntrospectionLookup::Stale);
                Ok(known)
            }
            (Err(_nobody_knows), None) => Err(Refusal::IntrospectionUnavailable),
        }
    }

    const fn may_be_stale(&self) -> bool {
        matches!(self.spec.when_away, WhenAway::Cached { .. })
    }

    fn is_away(&self, at: Instant) -> bool {
        self.away_until.lock().is_some_and(|until| at < until)
    }

    /// Asks whoever may know, and remembers what was said.
    async fn ask(&self, question: &Question<'_>) -> Answered {
        // Somebody may have been told between our look and our turn.
        match self
            .answers
            .get(&question.digest, Instant::now(), question.now)
        {
            Found::Fresh(known) => return Ok(Ok(known)),
            Found::Bad(why) => return Ok(Err(why)),
            Found::Stale(_) | Found::Nothing => {}
        }
        if let Some(known) = self.told_by_others(question).await {
            self.metrics.lookup(IntrospectionLookup::Shared);
            return Ok(Ok(known));
        }
        self.metrics.lookup(IntrospectionLookup::Miss);
        let answered = self.ask_issuer(question).await;
        self.metrics.result(match &answered {
            Ok(Ok(_known)) => IntrospectionResult::Active,
            Ok(Err(_refusal)) => IntrospectionResult::Inactive,
            Err(why) => *why,
        });
        let away = match &answered {
            Ok(_) | Err(IntrospectionResult::Busy) => None,
            Err(_nobody_knows) => Some(Instant::now() + AWAY_PAUSE),
        };
        *self.away_until.lock() = away;
        answered
    }

    async fn told_by_others(&self, question: &Question<'_>) -> Option<Arc<Known>> {
        let shared = self.shared.as_ref()?;
        let found = shared.get(&question.digest, self.spec.cache, question.now);
        let found = found.await?;
        let known = question.known(found.claims).ok()?;
        question.check_times(&known).ok()?;
        let answered = Instant::now().checked_sub(found.age)?;
        let known = Arc::new(known);
        self.answers.put_good(question.digest, &known, answered);
        Some(known)
    }

    async fn ask_issuer(&self, question: &Question<'_>) -> Answered {
        let deadline = tokio::time::Instant::now() + self.spec.timeout;
        let Ok(Ok(_slot)) = timeout_at(deadline, self.slots.acquire()).await else {
            return Err(IntrospectionResult::Busy);
        };
        let media_type = match self.spec.form {
            AnswerForm::Plain => "application/json",
            AnswerForm::Signed => answer::SIGNED,
        };
        let form = [
            ("token", question.token),
            ("token_type_hint", "access_token"),
        ];
        let asked = Instant::now();
        let answer = self.client.post_form_for(media_type, &self.spec.url, &form);
        let answer = timeout_at(deadline, answer).await;
        self.metrics.took(asked.elapsed());
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let why = result_of(&error);
                self.complaints.note(question.issuer.name(), why, &error);
                return Err(why);
            }
            Err(_elapsed) => {
                let (why, limit) = (IntrospectionResult::TooSlow, self.spec.timeout);
                let error = FetchError::TooSlow(limit);
                self.complaints.note(question.issuer.name(), why, &error);
                return Err(why);
            }
        };
        self.take(question, &answer, asked).await.map_err(|error| {
            let why = IntrospectionResult::Unusable;
            self.complaints.note(question.issuer.name(), why, &error);
            why
        })
    }

    /// Reads an answer and remembers it.
    async fn take(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        asked: Instant,
    ) -> Result<Result<Arc<Known>, Refusal>, Unusable> {
        let claims = match self.verdict(question, answer).await? {
            Verdict::Active(claims) => claims,
            Verdict::Inactive => {
                return Ok(Err(self.bad(question, Refusal::TokenInactive, asked).await));
            }
        };
        let told = self.shared.as_ref().map(|shared| (shared, claims.clone()));
        let known = match question.known(claims) {
            Ok(known) => known,
            Err(NoFacts::Refused(why)) => return Ok(Err(self.bad(question, why, asked).await)),
            Err(NoFacts::Unusable(why)) => return Err(why),
        };
        if question.check_times(&known) == Err(Refusal::TokenExpired) {
            return Ok(Err(self.bad(question, Refusal::TokenExpired, asked).await));
        }
        let known = Arc::new(known);
        self.answers.put_good(question.digest, &known, asked);
        let left = known.facts.expires.saturating_sub(question.now);
        let kept = self.spec.cache.min(Duration::from_secs(left));
        if let Some((shared, claims)) = told.filter(|_| !kept.is_zero()) {
            shared
                .put(&question.digest, &claims, kept, question.now)
                .await;
        }
        Ok(Ok(known))
    }

    async fn verdict(&self, question: &Question<'_>, answer: &Answer) -> Result<Verdict, Unusable> {
        match self.spec.form {
            AnswerForm::Plain => {
                let object = answer.object();
                let object = object.map_err(|_not_shown| {
                    Unusable("is not JSON, or has a member twice, or is nested too deep")
                })?;
                answer::verdict(object)
            }
            AnswerForm::Signed => {
                if answer.media_type().as_deref() != Some(answer::SIGNED) {
                    return Err(Unusable("is not signed"));
                }
                let text =
                    str::from_utf8(answer.body()).map_err(|_binary| Unusable("is no JWT"))?;
                let signed = question
                    .issuer
                    .signed(text.trim_end(), &mut Told::default())
                    .await;
                let signed = signed.map_err(|_not_by_a_key_of_the_issuer| {
                    Unusable("is no JWT that a key of the issuer has signed")
                })?;
                let expected = Expected {
                    issuer: &question.issuer.spec().issuer,
                    client_id: self.client.client_id(),
                    now: question.now,
                    leeway: question.issuer.spec().leeway.as_secs(),
                };
                answer::signed(&signed, &expected)
            }
        }
    }

    /// Remembers that a token is not good, and takes back what others were told.
    async fn bad(&self, question: &Question<'_>, why: Refusal, asked: Instant) -> Refusal {
        self.answers.put_bad(question.digest, why, asked);
        if let Some(shared) = &self.shared {
            shared.remove(&question.digest).await;
        }
        why
    }
}

/// What is asked about one token.
struct Question<'q> {
    token: &'q str,
    digest: TokenDigest,
    beside: Beside,
    issuer: &'q Issuer,
    now: u64,
}

impl Question<'_> {
    fn known(&self, mut claims: Map<String, Value>) -> Result<Known, NoFacts> {
        let facts = answer::facts(&mut claims, self.beside, self.issuer.spec())?;
        Ok(Known {
            facts: Arc::new(facts),
            claims: Value::Object(claims).to_string().into_bytes().into(),
        })
    }

    fn check_times(&self, known: &Known) -> Result<(), Refusal> {
        known.facts.check_times(self.now, self.issuer.spec())
    }
}

fn result_of(error: &OauthError) -> IntrospectionResult {
    match error {
        OauthError::Fetch(FetchError::TooSlow(_)) => IntrospectionResult::TooSlow,
        OauthError::Fetch(FetchError::Body { .. }) | OauthError::Answer(_) => {
            IntrospectionResult::Unusable
        }
        OauthError::Unproven | OauthError::Fetch(_) => IntrospectionResult::Unreachable,
        OauthError::Refused { status, .. } | OauthError::Status(status)
            if status.is_client_error() && status.as_u16() != 429 =>
        {
            IntrospectionResult::Refused
        }
        OauthError::Refused { .. } | OauthError::Status(_) => IntrospectionResult::Failed,
    }
}
