//! Finds where each value of the file stands, and refuses YAML that we do not take.
//!
//! `serde_yaml` reads the values and knows no places; this is a second, light pass over the same
//! text. It also refuses what makes a file mean something else than what people see in it: keys
//! that stand twice, anchors and aliases, tags, merge keys, a second document.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_yaml::Value;

use super::places::{Marks, Places, below, entry};
use super::problem::{Mark, Problem, one_line, shown};

/// Deeper files are no configuration: ours needs eight levels, claims of tests a few more.
const DEPTH_MAX: usize = 32;
/// What the index may take, in bytes. A file of 10,000 routes takes about 40 MiB.
const INDEX_BYTES_MAX: usize = 512 << 20;

/// Makes the index of `text`, which was read from `file`.
///
/// # Errors
///
/// What is not YAML, or YAML of a kind that we do not take.
pub(super) fn index(file: &Path, text: &str) -> Result<Places, Vec<Problem>> {
    let mut builder = Builder {
        file,
        stack: Vec::new(),
        marks: HashMap::new(),
        nodes: 0,
        bytes: 0,
        documents: 0,
        problems: Vec::new(),
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.take(&event, span),
            Err(error) => Err(builder.not_yaml(&error)),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    if builder.documents == 0 {
        let empty = Problem::new(file, None, "", "the file is empty");
        builder
            .problems
            .push(empty.with_hint("begin with `version: 1`; docs/config.md has every key"));
    }
    if builder.problems.is_empty() {
        Ok(Places::new(file, builder.marks, builder.nodes))
    } else {
        Err(builder.problems)
    }
}

struct Builder<'a> {
    file: &'a Path,
    stack: Vec<Open>,
    marks: HashMap<String, Marks>,
    nodes: usize,
    bytes: usize,
    documents: usize,
    problems: Vec<Problem>,
}

/// A mapping or a list whose end has not come yet.
enum Open {
    Mapping {
        path: String,
        keys: HashSet<String>,
        /// The key whose value comes next.
        key: Option<(String, Mark)>,
    },
    List {
        path: String,
        next: usize,
    },
}

/// What an event says of one node.
struct Node<'a> {
    mark: Mark,
    /// The text and whether it is unquoted, if it is a scalar.
    scalar: Option<(&'a str, bool)>,
}

