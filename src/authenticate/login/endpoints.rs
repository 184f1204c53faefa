//! [`Endpoints`]: where the authorization server is asked: as it is written, or as its metadata say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::config::login::LoginEndpoints;
use crate::fetch::{Bounds, Client};
use crate::json;

/// Where the server is asked.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) urls: LoginEndpoints,
    /// Whether every answer of it says who it is (RFC 9207).
    pub(super) says_issuer: bool,
}

/// What its metadata said, and when. Outlives reloads that do not touch the login.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    known: ArcSwapOption<(Arc<Endpoints>, Instant)>,
    /// Who holds it asks; the others wait for what comes. When it was asked in vain.
    asking: Mutex<Option<Instant>>,
}

/// For so long metadata are not read again.
const FRESH: Duration = Duration::from_secs(3_600);
/// For so long a server that did not answer is not asked again.
const COOL_DOWN: Duration = Duration::from_secs(2);
const BYTES_MAX: usize = 256 * 1024;
/// OpenID Connect Discovery, section 4.
const PATH: &str = ".well-known/openid-configuration";

impl Discovered {
    /// What the metadata of this issuer say. What was known before stays while it does not answer.
    /// The error is for the log.
    pub(super) async fn endpoints(
        &self,
        issuer: &str,
        http: &Client,
        timeout: Duration,
    ) -> Result<Arc<Endpoints>, String> {
        let known = self.known.load_full();
        if let Some((endpoints, since)) = known.as_deref()
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(endpoints));
        }
        let mut failed = self.asking.lock().await;
        let now = self.known.load_full();
        if let Some((endpoints, since)) = now.as_deref()
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(endpoints)); // it came while we waited
        }
        let before = now.as_deref().map(|(endpoints, _)| Arc::clone(endpoints));
        if failed.is_some_and(|failed| failed.elapsed() < COOL_DOWN) {
            return before.ok_or_else(|| "its metadata could not be had a moment ago".to_owned());
        }
        match ask(issuer, http, timeout).await {
            Ok(endpoints) => {
                *failed = None;
                let endpoints = Arc::new(endpoints);
                let entry = (Arc::clone(&endpoints), Instant::now());
                self.known.store(Some(Arc::new(entry)));
                Ok(endpoints)
            }
            Err(problem) => {
                *failed = Some(Instant::now());
                before.ok_or(problem)
            }
        }
    }
}

async fn ask(issuer: &str, http: &Client, timeout: Duration) -> Result<Endpoints, String> {
    let address = format!("{}/{PATH}", issuer.trim_end_matches('/'));
    let request = Request::get(address)
        .body(Bytes::new())
        .map_err(|_not_an_address| "the issuer is no address to ask for its metadata".to_owned())?;
    let bounds = Bounds {
        time: timeout,
        body: BYTES_MAX,
    };
    let answer = http.ask(request, &bounds).await;
    let answer = answer.map_err(|error| format!("its metadata cannot be had: {error}"))?;
    if answer.status != StatusCode::OK {
        return Err(format!("its metadata cannot be had: {}", answer.status));
    }
    let metadata = json::object(&answer.body)
        .map_err(|error| format!("its metadata are not one JSON object: {error}"))?;
    read(&metadata, issuer).map_err(str::to_owned)
}

fn read(metadata: &Map<String, Value>, issuer: &str) -> Result<Endpoints, &'static str> {
    if metadata.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err("its metadata are those of another issuer");
    }
    let address = |name: &str| match metadata.get(name) {
        None => Ok(None),
        Some(value) => {
            let text = value.as_str().filter(|text| !text.contains(['#', '@']));
            let uri = text.and_then(|text| text.parse::<Uri>().ok());
            let https = |uri: &Uri| uri.scheme_str() == Some("https") && uri.host().is_some();
            uri.filter(https)
                .map(Some)
                .ok_or("its metadata have an address that is not https")
        }
    };
    let urls = LoginEndpoints {
        authorization: address("authorization_endpoint")?
            .ok_or("its metadata have no authorization_endpoint")?,
        token: address("token_endpoint")?.ok_or("its metadata have no token_endpoint")?,
        end_session: address("end_session_endpoint")?,
    };
    let says_issuer = metadata.get("authorization_response_iss_parameter_supported");
    Ok(Endpoints {
        urls,
        says_issuer: says_issuer == Some(&Value::Bool(true)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_that_lie_or_lead_off_https_are_refused() {
        let good = json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
            "authorization_response_iss_parameter_supported": true,
        });
        let of = |metadata: &Value| read(metadata.as_object().unwrap(), "https://id.example");
        let read = of(&good).unwrap();
        assert!(read.says_issuer && read.urls.end_session.is_none());
        let cases = [
            ("issuer", json!("https://id.example/")),
            ("issuer", json!("https://evil.example")),
            ("issuer", json!(null)),
            ("authorization_endpoint", json!("http://id.example/auth")),
            ("authorization_endpoint", json!("/auth")),
            ("authorization_endpoint", json!("https://id.example/auth#x")),
            (
                "authorization_endpoint",
                json!("https://id.example@evil.example/"),
            ),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("token_endpoint", json!(7)),
            ("token_endpoint", json!(null)),
            ("end_session_endpoint", json!("http://id.example/end")),
        ];
        for (name, value) in cases {
            let mut metadata = good.clone();
            metadata[name] = value.clone();
            assert!(of(&metadata).is_err(), "{name}: {value}");
        }
    }
}
