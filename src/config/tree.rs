//! [`Tree`]: the values of the file with their places, in one list.
//!
//! A file may have 100,000 routes, some two million values: so a value is 44 bytes in one
//! allocation and its text a part of another one. The path of a value is put together when a
//! problem needs it.

use std::num::NonZeroU32;

use serde_yaml::Number;

use super::places::{below, entry};
use super::problem::Mark;

/// The values of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    entries: Vec<Entry>,
    /// All texts, one behind the other.
    texts: String,
}

/// Which value of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(NonZeroU32);

/// A value as YAML sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Nothing, or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(&'a str),
    /// A list.
    List,
    /// Keys with their values.
    Mapping,
}

/// Where a value stands, and where its key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// The key, or the value where there is none.
    pub(super) key: Mark,
    /// The value, or the key where the value begins on a later line.
    pub(super) value: Mark,
}

#[derive(Clone, Debug)]
struct Entry {
    above: Option<Id>,
    /// The next entry of the same list or mapping.
    next: Option<Id>,
    step: Step,
    content: Content,
    /// Key and value are shown on one line: see [`Marks`].
    line: u32,
    key_column: u32,
    value_column: u32,
}

/// From a list or mapping to one of its entries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The file's own value.
    Top,
    /// By this key.
    Key(Text),
    /// By this index.
    Index(u32),
}

/// What stands there. Lists and mappings know their first entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// A scalar without quotes: a text, or something else.
    Plain(Text),
    /// A text.
    Quoted(Text),
    List(Option<Id>),
    Mapping(Option<Id>),
}

/// A part of [`Tree::texts`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    start: u32,
    length: u32,
}

/// A number beyond 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// What an operator's file has for each value, about, in bytes.
const BYTES_A_VALUE: usize = 12;

impl Id {
    /// The file's own value.
    pub(super) const TOP: Self = Self(NonZeroU32::MIN);

    fn place(self) -> usize {
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

impl Tree {
    /// How many bytes a value takes without its text.
    pub(super) const VALUE_BYTES: usize = size_of::<Entry>();

    /// An empty tree with room for a file of this many bytes.
    pub(super) fn for_bytes(bytes: usize) -> Self {
        Self {
            entries: Vec::with_capacity(bytes / BYTES_A_VALUE),
            texts: String::with_capacity(bytes / 2),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Keeps a text.
    pub(super) fn keep(&mut self, text: &str) -> Text {
        let start = number(self.texts.len());
        self.texts.push_str(text);
        Text {
            start,
            length: number(text.len()),
        }
    }

    /// Adds a value: below `above`, and behind `before` if it is not the first there.
    pub(super) fn add(
        &mut self,
        above: Option<Id>,
        before: Option<Id>,
        (step, content): (Step, Content),
        marks: Marks,
    ) -> Id {
        self.entries.push(Entry {
            above,
            next: None,
            step,
            content,
            line: number(marks.key.line),
            key_column: number(marks.key.column),
            value_column: number(marks.value.column),
        });
        let id = Id(NonZeroU32::new(number(self.entries.len())).unwrap_or(NonZeroU32::MIN));
        if let Some(before) = before.and_then(|before| self.entries.get_mut(before.place())) {
            before.next = Some(id);
        } else if let Some(above) = above.and_then(|above| self.entries.get_mut(above.place())) {
            match &mut above.content {
                Content::List(first) | Content::Mapping(first) => *first = Some(id),
                Content::Plain(_) | Content::Quoted(_) => {}
            }
        }
        id
    }

    /// The value. What a scalar without quotes means is found out here.
    pub(super) fn value(&self, id: Id) -> Value<'_> {
        match self.content(id) {
            None => Value::Null,
            Some(Content::List(_)) => Value::List,
            Some(Content::Mapping(_)) => Value::Mapping,
            Some(Content::Quoted(text)) => Value::Text(self.text(text)),
            Some(Content::Plain(text)) => {
                let text = self.text(text);
                plain(text).unwrap_or(Value::Text(text))
            }
        }
    }

    /// The entries of a list or mapping, in the order of the file.
    pub(super) fn below(&self, id: Id) -> impl Iterator<Item = Id> {
        let first = match self.content(id) {
            Some(Content::List(first) | Content::Mapping(first)) => first,
            Some(Content::Plain(_) | Content::Quoted(_)) | None => None,
        };
        std::iter::successors(first, |id| self.entry(*id)?.next)
    }

    /// The key that a value stands behind, if it stands in a mapping.
    pub(super) fn key(&self, id: Id) -> Option<&str> {
        match self.entry(id)?.step {
            Step::Key(text) => Some(self.text(text)),
            Step::Top | Step::Index(_) => None,
        }
    }

    /// The value behind this key of a mapping.
    pub(super) fn at(&self, mapping: Id, key: &str) -> Option<Id> {
        self.below(mapping).find(|id| self.key(*id) == Some(key))
    }

    /// Where a value stands.
    pub(super) fn marks(&self, id: Id) -> Option<Marks> {
        let entry = self.entry(id)?;
        let mark = |column: u32| Mark {
            line: usize::try_from(entry.line).unwrap_or(usize::MAX),
            column: usize::try_from(column).unwrap_or(usize::MAX),
        };
        Some(Marks {
            key: mark(entry.key_column),
            value: mark(entry.value_column),
        })
    }

    /// The path of a value: `upstreams.orders.tls.accept[0]`.
    pub(super) fn path(&self, id: Id) -> String {
        let up = std::iter::successors(Some(id), |id| self.entry(*id)?.above);
        let steps: Vec<Id> = up.collect();
        let down = steps.into_iter().rev();
        down.fold(String::new(), |path, id| self.step(&path, id))
    }

    /// The path of a value, by that of the one above it.
    pub(super) fn step(&self, path: &str, id: Id) -> String {
        match self.entry(id).map(|entry| entry.step) {
            Some(Step::Key(text)) => below(path, self.text(text)),
            Some(Step::Index(index)) => entry(path, usize::try_from(index).unwrap_or(usize::MAX)),
            Some(Step::Top) | None => path.to_owned(),
        }
    }

    /// A text that was kept.
    pub(super) fn text(&self, text: Text) -> &str {
        let place = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let start = place(text.start);
        let end = start.saturating_add(place(text.length));
        self.texts.get(start..end).unwrap_or_default()
    }

    fn content(&self, id: Id) -> Option<Content> {
        Some(self.entry(id)?.content)
    }

    fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries.get(id.place())
    }
}

/// A place in a file, whose size is bounded far below 2^32.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What a scalar without quotes means to YAML's core schema, if it is no text.
pub(super) fn plain(text: &str) -> Option<Value<'static>> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if !may_be_number(text) {
        return None;
    }
    text.parse().ok().map(Value::Number)
}

