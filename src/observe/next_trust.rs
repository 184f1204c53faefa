//! [`NextTrusts`]: how today's peers fare under the bundles that are to come.
//!
//! A chain is verified in the shadow once for each certificate and each bundle that is to come, and
//! again after an hour, not for each handshake: what came of it is remembered here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::unix_now;
use super::labels::{Counts, Side};
use super::metrics_page::Page;
use super::metrics_table as table;
use crate::handshake_failure::HandshakeFailure;
use crate::identity::certificate::Fingerprint;
use crate::identity::name::Name;

/// What would become of a certificate under the bundle that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rehearsed {
    /// It would pass.
    Passes,
    /// It would fail.
    Fails(HandshakeFailure),
}

impl Rehearsed {
    /// The label in metrics and records: `ok`, or the reason.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passes => "ok",
            Self::Fails(reason) => reason.reason(),
        }
    }
}

/// Certificates whose fate is remembered for each bundle: some 1 MB.
const REMEMBERED_MAX: usize = 10_000;
/// Seconds after which a chain is verified again: time itself makes certificates end.
const REMEMBERED_SECONDS: i64 = 60 * 60;

/// The bundles that are to come, by name.
#[derive(Debug, Default)]
pub struct NextTrusts(Mutex<HashMap<Name, Arc<NextTrust>>>);

/// One bundle that is to come.
#[derive(Debug)]
struct NextTrust {
    passed: Counts<1>,
    failed: Counts<{ HandshakeFailure::ALL.len() }>,
    known: Mutex<HashMap<(Side, Fingerprint), Known>>,
}

/// What came of one certificate; `None` if the bundle does not concern it.
#[derive(Clone, Copy, Debug)]
struct Known {
    digest: [u8; 32],
    at: i64,
    fate: Option<Rehearsed>,
}

impl NextTrusts {
    /// Says which bundles are rehearsed; the others are forgotten.
    pub fn keep_only<'n>(&self, names: impl Iterator<Item = &'n Name>) {
        let mut bundles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *bundles);
        let stays = |name: &Name| (name.clone(), before.remove(name).unwrap_or_default());
        *bundles = names.map(stays).collect();
    }

    /// What would become of a peer's certificate under the bundle `name` as `digest` has it; `verify`
    /// finds out, where that is not known. `None` if the bundle does not concern it.
    pub fn rehearsed(
        &self,
        name: &Name,
        digest: [u8; 32],
        side: Side,
        fingerprint: Fingerprint,
        verify: impl FnOnce() -> Option<Rehearsed>,
    ) -> Option<Rehearsed> {
        self.rehearsed_at(unix_now(), name, digest, (side, fingerprint), verify)
    }

    fn rehearsed_at(
        &self,
        now: i64,
        name: &Name,
        digest: [u8; 32],
        key: (Side, Fingerprint),
        verify: impl FnOnce() -> Option<Rehearsed>,
    ) -> Option<Rehearsed> {
        let bundles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bundle = Arc::clone(bundles.get(name)?);
        drop(bundles);
        if let Some(known) = bundle.known(key, digest, now) {
            return known.fate;
        }
        let fate = verify();
        match fate {
            Some(Rehearsed::Passes) => bundle.passed.add(0),
            Some(Rehearsed::Fails(reason)) => bundle.failed.add(reason as usize),
            None => {}
        }
        let at = now;
        bundle.remember(key, Known { digest, at, fate });
        fate
    }

    pub(super) fn show(&self, page: &mut Page) {
        let bundles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = bundles.iter().collect();
        sorted.sort_by_key(|(name, _)| *name);
        for (name, bundle) in sorted {
            for count in bundle.passed.values() {
                page.counter(&table::NEXT_TRUST, &[name.as_str(), "ok"], count);
            }
            for (reason, count) in HandshakeFailure::ALL.iter().zip(bundle.failed.values()) {
                page.counter(&table::NEXT_TRUST, &[name.as_str(), reason.reason()], count);
            }
        }
    }
}

impl Default for NextTrust {
    fn default() -> Self {
        Self {
            passed: Counts::new(),
            failed: Counts::new(),
            known: Mutex::default(),
        }
    }
}

impl NextTrust {
    fn known(&self, key: (Side, Fingerprint), digest: [u8; 32], now: i64) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&key).copied();
        known.filter(|known| known.digest == digest && now < known.at + REMEMBERED_SECONDS)
    }

    fn remember(&self, key: (Side, Fingerprint), fate: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            let (digest, now) = (fate.digest, fate.at);
            known.retain(|_, known| known.digest == digest && now < known.at + REMEMBERED_SECONDS);
        }
        if known.len() >= REMEMBERED_MAX {
            known.clear(); // each is verified once more
        }
        known.insert(key, fate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(number: u32) -> Fingerprint {
        Fingerprint::of(&number.to_be_bytes())
    }

    #[test]
    fn a_certificate_is_verified_once_for_each_next_bundle_and_hour() {
        let nexts = NextTrusts::default();
        let name: Name = "partners".parse().unwrap();
        nexts.keep_only([&name].into_iter());
        let mut verified = 0;
        let mut ask = |now, digest, number| {
            let key = (Side::Downstream, fingerprint(number));
            nexts.rehearsed_at(now, &name, [digest; 32], key, || {
                verified += 1;
                Some(Rehearsed::Fails(HandshakeFailure::UnknownIssuer))
            });
            verified
        };
        assert_eq!(ask(0, 1, 1), 1);
        assert_eq!(ask(10, 1, 1), 1, "it is known");
        assert_eq!(ask(10, 2, 1), 2, "another bundle");
        assert_eq!(ask(10, 2, 2), 3, "another certificate");
        assert_eq!(ask(REMEMBERED_SECONDS + 10, 2, 2), 4, "an hour later");
        for number in 0..u32::try_from(REMEMBERED_MAX).unwrap() * 2 {
            ask(0, 2, number);
        }
        let bundles = nexts.0.lock().unwrap();
        assert!(bundles[&name].known.lock().unwrap().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn a_bundle_that_is_not_rehearsed_is_not_asked() {
        let nexts = NextTrusts::default();
        let name: Name = "partners".parse().unwrap();
        let fate = nexts.rehearsed(&name, [0; 32], Side::Upstream, fingerprint(1), || {
            unreachable!("nobody rehearses it")
        });
        assert_eq!(fate, None);
    }
}
