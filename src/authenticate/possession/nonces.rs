//! `Nonces`: whether proofs with an issuer's tokens must hold a nonce, and the keys of these.
//!
//! The keys are read from files, which several gateways may share, or made by the process
//! ([`MadeSecrets`], which outlives reloads: nonces of before are still good after one).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand;
use http::HeaderValue;
use parking_lot::Mutex;

use super::super::told::{DPOP_NONCE, Told};
use super::nonce::{Age, NonceKey, check};
use crate::config::possession::{Demand, DpopSpec};
use crate::identity::name::Name;
use crate::observe::PossessionResult;
use crate::refusal::Refusal;

/// What one issuer's `dpop` says of nonces.
#[derive(Debug)]
pub(super) struct Nonces {
    demand: Demand,
    /// In seconds.
    lifetime: u64,
    /// How far the clocks of other gateways may be ahead, in seconds.
    ahead: u64,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    /// The first makes nonces. At least one.
    OfFiles(Box<[NonceKey]>),
    OfProcess {
        issuer: Name,
        secrets: Arc<MadeSecrets>,
    },
}

/// Where the secrets come from that nonces are made with.
#[derive(Debug)]
pub enum NonceSecrets {
    /// From files; the first makes nonces. At least one.
    OfFiles(Vec<NonceSecret>),
    /// From this process alone.
    OfProcess(Arc<MadeSecrets>),
}

/// A secret that nonces are made with.
pub struct NonceSecret(Box<[u8]>);

/// Secrets that the process makes, one after the other. One for the whole process.
#[derive(Default)]
pub struct MadeSecrets(Mutex<Option<Ring>>);

struct Ring {
    /// When `secret` was made, in seconds since 1970.
    begun: u64,
    secret: [u8; SECRET_BYTES],
    before: Option<[u8; SECRET_BYTES]>,
}

/// Why a file cannot be used as a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNonceSecret {
    /// There is too little to guess.
    #[error("it has less than {SECRET_BYTES} bytes")]
    Short,
    /// Nobody makes such a secret.
    #[error("it has more than {SECRET_BYTES_MAX} bytes")]
    Long,
}

/// As long as what the MAC hashes to (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;
/// Room for whatever a generator of secrets wraps around them. Who opens the file stops there.
pub const SECRET_BYTES_MAX: usize = 4 * 1024;
/// How long a secret of the process makes nonces. Longer than any nonce lasts, so that only the one
/// before needs to be kept.
const ROTATE_SECONDS: u64 = 24 * 3_600;

impl Nonces {
    pub(super) fn new(issuer: &Name, spec: &DpopSpec, ahead: u64, secrets: NonceSecrets) -> Self {
        let keys = match secrets {
            NonceSecrets::OfFiles(secrets) => {
                let key = |secret: &NonceSecret| NonceKey::new(&secret.0, issuer.as_str());
                Keys::OfFiles(secrets.iter().map(key).collect())
            }
            NonceSecrets::OfProcess(secrets) => Keys::OfProcess {
                issuer: issuer.clone(),
                secrets,
            },
        };
        Self {
            demand: spec.nonces,
            lifetime: spec.nonce_lifetime.as_secs(),
            ahead,
            keys,
        }
    }

    pub(super) const fn demand(&self) -> Demand {
        self.demand
    }

    /// Holds the nonce of a proof against what is asked. A client that needs another one gets it
    /// with the answer.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProofNonceMissing`], [`Refusal::ProofNonceExpired`] and
    /// [`Refusal::ProofNonceUnknown`] where one is required.
    pub(super) fn check(
        &self,
        nonce: Option<&str>,
        now: u64,
        told: &mut Told,
    ) -> Result<Option<PossessionResult>, Refusal> {
        if self.demand == Demand::No {
            return Ok(None);
        }
        let keys = self.keys.now(now);
        let came = match nonce {
            None => Err(Refusal::ProofNonceMissing),
            Some(nonce) => check(nonce, &keys, now, self.lifetime, self.ahead),
        };
        if came != Ok(Age::Young) {
            let next = keys.first().map(|key| key.nonce(now));
            let next = next.and_then(|next| HeaderValue::try_from(next).ok());
            told.fields.extend(next.map(|next| (DPOP_NONCE, next)));
        }
        match (came, self.demand) {
            (Ok(_), _) => Ok(Some(PossessionResult::Proved)),
            (Err(_), Demand::No | Demand::ReportOnly) => Ok(Some(PossessionResult::Reported)),
            (Err(refusal), Demand::Required) => Err(refusal),
        }
    }
}

impl Keys {
    /// The first makes nonces.
    fn now(&self, now: u64) -> Vec<NonceKey> {
        match self {
            Self::OfFiles(keys) => keys.to_vec(),
            Self::OfProcess { issuer, secrets } => secrets.keys(issuer.as_str(), now),
        }
    }
}

impl NonceSecret {
    /// Takes the content of a file, without white space around it.
    ///
    /// # Errors
    ///
    /// [`BadNonceSecret`].
    pub fn new(file: &[u8]) -> Result<Self, BadNonceSecret> {
        let secret = file.trim_ascii();
        if secret.len() < SECRET_BYTES {
            return Err(BadNonceSecret::Short);
        }
        if file.len() > SECRET_BYTES_MAX {
            return Err(BadNonceSecret::Long);
        }
        Ok(Self(secret.into()))
    }
}

