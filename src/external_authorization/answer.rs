//! [`Verdict`]: what an authorization service says, read strictly. An answer that breaks a rule is not
//! followed in part.

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue, StatusCode};
use prost::Message as _;

use super::failure::Unusable;
use super::message::{
    CheckResponse, DeniedHttpResponse, HeaderValueOption, OkHttpResponse, Status,
};
use super::question::is_credential;
use crate::authenticate::login::OwnCookies;

/// Yes or no.
#[derive(Debug)]
pub enum Verdict {
    /// The request may go on.
    Allowed(Box<Changes>),
    /// It may not. Nothing, where nothing is said of what the client is told.
    Denied(Option<Box<Denial>>),
}

/// What a yes changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Fields of the client that only an answer sets: they go first.
    pub dropped: Vec<HeaderName>,
    /// Fields of the request that the service is not to get.
    pub removed: Vec<HeaderName>,
    /// Fields of the request, in their order.
    pub of_request: Vec<Change>,
    /// Fields of the service's answer, in their order.
    pub of_answer: Vec<Change>,
}

/// What becomes of one field.
#[derive(Debug)]
pub struct Change {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
    /// What happens where the field is there.
    pub how: How,
}

/// What happens to a field (`HeaderAppendAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It has this value and no other.
    Set,
    /// It has this value as well.
    Append,
    /// It has this value if it had none.
    IfAbsent,
    /// It has this value if it had another.
    IfPresent,
}

/// What the client is told with a no.
#[derive(Debug)]
pub struct Denial {
    /// 4xx or 5xx; 403 where nothing is said.
    pub status: StatusCode,
    /// Header fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body. May be empty.
    pub body: Bytes,
}

/// Which header fields may be changed.
#[derive(Clone, Copy, Debug)]
pub struct FieldRules<'r> {
    /// Whether one of the request may be changed by anybody but us.
    pub of_request: fn(&HeaderName) -> bool,
    /// Whether it may be set in the service's answer.
    pub of_answer: fn(&HeaderName) -> bool,
    /// Whether it may be set in the answer of a no.
    pub of_denial: fn(&HeaderName) -> bool,
    /// Cookies that nobody but us sets: who could would give a browser somebody else's session.
    pub own_cookies: &'r OwnCookies,
}

/// Fields that one answer changes. A policy sets some; who sets more is broken.
const FIELDS_MAX: usize = 64;
/// Servers take lines of about this length.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// A page that says why not.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Reads a message. Of the request's fields, those of `may_set` may be set.
pub(super) fn read(
    bytes: &[u8],
    rules: &FieldRules<'_>,
    may_set: &[HeaderName],
) -> Result<Verdict, Unusable> {
    let response = CheckResponse::decode(bytes).map_err(|_unreadable| Unusable::Message)?;
    let is_yes = says_yes(&response.status)?;
    let (denied, ok) = (response.denied_response, response.ok_response);
    if denied.len().saturating_add(ok.len()) > 1 {
        return Err(Unusable::Contradiction);
    }
    match (is_yes, ok.into_iter().next(), denied.into_iter().next()) {
        (true, None, None) => Ok(Verdict::Allowed(Box::default())),
        (true, Some(ok), _) => changes(ok, rules, may_set)
            .map(Box::new)
            .map(Verdict::Allowed),
        (true, None, Some(_)) => Err(Unusable::Contradiction),
        (false, _, Some(denied)) => denial(denied, rules).map(Verdict::Denied),
        (false, _, None) => Ok(Verdict::Denied(None)),
    }
}

/// Whether the one status has the one code that says yes, which is 0 and need not be written.
fn says_yes(status: &[Status]) -> Result<bool, Unusable> {
    let status = match status {
        [] => return Err(Unusable::NoStatus),
        [status] => status,
        [_, ..] => return Err(Unusable::Contradiction),
    };
    match status.code.as_slice() {
        [] => Ok(true),
        [code] => match i32::try_from(*code) {
            Ok(code) => Ok(code == 0),
            Err(_too_large) => Err(Unusable::Message),
        },
        [_, ..] => Err(Unusable::Contradiction),
    }
}

