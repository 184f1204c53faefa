//! [`Expression`]: a question about a request in CEL, the Common Expression Language, for what rules
//! in words cannot say.
//!
//! The crate `cel` reads and evaluates it. What a crate for everybody leaves open is closed here:
//! `source` reads it within bounds and knows where each part stands, `check` holds names and kinds
//! (`kind`, `signature`) against each other before anything runs, `bounded` rewrites loops and
//! patterns so that what a stranger sends cannot make them run long, `functions` has what the
//! rewritten expression calls, and `values` shows it the request. What is not plainly true is a
//! refusal: an error, a value that is no truth value, a fault of the crate.

mod bounded;
mod check;
mod functions;
mod kind;
mod signature;
mod source;
mod values;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::{Context, ExecutionError, Value};
use http::HeaderName;

pub use source::{Fault, Hint, SOURCE_BYTES_MAX};
pub use values::{Question, Seen};

use bounded::Bounded;
use functions::Pattern;
use values::Scene;

/// An expression that was read, checked and bounded.
pub struct Expression {
    source: Box<str>,
    tree: IdedExpr,
    patterns: Box<[Pattern]>,
    fields: Box<[HeaderName]>,
}

/// Whether requests act for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// They may.
    Seen,
    /// Never: `token` is `null` for all of them, and each of its fields an error.
    Never,
}

/// What is known before any request is there.
#[derive(Clone, Debug)]
pub struct Around {
    /// Whether requests act for somebody.
    pub tokens: Tokens,
    /// Who may have issued what they show: issuers and lists of API keys. `None`: nobody knows.
    pub issuers: Option<Vec<String>>,
    /// Where requests may come to. `None`: nobody knows.
    pub listeners: Option<Vec<String>>,
}

impl From<Tokens> for Around {
    fn from(tokens: Tokens) -> Self {
        Self {
            tokens,
            issuers: None,
            listeners: None,
        }
    }
}

/// Why an expression says neither yes nor no. Never with a value of the request: what it shows are
/// words of the expression itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: &'static str,
    word: Option<Box<str>>,
}

impl Expression {
    /// Reads an expression for requests of a route, of which so much is known.
    ///
    /// # Errors
    ///
    /// What is wrong with it, each with its place; never empty.
    pub fn read(source: &str, around: &Around) -> Result<Self, Vec<Fault>> {
        let read = source::read(source).map_err(|fault| vec![fault])?;
        let fields = check::check(&read.tree, &read.places, around)?;
        let Bounded { tree, patterns } = bounded::bounded(read.tree, &read.places)?;
        Ok(Self {
            source: source.into(),
            tree,
            patterns,
            fields,
        })
    }

    /// The header fields that it names.
    #[must_use]
    pub fn fields(&self) -> &[HeaderName] {
        &self.fields
    }

    /// Whether it is true of a request.
    ///
    /// # Errors
    ///
    /// Why it is neither true nor false, or cannot be told in time: to be refused.
    pub fn holds(&self, seen: &Seen<'_>) -> Result<bool, Failure> {
        let scene = Scene::new(seen, &self.patterns);
        // The crate means to return its errors, and has places where it does not.
        let held = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(functions::environment());
            context.set_variable_resolver(&scene);
            match Value::resolve_val(&self.tree, &context) {
                Ok(value) => match value.downcast_ref::<CelBool>() {
                    Some(held) => Ok(*held.inner()),
                    None => Err(Failure::of("the result is no truth value")),
                },
                Err(error) => Err(Failure::sorted(&error, &self.source)),
            }
        }));
        // Also where `||` made good for the part that was cut short: the cost is the same.
        if scene.is_exhausted() {
            return Err(Failure::of("it costs too much"));
        }
        held.unwrap_or_else(|_panic| Err(Failure::of("a fault of the gateway")))
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// One that makes the crate panic, for tests.
    #[cfg(test)]
    fn panicking() -> Self {
        Self {
            source: "".into(),
            tree: IdedExpr::default(),
            patterns: Box::default(),
            fields: Box::default(),
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl Failure {
    const fn of(what: &'static str) -> Self {
        Self { what, word: None }
    }

    /// Sorts the crate's error. Its text has values of the request in it, among them claims.
    fn sorted(error: &ExecutionError, source: &str) -> Self {
        // A word that stands in the expression is the operator's and no secret.
        let word = |word: &str| source.contains(word).then(|| word.into());
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the crate's enum grows; what is new to us is an error all the same"
        )]
        match error {
            ExecutionError::NoSuchKey(key) => Self {
                what: "there is no such key",
                word: word(key.as_str()),
            },
            ExecutionError::UndeclaredReference(name) => Self {
                what: "there is no such name",
                word: word(name.as_str()),
            },
            ExecutionError::NoSuchOverload(overload) => Self {
                what: "the kinds of values do not fit",
                word: Some(kinds(overload)),
            },
            ExecutionError::IndexOutOfBounds(_) => Self::of("an index is out of bounds"),
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                Self::of("a division by zero")
            }
            ExecutionError::Overflow(..) => Self::of("a number is too large"),
            ExecutionError::FunctionError { function, .. } => Self {
                what: "a function cannot take its value",
                word: word(function.trim_start_matches('@')),
            },
            _ => Self::of("the kinds of values do not fit"),
        }
    }
}

/// `_<_ of string and int`: the kinds alone.
fn kinds(overload: &cel::OverloadError) -> Box<str> {
    let function = overload.function().trim_start_matches('@');
    let kinds = overload.argument_types().join(" and ");
    format!("{function} of {kinds}").into()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match &self.word {
            Some(word) => write!(f, ": {word}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
