//! Ending a session: by its user (RP-Initiated Logout 1.0), or by the server (Back-Channel Logout 1.0).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::begin::{Twice, is_ahead_of_time, one, redirect};
use super::ended::{Of, mark};
use super::logout_token::{self, AGE_SECONDS_MAX, Whose};
use super::pending::{is_random, random, same, stays_here};
use super::query::with_query;
use super::session::{Session, claims};
use super::{Login, cookies, origin, query, until};
use crate::authenticate::authenticator::Asked;
use crate::authenticate::told::{Reply, Told};
use crate::refusal::Refusal;

/// A user who was sent to log out at the server is back in that time, or goes to the default page.
const LEAVING_SECONDS: u64 = 300;

/// "Clear Site Data", section 3.1: what browsers have kept of this host.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The largest body of a back-channel logout: a token, and its name.
pub const BODY_BYTES_MAX: usize = 32 * 1024;

impl Login {
    /// Ends the session of a request, and sends the browser on to the server's own logout, if it has
    /// one, else to where it wanted to go.
    pub(super) async fn logout(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Box<Reply>, Refusal> {
        if asked.method != Method::GET && asked.method != Method::POST {
            return Err(Refusal::MethodRefused);
        }
        if !is_own_page(asked) || is_ahead_of_time(asked.headers) {
            return Err(Refusal::LogoutCrossSite);
        }
        let to = self.after(asked.query);
        let session = self.opened(asked);
        if let Some(session) = &session {
            let ends = session.ends(&self.spec.session);
            let ended = self
                .ended()
                .end(
                    Of::Own(&session.id),
                    &session.id,
                    asked.now,
                    until(ends, asked.now),
                )
                .await;
            // Were only the cookie removed, whoever has copied it would stay.
            ended.map_err(|_counted_there| Refusal::LoginUnavailable)?;
        }
        told.fields
            .extend(self.cookies.remove_session(asked.headers));
        // Else the button that goes back would show pages of the user who is gone.
        let clear = HeaderValue::from_static("\"cache\"");
        told.fields.push((CLEAR_SITE_DATA, clear));
        let back = self.spec.paths.logged_out.as_ref();
        let end_session = match &session {
            None => None,
            // The session is over here, whether or not the server can be asked.
            Some(_) => self.endpoints().await.ok(),
        };
        let end_session = end_session.and_then(|known| known.urls.end_session.clone());
        let (Some(address), Some(session), Some(back)) = (end_session, session, back) else {
            return redirect(to).map(Box::new);
        };
        let state = random().ok_or(Refusal::Internal)?;
        let leaving = json!({ "s": state, "r": to, "b": asked.now }).to_string();
        let sealed = self
            .parts
            .seals
            .seal(&self.purpose("logout", asked), &leaving);
        let sealed = sealed.ok_or(Refusal::Internal)?;
        let name = self.cookies.leaving();
        told.fields
            .extend(cookies::set(&name, &sealed, Some(LEAVING_SECONDS)));
        let address = with_query(
            &address,
            &[
                ("id_token_hint", &session.id_token),
                ("client_id", self.parts.client.client_id()),
                ("post_logout_redirect_uri", &Self::own_address(asked, back)),
                ("state", &state),
            ],
        );
        redirect(&address).map(Box::new)
    }

    /// A browser comes back from the server's logout. It goes where it wanted to if this is the
    /// logout that it began, and else to the default page.
    pub(super) fn logged_out(
        &self,
        asked: &Asked<'_>,
        told: &mut Told,
    ) -> Result<Box<Reply>, Refusal> {
        if asked.method != Method::GET {
            return Err(Refusal::MethodRefused);
        }
        let name = self.cookies.leaving();
        let sealed = cookies::only(asked.headers, &name);
        let wanted = sealed.and_then(|sealed| self.left(sealed, asked));
        if sealed.is_some() {
            told.fields.extend(cookies::remove(&name));
        }
        redirect(wanted.as_deref().unwrap_or_else(|| self.after(None))).map(Box::new)
    }

    /// Where a browser wanted to go that brings this cookie and its `state`.
    fn left(&self, sealed: &str, asked: &Asked<'_>) -> Option<String> {
        let [state] = query::values(asked.query.unwrap_or_default(), ["state"])?;
        let state = state.filter(|state| is_random(state))?;
        let text = self
            .parts
            .seals
            .open(&self.purpose("logout", asked), sealed)?;
        let left: Value = serde_json::from_str(&text).ok()?;
        let begun = left.get("b")?.as_u64()?;
        let in_time = asked.now < begun.saturating_add(LEAVING_SECONDS);
        let own = in_time && same(left.get("s")?.as_str()?, &state);
        let to = left.get("r")?.as_str().filter(|to| stays_here(to))?;
        own.then(|| to.to_owned())
    }

    /// Where a browser goes after the logout: `to` of the query if it is one of those that are
    /// written, else the first of them.
    fn after(&self, query: Option<&str>) -> &str {
        let wanted = query.and_then(|query| query::values(query, ["to"]));
        let wanted = wanted.and_then(|[to]| to).unwrap_or_default();
        let all = &self.spec.after_logout;
        let known = all.iter().find(|path| path.as_str() == wanted);
        known.or(all.first()).map_or("/", |path| path.as_str())
    }

    /// The session of a request, also one whose time is over: it is to be ended.
    fn opened(&self, asked: &Asked<'_>) -> Option<Session> {
        let sealed = self.cookies.session(asked.headers)?;
        let text = self
            .parts
            .seals
            .open(&self.purpose("session", asked), &sealed)?;
        let session = Session::of_text(&text)?;
        self.fits(session.certificate.as_deref(), asked)
            .then_some(session)
    }

    /// Ends what a logout token of the server names. `headers` and `body` are of the request.
    ///
    /// # Errors
    ///
    /// [`Refusal::LogoutTokenRefused`]; [`Refusal::LoginUnavailable`] if it could not be kept.
    pub async fn back_channel(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: u64,
    ) -> Result<Box<Reply>, Refusal> {
        let came = self.end_by_server(headers, body, now).await;
        self.parts.metrics.ended_by_server(came.is_ok());
        came.map(|()| {
            Box::new(Reply {
                status: StatusCode::OK,
                fields: Vec::new(),
                body: Bytes::new(),
            })
        })
    }

    async fn end_by_server(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: u64,
    ) -> Result<(), Refusal> {
        let refused = |wrong: &str| {
            tracing::warn!(login = %self.name, error = wrong, "a logout token is not believed");
            Refusal::LogoutTokenRefused
        };
        if !is_form(headers) {
            return Err(refused("the body is not a form"));
        }
        let body = str::from_utf8(body).unwrap_or_default();
        let token = query::values(body, ["logout_token"]).and_then(|[token]| token);
        let token = token.ok_or_else(|| refused("there is not one logout_token"))?;
        let signed = match self.issuer.signed(&token, &mut Told::default()).await {
            Ok(signed) => signed,
            Err(refusal) if refusal.status().is_server_error() => return Err(refusal),
            Err(refusal) => return Err(refused(refusal.reason())),
        };
        let claims = claims(&token).ok_or_else(|| refused("it is not one JSON object"))?;
        let parties = (self.issuer_text(), self.parts.client.client_id());
        let times = (now, self.leeway());
        let typ = signed.typ.as_deref();
        let ended = logout_token::read(&claims, typ, parties, times).map_err(refused)?;
        let unavailable = |_counted_there| Refusal::LoginUnavailable;
        let sessions = self.ended();
        // For as long as it would be believed.
        let latest = now.saturating_add(AGE_SECONDS_MAX + 2 * self.leeway());
        let remembered = until(ended.exp.saturating_add(self.leeway()).min(latest), now);
        if sessions.knows(ended.jti).await.map_err(unavailable)? {
            return Err(refused("it came before"));
        }
        let whose = match ended.whose {
            Whose::Session { sid, sub } => [Some(Of::Sid(sid)), sub.map(Of::Unnamed)],
            Whose::User(sub) => [Some(Of::Sub(sub)), None],
        };
        let mark = mark(ended.jti);
        let ttl = until(now.saturating_add(self.spec.session.max.as_secs()), now);
        for of in whose.into_iter().flatten() {
            let kept = sessions.end(of, &mark, now, ttl).await;
            kept.map_err(unavailable)?;
        }
        // Last: whatever breaks off before, the server says it again, and is heard.
        let noted = sessions.note(ended.jti, remembered).await;
        noted.map_err(unavailable)
    }
}

/// Whether a page of this very host asks, or the user himself. Another site could else log
/// users out.
fn is_own_page(asked: &Asked<'_>) -> bool {
    match one(asked.headers, "sec-fetch-site") {
        Ok(Some(site)) => return matches!(site, "same-origin" | "none"),
        Err(Twice) => return false,
        Ok(None) => {} // an older browser does not say
    }
    let own = origin(asked.authority);
    match one(asked.headers, ORIGIN.as_str()) {
        Ok(Some(from)) => return from == own,
        Err(Twice) => return false,
        Ok(None) => {}
    }
    match one(asked.headers, REFERER.as_str()) {
        Ok(Some(from)) => from
            .strip_prefix(&own)
            .is_some_and(|rest| rest.starts_with('/')),
        Ok(None) | Err(Twice) => false,
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let Ok(Some(value)) = one(headers, CONTENT_TYPE.as_str()) else {
        return false;
    };
    let bare = value.split(';').next().unwrap_or_default().trim();
    bare.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
