//! [`SharedAnswers`]: answers that several gateways share through [`SharedState`].
//!
//! Whoever can write into the store must not be able to let anybody in. So an answer is sealed
//! (AES-256-GCM) under a key of its own, which comes from a secret of the gateways and from the
//! token: what somebody else wrote, or moved from another token, does not open and counts as
//! nothing. What opens is read by the same rules as an answer of the issuer, and ages as one. Nor
//! can anybody who reads the store see a claim, or a token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::cache::TokenDigest;
use crate::json;
use crate::shared_state::{SharedState, Space};

/// Answers that several gateways share.
pub(super) struct SharedAnswers {
    state: Arc<SharedState>,
    /// Makes the key of each answer.
    secret: [u8; 32],
    /// Whom the answers are of, and who asked.
    about: [u8; 32],
}

/// An answer that was found.
#[derive(Debug)]
pub(super) struct Shared {
    /// What the issuer said of the token: it is good.
    pub(super) claims: Map<String, Value>,
    /// How long ago, rounded up.
    pub(super) age: Duration,
}

/// The form of the sealed text: another one does not open.
const FORM: &[u8] = b"portcullis introspection 1";

impl SharedAnswers {
    /// `secret` is the gateways' own; answers of another issuer, or to another client, are others.
    pub(super) fn new(state: Arc<SharedState>, secret: &str, about: &[&str]) -> Self {
        let mut names = Context::new(&SHA256);
        for part in about {
            // The length first, so that no two lists run together to the same bytes.
            names.update(&part.len().to_be_bytes());
            names.update(part.as_bytes());
        }
        Self {
            state,
            secret: bytes(aws_lc_rs::digest::digest(&SHA256, secret.as_bytes()).as_ref()),
            about: bytes(names.finish().as_ref()),
        }
    }

    /// What another gateway was answered, at most `kept` ago. A store that is away has nothing: the
    /// issuer is asked.
    pub(super) async fn get(
        &self,
        token: &TokenDigest,
        kept: Duration,
        now: u64,
    ) -> Option<Shared> {
        let found = self.state.get(Space::Introspection, &self.key(token)).await;
        let mut sealed = found.ok()??.to_vec();
        let opened = self.open(token, &mut sealed)?;
        let mut read = json::object(opened).ok()?;
        let answered = read.get("at").and_then(Value::as_u64)?;
        // By a clock that is ahead it would be kept for longer than it may.
        let age = now.checked_sub(answered)?.saturating_add(1);
        let age = Duration::from_secs(age);
        let Some(Value::Object(claims)) = read.remove("claims") else {
            return None;
        };
        (age <= kept).then_some(Shared { claims, age })
    }

    /// Tells the others what was answered at `now`, for `kept`. What cannot be told they ask for.
    pub(super) async fn put(
        &self,
        token: &TokenDigest,
        claims: &Map<String, Value>,
        kept: Duration,
        now: u64,
    ) {
        let text = json!({ "at": now, "claims": claims }).to_string();
        let Some(sealed) = self.seal(token, text.into_bytes()) else {
            return;
        };
        let key = self.key(token);
        let put = self
            .state
            .put(Space::Introspection, &key, sealed.into(), kept);
        if let Err(away) = put.await {
            tracing::debug!(
                reason = away.label(),
                "an answer about a token is not shared"
            );
        }
    }

    /// Takes away what others were told: the token is not good any more.
    pub(super) async fn remove(&self, token: &TokenDigest) {
        let key = self.key(token);
        if let Err(away) = self.state.remove(Space::Introspection, &key).await {
            // It ends by itself.
            tracing::debug!(
                reason = away.label(),
                "an answer about a token is shared on"
            );
        }
    }

