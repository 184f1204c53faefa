//! What an expression sees of a request: [`Question`] is what is known, [`Seen`] its values as CEL
//! has them, made when they are named, and [`Scene`] one evaluation.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use cel::common::types::{
    CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value as Json;

use super::functions::{Budget, Pattern};
use super::kind::HIDDEN_FIELDS;
use crate::identity::certificate::PeerIdentity;
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;
use crate::identity::subject::{Credential, Subject};

/// A request, as far as rules may ask about it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'r> {
    /// Whom the connection's certificate names.
    pub peer: Option<&'r PeerIdentity>,
    /// For whom the request acts.
    pub subject: Option<&'r Subject>,
    /// The method.
    pub method: &'r Method,
    /// The host, canonical.
    pub host: &'r Host,
    /// The path in normal form; rules see it as routes compare it.
    pub path: &'r NormalPath,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The header fields; those that only the gateway may set are removed.
    pub headers: &'r HeaderMap,
    /// Those that carry a credential on this route: they are not shown.
    pub credentials: &'r [HeaderName],
    /// The listener that it came to; a rehearsal may name none.
    pub listener: Option<&'r Name>,
    /// Seconds since 1970.
    pub now: u64,
}

type Boxed<'r> = Box<dyn Val + 'r>;

/// The values of one request, for all expressions of its route.
#[derive(Debug)]
pub struct Seen<'r> {
    question: Question<'r>,
    peer: OnceLock<Boxed<'r>>,
    token: OnceLock<Boxed<'r>>,
    claims: OnceLock<Boxed<'r>>,
    /// Each of the claims, which is all that most expressions name.
    members: OnceLock<BTreeMap<&'r str, Member<'r>>>,
    request: OnceLock<Boxed<'r>>,
    headers: OnceLock<Boxed<'r>>,
}

#[derive(Debug)]
struct Member<'r> {
    json: &'r Json,
    value: OnceLock<Boxed<'r>>,
}

/// One evaluation.
pub(super) struct Scene<'s, 'r> {
    seen: &'s Seen<'r>,
    patterns: &'s [Pattern],
    budget: Budget,
}

/// The name of the budget in rewritten expressions.
pub(super) const BUDGET_NAME: &str = "@budget";
/// The names of patterns there begin with this; a number follows.
pub(super) const PATTERN_NAME: &str = "@pattern";

impl<'r> Seen<'r> {
    /// Nothing is looked at yet.
    #[must_use]
    pub const fn new(question: Question<'r>) -> Self {
        Self {
            question,
            peer: OnceLock::new(),
            token: OnceLock::new(),
            claims: OnceLock::new(),
            members: OnceLock::new(),
            request: OnceLock::new(),
            headers: OnceLock::new(),
        }
    }

    /// The request.
    #[must_use]
    pub const fn question(&self) -> &Question<'r> {
        &self.question
    }

    /// A variable, one of the two fields that cost something to make, or one claim. CEL asks for the
    /// longest name first.
    fn value(&self, name: &str) -> Option<&Boxed<'r>> {
        let question = &self.question;
        Some(match name {
            "peer" => self.peer.get_or_init(|| peer(question.peer)),
            "token" => self.token.get_or_init(|| token(question.subject)),
            "token.claims" => {
                let claims = &question.subject?.claims;
                self.claims.get_or_init(|| object(claims))
            }
            "request" => self.request.get_or_init(|| request(question)),
            "request.headers" => self.headers.get_or_init(|| headers(question)),
            _ => return self.member(name.strip_prefix("token.claims.")?),
        })
    }

    /// One claim. A name with a dot in it is not the claim of that name, but a path.
    fn member(&self, name: &str) -> Option<&Boxed<'r>> {
        if name.contains('.') {
            return None;
        }
        let claims = &self.question.subject?.claims;
        let members = self.members.get_or_init(|| {
            let member = |json| Member {
                json,
                value: OnceLock::new(),
            };
            let members = claims.iter();
            let members = members.map(|(name, json)| (name.as_str(), member(json)));
            members.collect()
        });
        let member = members.get(name)?;
        Some(member.value.get_or_init(|| json(member.json)))
    }
}

impl<'s, 'r> Scene<'s, 'r> {
    pub(super) const fn new(seen: &'s Seen<'r>, patterns: &'s [Pattern]) -> Self {
        Self {
            seen,
            patterns,
            budget: Budget::new(),
        }
    }

    /// Whether the expression cost more than it may.
    pub(super) fn is_exhausted(&self) -> bool {
        self.budget.left() == 0
    }
}

impl VariableResolver for Scene<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(value) = self.seen.value(variable) {
            return Some(CowVal::Borrowed(&**value));
        }
        if variable == "now" {
            return Some(CowVal::owned(whole(self.seen.question.now)));
        }
        if variable == BUDGET_NAME {
            return Some(CowVal::Borrowed(&self.budget));
        }
        let number = variable.strip_prefix(PATTERN_NAME)?.parse::<usize>().ok()?;
        let pattern = self.patterns.get(number)?;
        Some(CowVal::Borrowed(pattern))
    }
}

