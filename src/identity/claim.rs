//! What a rule asks of one claim of a token: where it stands ([`ClaimPath`]), and what it must be
//! ([`ClaimTest`]).
//!
//! Values are compared as JSON values, without conversion: `"1"` is not `1`, and `1.0` is not `1`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Where a claim stands.
///
/// A text that begins with `/` is a JSON Pointer (RFC 6901) that goes through objects:
/// `/realm_access/roles`. Every other text is the name of a claim at the top, whatever it is made
/// of: `tenant`, `a.b`, `https://example.com/roles`. So each claim can be named, and each text
/// names one claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(Box<[Box<str>]>);

/// Why a text is not a [`ClaimPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClaimPath {
    /// The text, or what stands between two slashes, is empty.
    #[error("a part of it is empty")]
    Empty,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("a `~` stands for nothing: in a path, `~1` is a slash and `~0` is a `~`")]
    Escape,
    /// More steps than tokens have.
    #[error("it has more than {STEPS_MAX} steps")]
    TooDeep,
    /// Longer than any name of a claim.
    #[error("it is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
}

/// Deeper than any token that we know.
const STEPS_MAX: usize = 16;
/// A URL fits, with a name below it.
const PATH_BYTES_MAX: usize = 512;

impl ClaimPath {
    /// Whether it is the subject's own name.
    #[must_use]
    pub fn is_sub(&self) -> bool {
        matches!(&*self.0, [name] if &**name == "sub")
    }

    /// The claim at this place. Steps go through objects, never through arrays: which place of an
    /// array a role has, issuers do not promise.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let (first, below) = self.0.split_first()?;
        below.iter().try_fold(claims.get(&**first)?, |value, step| {
            value.as_object()?.get(&**step)
        })
    }
}

impl FromStr for ClaimPath {
    type Err = InvalidClaimPath;

    fn from_str(text: &str) -> Result<Self, InvalidClaimPath> {
        if text.len() > PATH_BYTES_MAX {
            return Err(InvalidClaimPath::TooLong);
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return match text {
                "" => Err(InvalidClaimPath::Empty),
                name => Ok(Self([name.into()].into())),
            };
        };
        let steps: Box<[_]> = pointer
            .split('/')
            .map(unescaped)
            .collect::<Result<_, _>>()?;
        if steps.len() > STEPS_MAX {
            return Err(InvalidClaimPath::TooDeep);
        }
        Ok(Self(steps))
    }
}

/// A step of a pointer without its escapes (RFC 6901, section 4).
fn unescaped(step: &str) -> Result<Box<str>, InvalidClaimPath> {
    if step.is_empty() {
        return Err(InvalidClaimPath::Empty);
    }
    let mut parts = step.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix('0'), part.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (None, Some(rest)) => ('/', rest),
            (None, None) => return Err(InvalidClaimPath::Escape),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    Ok(plain.into())
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [name] = &*self.0
            && !name.starts_with('/')
        {
            return f.write_str(name);
        }
        self.0.iter().try_for_each(|step| {
            let step = step.replace('~', "~0").replace('/', "~1");
            write!(f, "/{step}")
        })
    }
}

/// What a claim must be. An array is right if one of its items is.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimTest {
    /// One of these values. At least one.
    OneOf(Box<[Value]>),
    /// A text of this form.
    Matches(TextPattern),
}

impl ClaimTest {
    /// Whether the claim is what it must be.
    #[must_use]
    pub fn holds(&self, claim: &Value) -> bool {
        match claim {
            Value::Array(items) => items.iter().any(|item| self.holds_for(item)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => self.holds_for(claim),
        }
    }

    fn holds_for(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::OneOf(wanted), value) => wanted.contains(value),
            (Self::Matches(pattern), Value::String(text)) => pattern.matches(text),
            (Self::Matches(_), _) => false,
        }
    }
}