    /// Whether both share the same answers.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let secrets = verify_slices_are_equal(&self.secret, &other.secret).is_ok();
        secrets && self.about == other.about && Arc::ptr_eq(&self.state, &other.state)
    }

    fn key(&self, token: &TokenDigest) -> [u8; 64] {
        let mut key = [0; 64];
        let (about, of_token) = key.split_at_mut(32);
        about.copy_from_slice(&self.about);
        of_token.copy_from_slice(token.as_bytes());
        key
    }

    /// Each token has a key of its own, so that no key seals often enough for its nonces to meet.
    fn cipher(&self, token: &TokenDigest) -> Option<RandomizedNonceKey> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let key = hmac::sign(&secret, &self.key(token));
        RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
    }

    fn seal(&self, token: &TokenDigest, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let cipher = self.cipher(token)?;
        let nonce = cipher
            .seal_in_place_append_tag(Aad::from(FORM), &mut text)
            .ok()?;
        Some([nonce.as_ref().as_slice(), &text].concat())
    }

    fn open<'s>(&self, token: &TokenDigest, sealed: &'s mut [u8]) -> Option<&'s [u8]> {
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self
            .cipher(token)?
            .open_in_place(nonce, Aad::from(FORM), text)
            .ok()?;
        Some(opened)
    }
}

fn bytes(digest: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest);
    bytes
}

impl fmt::Debug for SharedAnswers {
    /// Nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAnswers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of all gateways, 32 bytes";
    const KEPT: Duration = Duration::from_secs(30);

    fn answers(state: &Arc<SharedState>, secret: &str, client: &str) -> SharedAnswers {
        SharedAnswers::new(Arc::clone(state), secret, &["https://id.example", client])
    }

    #[tokio::test]
    async fn only_who_has_the_secret_tells_and_is_told() {
        let state = Arc::new(SharedState::in_memory());
        let ours = answers(&state, SECRET, "gateway");
        let token = TokenDigest::of("a token");
        let claims = json!({ "sub": "alice" }).as_object().unwrap().clone();
        ours.put(&token, &claims, KEPT, 1_000).await;
        let twin = answers(&state, SECRET, "gateway");
        let found = twin.get(&token, KEPT, 1_010).await.unwrap();
        assert_eq!(found.claims, claims);
        assert_eq!(found.age, Duration::from_secs(11));
        let cases = [
            ("too old", &ours, &token, 1_030),
            ("from the future", &ours, &token, 999),
            (
                "of another token",
                &ours,
                &TokenDigest::of("another"),
                1_010,
            ),
            (
                "another secret",
                &answers(&state, "guessed", "gateway"),
                &token,
                1_010,
            ),
            (
                "another client",
                &answers(&state, SECRET, "other"),
                &token,
                1_010,
            ),
        ];
        for (what, answers, token, now) in cases {
            assert!(answers.get(token, KEPT, now).await.is_none(), "{what}");
        }
        ours.remove(&token).await;
        assert!(twin.get(&token, KEPT, 1_010).await.is_none());
    }

    #[tokio::test]
    async fn what_somebody_else_wrote_into_the_store_counts_as_nothing() {
        let state = Arc::new(SharedState::in_memory());
        let ours = answers(&state, SECRET, "gateway");
        let (good, wanted) = (TokenDigest::of("good"), TokenDigest::of("wanted"));
        let claims = json!({ "sub": "alice" }).as_object().unwrap().clone();
        ours.put(&good, &claims, KEPT, 1_000).await;
        let sealed = state.get(Space::Introspection, &ours.key(&good)).await;
        let sealed = sealed.unwrap().unwrap();
        let plain = json!({ "at": 1_000, "claims": claims }).to_string();
        let mut changed = sealed.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        let forged = [
            ("an answer about another token", sealed.to_vec()),
            ("a changed answer", changed),
            ("a plain one", plain.into_bytes()),
            ("nothing", Vec::new()),
            ("eleven bytes", vec![0; 11]),
            ("a nonce", vec![0; 12]),
        ];
        for (what, value) in forged {
            for token in [&wanted, &good] {
                if what == "an answer about another token" && token.as_bytes() == good.as_bytes() {
                    continue; // there it is at home
                }
                let key = ours.key(token);
                let put = state.put(Space::Introspection, &key, value.clone().into(), KEPT);
                put.await.unwrap();
                assert!(ours.get(token, KEPT, 1_001).await.is_none(), "{what}");
            }
        }
    }
}