fn changes(
    ok: OkHttpResponse,
    rules: &FieldRules<'_>,
    may_set: &[HeaderName],
) -> Result<Changes, Unusable> {
    if !ok.query_parameters_to_set.is_empty() || !ok.query_parameters_to_remove.is_empty() {
        return Err(Unusable::Query);
    }
    let counts = [
        ok.headers.len(),
        ok.headers_to_remove.len(),
        ok.response_headers_to_add.len(),
    ];
    bounded(counts.iter().sum())?;
    let named = |name: &HeaderName| may_set.contains(name);
    let removed = ok.headers_to_remove.iter().map(|name| {
        let name = field_name(name)?;
        let allowed = (rules.of_request)(&name) && (named(&name) || !is_credential(&name));
        permit(allowed, name)
    });
    let removed = removed.collect::<Result<_, _>>()?;
    let settable = |name: &HeaderName| (rules.of_request)(name) && named(name);
    let of_request = ok.headers.into_iter();
    let of_request = of_request.map(|option| one_credential(change(option, settable)?));
    let of_request = of_request.collect::<Result<_, _>>()?;
    let of_answer = ok.response_headers_to_add.into_iter();
    let of_answer =
        of_answer.map(|option| foreign(change(option, rules.of_answer)?, rules.own_cookies));
    Ok(Changes {
        dropped: Vec::new(),
        removed,
        of_request,
        of_answer: of_answer.collect::<Result<_, _>>()?,
    })
}

fn denial(
    denied: DeniedHttpResponse,
    rules: &FieldRules<'_>,
) -> Result<Option<Box<Denial>>, Unusable> {
    let code = denied.status.map_or(0, |status| status.code);
    let status = match u16::try_from(code) {
        Ok(0) => StatusCode::FORBIDDEN,
        Ok(code @ 400..=599) => {
            StatusCode::from_u16(code).map_err(|_none| Unusable::DeniedStatus)?
        }
        Ok(_) | Err(_) => return Err(Unusable::DeniedStatus),
    };
    bounded(denied.headers.len())?;
    if denied.body.len() > BODY_BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    let fields = denied.headers.into_iter().map(|option| {
        let change = change(option, rules.of_denial)?;
        let Change { name, value, .. } = foreign(change, rules.own_cookies)?;
        Ok((name, value))
    });
    let denial = Denial {
        status,
        fields: fields.collect::<Result<_, _>>()?,
        body: denied.body.into(),
    };
    let says_nothing = denial.status == StatusCode::FORBIDDEN
        && denial.fields.is_empty()
        && denial.body.is_empty();
    Ok((!says_nothing).then(|| Box::new(denial)))
}

fn change(
    option: HeaderValueOption,
    allowed: impl Fn(&HeaderName) -> bool,
) -> Result<Change, Unusable> {
    let how = how(&option)?;
    let header = option.header.ok_or(Unusable::FieldMalformed)?;
    let name = field_name(&header.key)?;
    let name = permit(allowed(&name), name)?;
    let value = match (header.value.as_bytes(), header.raw_value.as_slice()) {
        (text, []) => text,
        ([], raw) => raw,
        (_text, _and_raw) => return Err(Unusable::FieldMalformed),
    };
    if value.len() > VALUE_BYTES_MAX {
        return Err(Unusable::TooManyFields);
    }
    let value = HeaderValue::from_bytes(value).map_err(|_control| Unusable::FieldMalformed)?;
    Ok(Change { name, value, how })
}

/// A credential beside that of the client: which of the two counts would depend on who reads them.
fn one_credential(change: Change) -> Result<Change, Unusable> {
    let allowed = change.how != How::Append || !is_credential(&change.name);
    permit(allowed, change.name.clone())?;
    Ok(change)
}

/// A field of an answer, unless it sets a cookie of ours.
fn foreign(change: Change, own: &OwnCookies) -> Result<Change, Unusable> {
    let allowed = change.name != SET_COOKIE || !own.is_set_by(change.value.as_bytes());
    permit(allowed, change.name.clone())?;
    Ok(change)
}

/// `append` speaks where it is there; in this protocol its absence means "replace".
fn how(option: &HeaderValueOption) -> Result<How, Unusable> {
    match (&option.append, option.append_action) {
        (Some(append), _) if append.value => Ok(How::Append),
        (Some(_) | None, 0 | 2) => Ok(How::Set),
        (Some(_) | None, 1) => Ok(How::IfAbsent),
        (Some(_) | None, 3) => Ok(How::IfPresent),
        (Some(_) | None, _unknown) => Err(Unusable::FieldMalformed),
    }
}

fn field_name(text: &str) -> Result<HeaderName, Unusable> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_not_a_token| Unusable::FieldMalformed)
}

fn bounded(fields: usize) -> Result<(), Unusable> {
    if fields <= FIELDS_MAX {
        Ok(())
    } else {
        Err(Unusable::TooManyFields)
    }
}

fn permit(allowed: bool, name: HeaderName) -> Result<HeaderName, Unusable> {
    if allowed {
        return Ok(name);
    }
    tracing::warn!(field = %name, "an authorization service changes a header field that it may not change");
    Err(Unusable::FieldForbidden)
}
