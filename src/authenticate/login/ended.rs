//! Sessions that were ended before their time: kept where every gateway of the deployment sees them,
//! for as long as a session may live.
//!
//! What users end and what the server ends is kept apart, and no user has more of either than is left
//! for all others: whoever logs in and out without end could else keep everybody from logging out.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::pending::is_random;
use super::session::Session;
use super::until;
use crate::shared_state::{Away, SharedState, Space};

/// Where they are kept, for one login's issuer.
#[derive(Clone, Copy)]
pub(super) struct EndedSessions<'s> {
    pub(super) shared: &'s SharedState,
    pub(super) issuer: &'s str,
    /// Under which name we are known there: its `sid` and `sub` are of this client.
    pub(super) client_id: &'s str,
    /// How long any session of this login may last.
    pub(super) longest: Duration,
}

/// What may be ended. A session of ours, or of the server, does not come back. A user does: see
/// [`EndedSessions::before`].
#[derive(Clone, Copy)]
pub(super) enum Of<'s> {
    /// One session, by our own name for it.
    Own(&'s str),
    /// One session of the server, by its `sid`.
    Sid(&'s str),
    /// All sessions of a user that have begun.
    Sub(&'s str),
    /// Those of them that have no `sid`: nobody can say which of the server's they belong to.
    Unnamed(&'s str),
}

/// When it was ended, and what this end is known by.
struct End<'e> {
    at: u64,
    mark: &'e str,
}

impl EndedSessions<'_> {
    /// Ends what has begun. `sub` is whose it is, where that is known, and `mark` is [`mark`] of what
    /// told so: told twice, it is one end. It is remembered for `ttl`.
    ///
    /// A user who has his share of what is remembered is logged out everywhere: that is one entry.
    pub(super) async fn end(
        &self,
        of: Of<'_>,
        sub: Option<&str>,
        mark: &str,
        now: u64,
        ttl: Duration,
    ) -> Result<(), Away> {
        let value = Bytes::from(format!("{now} {mark}"));
        let (shared, key) = (self.shared, self.key(of));
        let Some(sub) = sub.filter(|_| !matches!(of, Of::Sub(_))) else {
            return shared.put(of.space(), &key, value, ttl).await;
        };
        let owner = self.named("user", sub);
        let kept = shared.put_of(of.space(), &owner, &key, value.clone(), ttl);
        match kept.await {
            Err(Away::Share) => {
                let all = Of::Sub(sub);
                // However soon this one would have ended: others may last, and may have been ended by it.
                let ttl = ttl.max(until(now.saturating_add(self.longest.as_secs()), now));
                shared.put(all.space(), &self.key(all), value, ttl).await
            }
            kept => kept,
        }
    }

    /// Whether this session was ended; `sid` and `sub` are of its ID token.
    pub(super) async fn has(
        &self,
        session: &Session,
        sid: Option<&str>,
        sub: &str,
    ) -> Result<bool, Away> {
        // At the same time: a store on the network is asked once, as it were.
        let (own, of_server, of_user) = tokio::join!(
            self.found(Of::Own(&session.id)),
            self.found(sid.map_or(Of::Unnamed(sub), Of::Sid)),
            self.found(Of::Sub(sub)),
        );
        let is_new = |value: Option<Bytes>| {
            value.is_some_and(|value| {
                let end = End::of(&value);
                end.is_none_or(|end| !session.after.iter().any(|known| known == end.mark))
            })
        };
        let of_server = of_server?;
        let of_server = match sid {
            Some(_) => of_server.is_some(),
            None => is_new(of_server),
        };
        Ok(own?.is_some() || of_server || is_new(of_user?))
    }

    /// The ends of a user's sessions that were there before a login began: they are not of the session
    /// that comes of it. It keeps their marks, so that no clock must say which came first: those of
    /// two gateways differ.
    pub(super) async fn before(&self, sub: &str, begun: u64) -> Result<Vec<String>, Away> {
        let (all, unnamed) = tokio::join!(self.found(Of::Sub(sub)), self.found(Of::Unnamed(sub)));
        let ends = [all?, unnamed?];
        let ends = ends.iter().flatten().filter_map(|value| End::of(value));
        let before = ends.filter(|end| end.at < begun);
        Ok(before.map(|end| end.mark.to_owned()).collect())
    }

    /// Whether a logout token came before, and all that it asks for was done.
    pub(super) async fn knows(&self, jti: &str) -> Result<bool, Away> {
        let key = self.named("logout_token", jti);
        let found = self.shared.get(Space::ServerLogout, &key).await;
        found.map(|found| found.is_some())
    }

    /// Notes that a logout token came.
    pub(super) async fn note(&self, jti: &str, ttl: Duration) -> Result<(), Away> {
        let key = self.named("logout_token", jti);
        self.shared
            .put(Space::ServerLogout, &key, Bytes::new(), ttl)
            .await
    }

    async fn found(&self, of: Of<'_>) -> Result<Option<Bytes>, Away> {
        self.shared.get(of.space(), &self.key(of)).await
    }

    fn key(&self, of: Of<'_>) -> Vec<u8> {
        match of {
            Of::Own(id) => self.named("own", id),
            Of::Sid(sid) => self.named("sid", sid),
            Of::Sub(sub) => self.named("sub", sub),
            Of::Unnamed(sub) => self.named("sub without sid", sub),
        }
    }

    /// Names of different kinds, clients and issuers never meet, whatever they hold.
    fn named(&self, kind: &str, name: &str) -> Vec<u8> {
        let plain = |text: &str| STANDARD.encode(text);
        let (issuer, client) = (plain(self.issuer), plain(self.client_id));
        format!("ended {kind} {issuer} {client} {}", plain(name)).into_bytes()
    }
}

impl Of<'_> {
    const fn space(self) -> Space {
        match self {
            Self::Own(_) => Space::Session,
            Self::Sid(_) | Self::Sub(_) | Self::Unnamed(_) => Space::ServerLogout,
        }
    }
}

