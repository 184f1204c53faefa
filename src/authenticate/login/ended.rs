//! Sessions that were ended before their time: kept where every gateway of the deployment sees them,
//! for as long as a session may live.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::shared_state::{Away, SharedState, Space};

/// Where they are kept, for one login's issuer.
#[derive(Clone, Copy)]
pub(super) struct EndedSessions<'s> {
    pub(super) shared: &'s SharedState,
    pub(super) issuer: &'s str,
    /// Under which name we are known there: its `sid` and `sub` are of this client.
    pub(super) client_id: &'s str,
}

/// What may be ended.
#[derive(Clone, Copy)]
pub(super) enum Of<'s> {
    /// One session, by our own name for it.
    Own(&'s str),
    /// One session of the server, by its `sid`.
    Sid(&'s str),
    /// All sessions of a user that began until then.
    Sub(&'s str),
}

impl EndedSessions<'_> {
    /// Ends what began until `now`. It is remembered for `ttl`.
    pub(super) async fn end(&self, of: Of<'_>, now: u64, ttl: Duration) -> Result<(), Away> {
        let value = Bytes::from(now.to_string());
        self.shared
            .put(Space::Session, &self.key(of), value, ttl)
            .await
    }

    /// Whether any of these was ended for a session that began then.
    pub(super) async fn has(
        &self,
        own: &str,
        sid: Option<&str>,
        sub: &str,
        begun: u64,
    ) -> Result<bool, Away> {
        let ended = async |of: Option<Of<'_>>| {
            let Some(of) = of else { return Ok(false) };
            let found = self.shared.get(Space::Session, &self.key(of)).await?;
            Ok(found.is_some_and(|until| covers(of, &until, begun)))
        };
        // At the same time: a store on the network is asked once, as it were.
        let (own, sid, sub) = tokio::join!(
            ended(Some(Of::Own(own))),
            ended(sid.map(Of::Sid)),
            ended(Some(Of::Sub(sub))),
        );
        Ok(own? || sid? || sub?)
    }

    /// Whether a logout token comes for the first time.
    pub(super) async fn is_new(&self, jti: &str, ttl: Duration) -> Result<bool, Away> {
        let key = self.named("logout_token", jti);
        self.shared.put_new(Space::Session, &key, ttl).await
    }

    /// Lets a logout token come again: what it asks for could not be done.
    pub(super) async fn take_back(&self, jti: &str) -> Result<(), Away> {
        let key = self.named("logout_token", jti);
        self.shared.remove(Space::Session, &key).await
    }

    fn key(&self, of: Of<'_>) -> Vec<u8> {
        match of {
            Of::Own(id) => self.named("own", id),
            Of::Sid(sid) => self.named("sid", sid),
            Of::Sub(sub) => self.named("sub", sub),
        }
    }

    /// Names of different kinds, clients and issuers never meet, whatever they hold.
    fn named(&self, kind: &str, name: &str) -> Vec<u8> {
        let plain = |text: &str| STANDARD.encode(text);
        let (issuer, client) = (plain(self.issuer), plain(self.client_id));
        format!("ended {kind} {issuer} {client} {}", plain(name)).into_bytes()
    }
}

/// A session of ours, or of the server, does not come back. A user does: what he began later stays.
fn covers(of: Of<'_>, until: &[u8], begun: u64) -> bool {
    match of {
        Of::Own(_) | Of::Sid(_) => true,
        Of::Sub(_) => {
            let until = str::from_utf8(until)
                .ok()
                .and_then(|text| text.parse().ok());
            until.is_none_or(|until: u64| begun <= until)
        }
    }
}