impl Builder<'_> {
    /// # Errors
    ///
    /// A problem after which nothing more can be said of the file.
    fn take(&mut self, event: &Event<'_>, span: Span) -> Result<(), Problem> {
        let mark = Mark {
            line: span.start.line(),
            column: span.start.col().saturating_add(1),
        };
        match event {
            Event::DocumentStart(_) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    let what = "a second document begins here";
                    return Err(self
                        .problem(mark, "", what)
                        .with_hint("one file is one configuration: remove the line `---`"));
                }
            }
            Event::Alias(_) => {
                self.refuse_alias(mark);
                self.node(&Node { mark, scalar: None })?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                let plain = *style == ScalarStyle::Plain;
                let scalar = Some((&**text, plain));
                self.node(&Node { mark, scalar })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                let path = self.node(&Node { mark, scalar: None })?;
                self.open(mark, Open::List { path, next: 0 })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                let path = self.node(&Node { mark, scalar: None })?;
                let keys = HashSet::new();
                self.open(
                    mark,
                    Open::Mapping {
                        path,
                        keys,
                        key: None,
                    },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.stack.pop()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, mark: Mark, open: Open) -> Result<(), Problem> {
        if self.stack.len() >= DEPTH_MAX {
            let (Open::Mapping { path, .. } | Open::List { path, .. }) = &open;
            let what = format!("this is more than {DEPTH_MAX} levels deep");
            return Err(self.problem(mark, path, what).with_hint(
                "no key of ours stands that deep: look for a bracket that is not closed",
            ));
        }
        self.stack.push(open);
        Ok(())
    }

    /// A key, a value or an entry. Gives its path.
    fn node(&mut self, node: &Node<'_>) -> Result<String, Problem> {
        let (path, key) = match self.stack.last_mut() {
            None => (String::new(), None),
            Some(Open::List { path, next }) => {
                let path = entry(path, *next);
                *next = next.saturating_add(1);
                (path, None)
            }
            Some(Open::Mapping { key, .. }) => match key.take() {
                Some((path, mark)) => (path, Some(mark)),
                None => return self.key(node),
            },
        };
        let key = key.unwrap_or(node.mark);
        let empty = matches!(node.scalar, Some(("", true)));
        let later = node.mark.line != key.line;
        let value = if empty || later { key } else { node.mark };
        self.nodes = self.nodes.saturating_add(1);
        self.bytes = self.bytes.saturating_add(path.len()).saturating_add(128);
        if self.bytes > INDEX_BYTES_MAX {
            return Err(self
                .problem(node.mark, "", "the file has too many keys and entries")
                .with_hint("split the configuration over several gateways"));
        }
        self.marks.insert(path.clone(), Marks { key, value });
        Ok(path)
    }

    fn key(&mut self, node: &Node<'_>) -> Result<String, Problem> {
        let Some((text, plain)) = node.scalar else {
            return Err(self
                .problem(node.mark, "", "a key is a list, a mapping or an alias here")
                .with_hint("a key is one text: put `{...}` and `[...]` in quotes if they are meant as text"));
        };
        let Some(Open::Mapping { path, keys, key }) = self.stack.last_mut() else {
            return Ok(String::new());
        };
        let here = below(path, text);
        *key = Some((here.clone(), node.mark));
        let twice = !keys.insert(text.to_owned());
        if plain && text == "<<" {
            let problem = self.problem(node.mark, &here, "merge keys (`<<`) are not read");
            self.problems
                .push(problem.with_hint("write the keys out where they hold"));
        } else if plain && !is_text(text) {
            let what = "to YAML this key is a number, a truth value or nothing, not a text";
            let problem = self.problem(node.mark, &here, what);
            let hint = format!("write it in quotes: {}", shown(text));
            self.problems.push(problem.with_hint(hint));
        }
        if twice {
            let first = self.marks.get(&here).map_or(0, |marks| marks.key.line);
            let what = format!("the key stands twice; the first is on line {first}");
            let problem = self.problem(node.mark, &here, what);
            self.problems.push(problem.with_hint("keep one of them"));
        }
        Ok(here)
    }

    fn refuse_alias(&mut self, mark: Mark) {
        let problem = self.problem(mark, "", "aliases (`*name`) are not read");
        self.problems.push(problem.with_hint(ALIAS_HINT));
    }

    fn refuse_marks(&mut self, mark: Mark, anchor: usize, tag: bool) {
        if anchor > 0 {
            let problem = self.problem(mark, "", "anchors (`&name`) are not read");
            self.problems.push(problem.with_hint(
                "write the value out wherever it holds; put a text that begins with `&` in quotes",
            ));
        }
        if tag {
            let problem = self.problem(mark, "", "tags (`!name`) are not read");
            self.problems.push(
                problem.with_hint("remove the tag; put a text that begins with `!` in quotes"),
            );
        }
    }

    fn not_yaml(&self, error: &ScanError) -> Problem {
        let mark = Mark {
            line: error.marker().line(),
            column: error.marker().col().saturating_add(1),
        };
        if error.info().contains("unknown anchor") {
            let what = "this begins with `*`, which YAML reads as an alias";
            return self.problem(mark, "", what).with_hint(ALIAS_HINT);
        }
        self.problem(
            mark,
            "",
            format!("this is not YAML: {}", one_line(error.info())),
        )
        .with_hint(
            "the mistake may be on the line before: look at indentation, quotes and brackets",
        )
    }

    /// A problem at `mark`; without a path it is told by where we are in the file.
    fn problem(&self, mark: Mark, path: &str, what: impl Into<String>) -> Problem {
        let mut at = path.to_owned();
        if at.is_empty() {
            at = match self.stack.last() {
                Some(Open::Mapping {
                    key: Some((path, _)),
                    ..
                }) => path.clone(),
                Some(Open::Mapping { path, .. }) => path.clone(),
                Some(Open::List { path, next }) => entry(path, *next),
                None => at,
            };
        }
        Problem::new(self.file, Some(mark), &at, what)
    }
}

const ALIAS_HINT: &str =
    "put a text that begins with `*` in quotes (\"*.example.com\"); write a repeated value out";

/// Whether an unquoted key is a text to YAML, and not a number, a truth value or nothing.
fn is_text(key: &str) -> bool {
    let suspicious = |c: char| c.is_ascii_digit() || "+-.~".contains(c);
    let word = matches!(
        key.to_ascii_lowercase().as_str(),
        "" | "null" | "true" | "false"
    );
    if !word && !key.starts_with(suspicious) {
        return true;
    }
    matches!(serde_yaml::from_str::<Value>(key), Ok(Value::String(_)))
}
