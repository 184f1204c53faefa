//! [`Node`] and [`Field`]: a value of the file with its place, and the plain questions to it.
//!
//! Each question answers a value, or reports a problem and answers `None`; the caller goes on, so
//! that all problems are shown at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde_yaml::{Mapping, Number, Value};

use super::places::{Places, below, entry};
use super::problem::{Problem, either, nearest, shown};

/// What has been found so far. Interior, so that a [`Node`] can report while others are held.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) places: &'a Places,
    problems: RefCell<Vec<Problem>>,
}

/// Beyond this nothing is kept: bounds what a file of nothing but mistakes takes.
const PROBLEMS_MAX: usize = 10_000;
/// Twice as many as are shown. A search goes through up to 10,000 names.
const SEARCHED_MAX: usize = 200;

/// One value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
    report: &'a Report<'a>,
}

/// A key of a section, written or not.
#[derive(Debug)]
pub(super) struct Field<'a> {
    key: &'static str,
    section: Node<'a>,
    value: Option<Node<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(places: &'a Places) -> Self {
        Self {
            places,
            problems: RefCell::default(),
        }
    }

    fn push(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        }
    }

    /// Whether there are so few problems that each deserves a search for what was meant.
    fn is_short(&self) -> bool {
        self.problems.borrow().len() < SEARCHED_MAX
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value, report: &'a Report<'a>) -> Self {
        Self {
            value,
            path: String::new(),
            report,
        }
    }

    /// Reports a problem with this value. Answers `None`, to end an expression with.
    pub(super) fn refuse<T>(&self, what: impl Into<String>, hint: impl Into<String>) -> Option<T> {
        let problem = self.report.places.problem(&self.path, what);
        self.report.push(problem.with_hint(hint));
        None
    }

    /// Reports a problem with the key of this value.
    pub(super) fn refuse_key<T>(
        &self,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        let problem = self.report.places.problem_with_key(&self.path, what);
        self.report.push(problem.with_hint(hint));
        None
    }

    /// The value as it is.
    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// The number, if it is one.
    pub(super) fn number(&self) -> Option<&'a Number> {
        match self.value {
            Value::Number(number) => Some(number),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => None,
        }
    }

    /// A text that is not empty. `example` shows one, for the hint.
    pub(super) fn text(&self, example: &str) -> Option<&'a str> {
        let what = match (self.value.as_str(), self.number()) {
            (Some(""), _) => "an empty text stands here".to_owned(),
            (Some(text), _) => return Some(text),
            (None, Some(number)) => format!("{number} is a number, and a text is wanted"),
            (None, None) => format!("{} stands where a text is wanted", kind(self.value)),
        };
        self.refuse(what, format!("write a text, like {example}"))
    }

    /// A text that is read as a `T`.
    pub(super) fn parse<T>(&self, example: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.text(example)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let what = format!("{} is not right: {error}", shown(text));
                self.refuse(what, format!("write it like {example}"))
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        if let Value::Bool(flag) = self.value {
            return Some(*flag);
        }
        let what = match self.value.as_str() {
            Some(text) => format!("{} is neither true nor false", shown(text)),
            None => format!("{} stands where true or false is wanted", kind(self.value)),
        };
        self.refuse(what, "write `true` or `false`, without quotes")
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count<T: TryFrom<NonZeroU64>>(&self, max: u64) -> Option<T> {
        let number = self.number();
        let count = number.and_then(Number::as_u64).filter(|n| *n <= max);
        let count = count
            .and_then(NonZeroU64::new)
            .and_then(|n| T::try_from(n).ok());
        if count.is_some() {
            return count;
        }
        let what = match (number, self.value.as_str()) {
            (Some(number), _) => format!("{number} is out of bounds"),
            (None, Some(text)) => format!("{} is not a number", shown(text)),
            (None, None) => format!("{} stands where a number is wanted", kind(self.value)),
        };
        self.refuse(what, format!("write a whole number from 1 to {max}"))
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        let text = self.text(&format!("`{}`", names().next().unwrap_or_default()))?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let what = format!("{} is none of the words that are known here", shown(text));
        let hint = match nearest(text, names()) {
            Some(word) => format!("did you mean {word:?}? The words are {}", either(names())),
            None => format!("write {}", either(names())),
        };
        self.refuse(what, hint)
    }

    /// The name of something that is defined elsewhere: `kind` says what, `section` where.
    pub(super) fn reference<T: FromStr>(&self, kind: &str, names: &Names<'_>) -> Option<T> {
        let text = self.text("the name of another entry of this file")?;
        if names.0.contains(text) {
            return text.parse().ok(); // if it is not well formed, that is said where it is defined
        }
        let what = format!("no {kind} is named {}", shown(text));
        let near = self
            .report
            .is_short()
            .then(|| nearest(text, names.0.iter().copied()));
        let hint = match near.flatten() {
            Some(name) => format!("did you mean {name:?}?"),
            None if names.0.is_empty() => {
                format!("there is no {kind} yet: define it under `{}`", names.1)
            }
            None => {
                let some: Vec<_> = names.0.iter().take(10).map(|name| shown(name)).collect();
                let some = some.join(", ");
                format!("`{}` has {some}; define it there, or name another", names.1)
            }
        };
        self.refuse(what, hint)
    }

    /// The entries of a list. `one` is an example of an entry.
    pub(super) fn items(&self, example: &str) -> Option<Vec<Self>> {
        let Value::Sequence(items) = self.value else {
            let what = format!("{} stands where a list is wanted", kind(self.value));
            return self.refuse(what, format!("write a list, like {example}"));
        };
        let item = |(index, value)| Self {
            value,
            path: entry(&self.path, index),
            report: self.report,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list of at least one entry; each is read, so that the problems of all are found.
    pub(super) fn some<T>(
        &self,
        example: &str,
        read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.items(example)?;
        if items.is_empty() {
            return self.refuse(
                "the list is empty",
                format!("write at least one, like {example}"),
            );
        }
        all(&items, read)
    }

    /// The entries of a mapping whose keys are not ours: a name, and its value.
    pub(super) fn entries(&self, example: &str) -> Option<Vec<(&'a str, Self)>> {
        let mapping = self.mapping(example)?;
        let entry = |(key, value): (&'a Value, &'a Value)| {
            let key = key.as_str()?; // another key was refused with the positions
            Some((key, self.child(key, value)))
        };
        mapping.iter().map(entry).collect()
    }

    /// The mapping of a section whose keys are `keys`; any other key is a problem.
    pub(super) fn section(&self, keys: &[&'static str]) -> Option<&'a Mapping> {
        let mapping = self.mapping(&format!("`{}: ...`", keys.first().unwrap_or(&"key")))?;
        for key in mapping.keys().filter_map(Value::as_str) {
            if keys.contains(&key) {
                continue;
            }
            let path = below(&self.path, key);
            let problem = self
                .report
                .places
                .problem_with_key(&path, "there is no such key here");
            let all = list(keys.iter().copied());
            let hint = match nearest(key, keys.iter().copied()) {
                Some(near) => format!("did you mean {near:?}? The keys here are {all}"),
                None => format!("the keys here are {all}"),
            };
            self.report.push(problem.with_hint(hint));
        }
        Some(mapping)
    }

    /// One key of a section.
    pub(super) fn field(&self, mapping: &'a Mapping, key: &'static str) -> Field<'a> {
        Field {
            key,
            section: self.clone(),
            value: mapping.get(key).map(|value| self.child(key, value)),
        }
    }

    /// Another place, for a problem that is found there.
    pub(super) fn at(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    fn mapping(&self, example: &str) -> Option<&'a Mapping> {
        if let Value::Mapping(mapping) = self.value {
            return Some(mapping);
        }
        let what = format!("{} stands where keys are wanted", kind(self.value));
        let hint = if self.value.is_null() {
            format!("write keys below it, like {example}, or remove the key")
        } else {
            format!("write keys below it, like {example}")
        };
        self.refuse(what, hint)
    }

    fn child(&self, key: &str, value: &'a Value) -> Self {
        Self {
            value,
            path: below(&self.path, key),
            report: self.report,
        }
    }
}

impl<'a> Field<'a> {
    /// The value, if the key is written.
    pub(super) fn written(&self) -> Option<&Node<'a>> {
        self.value.as_ref()
    }

    /// The value of a key that must be there; `hint` says what to write otherwise.
    pub(super) fn needed<T>(
        &self,
        hint: &str,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<T> {
        match &self.value {
            Some(node) => read(node),
            None => self
                .section
                .refuse(format!("`{}` is missing", self.key), hint),
        }
    }

    /// The value, or `default` if the key is not written.
    pub(super) fn or<T>(&self, default: T, read: impl FnOnce(&Node<'a>) -> Option<T>) -> Option<T> {
        self.value.as_ref().map_or(Some(default), read)
    }

    /// The value, if the key is written. The outer `None` is a problem.
    pub(super) fn optional<T>(
        &self,
        read: impl FnOnce(&Node<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.or(None, |node| read(node).map(Some))
    }
}

/// The names that are defined in a section of the file, well formed or not, and that section.
#[derive(Debug)]
pub(super) struct Names<'a>(BTreeSet<&'a str>, &'static str);

impl<'a> Names<'a> {
    pub(super) fn of(field: &Field<'a>) -> Self {
        let mapping = field.written().and_then(|node| node.value.as_mapping());
        let keys = mapping.into_iter().flat_map(Mapping::keys);
        Self(keys.filter_map(Value::as_str).collect(), field.key)
    }
}

/// Reads all, so that the problems of all are found.
pub(super) fn all<'a, T>(
    items: &[Node<'a>],
    read: impl FnMut(&Node<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = items.iter().map(read).collect();
    read.into_iter().collect()
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a tagged value",
    }
}
