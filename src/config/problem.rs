//! [`Problem`] and [`Problems`]: the operator's mistakes, each with its place and what to do.
//!
//! These texts are read at three in the morning: they name the place, show what stands there (cut,
//! escaped, and never a secret that can be told to be one), and say what to write instead.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

/// One mistake in the configuration, for the person who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: PathBuf,
    mark: Option<Mark>,
    at: String,
    what: String,
    hint: Option<String>,
}

/// A place in the file. Both numbers begin at 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Every problem that was found in one file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
    /// How many were found beyond [`Problems::MAX`].
    more: usize,
}

impl Problem {
    /// A problem at `mark`; `None` if it is the file as a whole. `at` is the place in the file's
    /// own words (`routes.orders.upstream`), or nothing for the top.
    pub(super) fn new(file: &Path, mark: Option<Mark>, at: &str, what: impl Into<String>) -> Self {
        Self {
            file: file.to_path_buf(),
            mark,
            at: without_api_keys(at).into_owned(),
            what: without_api_keys(&what.into()).into_owned(),
            hint: None,
        }
    }

    /// The same problem, with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(without_api_keys(&hint.into()).into_owned());
        self
    }

    /// The file that it is in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where in the file; `None` if it is the file as a whole.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Where, in the file's own words: `routes.orders.upstream`. Empty at the top.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do, if we know.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl Problems {
    /// More than this are counted, not shown: nobody reads them in one go.
    pub const MAX: usize = 100;

    /// All problems of `file`. An empty list is still an error, and says so: whoever calls this
    /// has decided to refuse the file.
    #[must_use]
    pub fn new(file: &Path, mut list: Vec<Problem>) -> Self {
        if list.is_empty() {
            let nameless = Problem::new(file, None, "", "it was refused, and no check said why");
            list.push(nameless.with_hint("this is a fault of the gateway: please report it"));
        }
        list.sort_by_key(|problem| problem.mark);
        list.dedup();
        let more = list.len().saturating_sub(Self::MAX);
        list.truncate(Self::MAX);
        Self {
            file: file.to_path_buf(),
            list,
            more,
        }
    }

    /// The file that was refused.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The problems, in the order of the file; at most [`Problems::MAX`].
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many there are, with those that are not shown.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len().saturating_add(self.more)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Mark { line, column }) = self.mark {
            write!(f, "{line}:{column} ")?;
        }
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{}: {count} {noun}", self.file.display())?;
        for problem in &self.list {
            write!(f, "\n  {problem}")?;
            if let Some(hint) = &problem.hint {
                write!(f, "\n      hint: {hint}")?;
            }
        }
        if self.more > 0 {
            write!(f, "\n  and {} more; mend these first", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}
impl std::error::Error for Problems {}

/// More characters of a value are cut.
const SHOWN_CHARS_MAX: usize = 100;

/// A text of the file in quotes, for a message: control characters escaped, cut to 100 characters,
/// and no private key or password even if someone pasted one.
pub(super) fn shown(text: &str) -> String {
    if text.contains("PRIVATE KEY") {
        return "(a private key)".to_owned();
    }
    let text = without_password(text);
    let mut out = String::from("\"");
    let mut chars = text.chars();
    for c in chars.by_ref().take(SHOWN_CHARS_MAX) {
        match c {
            '\'' => out.push(c),
            '"' | '\\' => out.extend(['\\', c]),
            // Also what is invisible or turns the direction of a line.
            c => drop(write!(out, "{}", c.escape_debug())), // to a String: cannot fail
        }
    }
    out.push_str(if chars.next().is_some() {
        "...\""
    } else {
        "\""
    });
    out
}

/// What API keys begin with, so that they are known wherever they are pasted.
const API_KEY: &str = "pcak_";

/// The text with nothing left of API keys but how they begin: also of a name or a path that is one.
fn without_api_keys(text: &str) -> Cow<'_, str> {
    if !text.contains(API_KEY) {
        return text.into();
    }
    let mut parts = text.split(API_KEY);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        left.push_str(API_KEY);
        left.push_str(if rest.len() < part.len() { "..." } else { "" });
        left.push_str(rest);
    }
    left.into()
}

/// What may have an address of mail in it: a person, and a certificate.
const OF_MAIL: [&str; 2] = ["mailto:", "subject:"];

