//! [`Node`] and [`Field`]: a value of the file with its place, and the plain questions to it.
//!
//! Each question answers a value, or reports a problem and answers `None`; the caller goes on, so
//! that all problems are shown at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde_yaml::Number;

use super::problem::{Mark, Problem, either, nearest, shown};
use super::report::Report;
use super::tree::{Id, Marks, Value};

/// One value of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) id: Id,
    pub(super) report: &'a Report<'a>,
}

/// A key of a section, written or not.
#[derive(Debug)]
pub(super) struct Field<'a> {
    key: &'static str,
    section: Node<'a>,
    value: Option<Node<'a>>,
}

impl<'a> Node<'a> {
    pub(super) fn root(report: &'a Report<'a>) -> Self {
        Self {
            id: Id::TOP,
            report,
        }
    }

    /// Reports a problem with this value. Answers `None`, to end an expression with.
    pub(super) fn refuse<T>(&self, what: impl Into<String>, hint: impl Into<String>) -> Option<T> {
        self.push(|marks| marks.value, what, hint);
        None
    }

    /// Reports a problem with the key of this value.
    pub(super) fn refuse_key<T>(
        &self,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.push(|marks| marks.key, what, hint);
        None
    }

    fn push(&self, mark: fn(Marks) -> Mark, what: impl Into<String>, hint: impl Into<String>) {
        let tree = self.report.tree();
        let mark = tree.marks(self.id).map(mark);
        let problem = Problem::new(self.report.file(), mark, &tree.path(self.id), what);
        self.report.push(problem.with_hint(hint));
    }

    /// The value as it is.
    pub(super) fn value(&self) -> Value<'a> {
        self.report.tree().value(self.id)
    }

    /// Whether it is the text `word`.
    pub(super) fn is(&self, word: &str) -> bool {
        self.value() == Value::Text(word)
    }

    /// The number, if it is one.
    pub(super) fn number(&self) -> Option<Number> {
        match self.value() {
            Value::Number(number) => Some(number),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List | Value::Mapping => None,
        }
    }

    /// The text, if it is one. May be empty.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match self.value() {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List | Value::Mapping => None,
        }
    }

    /// A text that is not empty. `example` shows one, for the hint.
    pub(super) fn text(&self, example: &str) -> Option<&'a str> {
        let what = match self.value() {
            Value::Text("") => "an empty text stands here".to_owned(),
            Value::Text(text) => return Some(text),
            Value::Number(number) => format!("{number} is a number, and a text is wanted"),
            other @ (Value::Null | Value::Bool(_) | Value::List | Value::Mapping) => {
                format!("{} stands where a text is wanted", kind(&other))
            }
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
        let what = match self.value() {
            Value::Bool(flag) => return Some(flag),
            Value::Text(text) => format!("{} is neither true nor false", shown(text)),
            other @ (Value::Null | Value::Number(_) | Value::List | Value::Mapping) => {
                format!("{} stands where true or false is wanted", kind(&other))
            }
        };
        self.refuse(what, "write `true` or `false`, without quotes")
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count<T: TryFrom<NonZeroU64>>(&self, max: u64) -> Option<T> {
        let what = match self.value() {
            Value::Number(number) => {
                let count = number.as_u64().filter(|n| *n <= max);
                let count = count
                    .and_then(NonZeroU64::new)
                    .and_then(|n| T::try_from(n).ok());
                if count.is_some() {
                    return count;
                }
                format!("{number} is out of bounds")
            }
            Value::Text(text) => format!("{} is not a number", shown(text)),
            other @ (Value::Null | Value::Bool(_) | Value::List | Value::Mapping) => {
                format!("{} stands where a number is wanted", kind(&other))
            }
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
        let value = self.value();
        if value != Value::List {
            let what = format!("{} stands where a list is wanted", kind(&value));
            return self.refuse(what, format!("write a list, like {example}"));
        }
        Some(self.below().collect())
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
    pub(super) fn entries(
        &self,
        example: &str,
    ) -> Option<impl Iterator<Item = (&'a str, Self)> + use<'a>> {
        self.mapping(example)?;
        Some(self.below().map(|node| (node.key(), node)))
    }

    /// Whether this is a section whose keys are `keys`; any other key is a problem.
    pub(super) fn section(&self, keys: &[&'static str]) -> Option<()> {
        self.mapping(&format!("`{}: ...`", keys.first().unwrap_or(&"key")))?;
        for entry in self.below() {
            let key = entry.key();
            if keys.contains(&key) {
                continue;
            }
            let all = list(keys.iter().copied());
            let hint = match nearest(key, keys.iter().copied()) {
                Some(near) => format!("did you mean {near:?}? The keys here are {all}"),
                None => format!("the keys here are {all}"),
            };
            entry.push(|marks| marks.key, "there is no such key here", hint);
        }
        Some(())
    }

    /// One key of a section.
    pub(super) fn field(&self, key: &'static str) -> Field<'a> {
        Field {
            key,
            section: *self,
            value: self.at(key),
        }
    }

    /// The value behind a key, if it is written.
    pub(super) fn at(&self, key: &str) -> Option<Self> {
        let id = self.report.tree().at(self.id, key)?;
        Some(Self { id, ..*self })
    }

    /// Something is left out of what is read; a problem says why.
    pub(super) fn gap(&self) {
        self.report.gap();
    }

    fn mapping(&self, example: &str) -> Option<()> {
        let value = self.value();
        if value == Value::Mapping {
            return Some(());
        }
        let what = format!("{} stands where keys are wanted", kind(&value));
        let hint = if value == Value::Null {
            format!("write keys below it, like {example}, or remove the key")
        } else {
            format!("write keys below it, like {example}")
        };
        self.refuse(what, hint)
    }

    /// The entries of a list or mapping.
    fn below(&self) -> impl Iterator<Item = Self> + use<'a> {
        let report = self.report;
        report
            .tree()
            .below(self.id)
            .map(move |id| Self { id, report })
    }

    /// The name of this entry of a section.
    pub(super) fn name(&self) -> &'a str {
        self.key()
    }

    /// The key that it stands behind.
    pub(super) fn key(&self) -> &'a str {
        self.report.tree().key(self.id).unwrap_or_default()
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

    /// As [`Field::or`], but a wrong value is told and `default` taken in its place, for a look at
    /// the rest of the entry: what was read is not used then.
    pub(super) fn or_go_on<T>(&self, default: T, read: impl FnOnce(&Node<'a>) -> Option<T>) -> T {
        let Some(node) = &self.value else {
            return default;
        };
        read(node).unwrap_or_else(|| {
            node.gap();
            default
        })
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
    /// Whether this name is defined there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied()
    }

    pub(super) fn of(field: &Field<'a>) -> Self {
        let entries = field.written().into_iter().flat_map(Node::below);
        Self(entries.map(|node| node.key()).collect(), field.key)
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

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List => "a list",
        Value::Mapping => "a mapping",
    }
}
