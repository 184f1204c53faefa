//! `tests:` of the configuration: requests that are decided by a snapshot before it is used.
//!
//! The same route table and the same rules decide as in `proxy`; the certificate and the token's
//! signature count as verified, limits are not taken, and nothing is sent anywhere.

use http::HeaderMap;
use rustls::pki_types::UnixTime;

use super::Snapshot;
use crate::authorize::policy::Heard;
use crate::config::Places;
use crate::config::problem::Problem;
use crate::config::spec::{Expectation, TestRequest};
use crate::expression::Question;
use crate::identity::certificate::PeerIdentity;
use crate::identity::client_pattern::ClientPattern;
use crate::identity::name::Name;
use crate::identity::path::{NormalPath, split_target};
use crate::identity::pattern::IdentityPattern;
use crate::refusal::Refusal;

/// Runs all tests of the snapshot's configuration and gives back those that failed.
#[must_use]
pub fn rehearse(snapshot: &Snapshot, places: &Places, now: UnixTime) -> Vec<Problem> {
    let failed = |(index, test): (usize, &crate::config::spec::TestSpec)| {
        let mut heard = Heard::default();
        let came = decide(snapshot, &test.request, now.as_secs(), &mut heard);
        let as_expected = match (&test.expect, &came) {
            (Expectation::Route(want), Ok(route)) => want == route,
            (Expectation::Refusal(want), Err(refusal)) => want == refusal,
            (Expectation::Route(_), Err(_)) | (Expectation::Refusal(_), Ok(_)) => false,
        };
        if as_expected {
            return None;
        }
        let what = format!(
            "expected {}, but {}",
            wanted(&test.expect),
            told(&came, &heard)
        );
        Some(places.problem(&format!("tests[{index}]"), what).with_hint(
            "change the route so that the test passes, or the test if it is no longer right",
        ))
    };
    snapshot
        .spec
        .tests
        .iter()
        .enumerate()
        .filter_map(failed)
        .collect()
}

fn wanted(expectation: &Expectation) -> String {
    match expectation {
        Expectation::Route(name) => format!("route {name}"),
        Expectation::Refusal(refusal) => format!("refusal {}", refusal.reason()),
    }
}

fn told(came: &Result<Name, Refusal>, heard: &Heard) -> String {
    let refusal = match came {
        Ok(name) => return format!("route {name} lets it through"),
        Err(refusal) => refusal.reason(),
    };
    match (&heard.refused_by, &heard.failure) {
        (None, _) => format!("it is refused: {refusal}"),
        (Some(rule), None) => format!("it is refused: {refusal}, by the rule {rule}"),
        (Some(rule), Some(failure)) => {
            format!("it is refused: {refusal}, by the rule {rule}: {failure}")
        }
    }
}

/// Which route lets a request through, or why none does.
fn decide(
    snapshot: &Snapshot,
    request: &TestRequest,
    now: u64,
    heard: &mut Heard,
) -> Result<Name, Refusal> {
    let (path, query) =
        split_target(request.path.as_bytes()).map_err(|_ambiguous| Refusal::PathAmbiguous)?;
    let path = NormalPath::parse(path).map_err(|_ambiguous| Refusal::PathAmbiguous)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let value = value
            .parse()
            .map_err(|_not_a_value| Refusal::RequestMalformed)?;
        headers.insert(name.clone(), value);
    }
    let route = snapshot
        .route(&request.host, &path, &request.method, &headers)
        .ok_or(Refusal::RouteUnknown)?;
    snapshot.check_fields(&request.host, &path, &headers, route)?;
    if let Some(listener) = &request.listener {
        route.check_listener(listener)?;
    }
    let peer = request.client.as_ref().map(stating);
    route.rules.check_peer(peer.as_ref())?;
    let claims = request.claims.as_ref();
    let subject = route.authenticator.rehearse(claims, peer.as_ref(), now)?;
    route.rules.check_subject(subject.as_deref())?;
    let question = Question {
        peer: peer.as_ref(),
        subject: subject.as_deref(),
        method: &request.method,
        host: &request.host,
        path: &path,
        query: query.and_then(|query| std::str::from_utf8(query).ok()),
        headers: &headers,
        credentials: route.authenticator.fields(),
        listener: request.listener.as_ref(),
        now,
    };
    route.route_policy.check(question, heard)?;
    Ok(route.name.clone())
}

/// A certificate that states what the test says, and nothing else.
fn stating(client: &ClientPattern) -> PeerIdentity {
    let mut peer = PeerIdentity::rehearsed(None, Vec::new());
    match client {
        ClientPattern::Identity(IdentityPattern::Spiffe(id)) => peer.spiffe = Some(id.clone()),
        ClientPattern::Identity(IdentityPattern::Dns(name)) => peer.dns = [name.clone()].into(),
        ClientPattern::Identity(IdentityPattern::SpiffeBelow(_)) => {} // refused in `config/`
        ClientPattern::Fingerprint(fingerprint) => peer.fingerprint = *fingerprint,
        ClientPattern::Pin(pin) => peer.public_key = *pin,
        ClientPattern::Subject { name, .. } => peer.subject = Some(*name),
    }
    peer
}
