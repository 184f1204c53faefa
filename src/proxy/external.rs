//! Asking an authorization service about a request, and doing what it says: as far as it may.

use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, SET_COOKIE};
use http::{HeaderName, HeaderValue, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use rustls::pki_types::UnixTime;
use serde_json::Map;

use super::admit::authority_text;
use super::credentials;
use super::head::RequestHead;
use super::ids::RequestIds;
use super::journey::Story;
use crate::authenticate::told::Reply;
use crate::edge::facts::ConnectionFacts;
use crate::external_authorization::{
    Change, Changes, Denial, Failure, FieldRules, How, Question, Verdict,
};
use crate::identity::fields::{folded, is_for_others, is_of_one_hop};
use crate::identity::subject::Subject;
use crate::observe::Waived;
use crate::refusal::Refusal;
use crate::snapshot::Snapshot;
use crate::snapshot::external_authorization::ExternalAuthorizationPlan;
use crate::snapshot::plan::RoutePlan;

/// What may be changed by anybody but us.
fn rules(now: &Snapshot) -> FieldRules<'_> {
    FieldRules {
        of_request: is_for_others,
        of_answer: |name| is_of_an_answer(name) && ![CONTENT_TYPE, CONTENT_ENCODING].contains(name),
        of_denial: is_of_an_answer,
        own_cookies: &now.logins().own,
    }
}

/// Whether a field of an answer says nothing about where it ends, or about its connection.
fn is_of_an_answer(name: &HeaderName) -> bool {
    let folded = folded(name.as_str());
    let ours = ["x-request-id", "ratelimit", "ratelimit-policy"].contains(&&*folded);
    !ours && ![CONTENT_LENGTH, DATE].contains(name) && !is_of_one_hop(&folded)
}

/// Asks, if the route wants that. What the answer changes comes back.
///
/// # Errors
///
/// It says no, or nothing that can be followed. What the client is told of a no stands in `story`.
pub(super) async fn authorize(
    head: &RequestHead<'_>,
    facts: &ConnectionFacts,
    now: &Snapshot,
    route: &RoutePlan,
    story: &mut Story,
) -> Result<Option<Box<Changes>>, Refusal> {
    let Some(plan) = &route.external_authorization else {
        return Ok(None);
    };
    let answer = ask(head, facts, now, route, plan, story).await;
    story.external_authorization = Some(match &answer {
        Ok(Verdict::Allowed(_)) => "allowed",
        Ok(Verdict::Denied(_)) => "denied",
        Err(failure) => failure.label(),
    });
    let asked = &plan.authorizer;
    if let Err(failure) = &answer {
        tell(*failure, route, plan, story);
    }
    match answer {
        Ok(Verdict::Allowed(_)) if plan.report_only => Ok(None),
        Ok(Verdict::Denied(_)) | Err(_) if plan.report_only => {
            asked.metrics().waived(Waived::ReportOnly);
            Ok(None)
        }
        Ok(Verdict::Allowed(mut changes)) => {
            changes.dropped = asked.dropped();
            Ok(Some(changes))
        }
        Ok(Verdict::Denied(denial)) => {
            story.denial = denial.map(|denial| Box::new(reply(*denial)));
            Err(Refusal::ExternalAuthorizationDenied)
        }
        Err(failure) if asked.lets_pass(failure) => {
            asked.metrics().waived(Waived::Away);
            Ok(Some(Box::new(Changes {
                dropped: asked.dropped(),
                ..Changes::default()
            })))
        }
        Err(failure) => Err(failure.refusal()),
    }
}

async fn ask(
    head: &RequestHead<'_>,
    facts: &ConnectionFacts,
    now: &Snapshot,
    route: &RoutePlan,
    plan: &ExternalAuthorizationPlan,
    story: &Story,
) -> Result<Verdict, Failure> {
    let host = authority_text(&head.authority);
    let query = credentials::without_parameters(head.query, &route.authenticator);
    let path = head.path.comparable();
    let target = match query.as_deref() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let own = &now.logins().own;
    let cookies = credentials::foreign_cookies(head.headers, own, &route.authenticator);
    let subject = Known::of(story.subject.as_deref());
    let mut context = vec![
        ("listener", facts.listener.as_str()),
        ("route", route.name.as_str()),
        ("upstream", route.upstream.name.as_str()),
    ];
    context.extend(subject.iter().flat_map(Known::context));
    let identity = facts.identity();
    let spiffe = identity.and_then(|identity| identity.spiffe.as_ref());
    let spiffe = spiffe.map(ToString::to_string);
    let question = Question {
        id: story.ids.as_ref().map_or("", RequestIds::request_text),
        now: UnixTime::now().as_secs(),
        method: head.method,
        host: &host,
        target: &target,
        protocol: match head.version {
            Version::HTTP_2 => "HTTP/2",
            _one => "HTTP/1.1",
        },
        size: head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.trim().parse().ok()),
        headers: head.headers,
        cookies: cookies.as_deref(),
        credentials: route.authenticator.fields(),
        client: &facts.peer_key,
        source: facts.source,
        principal: spiffe.as_deref().or_else(|| facts.identity_text()),
        certificate: facts.chain().first().map(AsRef::as_ref),
        server_name: facts.server_name.as_ref().and_then(|name| name.dns_name()),
        context: &context,
    };
    let policy: Option<&Arc<_>> = now.external_policy(plan);
    let rules = rules(now);
    plan.authorizer.check(policy, &question, &rules).await
}

