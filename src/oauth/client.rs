//! [`Client`]: asks an authorization server, and proves who asks.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use rustls::pki_types::UnixTime;

pub use super::answer::Answer;
use super::credential::Credential;
use super::error::OauthError;
use super::form::{Form, MEDIA_TYPE};
use crate::fetch::{self, Bounds};
use crate::trust::Source;

/// Asks one authorization server as one of our clients.
///
/// What proves who we are is taken anew for each question: its file may have changed.
#[derive(Debug)]
pub struct Client {
    client_id: Box<str>,
    credential: Arc<Source<Credential>>,
    http: Arc<fetch::Client>,
    audience: Box<str>,
    bounds: Bounds,
}

impl Client {
    /// One that is `client_id` by this credential, on the terms of `http`.
    ///
    /// `audience` is the server in its own words: its issuer identifier, or where that is not known
    /// the URL that is asked.
    #[must_use]
    pub fn new(
        client_id: &str,
        credential: Arc<Source<Credential>>,
        http: Arc<fetch::Client>,
        audience: &str,
        bounds: Bounds,
    ) -> Self {
        Self {
            client_id: client_id.into(),
            credential,
            http,
            audience: audience.into(),
            bounds,
        }
    }

    /// Under which name the server knows us.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the other is the same client, on the same terms.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.client_id == other.client_id
            && self.audience == other.audience
            && self.bounds == other.bounds
            && Arc::ptr_eq(&self.credential, &other.credential)
            && Arc::ptr_eq(&self.http, &other.http)
    }

    /// Posts a form, and takes any successful answer that the server likes to give as JSON.
    ///
    /// # Errors
    ///
    /// [`OauthError`]: what the server refuses is told from what never reached it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the exchange; whether the server did what was asked is not known
    /// then.
    pub async fn post_form(&self, url: &Uri, pairs: &[(&str, &str)]) -> Result<Answer, OauthError> {
        self.post_form_for("application/json", url, pairs).await
    }

    /// As [`Self::post_form`], for an answer of another media type.
    ///
    /// # Errors
    ///
    /// [`OauthError`].
    pub async fn post_form_for(
        &self,
        media_type: &'static str,
        url: &Uri,
        pairs: &[(&str, &str)],
    ) -> Result<Answer, OauthError> {
        let request = self.request(media_type, url, pairs)?;
        let answer = self.http.ask(request, &self.bounds).await?;
        Answer::of(answer.status, answer.headers, answer.body)
    }

    fn request(
        &self,
        media_type: &'static str,
        url: &Uri,
        pairs: &[(&str, &str)],
    ) -> Result<Request<Bytes>, OauthError> {
        let credential = self.credential.current().ok_or(OauthError::Unproven)?;
        let mut form = Form::of(pairs);
        let now = UnixTime::now().as_secs();
        let proof = credential.prove(&mut form, &self.audience, now)?;
        let mut request = Request::new(form.into_bytes());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(ACCEPT, HeaderValue::from_static(media_type));
        if let Some(proof) = proof {
            headers.insert(AUTHORIZATION, proof);
        }
        Ok(request)
    }
}

/// Where a server is asked, for the log: without what may stand in a query.
#[must_use]
pub fn address(url: &Uri) -> String {
    let (scheme, host) = (url.scheme_str(), url.authority());
    let host = host.map_or("", http::uri::Authority::as_str);
    format!("{}://{host}{}", scheme.unwrap_or_default(), url.path())
}