impl MadeSecrets {
    /// The keys of an issuer at `now`: the one that makes nonces, and the one before.
    fn keys(&self, issuer: &str, now: u64) -> Vec<NonceKey> {
        let mut ring = self.0.lock();
        let over = |ring: &Ring| now >= ring.begun.saturating_add(ROTATE_SECONDS);
        if ring.as_ref().is_none_or(over) {
            let before = ring.take().map(|ring| ring.secret);
            // Without random numbers there is no nonce, and where one is required no proof.
            let mut secret = [0; SECRET_BYTES];
            if rand::fill(&mut secret).is_err() {
                return Vec::new();
            }
            *ring = Some(Ring {
                begun: now,
                secret,
                before,
            });
        }
        let secrets = ring.iter().flat_map(|ring| {
            let now = std::iter::once(&ring.secret);
            now.chain(&ring.before)
        });
        secrets
            .map(|secret| NonceKey::new(secret, issuer))
            .collect()
    }
}

impl fmt::Debug for NonceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceSecret(..)")
    }
}

impl fmt::Debug for MadeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MadeSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000;

    fn nonces(demand: Demand, secrets: NonceSecrets) -> Nonces {
        let spec = DpopSpec {
            algorithms: vec![],
            window: Duration::from_secs(60),
            nonces: demand,
            nonce_lifetime: Duration::from_secs(300),
            nonce_keys: vec![],
        };
        Nonces::new(&"corp".parse().unwrap(), &spec, 30, secrets)
    }

    fn of(secrets: &[u8]) -> NonceSecrets {
        let secret = |byte: &u8| NonceSecret::new(&[*byte; 32]).unwrap();
        NonceSecrets::OfFiles(secrets.iter().map(secret).collect())
    }

    /// The verdict, and the nonce that the client gets.
    fn ask(
        nonces: &Nonces,
        nonce: Option<&str>,
        now: u64,
    ) -> (Result<Option<PossessionResult>, Refusal>, Option<String>) {
        let mut told = Told::default();
        let came = nonces.check(nonce, now, &mut told);
        let given = told.fields.first();
        let given = given.map(|(_, value)| value.to_str().unwrap().to_owned());
        (came, given)
    }

    #[test]
    fn whoever_needs_a_nonce_gets_one_that_does() {
        let made = Arc::new(MadeSecrets::default());
        let process = || NonceSecrets::OfProcess(Arc::clone(&made));
        for secrets in [of(&[1, 2]), process()] {
            let nonces = nonces(Demand::Required, secrets);
            let (came, first) = ask(&nonces, None, NOW);
            assert_eq!(came, Err(Refusal::ProofNonceMissing));
            let first = first.unwrap();
            let proved = Ok(Some(PossessionResult::Proved));
            assert_eq!(ask(&nonces, Some(&first), NOW), (proved, None));
            let (came, second) = ask(&nonces, Some(&first), NOW + 200);
            assert_eq!(came, proved);
            assert_eq!(
                ask(&nonces, Some(&second.unwrap()), NOW + 340),
                (proved, None)
            );
            let (came, third) = ask(&nonces, Some(&first), NOW + 400);
            assert_eq!(came, Err(Refusal::ProofNonceExpired));
            assert!(third.is_some());
            let (came, fourth) = ask(&nonces, Some("AAAA"), NOW);
            assert_eq!(came, Err(Refusal::ProofNonceUnknown));
            assert!(fourth.is_some());
        }
    }

    #[test]
    fn keys_rotate_without_a_client_noticing() {
        let give = |nonces: &Nonces, now| ask(nonces, None, now).1.unwrap();
        let proved = Ok(Some(PossessionResult::Proved));
        let old = nonces(Demand::Required, of(&[1]));
        let given = give(&old, NOW);
        assert_eq!(
            ask(&nonces(Demand::Required, of(&[2, 1])), Some(&given), NOW).0,
            proved
        );
        let gone = ask(&nonces(Demand::Required, of(&[2])), Some(&given), NOW).0;
        assert_eq!(gone, Err(Refusal::ProofNonceUnknown));

        let made = Arc::new(MadeSecrets::default());
        let process = nonces(Demand::Required, NonceSecrets::OfProcess(Arc::clone(&made)));
        give(&process, NOW);
        let last = give(&process, NOW + ROTATE_SECONDS - 1);
        assert_eq!(
            ask(&process, Some(&last), NOW + ROTATE_SECONDS),
            (proved, None)
        );
        let next = give(&process, NOW + ROTATE_SECONDS);
        assert_ne!(last, next);
        assert_eq!(ask(&process, Some(&next), NOW + ROTATE_SECONDS).0, proved);
        drop(give(&process, NOW + 3 * ROTATE_SECONDS));
        let keys = made.keys("corp", NOW + 3 * ROTATE_SECONDS);
        assert_eq!(keys.len(), 2, "no more than the one before is kept");
    }

    #[test]
    fn nonces_that_are_off_or_only_reported_refuse_nothing() {
        let off = nonces(Demand::No, of(&[1]));
        assert_eq!(ask(&off, Some("AAAA"), NOW), (Ok(None), None));
        assert_eq!(ask(&off, None, NOW), (Ok(None), None));
        let report = nonces(Demand::ReportOnly, of(&[1]));
        let reported = Ok(Some(PossessionResult::Reported));
        for nonce in [None, Some("AAAA")] {
            let (came, given) = ask(&report, nonce, NOW);
            assert_eq!(came, reported);
            assert!(given.is_some(), "so that the client can learn it");
        }
    }

    #[test]
    fn a_secret_is_long_enough_and_not_shown() {
        let bad = |file: &[u8]| NonceSecret::new(file).err();
        assert_eq!(bad(&[7; 31]), Some(BadNonceSecret::Short));
        assert_eq!(bad(&[b' '; 64]), Some(BadNonceSecret::Short));
        assert_eq!(bad(&[7; SECRET_BYTES_MAX + 1]), Some(BadNonceSecret::Long));
        let secret = NonceSecret::new(b"0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(secret.0.len(), 32);
        assert!(!format!("{secret:?}").contains("0123"));
    }
}