/// Whether a scalar without quotes is a number that nothing here can hold.
pub(super) fn too_large(text: &str) -> Result<(), TooLarge> {
    /// No text of so few characters is.
    const FEW: usize = 10;
    if text.len() <= FEW || !may_be_number(text) {
        return Ok(());
    }
    match text.parse::<Number>() {
        Err(error) if error.to_string().contains("128") => Err(TooLarge),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn may_be_number(text: &str) -> bool {
    // Units (`100/s`) and ids (`7:a`) are not worth a try.
    let of_numbers = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.bytes().all(of_numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each between two bars; the first is empty.
    const SCALARS: &str = "|~|null|Null|NULL|nULL|true|True|tRUE|yes|no|on|0|-0|+1|1|01|-01|007|1_000|0x1F|\
        0X1F|0o17|0b11|0b12|-0x1|+0x1|1.5|-1.5|+1.5|1e3|1e999|.5|-.5|5.|.inf|-.inf|\
        +.inf|.Inf|.nan|+.nan|inf|nan|infinity|+inf|+|.|--1|+-1|1-2|1.2.3|10s|100/s|\
        18446744073709551615|-9223372036854775808|1.2|a|0x|0o|١";

    #[test]
    fn a_scalar_means_what_serde_yaml_takes_it_for() {
        for scalar in SCALARS.split('|') {
            let theirs: serde_yaml::Value = serde_yaml::from_str(scalar).unwrap();
            let ours = match plain(scalar) {
                Some(Value::Null) => serde_yaml::Value::Null,
                Some(Value::Bool(flag)) => flag.into(),
                Some(Value::Number(number)) => serde_yaml::Value::Number(number),
                None => scalar.into(),
                other => panic!("{other:?}"),
            };
            assert_eq!(ours, theirs, "{scalar}");
            assert_eq!(too_large(scalar), Ok(()), "{scalar}");
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_too_large() {
        for scalar in [
            "18446744073709551616",
            "-9223372036854775809",
            "0xfffffffffffffffff",
            "99999999999999999999999999999999999999",
        ] {
            assert!(serde_yaml::from_str::<serde_yaml::Value>(scalar).is_err());
            assert_eq!(too_large(scalar), Err(TooLarge), "{scalar}");
        }
    }

    #[test]
    fn a_value_is_small() {
        const { assert!(Tree::VALUE_BYTES <= 44) }
    }
}