impl<'e> End<'e> {
    /// `None` for what no gateway of this version wrote: nobody began after it.
    fn of(value: &'e [u8]) -> Option<Self> {
        let (at, mark) = str::from_utf8(value).ok()?.split_once(' ')?;
        let at = at.parse().ok()?;
        is_random(mark).then_some(Self { at, mark })
    }
}

/// By what an end is known again, from what told so.
pub(super) fn mark(of: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, of.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::super::session::Tokens;
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn ended(shared: &SharedState) -> EndedSessions<'_> {
        EndedSessions {
            shared,
            issuer: "https://id.example",
            client_id: "gateway",
            longest: TTL,
        }
    }

    /// One that came of a login that began then.
    async fn session(shared: &SharedState, begun: u64) -> Session {
        Session {
            id: format!("of {begun}"),
            begun,
            seen: begun,
            ends: begun + 60,
            certificate: None,
            id_token: String::new(),
            tokens: Tokens {
                access: None,
                access_ends: None,
                got: begun,
                refresh: None,
                scope: String::new(),
            },
            after: ended(shared).before("alice", begun).await.unwrap(),
        }
    }

    #[tokio::test]
    async fn a_user_who_was_logged_out_may_log_in_again_whatever_clocks_say() {
        let shared = SharedState::in_memory();
        let has = async |session: &Session| ended(&shared).has(session, None, "alice").await;
        let end =
            async |of, jti: &str, now| ended(&shared).end(of, None, &mark(jti), now, TTL).await;
        // By clocks of other gateways, which are ahead of the one that is told, or behind.
        let before = [session(&shared, 90).await, session(&shared, 130).await];
        end(Of::Sub("alice"), "1", 100).await.unwrap();
        for session in &before {
            assert_eq!(has(session).await, Ok(true), "{session:?}");
        }
        // Whose login was under way is asked again; so is who began in the same second.
        assert_eq!(has(&session(&shared, 99).await).await, Ok(true));
        assert_eq!(has(&session(&shared, 100).await).await, Ok(true));
        let again = session(&shared, 101).await;
        assert_eq!(has(&again).await, Ok(false));
        // The server says the same once more: it is no other end.
        end(Of::Sub("alice"), "1", 105).await.unwrap();
        assert_eq!(has(&again).await, Ok(false));
        end(Of::Unnamed("alice"), "2", 105).await.unwrap();
        assert_eq!(has(&again).await, Ok(true));
        assert_eq!(
            ended(&shared).has(&again, Some("s"), "alice").await,
            Ok(false)
        );
        let third = session(&shared, 110).await;
        assert_eq!((third.after.len(), has(&third).await), (2, Ok(false)));
        assert_eq!(ended(&shared).has(&third, None, "bob").await, Ok(false));
    }

    #[tokio::test]
    async fn what_is_no_end_of_ours_ends_all() {
        let shared = SharedState::in_memory();
        let of = ended(&shared);
        for value in ["", "100", "x y", "100 short"] {
            let key = of.key(Of::Sub("alice"));
            let put = shared
                .put(Space::ServerLogout, &key, value.into(), TTL)
                .await;
            put.unwrap();
            let after = session(&shared, 200).await;
            assert_eq!(of.has(&after, None, "alice").await, Ok(true), "{value:?}");
        }
    }

    #[tokio::test]
    async fn who_logs_out_without_end_keeps_nobody_from_it() {
        let shared = SharedState::in_memory();
        let of = ended(&shared);
        let end = async |id: &str, sub| of.end(Of::Own(id), Some(sub), &mark(id), 100, TTL).await;
        let before = session(&shared, 90).await;
        let mut each = 0;
        // Until he has his share, and is logged out everywhere.
        while each % 500 > 0 || of.has(&before, None, "alice").await == Ok(false) {
            each += 1;
            assert_eq!(end(&each.to_string(), "alice").await, Ok(()));
            assert!(each < Space::Session.entries_max());
        }
        // Also by sessions that are over in a moment: that end is for all of his.
        for soon in 0..500 {
            let (id, ttl) = (format!("soon {soon}"), Duration::from_millis(1));
            let mark = mark(&id);
            let told = of.end(Of::Own(&id), Some("alice"), &mark, 100, ttl).await;
            assert_eq!(told, Ok(()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(of.has(&before, None, "alice").await, Ok(true));
        let left = Space::Session.entries_max() - each;
        assert!(left > Space::Session.entries_max() / 3, "{left}");
        let bobs = Session {
            id: "bob's".to_owned(),
            ..session(&shared, 90).await
        };
        assert_eq!(of.has(&bobs, Some("s"), "bob").await, Ok(false));
        assert_eq!(end("bob's", "bob").await, Ok(()));
        assert_eq!(of.has(&bobs, Some("s"), "bob").await, Ok(true));
        // Nor the server.
        for (of_bob, sub) in [(Of::Sid("t"), Some("bob")), (Of::Sub("carol"), None)] {
            let told = of.end(of_bob, sub, &mark("jti"), 100, TTL).await;
            assert_eq!(told, Ok(()));
        }
        assert_eq!(of.has(&before, Some("t"), "bob").await, Ok(true));
        let again = session(&shared, 101).await;
        assert_eq!(
            of.has(&again, None, "alice").await,
            Ok(false),
            "he may come back"
        );
    }

    #[tokio::test]
    async fn what_users_end_takes_no_place_of_what_the_server_ends() {
        let shared = SharedState::in_memory();
        let of = ended(&shared);
        // All of many users together.
        let fill = async |number: u64| {
            let name = number.to_be_bytes();
            shared
                .put_of(Space::Session, &name, &name, Bytes::new(), TTL)
                .await
        };
        let mut number = 0;
        while fill(number).await == Ok(()) {
            number += 1;
        }
        assert_eq!(fill(number).await, Err(Away::Full));
        let told = of
            .end(Of::Sid("s"), Some("bob"), &mark("jti"), 100, TTL)
            .await;
        assert_eq!(told, Ok(()));
        assert_eq!(of.note("jti", TTL).await, Ok(()));
    }
}