/// A URL, or `USER:PASSWORD@HOST`, without what stands before its host (RFC 3986, section 3.2.1).
fn without_password(text: &str) -> Cow<'_, str> {
    let Some((before, host)) = text.rsplit_once('@') else {
        return text.into();
    };
    match before.split_once("://") {
        Some((scheme, _secret)) => format!("{scheme}://...@{host}").into(),
        None if before.contains(':') && !OF_MAIL.iter().any(|kind| before.starts_with(kind)) => {
            format!("...@{host}").into()
        }
        None => text.into(),
    }
}

/// A text of a library in a message: one line, cut, harmless.
pub(super) fn one_line(text: &str) -> String {
    let chars = text.chars().take(2 * SHOWN_CHARS_MAX);
    chars
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Words as `a`, `a or b`, `a, b or c`.
pub(super) fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Longer texts are no slip of a finger; this also bounds the work.
const NEAREST_BYTES_MAX: usize = 64;

/// The name that was probably meant: the one with the fewest slips between it and `wanted`, if
/// they are few for its length.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if wanted.len() > NEAREST_BYTES_MAX {
        return None;
    }
    let lower = wanted.to_lowercase();
    let slips_max = (lower.chars().count() / 3).clamp(1, 3);
    // `warning` for `warn`, `order` for `orders-read`.
    let begins =
        |a: &str, b: &str| a.len().min(b.len()) >= 4 && (a.starts_with(b) || b.starts_with(a));
    names
        .filter(|name| name.len() <= NEAREST_BYTES_MAX && *name != wanted)
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(slips, name)| {
            let few = *slips <= slips_max && *slips < name.chars().count();
            few || begins(&lower, &name.to_lowercase())
        })
        .min()
        .map(|(_slips, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_slip_away_not_three_words() {
        let names = ["billing", "orders", "upstream", "max_body", "warn"];
        let cases = [
            ("bilings", Some("billing")),
            ("Orders", Some("orders")),
            ("upsteam", Some("upstream")),
            ("maxbody", Some("max_body")),
            ("warning", Some("warn")),
            ("bill", Some("billing")),
            ("payments", None),
            ("x", None),
            ("", None),
        ];
        for (wanted, want) in cases {
            assert_eq!(nearest(wanted, names.into_iter()), want, "{wanted}");
        }
        assert_eq!(nearest(&"b".repeat(10_000), names.into_iter()), None);
    }

    #[test]
    fn what_is_shown_is_cut_and_harmless() {
        assert_eq!(shown("it's \"x\""), r#""it's \"x\"""#);
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}"), r#""a\u{1b}[31m\n\u{202e}""#);
        assert_eq!(
            shown(&"x".repeat(101)),
            format!("\"{}...\"", "x".repeat(100))
        );
        assert_eq!(
            shown("-----BEGIN PRIVATE KEY-----\nMC4C"),
            "(a private key)"
        );
        for (text, want) in [
            ("redis://:hunter2@cache:6379", "redis://...@cache:6379"),
            ("https://a:b/c@d@id.example/x", "https://...@id.example/x"),
            ("https://token@id.example", "https://...@id.example"),
            ("user:hunter2@cache:6379", "...@cache:6379"),
            ("https://id.example/x", "https://id.example/x"),
            ("someone@id.example", "someone@id.example"),
            ("subject:CN=a,E=b@c", "subject:CN=a,E=b@c"),
            ("mailto:a@b.example", "mailto:a@b.example"),
        ] {
            assert_eq!(shown(text), format!("\"{want}\""));
        }
    }

    #[test]
    fn no_problem_shows_an_api_key() {
        let key = "pcak_0123456789abcdef_0123";
        let told = Problem::new(
            Path::new("a"),
            None,
            &format!("owners.{key}.keys"),
            shown(key),
        );
        let told = Problems::new(
            Path::new("a"),
            vec![told.with_hint(format!("{key}, `pcak_`"))],
        );
        let want =
            "a: 1 problem\n  owners.pcak_....keys: \"pcak_...\"\n      hint: pcak_..., `pcak_`";
        assert_eq!(told.to_string(), want);
    }

    #[test]
    fn an_empty_list_is_still_an_error_and_a_long_one_is_cut() {
        let file = Path::new("gateway.yaml");
        assert_eq!(Problems::new(file, Vec::new()).count(), 1);
        let many = (0..250)
            .map(|n| Problem::new(file, None, "", format!("number {n}")))
            .collect();
        let text = Problems::new(file, many).to_string();
        assert!(text.starts_with("gateway.yaml: 250 problems\n"), "{text}");
        assert!(
            text.ends_with("\n  and 150 more; mend these first"),
            "{text}"
        );
    }
}