/// A text in which `*` stands for any characters, also for none. All other characters stand for
/// themselves; the whole text must match. `\*` is a star and `\\` a backslash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextPattern {
    /// What stands before the first star; the whole text where there is none.
    start: Box<str>,
    /// What stands behind each star. The last one ends the text.
    after_stars: Box<[Box<str>]>,
}

/// Why a text is not a [`TextPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTextPattern {
    /// A backslash before another character than `*` and `\`.
    #[error("a `\\` stands before neither `*` nor `\\`")]
    Escape,
    /// There are too many stars.
    #[error("it has more than {STARS_MAX} stars")]
    TooManyStars,
    /// The text is too long.
    #[error("it is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
}

/// More than a pattern needs that people can read.
const STARS_MAX: usize = 8;
const PATTERN_BYTES_MAX: usize = 512;

impl TextPattern {
    /// Whether the text has this form. Takes time in proportion to the length of the text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((end, between)) = self.after_stars.split_last() else {
            return text == &*self.start;
        };
        let Some(rest) = text.strip_prefix(&*self.start) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(&**end) else {
            return false;
        };
        // The first place is as good as any later one: what is left is longest.
        for part in between {
            let Some((_, after)) = rest.split_once(&**part) else {
                return false;
            };
            rest = after;
        }
        true
    }
}

impl FromStr for TextPattern {
    type Err = InvalidTextPattern;

