//! One question to an issuer about one token, and what is made of the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::time::timeout_at;

use super::answer::{self, Beside, Expected, NoFacts, Unusable, Verdict};
use super::away::Counts;
use super::cache::{Known, TokenDigest};
use super::failure::{Failure, Of};
use super::{Answered, Introspector};
use crate::authenticate::issuer::Issuer;
use crate::authenticate::told::Told;
use crate::config::introspection::AnswerForm;
use crate::fetch::FetchError;
use crate::oauth::client::Answer;
use crate::oauth::error::OauthError;
use crate::oauth::places::Place;
use crate::refusal::Refusal;

/// What is asked about one token.
pub(super) struct Question<'q> {
    pub(super) token: &'q str,
    pub(super) digest: TokenDigest,
    pub(super) beside: Beside,
    pub(super) issuer: &'q Issuer,
    /// By what the client counts that shows it.
    pub(super) client: &'q str,
    /// Whether the issuer has called the token good before: nobody made it up.
    pub(super) was_good: bool,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl Introspector {
    /// Asks the issuer when its turn has come, and remembers what it says.
    pub(super) async fn ask_issuer(&self, question: &Question<'_>, place: &Place<'_>) -> Answered {
        let deadline = tokio::time::Instant::now() + self.spec.timeout;
        let Ok(Some(_turn)) = timeout_at(deadline, place.turn()).await else {
            return Err(Failure::BUSY);
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
        let answer = answer.unwrap_or_else(|_elapsed| {
            let error = FetchError::TooSlow(self.spec.timeout);
            Err(OauthError::Fetch(error))
        });
        let answer = answer.map_err(|error| {
            let failure = self.failure(&error, asked.elapsed());
            self.complain(question, failure, &error.to_string());
            failure
        });
        self.note(question, answer.as_ref().err(), asked);
        match self.take(question, &answer?, asked).await {
            Ok(verdict) => Ok(verdict),
            Err((failure, why)) => {
                self.complain(question, failure, why.0);
                Err(failure)
            }
        }
    }

    /// What a failure is of. The issuer that had hardly any time left is not to blame for it.
    fn failure(&self, error: &OauthError, had: Duration) -> Failure {
        let mut failure = Failure::from(error);
        let too_slow = matches!(error, OauthError::Fetch(FetchError::TooSlow(_)));
        if too_slow && had < self.spec.timeout / 2 {
            failure.of = Of::Question;
        }
        failure
    }

    /// Notes whether the issuer is there.
    fn note(&self, question: &Question<'_>, failure: Option<&Failure>, asked: Instant) {
        let now = Instant::now();
        let counts = match failure.map(|failure| failure.of) {
            None | Some(Of::Question) => return self.away.answered(now),
            Some(Of::Issuer) => Counts::ForAll,
            Some(Of::IssuerOrToken) if question.was_good => Counts::ForAll,
            Some(Of::IssuerOrToken) => Counts::For(question.client),
        };
        self.away.failed(counts, asked, now);
    }

    fn complain(&self, question: &Question<'_>, failure: Failure, error: &str) {
        if self.complaints.is_due(failure.result, Instant::now()) {
            failure.tell(question.issuer.name(), error);
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
            now: question.now,
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
    pub(super) fn known(&self, mut claims: Map<String, Value>) -> Result<Known, NoFacts> {
        let facts = answer::facts(&mut claims, self.beside, self.issuer.spec())?;
        Ok(Known {
            facts: Arc::new(facts),
            claims: Value::Object(claims).to_string().into_bytes().into(),
        })
    }

    pub(super) fn check_times(&self, known: &Known) -> Result<(), Refusal> {
        known.facts.check_times(self.now, self.issuer.spec())
    }
}
