//! One question to an issuer about one token, and what is made of the answer.
//!
//! A turn is work at the issuer. So a question has all its time once it has its turn, however long it
//! has waited; and once it was sent it goes on to its end, whoever still waits for the answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::answer::{self, Beside, Expected, NoFacts, Unusable, Verdict};
use super::away::Counts;
use super::cache::{Known, TokenDigest};
use super::failure::{Failure, Of, advice};
use super::{Answered, Introspector};
use crate::authenticate::issuer::Issuer;
use crate::authenticate::told::Told;
use crate::config::introspection::AnswerForm;
use crate::oauth::client::{Answer, address};
use crate::oauth::places::{Place, Turn};
use crate::observe::IntrospectionResult;
use crate::refusal::Refusal;

/// What is asked about one token.
pub(super) struct Question<'q> {
    pub(super) token: Cow<'q, str>,
    pub(super) digest: TokenDigest,
    pub(super) beside: Beside,
    pub(super) issuer: Arc<Issuer>,
    /// By what the client counts that shows it.
    pub(super) client: Cow<'q, str>,
    /// Whether the issuer has called the token good before: nobody made it up.
    pub(super) was_good: bool,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl Introspector {
    /// Asks the issuer when its turn has come, and remembers what it says.
    pub(super) async fn ask_issuer(
        self: &Arc<Self>,
        question: &Question<'_>,
        place: Place,
    ) -> Answered {
        // Whoever waits for longer is not worth the issuer's time: the next would wait as long.
        let Ok(Some(turn)) = timeout(self.spec.timeout, place.turn()).await else {
            self.metrics.result(Failure::BUSY.result);
            return Err(Failure::BUSY);
        };
        let (introspector, question) = (Arc::clone(self), question.sent());
        let digest = question.digest;
        let sent = async move {
            let answered = introspector.ask_now(&question, turn).await;
            introspector.metrics.result(match &answered {
                Ok(Ok(_known)) => IntrospectionResult::Active,
                Ok(Err(_refusal)) => IntrospectionResult::Inactive,
                Err(failure) => failure.result,
            });
            drop(place);
            answered
        };
        let answered = self.under_way.send(digest, sent).await;
        answered.unwrap_or(Err(Failure::FAULT))
    }

    async fn ask_now(&self, question: &Question<'_>, turn: Turn) -> Answered {
        let media_type = match self.spec.form {
            AnswerForm::Plain => "application/json",
            AnswerForm::Signed => answer::SIGNED,
        };
        let form = [
            ("token", &*question.token),
            ("token_type_hint", "access_token"),
        ];
        let asked = Instant::now();
        let answer = self.client.post_form_for(media_type, &self.spec.url, &form);
        let answer = answer.await;
        drop(turn);
        self.metrics.took(asked.elapsed());
        let answer = answer.map_err(|error| {
            let failure = Failure::from(&error);
            self.complain(question, failure, &error.to_string(), advice(&error));
            failure
        });
        self.note(question, answer.as_ref().err(), asked);
        match self.take(question, &answer?, asked).await {
            Ok(verdict) => Ok(verdict),
            Err((failure, why)) => {
                self.complain(question, failure, why.0, "");
                Err(failure)
            }
        }
    }

    /// Notes whether the issuer is there.
    fn note(&self, question: &Question<'_>, failure: Option<&Failure>, asked: Instant) {
        let now = Instant::now();
        let result = failure.map(|failure| failure.result);
        let counts = match failure.map(|failure| failure.of) {
            None => {
                if self.told_away.swap(false, Relaxed) {
                    let issuer = question.issuer.name().as_str();
                    tracing::info!(issuer, "the issuer answers about tokens again");
                }
                return self.away.answered(now);
            }
            Some(Of::Question) => return self.away.answered(now),
            Some(Of::Issuer) => Counts::ForAll,
            Some(Of::IssuerOrToken) if question.was_good => Counts::ForAll,
            // What fails at once costs the next question nothing: many people may stand behind one
            // client, and one of them must not keep the others waiting.
            Some(Of::IssuerOrToken) if result != Some(IntrospectionResult::TooSlow) => return,
            Some(Of::IssuerOrToken) => Counts::For(&question.client),
        };
        self.away.failed(counts, asked, now);
    }

    fn complain(&self, question: &Question<'_>, failure: Failure, error: &str, advice: &str) {
        if self.complaints.is_due(failure.result, Instant::now()) {
            let url = address(&self.spec.url);
            failure.tell(question.issuer.name(), &url, error, advice);
            if failure.of != Of::Question {
                self.told_away.store(true, Relaxed);
            }
        }
    }

    /// Reads an answer and remembers it.
    async fn take(
        &self,
        question: &Question<'_>,
        answer: &Answer,
        asked: Instant,
    ) -> Result<Result<Arc<Known>, Refusal>, (Failure, Unusable)> {
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
            Err(NoFacts::Unusable(why)) => return Err((why.into(), why)),
        };
        if question.check_span(&known) == Err(Refusal::TokenExpired) {
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

    async fn verdict(
        &self,
        question: &Question<'_>,
        answer: &Answer,
    ) -> Result<Verdict, (Failure, Unusable)> {
        let read = match self.spec.form {
            AnswerForm::Plain => {
                let object = answer.object();
                let object = object.map_err(|_not_shown| {
                    Unusable("is not JSON, or has a member twice, or is nested too deep")
                });
                object.and_then(answer::verdict)
            }
            AnswerForm::Signed => return self.signed_verdict(question, answer).await,
        };
        read.map_err(|why| (why.into(), why))
    }

    async fn signed_verdict(
        &self,
        question: &Question<'_>,
        answer: &Answer,
    ) -> Result<Verdict, (Failure, Unusable)> {
        let unusable = |why| {
            let why = Unusable(why);
            (Failure::from(why), why)
        };
        if answer.media_type().as_deref() != Some(answer::SIGNED) {
            return Err(unusable("is not signed"));
        }
        let text = str::from_utf8(answer.body()).map_err(|_binary| unusable("is no JWT"))?;
        let mut told = Told::default();
        let now = UnixTime::now().as_secs();
        let signed = question.issuer.signed(text.trim_end(), &mut told).await;
        let signed = signed.map_err(|refusal| {
            if refusal == Refusal::IssuerKeysUnavailable {
                let why = Unusable("is signed, and the keys of the issuer cannot be had");
                return (Failure::without_keys(told.retry_after), why);
            }
            unusable("is no JWT that a key of the issuer has signed")
        })?;
        let expected = Expected {
            issuer: &question.issuer.spec().issuer,
            client_id: self.client.client_id(),
            now,
            leeway: question.issuer.spec().leeway.as_secs(),
        };
        answer::signed(&signed, &expected).map_err(|why| (why.into(), why))
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

impl Question<'_> {
    /// The same, as it is sent now: it does not end with the request that it came from.
    fn sent(&self) -> Question<'static> {
        Question {
            token: Cow::Owned((*self.token).to_owned()),
            digest: self.digest,
            beside: self.beside,
            issuer: Arc::clone(&self.issuer),
            client: Cow::Owned((*self.client).to_owned()),
            was_good: self.was_good,
            now: UnixTime::now().as_secs(),
        }
    }

    pub(super) fn known(&self, mut claims: Map<String, Value>) -> Result<Known, NoFacts> {
        let facts = answer::facts(&mut claims, self.beside, self.issuer.spec())?;
        Ok(Known {
            facts: Arc::new(facts),
            claims: Value::Object(claims).to_string().into_bytes().into(),
        })
    }

    pub(super) fn check_span(&self, known: &Known) -> Result<(), Refusal> {
        known.facts.check_span(self.now, self.issuer.spec())
    }
}
