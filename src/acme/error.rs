//! [`AcmeError`]: why no certificate came of an attempt, in words, and when to try again.

use std::time::{Duration, Instant};

use instant_acme::Error as Foreign;

use super::directory::DirectoryError;

/// Why an attempt to have a certificate issued failed.
#[derive(Debug)]
pub(super) struct AcmeError {
    what: String,
    retry: Retry,
    /// When the directory wants to be asked again at the earliest.
    pub(super) not_before: Option<Duration>,
    /// Whether the directory does not know our account (any more).
    pub(super) unknown_account: bool,
}

/// How an attempt is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing was decided: the directory cannot be reached, or is out of order.
    Soon,
    /// The directory said no, or what it issued cannot be used. Directories count such attempts,
    /// and shut out who makes many.
    Later,
}

/// Texts of a directory are cut to this many characters.
const TEXT_CHARS_MAX: usize = 500;

impl AcmeError {
    pub(super) fn new(retry: Retry, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            retry,
            not_before: None,
            unknown_account: false,
        }
    }

    /// The same, with what the directory said when it was asked last.
    pub(super) fn not_sooner_than(self, wait: Option<Duration>) -> Self {
        Self {
            not_before: self.not_before.max(wait),
            ..self
        }
    }

    pub(super) const fn retry(&self) -> Retry {
        self.retry
    }

    /// Sorts the library's error; `doing` says at what.
    pub(super) fn of(doing: &str, error: &Foreign) -> Self {
        let (retry, text) = sorted(error);
        let mut sorted = Self::new(retry, format!("{doing}: {}", plain(&text)));
        sorted.unknown_account = problem_type(error) == Some("accountDoesNotExist");
        if let Foreign::Timeout(Some(next)) = error {
            sorted.not_before = Some(next.saturating_duration_since(Instant::now()));
        }
        sorted
    }
}

impl std::fmt::Display for AcmeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for AcmeError {}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum grows: what is new to us is tried again like a refusal"
)]
fn sorted(error: &Foreign) -> (Retry, String) {
    match error {
        Foreign::Api(problem) => {
            let retry = match problem_type(error) {
                Some("badNonce" | "serverInternal") => Retry::Soon,
                Some(_) | None => Retry::Later,
            };
            let detail = problem.detail.as_deref().unwrap_or("no detail");
            let kind = problem.r#type.as_deref().unwrap_or("no type");
            let more = problem
                .subproblems
                .iter()
                .take(SUBPROBLEMS_MAX)
                .map(|subproblem| format!("; {subproblem}"));
            let more: String = more.collect();
            let text = format!("the directory refuses: {detail} ({kind}){more}");
            (retry, text)
        }
        Foreign::Other(inner) => match inner.downcast_ref::<DirectoryError>() {
            Some(directory) => (Retry::Soon, directory.to_string()),
            None => (Retry::Later, inner.to_string()),
        },
        Foreign::Json(_) => (
            Retry::Soon,
            "the directory's answer is not what RFC 8555 says".to_owned(),
        ),
        Foreign::Timeout(_) => (Retry::Soon, "the directory takes too long".to_owned()),
        other => (Retry::Later, other.to_string()),
    }
}

const SUBPROBLEMS_MAX: usize = 5;

/// The last part of a problem's type (RFC 8555, section 6.7).
fn problem_type(error: &Foreign) -> Option<&str> {
    let Foreign::Api(problem) = error else {
        return None;
    };
    problem.r#type.as_deref()?.rsplit(':').next()
}

/// A text of the directory, fit for a log line.
pub(super) fn plain(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(TEXT_CHARS_MAX).map(visible).collect()
}