/// What was verified of whom the request acts for: whoever is asked need not be told the token.
struct Known<'s> {
    issuer: &'s str,
    sub: Option<&'s str>,
    scopes: &'s str,
    claims: String,
}

impl<'s> Known<'s> {
    fn of(subject: Option<&'s Subject>) -> Option<Self> {
        let subject = subject?;
        Some(Self {
            issuer: subject.issuer.as_str(),
            sub: subject.sub.as_deref(),
            scopes: subject.scopes.as_str(),
            claims: serde_json::Value::Object(Map::clone(&subject.claims)).to_string(),
        })
    }

    fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let sub = self.sub.map(|sub| ("subject", sub));
        let rest = [
            ("issuer", self.issuer),
            ("scopes", self.scopes),
            ("claims", self.claims.as_str()),
        ];
        sub.into_iter().chain(rest)
    }
}

/// Says what lies behind a failure: the client is not told.
fn tell(failure: Failure, route: &RoutePlan, plan: &ExternalAuthorizationPlan, story: &Story) {
    tracing::warn!(
        request_id = story.ids.as_ref().map(RequestIds::request_text),
        route = route.name.as_str(),
        external_authorization = plan.authorizer.name().as_str(),
        result = failure.label(),
        error = %failure,
        "an authorization service gave no answer that can be followed"
    );
}

/// What the client is told with a no.
fn reply(denial: Denial) -> Reply {
    let Denial {
        status,
        mut fields,
        body,
    } = denial;
    let typed = fields.iter().any(|(name, _)| *name == CONTENT_TYPE);
    if !body.is_empty() && !typed {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        fields.push((CONTENT_TYPE, text));
    }
    Reply {
        status,
        fields,
        body,
    }
}

/// Changes the request for the service. In Envoy's order: what is set, then what is removed.
///
/// # Errors
///
/// pingora's; these are names and values of header fields.
pub(super) fn change_request(
    request: &mut RequestHeader,
    changes: &Changes,
) -> pingora::Result<()> {
    remove_spellings(request, &changes.dropped);
    for Change { name, value, how } in &changes.of_request {
        let there = request.headers.contains_key(name);
        match how {
            How::Append => {
                let _is_new = request.append_header(name.clone(), value.clone())?;
            }
            How::Set => request.insert_header(name.clone(), value.clone())?,
            How::IfAbsent if !there => request.insert_header(name.clone(), value.clone())?,
            How::IfPresent if there => request.insert_header(name.clone(), value.clone())?,
            How::IfAbsent | How::IfPresent => {}
        }
    }
    remove_spellings(request, &changes.removed);
    Ok(())
}

/// Removes fields in every spelling that a service could read as one of these.
fn remove_spellings(request: &mut RequestHeader, names: &[HeaderName]) {
    let meant = |name: &&HeaderName| {
        let name = folded(name.as_str());
        names.iter().any(|other| folded(other.as_str()) == name)
    };
    let meant: Vec<_> = request.headers.keys().filter(meant).cloned().collect();
    for name in &meant {
        request.remove_header(name);
    }
}

/// Changes the service's answer for the client. A cookie is added to those of the service.
///
/// # Errors
///
/// pingora's; these are names and values of header fields.
pub(super) fn change_answer(
    response: &mut ResponseHeader,
    changes: &Changes,
) -> pingora::Result<()> {
    for Change { name, value, how } in &changes.of_answer {
        let there = response.headers.contains_key(name);
        match how {
            How::Append => {
                let _is_new = response.append_header(name.clone(), value.clone())?;
            }
            How::Set if *name == SET_COOKIE => {
                let _is_new = response.append_header(name.clone(), value.clone())?;
            }
            How::Set => response.insert_header(name.clone(), value.clone())?,
            How::IfAbsent if !there => response.insert_header(name.clone(), value.clone())?,
            How::IfPresent if there => response.insert_header(name.clone(), value.clone())?,
            How::IfAbsent | How::IfPresent => {}
        }
    }
    Ok(())
}
