//! Cookies of a login: how they are called, read, and set (RFC 6265).
//!
//! All are `__Host-`: no other host, no plain HTTP and no subdomain can set one. The session, which
//! may be longer than one cookie, stands in a few; how many, its first character says.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::login::{is_own_cookie, session_cookie};

/// Browsers take 4,096 bytes for name, value and attributes.
const PART_BYTES_MAX: usize = 3_800;
/// As much as fits beside other fields into the 32 KiB that a listener takes, twice.
const PARTS_MAX: usize = 4;

/// The names of one login's cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cookies {
    session: Box<str>,
}

impl Cookies {
    pub(super) fn new(name: &str) -> Self {
        let session = session_cookie(name).into();
        Self { session }
    }

    /// What the session's first cookie is called.
    pub(super) fn session_name(&self) -> &str {
        &self.session
    }

    /// The sealed session of a request. `None` if there is none, a part is missing, or one stands
    /// there twice.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<String> {
        let first = only(headers, &self.session)?;
        let count = first.bytes().next().filter(u8::is_ascii_digit)?;
        let count = usize::from(count - b'0');
        if !(1..=PARTS_MAX).contains(&count) {
            return None;
        }
        let mut whole = first.get(1..)?.to_owned();
        for part in 1..count {
            whole.push_str(only(headers, &self.part(part))?);
        }
        Some(whole)
    }

    /// Sets the session, in as few cookies as may be, and removes parts that are left over from a
    /// longer one. `None` if it does not fit.
    pub(super) fn set_session(
        &self,
        headers: &HeaderMap,
        sealed: &str,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let parts: Vec<&[u8]> = sealed.as_bytes().chunks(PART_BYTES_MAX).collect();
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return None;
        }
        let mut fields = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let part = str::from_utf8(part).ok()?;
            let value = match index {
                0 => format!("{}{part}", parts.len()),
                _ => part.to_owned(),
            };
            fields.push(set(&self.part(index), &value, None)?);
        }
        fields.extend(self.remove_parts(headers, parts.len()));
        Some(fields)
    }

    /// Removes the session.
    pub(super) fn remove_session(&self, headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        self.remove_parts(headers, 0)
    }

    fn remove_parts(&self, headers: &HeaderMap, from: usize) -> Vec<(HeaderName, HeaderValue)> {
        let names = (from..PARTS_MAX).map(|part| self.part(part));
        let there = names.filter(|name| all(headers).any(|(own, _)| own == name));
        there.filter_map(|name| remove(&name)).collect()
    }

    fn part(&self, index: usize) -> String {
        match index {
            0 => self.session.to_string(),
            _ => format!("{}.{index}", self.session),
        }
    }

    /// The cookie of a login under way, by a few characters of its `state`.
    pub(super) fn pending(&self, state: &str) -> Option<String> {
        let start = state.get(..STATE_CHARS)?;
        Some(format!("{}.p.{start}", self.session))
    }

    /// The cookies of logins under way.
    pub(super) fn all_pending<'h>(&self, headers: &'h HeaderMap) -> Vec<(&'h str, &'h str)> {
        let start = format!("{}.p.", self.session);
        let own = all(headers).filter(|(name, _)| name.starts_with(&start));
        own.take(PENDING_READ_MAX).collect()
    }

    /// The cookie of a logout under way.
    pub(super) fn leaving(&self) -> String {
        format!("{}.o", self.session)
    }
}

const STATE_CHARS: usize = 8;
/// More than any browser keeps of ours: see `in_progress`.
const PENDING_READ_MAX: usize = 200;

/// Which cookies are the gateway's own: services do not get them, and cannot set them. All that begin with
/// `OURS` are, also those of logins that have another name for them now, or are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnCookies(Box<[Box<str>]>);

impl OwnCookies {
    /// Those of logins whose cookies have these names.
    #[must_use]
    pub fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self(names.map(|name| Cookies::new(name).session).collect())
    }

    /// Whether a cookie of this name is ours.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        name.starts_with(OURS) || self.0.iter().any(|own| is_own_cookie(own, name))
    }

    /// A `Cookie` field without ours. `None` if nothing is left; bytes that are no text stay.
    #[must_use]
    pub fn without(&self, field: &[u8]) -> Option<Vec<u8>> {
        let foreign = |crumb: &&[u8]| {
            let name = crumb.split(|byte| *byte == b'=').next().unwrap_or_default();
            !str::from_utf8(name).is_ok_and(|name| self.has(trimmed(name)))
        };
        let left: Vec<&[u8]> = field
            .split(|byte| *byte == b';')
            .filter(foreign)
            .map(<[u8]>::trim_ascii)
            .filter(|crumb| !crumb.is_empty())
            .collect();
        (!left.is_empty()).then(|| left.join(&b"; "[..]))
    }

    /// Whether a `Set-Cookie` field sets one of ours. A browser that is given a cookie without a name sends
    /// its value alone: `=a=b` comes back as `a=b`.
    #[must_use]
    pub fn is_set_by(&self, field: &[u8]) -> bool {
        let pair = field.split(|byte| *byte == b';').next().unwrap_or_default();
        let before = |byte: &&u8| matches!(byte, b'=' | b' ' | b'\t');
        let skipped = pair.iter().take_while(before).count();
        let pair = pair.get(skipped..).unwrap_or_default();
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        str::from_utf8(name).is_ok_and(|name| self.has(trimmed(name)))
    }
}

/// How the cookies of logins begin that name none themselves.
const OURS: &str = "__Host-portcullis-";

/// All cookies of a request. Those that are no text are not ours.
fn all(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(COOKIE).iter();
    let crumbs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    crumbs.filter_map(|crumb| {
        let (name, value) = str::from_utf8(crumb).ok()?.split_once('=')?;
        Some((trimmed(name), trimmed(value)))
    })
}

