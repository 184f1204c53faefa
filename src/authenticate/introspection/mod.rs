//! [`Introspector`]: asks an issuer about tokens that say nothing by themselves, or that it may have
//! taken back (RFC 7662).
//!
//! What is known already is in `cache`; what other gateways know in `shared`; of all who ask
//! about one token, one asks for all (`flight`), when its turn has come (`asking`); what was sent
//! goes on to its end even if all who asked are gone. What the issuer says is read in `answer`, by the rules for JWTs. When the fault is the issuer's, or ours
//! (`failure`), the client is never told that its token is bad; and for a moment nobody waits for an
//! issuer that has not answered (`away`).

mod answer;
mod asking;
mod away;
mod cache;
mod failure;
mod flight;
mod shared;
mod ways;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use self::asking::Question;
use self::away::Away;
use self::cache::{AnswerCache, Found, Known, TokenDigest};
use self::failure::{Failure, Of};
use self::flight::Flights;
use self::shared::SharedAnswers;
use super::told::Told;
use crate::complaints::Complaints;
use crate::config::introspection::{IntrospectionSpec, WhenAway};
use crate::fetch::Bounds;
use crate::oauth::client::Client;
use crate::oauth::places::Places;
use crate::oauth::under_way::UnderWay;
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
    places: Arc<Places>,
    under_way: Arc<UnderWay<TokenDigest, Answered>>,
    shared: Option<SharedAnswers>,
    away: Away,
    complaints: Complaints<IntrospectionResult>,
    /// Whether the log says that the issuer does not answer.
    told_away: AtomicBool,
    metrics: Arc<IntrospectionMetrics>,
}

/// What came of a question: what is known of the token, or that nobody knows.
type Answered = Result<Result<Arc<Known>, Refusal>, Failure>;

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
        Ok(Self {
            answers: AnswerCache::new(spec),
            flights: Flights::default(),
            places: Arc::new(Places::new(spec.concurrency)),
            under_way: Arc::default(),
            shared,
            away: Away::default(),
            complaints: Complaints::default(),
            told_away: AtomicBool::new(false),
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

    /// What is known of the token in question.
    ///
    /// # Errors
    ///
    /// Why the token is not good; [`Refusal::IntrospectionUnavailable`] if nobody can say.
    async fn known(
        self: &Arc<Self>,
        mut question: Question<'_>,
        told: &mut Told,
    ) -> Result<Arc<Known>, Refusal> {
        let at = Instant::now();
        let stale = match self.answers.get(&question.digest, at, question.now) {
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
        question.was_good = stale.is_some();
        if let Some(known) = &stale
            && self.away.for_known(at).is_some()
        {
            self.metrics.lookup(IntrospectionLookup::Stale);
            return Ok(Arc::clone(known));
        }
        // Boxed: it is large, and most requests never come here.
        let asked = Box::pin(self.flights.join(question.digest, self.ask(&question)));
        let answered = asked.await.unwrap_or_else(|not_asked| {
            self.metrics.result(not_asked.result);
            Err(not_asked)
        });
        match (answered, stale) {
            (Ok(known), _) => known,
            (Err(failure), Some(known)) if failure.of != Of::Question => {
                self.metrics.lookup(IntrospectionLookup::Stale);
                Ok(known)
            }
            (Err(failure), _) => {
                told.retry_after = failure.retry_after;
                Err(Refusal::IntrospectionUnavailable)
            }
        }
    }

    const fn may_be_stale(&self) -> bool {
        matches!(self.spec.when_away, WhenAway::Cached { .. })
    }

    /// Asks whoever may know, and remembers what was said. `Err`: nobody was asked, which says
    /// nothing to others who wait.
    async fn ask(self: &Arc<Self>, question: &Question<'_>) -> Result<Answered, Failure> {
        // Whoever asked about this token before may have given up, and the question goes on.
        if let Some(answered) = self.under_way.answer(&question.digest).await {
            return Ok(answered);
        }
        // Somebody may have been told between our look and our turn.
        match self
            .answers
            .get(&question.digest, Instant::now(), question.now)
        {
            Found::Fresh(known) => return Ok(Ok(Ok(known))),
            Found::Bad(why) => return Ok(Ok(Err(why))),
            Found::Stale(_) | Found::Nothing => {}
        }
        let place = self.places.take(&question.client).ok_or(Failure::BUSY)?;
        if let Some(known) = self.told_by_others(question).await {
            self.metrics.lookup(IntrospectionLookup::Shared);
            return Ok(Ok(Ok(known)));
        }
        if !question.was_good
            && let Some(left) = self.away.for_unknown(&question.client, Instant::now())
        {
            // For all who wait for it: one after the other they would ask the store each time.
            let away = Failure::away(left);
            self.metrics.result(away.result);
            return Ok(Err(away));
        }
        self.metrics.lookup(IntrospectionLookup::Miss);
        Ok(self.ask_issuer(question, place).await)
    }

    async fn told_by_others(&self, question: &Question<'_>) -> Option<Arc<Known>> {
        let shared = self.shared.as_ref()?;
        let found = shared.get(&question.digest, self.spec.cache, question.now);
        let found = found.await?;
        let known = question.known(found.claims).ok()?;
        question.check_span(&known).ok()?;
        let answered = Instant::now().checked_sub(found.age)?;
        let known = Arc::new(known);
        self.answers.put_good(question.digest, &known, answered);
        Some(known)
    }
}