    fn from_str(text: &str) -> Result<Self, InvalidTextPattern> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(InvalidTextPattern::TooLong);
        }
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let literal = match c {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    Some(_) | None => return Err(InvalidTextPattern::Escape),
                },
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        if parts.len() > STARS_MAX + 1 {
            return Err(InvalidTextPattern::TooManyStars);
        }
        let mut parts = parts.into_iter().map(String::into_boxed_str);
        Ok(Self {
            start: parts.next().unwrap_or_default(),
            after_stars: parts.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> ClaimPath {
        text.parse().unwrap()
    }

    #[test]
    fn every_claim_can_be_named_and_every_path_names_one() {
        let claims = json!({
            "tenant": "a", "a.b": "b", "https://example.com/roles": "c", "/odd": "d", "m~n": "e",
            "realm_access": { "roles": "f", "x/y": "g", "z~": "h" },
            "a": { "b": "i" }, "list": [{ "b": "j" }], "": "k",
        });
        let claims = claims.as_object().unwrap();
        let cases = [
            ("tenant", Some("a")),
            ("a.b", Some("b")),
            ("https://example.com/roles", Some("c")),
            ("/https:~1~1example.com~1roles", Some("c")),
            ("/~1odd", Some("d")),
            ("m~n", Some("e")),
            ("/m~0n", Some("e")),
            ("/tenant", Some("a")),
            ("/realm_access/roles", Some("f")),
            ("/realm_access/x~1y", Some("g")),
            ("/realm_access/z~0", Some("h")),
            ("/a/b", Some("i")),
            ("realm_access.roles", None),
            ("/realm_access.roles", None),
            ("/realm_access/rolesX", None),
            ("/realm_access/roles/x", None),
            ("/list/0/b", None),
            ("/list/b", None),
            ("/tenant/0", None),
            ("Tenant", None),
            ("/odd", None),
        ];
        for (text, want) in cases {
            let found = path(text).find(claims).and_then(Value::as_str);
            assert_eq!(found, want, "{text}");
            assert_eq!(path(&path(text).to_string()), path(text), "{text}");
        }
        let wrong = [
            ("", InvalidClaimPath::Empty),
            ("/", InvalidClaimPath::Empty),
            ("//a", InvalidClaimPath::Empty),
            ("/a/", InvalidClaimPath::Empty),
            ("/a~2b", InvalidClaimPath::Escape),
            ("/a~", InvalidClaimPath::Escape),
        ];
        for (text, want) in wrong {
            assert_eq!(text.parse::<ClaimPath>(), Err(want), "{text}");
        }
        assert_eq!(
            "/a".repeat(STEPS_MAX + 1).parse::<ClaimPath>(),
            Err(InvalidClaimPath::TooDeep)
        );
        assert_eq!(
            "a".repeat(PATH_BYTES_MAX + 1).parse::<ClaimPath>(),
            Err(InvalidClaimPath::TooLong)
        );
    }

    #[test]
    fn values_are_one_of_a_list_without_conversion() {
        let test = ClaimTest::OneOf([json!("a"), json!(3), json!(true)].into());
        for good in [
            json!("a"),
            json!(3),
            json!(true),
            json!(["x", 3]),
            json!([true]),
        ] {
            assert!(test.holds(&good), "{good}");
        }
        let bad = [
            json!("A"),
            json!("a "),
            json!("3"),
            json!(3.0),
            json!("true"),
            json!(false),
            json!(null),
            json!([]),
            json!([["a"]]),
            json!({"a": "a"}),
            json!([{"a": 3}]),
        ];
        for bad in bad {
            assert!(!test.holds(&bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_text_or_nothing() {
        let cases: [(&str, &[&str], &[&str]); 10] = [
            (
                "orders",
                &["orders"],
                &["order", "orders-", "xorders", "", "Orders"],
            ),
            ("", &[""], &["a", " "]),
            ("*", &["", "a", "\n", "\u{e9}"], &[]),
            (
                "team-*",
                &["team-", "team-a", "team-a-b"],
                &["team", "xteam-a", "Team-a"],
            ),
            (
                "*-admin",
                &["-admin", "x-admin", "x-admin-admin"],
                &["x-admin ", "admin"],
            ),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]),
            (
                "a*b*c",
                &["abc", "axbxc", "abbc", "abcbc"],
                &["acb", "ab", "bc", "ac"],
            ),
            ("*ab*ab*", &["abab", "xabxabx"], &["ab", "aab", "aba"]),
            (r"\*\\", &[r"*\"], &["x", r"\*\\", "*"]),
            ("a.c[d]+(e)$", &["a.c[d]+(e)$"], &["abc", "abcd"]),
        ];
        for (pattern, good, bad) in cases {
            let pattern: TextPattern = pattern.parse().unwrap();
            for text in good {
                assert!(pattern.matches(text), "{pattern:?} {text:?}");
            }
            for text in bad {
                assert!(!pattern.matches(text), "{pattern:?} {text:?}");
            }
        }
        let test = ClaimTest::Matches("1*".parse().unwrap());
        assert!(test.holds(&json!("12")) && test.holds(&json!([1, "12"])));
        assert!(!test.holds(&json!(12)) && !test.holds(&json!(["21"])));
        for (text, want) in [
            (r"a\", InvalidTextPattern::Escape),
            (r"\a", InvalidTextPattern::Escape),
        ] {
            assert_eq!(text.parse::<TextPattern>(), Err(want), "{text}");
        }
        let stars = "*a".repeat(STARS_MAX + 1);
        assert_eq!(
            stars.parse::<TextPattern>(),
            Err(InvalidTextPattern::TooManyStars)
        );
    }

    #[test]
    fn a_pattern_agrees_with_trying_everything() {
        fn slow(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.split_first(), text.split_first()) {
                (None, None) => true,
                (None, Some(_)) => false,
                (Some((b'*', after)), _) => (0..=text.len()).any(|at| slow(after, &text[at..])),
                (Some((p, pattern)), Some((t, text))) => p == t && slow(pattern, text),
                (Some(_), None) => false,
            }
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut of = |letters: &[char], most: usize| -> String {
                (0..random.usize(0..=most))
                    .map(|_| letters[random.usize(0..letters.len())])
                    .collect()
            };
            let pattern = of(&['a', 'b', '*'], 6);
            let text = of(&['a', 'b'], 8);
            let came = pattern.parse::<TextPattern>().unwrap().matches(&text);
            assert_eq!(
                came,
                slow(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }
}