/// Without the white space of RFC 6265, section 5.2, and no other: a name behind a space that only Unicode
/// knows is another name, and browsers give it none of the protection of `__Host-`.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The value of a cookie that stands there once.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = all(headers).filter(|(own, _)| *own == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value),
        (None | Some(_), _) => None,
    }
}

/// Sets a cookie for this host alone, for `seconds`, or until the browser is closed.
pub(super) fn set(
    name: &str,
    value: &str,
    seconds: Option<u64>,
) -> Option<(HeaderName, HeaderValue)> {
    let age = seconds.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let field = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    let mut field = HeaderValue::try_from(field).ok()?;
    field.set_sensitive(true);
    Some((SET_COOKIE, field))
}

/// Removes a cookie.
pub(super) fn remove(name: &str) -> Option<(HeaderName, HeaderValue)> {
    set(name, "", Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cookies: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_session_is_read_from_its_parts_or_not_at_all() {
        let cookies = Cookies::new("s");
        let cases: [(&[&str], Option<&str>); 17] = [
            (&["__Host-s=1abc"], Some("abc")),
            (&["a=b; __Host-s=1abc;c=d"], Some("abc")),
            (&["__Host-s=2abc; __Host-s.1=def"], Some("abcdef")),
            (&["__Host-s.1=def", "__Host-s=2abc"], Some("abcdef")),
            (&["__Host-s=1abc; __Host-s.1=def"], Some("abc")),
            (&[], None),
            (&["s=1abc"], None),
            (&["__Host-s=abc"], None),
            (&["__Host-s=0abc"], None),
            (&["__Host-s=5abc"], None),
            (&["__Host-s="], None),
            (&["__Host-s=2abc"], None),
            (&["a=b;\t__Host-s=1abc "], Some("abc")),
            // A sibling host can set these, where a name that begins with `__Host-` is refused.
            (&["\u{2000}__Host-s=1abc"], None),
            (&["\u{a0}__Host-s=1abc; __Host-s=1abd"], Some("abd")),
            (&["__Host-s=1abc; __Host-s=1abc"], None),
            (&["__Host-s=1abc", "__Host-s=1abd"], None),
        ];
        for (fields, want) in cases {
            assert_eq!(
                cookies.session(&request(fields)).as_deref(),
                want,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_session_is_set_in_parts_within_a_bound_and_leaves_no_rest() {
        let cookies = Cookies::new("s");
        for length in [
            1,
            PART_BYTES_MAX,
            PART_BYTES_MAX + 1,
            PART_BYTES_MAX * PARTS_MAX,
        ] {
            let sealed = "x".repeat(length);
            let set = cookies.set_session(&HeaderMap::new(), &sealed).unwrap();
            assert_eq!(set.len(), length.div_ceil(PART_BYTES_MAX));
            let set: Vec<_> = set.iter().map(|(_, v)| v.to_str().unwrap()).collect();
            assert!(set.iter().all(|field| field.len() < 4_096));
            let back: Vec<_> = set.iter().map(|v| v.split(';').next().unwrap()).collect();
            assert_eq!(cookies.session(&request(&back)), Some(sealed));
        }
        let too_long = "x".repeat(PART_BYTES_MAX * PARTS_MAX + 1);
        assert!(cookies.set_session(&HeaderMap::new(), &too_long).is_none());
        let longer = request(&["__Host-s=3a; __Host-s.1=b; __Host-s.2=c"]);
        let set = cookies.set_session(&longer, "short").unwrap();
        let set: Vec<_> = set.iter().map(|(_, v)| v.to_str().unwrap()).collect();
        assert_eq!(set.len(), 3);
        assert!(set[1].starts_with("__Host-s.1=;") && set[1].ends_with("Max-Age=0"));
        assert!(set[2].starts_with("__Host-s.2=;"));
    }

    #[test]
    fn services_get_other_cookies_and_set_none_of_ours() {
        let own = OwnCookies::of(["staff"].into_iter());
        let cases = [
            ("__Host-staff=1x", None),
            ("__Host-staff=1x; a=b", Some("a=b")),
            ("a=b;__Host-staff.1=x;  c=d", Some("a=b; c=d")),
            ("__Host-staff.p.AAAAAAAA=x; __Host-staff.o=y", None),
            (
                "__Host-staffing=1; staff=2; host-staff=3",
                Some("__Host-staffing=1; staff=2; host-staff=3"),
            ),
            (" __Host-staff =x; a", Some("a")),
            ("__Host-staff", None),
        ];
        for (field, want) in cases {
            let left = own.without(field.as_bytes());
            assert_eq!(left.as_deref(), want.map(str::as_bytes), "{field}");
        }
        assert!(own.is_set_by(b"__Host-staff=x; Path=/"));
        assert!(own.is_set_by(b" __Host-staff.1 = x"));
        assert!(own.is_set_by(b"__Host-staff"));
        for nameless in ["=__Host-staff=x", " = __Host-staff.1=x", "==__Host-staff=x"] {
            assert!(own.is_set_by(nameless.as_bytes()), "{nameless}");
        }
        // What a login was called before, or one that is gone.
        assert!(OwnCookies::default().is_set_by(b"__Host-portcullis-old=x"));
        let before = OwnCookies::default().without(b"a=b; __Host-portcullis-old.1=x");
        assert_eq!(before.as_deref(), Some(&b"a=b"[..]));
        assert!(!own.is_set_by(b"__Host-portcullisx=y"));
        assert!(!own.is_set_by(b"staff=__Host-staff"));
    }
}