/// `null` if there is no certificate.
fn peer(peer: Option<&PeerIdentity>) -> Boxed<'_> {
    let Some(peer) = peer else {
        return Box::new(CelNull);
    };
    let dns = peer.dns.iter().map(|name| owned(name.to_string()));
    let mut fields = vec![
        ("dns", list(dns)),
        ("fingerprint", owned(peer.fingerprint.to_string())),
        ("pin", owned(peer.public_key.to_string())),
        ("not_after", Box::new(CelInt::from(peer.not_after))),
    ];
    if let Some(id) = &peer.spiffe {
        fields.push(("spiffe_id", text(id.as_str())));
        fields.push(("trust_domain", text(id.trust_domain())));
    }
    map(fields)
}

/// `null` if the request acts for nobody. The claims are made only where they are named.
fn token(subject: Option<&Subject>) -> Boxed<'_> {
    let Some(subject) = subject else {
        return Box::new(CelNull);
    };
    let credential = match subject.credential {
        Credential::Jwt => "jwt",
        Credential::Introspected => "introspected",
        Credential::ApiKey => "api_key",
        Credential::Login => "login",
    };
    let mut fields = vec![
        ("issuer", text(subject.issuer.as_str())),
        (
            "scopes",
            list(subject.scopes.iter().map(|scope| text(scope))),
        ),
        ("expires", Box::new(whole(subject.expires))),
        ("credential", text(credential)),
        ("claims", Box::new(CelNull)), // for `has(token.claims)`; its value is made by its own name
    ];
    fields.extend(subject.sub.as_deref().map(|sub| ("sub", text(sub))));
    map(fields)
}

fn request<'r>(question: &Question<'r>) -> Boxed<'r> {
    let mut fields = vec![
        ("method", text(question.method.as_str())),
        ("host", owned(question.host.to_string())),
        ("path", path(question.path)),
        ("headers", Box::new(CelNull)), // as the claims of a token
    ];
    fields.extend(question.query.map(|query| ("query", text(query))));
    let listener = question
        .listener
        .map(|name| ("listener", text(name.as_str())));
    fields.extend(listener);
    map(fields)
}

/// As routes compare it: whoever spells it otherwise is told of no other path.
fn path(path: &NormalPath) -> Boxed<'_> {
    match path.comparable() {
        Cow::Borrowed(path) => text(path),
        Cow::Owned(path) => owned(path),
    }
}

/// From each name to all of its values: a rule that saw one of two could be told what the service
/// is not. What is no text is bytes, which no text equals.
///
/// Fields that hold credentials are not there: what was verified of these stands in `token`.
fn headers<'r>(question: &Question<'r>) -> Boxed<'r> {
    let headers = question.headers;
    let names = headers.keys();
    let shown = names.filter(|name| !question.credentials.contains(name));
    let shown = shown.map(HeaderName::as_str);
    let shown = shown.filter(|name| !HIDDEN_FIELDS.contains(name));
    let value = |value| match std::str::from_utf8(HeaderValue::as_bytes(value)) {
        Ok(value) => text(value),
        Err(_not_utf8) => Box::new(CelBytes::from(value.as_bytes())) as Boxed<'_>,
    };
    map(shown.map(|name| (name, list(headers.get_all(name).iter().map(value)))))
}

/// As deep as its reader lets JSON be.
fn json(value: &Json) -> Boxed<'_> {
    match value {
        Json::Null => Box::new(CelNull),
        Json::Bool(flag) => Box::new(cel::common::types::CelBool::from(*flag)),
        Json::String(value) => text(value),
        Json::Array(values) => list(values.iter().map(json)),
        Json::Object(values) => object(values),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Box::new(CelInt::from(number)),
            (None, Some(number), _) => Box::new(CelUInt::from(number)),
            (None, None, Some(number)) => Box::new(CelDouble::from(number)),
            (None, None, None) => Box::new(CelNull),
        },
    }
}

fn object(values: &serde_json::Map<String, Json>) -> Boxed<'_> {
    map(values
        .iter()
        .map(|(name, value)| (name.as_str(), json(value))))
}

fn map<'r>(fields: impl IntoIterator<Item = (&'r str, Boxed<'r>)>) -> Boxed<'r> {
    let fields = fields.into_iter();
    let fields = fields.map(|(name, value)| (CelMapKey::from(name), value));
    Box::new(CelMap::from(fields.collect::<HashMap<_, _>>()))
}

fn list<'r>(values: impl Iterator<Item = Boxed<'r>>) -> Boxed<'r> {
    Box::new(CelList::from(values.collect::<Vec<_>>()))
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

fn owned<'r>(text: String) -> Boxed<'r> {
    Box::new(CelString::from(text))
}

fn whole(seconds: u64) -> CelInt {
    CelInt::from(i64::try_from(seconds).unwrap_or(i64::MAX))
}
