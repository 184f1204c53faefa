//! Reads the YAML of the file into a [`Tree`].
//!
//! Refuses what makes a file mean something else than what people see in it: keys that stand
//! twice, anchors and aliases, tags, merge keys, a second document.

use std::collections::HashMap;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::places::{Places, below, entry};
use super::problem::{Mark, Problem, one_line, shown};
use super::tree::{Content, Id, Marks, Step, Text, Tree, plain, too_large};

/// Deeper files are no configuration: ours needs eight levels, claims of tests a few more.
const DEPTH_MAX: usize = 32;
/// What the values may take, in bytes. A file of 100,000 routes takes about 100 MiB.
const TREE_BYTES_MAX: usize = 512 << 20;
/// Beyond this no more are looked for: bounds what a file of nothing but mistakes takes.
const PROBLEMS_MAX: usize = 10_000;
/// Mappings of more keys than this get a map of them, to find those that stand twice.
const KEYS_FEW: usize = 16;

/// Reads `text`, which is that of `file`.
///
/// # Errors
///
/// What is not YAML, or YAML of a kind that we do not take.
pub(super) fn read(file: &Path, text: &str) -> Result<Places, Vec<Problem>> {
    let mut builder = Builder {
        file,
        stack: Vec::new(),
        tree: Tree::for_bytes(text.len()),
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
        if builder.problems.len() > PROBLEMS_MAX {
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
        Ok(Places::new(file, builder.tree))
    } else {
        Err(builder.problems)
    }
}

struct Builder<'a> {
    file: &'a Path,
    stack: Vec<Open>,
    tree: Tree,
    documents: usize,
    problems: Vec<Problem>,
}

/// A mapping or a list whose end has not come yet.
struct Open {
    id: Id,
    /// Its latest entry.
    latest: Option<Id>,
    kind: Kind,
}

enum Kind {
    Mapping {
        /// The key whose value comes next.
        key: Option<(Text, Mark)>,
        /// How many keys there were.
        count: usize,
        /// Their lines, once they are many.
        lines: HashMap<Box<str>, usize>,
    },
    List {
        next: u32,
    },
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
                        .problem(mark, what)
                        .with_hint("one file is one configuration: remove the line `---`"));
                }
            }
            Event::Alias(_) => {
                let problem = self.problem(mark, "aliases (`*name`) are not read");
                self.problems.push(problem.with_hint(ALIAS_HINT));
                self.refuse_as_key(mark)?;
                self.scalar(mark, "~", true)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                self.scalar(mark, text, *style == ScalarStyle::Plain)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                self.open(mark, Content::List(None), Kind::List { next: 0 })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(mark, *anchor, tag.is_some());
                let kind = Kind::Mapping {
                    key: None,
                    count: 0,
                    lines: HashMap::new(),
                };
                self.open(mark, Content::Mapping(None), kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => drop(self.stack.pop()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, mark: Mark, content: Content, kind: Kind) -> Result<(), Problem> {
        self.refuse_as_key(mark)?;
        let id = self.node(mark, content, false)?;
        if self.stack.len() >= DEPTH_MAX {
            let what = format!("this is more than {DEPTH_MAX} levels deep");
            return Err(self.problem_at(mark, id, what).with_hint(
                "no key of ours stands that deep: look for a bracket that is not closed",
            ));
        }
        self.stack.push(Open {
            id,
            latest: None,
            kind,
        });
        Ok(())
    }

    fn refuse_as_key(&self, mark: Mark) -> Result<(), Problem> {
        if !self.wants_key() {
            return Ok(());
        }
        let problem = self.problem(mark, "a key is a list, a mapping or an alias here");
        Err(problem.with_hint(
            "a key is one text: put `{...}` and `[...]` in quotes if they are meant as text",
        ))
    }

    fn scalar(&mut self, mark: Mark, text: &str, unquoted: bool) -> Result<(), Problem> {
        if self.wants_key() {
            self.key(mark, text, unquoted);
            return Ok(());
        }
        let kept = self.tree.keep(text);
        if !unquoted {
            self.node(mark, Content::Quoted(kept), false)?;
            return Ok(());
        }
        let id = self.node(mark, Content::Plain(kept), text.is_empty())?;
        if too_large(text).is_err() {
            let problem = self.problem_at(mark, id, "this number is too large for anything here");
            self.problems.push(
                problem
                    .with_hint("write a smaller one, or put it in quotes if it is meant as text"),
            );
        }
        Ok(())
    }

    /// A value or an entry.
    fn node(&mut self, mark: Mark, content: Content, empty: bool) -> Result<Id, Problem> {
        if self.tree.len().saturating_mul(Tree::VALUE_BYTES) > TREE_BYTES_MAX {
            return Err(self
                .problem(mark, "the file has too many keys and entries")
                .with_hint("split the configuration over several gateways"));
        }
        let Some(open) = self.stack.last_mut() else {
            let marks = Marks {
                key: mark,
                value: mark,
            };
            return Ok(self.tree.add(None, None, (Step::Top, content), marks));
        };
        let (step, key) = match &mut open.kind {
            Kind::List { next } => {
                let step = Step::Index(*next);
                *next = next.saturating_add(1);
                (step, mark)
            }
            Kind::Mapping { key, .. } => match key.take() {
                Some((text, mark)) => (Step::Key(text), mark),
                None => (Step::Top, mark), // a key goes another way
            },
        };
        let later = mark.line != key.line;
        let value = if empty || later { key } else { mark };
        let marks = Marks { key, value };
        let id = self
            .tree
            .add(Some(open.id), open.latest, (step, content), marks);
        open.latest = Some(id);
        Ok(id)
    }

    /// Whether a key comes next.
    fn wants_key(&self) -> bool {
        let kind = self.stack.last().map(|open| &open.kind);
        matches!(kind, Some(Kind::Mapping { key: None, .. }))
    }

    fn key(&mut self, mark: Mark, text: &str, unquoted: bool) {
        let first = self.first(mark, text);
        let kept = self.tree.keep(text);
        if let Some(Open {
            kind: Kind::Mapping { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((kept, mark));
        }
        if unquoted && text == "<<" {
            let problem = self.problem(mark, "merge keys (`<<`) are not read");
            self.problems
                .push(problem.with_hint("write the keys out where they hold"));
        } else if unquoted && plain(text).is_some() {
            let what = "to YAML this key is a number, a truth value or nothing, not a text";
            let hint = format!("write it in quotes: {}", shown(text));
            let problem = self.problem(mark, what);
            self.problems.push(problem.with_hint(hint));
        }
        if let Some(first) = first {
            let what = format!("the key stands twice; the first is on line {first}");
            let problem = self.problem(mark, what);
            self.problems.push(problem.with_hint("keep one of them"));
        }
    }

    /// The line of the same key before, if it stands twice.
    fn first(&mut self, mark: Mark, text: &str) -> Option<usize> {
        let tree = &self.tree;
        let open = self.stack.last_mut()?;
        let Kind::Mapping { count, lines, .. } = &mut open.kind else {
            return None;
        };
        *count = count.saturating_add(1);
        let line_of = |id| tree.marks(id).map_or(0, |marks| marks.key.line);
        if *count <= KEYS_FEW {
            return tree.at(open.id, text).map(line_of);
        }
        if lines.is_empty() {
            let known = tree.below(open.id);
            lines.extend(known.filter_map(|id| Some((tree.key(id)?.into(), line_of(id)))));
        }
        match lines.get(text) {
            Some(first) => Some(*first),
            None => {
                lines.insert(text.into(), mark.line);
                None
            }
        }
    }

    fn refuse_marks(&mut self, mark: Mark, anchor: usize, tag: bool) {
        if anchor > 0 {
            let problem = self.problem(mark, "anchors (`&name`) are not read");
            self.problems.push(problem.with_hint(
                "write the value out wherever it holds; put a text that begins with `&` in quotes",
            ));
        }
        if tag {
            let problem = self.problem(mark, "tags (`!name`) are not read");
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
            return self.problem(mark, what).with_hint(ALIAS_HINT);
        }
        self.problem(
            mark,
            format!("this is not YAML: {}", one_line(error.info())),
        )
        .with_hint(
            "the mistake may be on the line before: look at indentation, quotes and brackets",
        )
    }

    /// A problem at `mark`, told by where we are in the file.
    fn problem(&self, mark: Mark, what: impl Into<String>) -> Problem {
        let at = self.stack.last().map(|open| {
            let above = self.tree.path(open.id);
            match &open.kind {
                Kind::Mapping {
                    key: Some((text, _)),
                    ..
                } => below(&above, self.tree.text(*text)),
                Kind::Mapping { key: None, .. } => above,
                Kind::List { next } => entry(&above, usize::try_from(*next).unwrap_or(usize::MAX)),
            }
        });
        Problem::new(self.file, Some(mark), &at.unwrap_or_default(), what)
    }

    fn problem_at(&self, mark: Mark, id: Id, what: impl Into<String>) -> Problem {
        Problem::new(self.file, Some(mark), &self.tree.path(id), what)
    }
}

const ALIAS_HINT: &str =
    "put a text that begins with `*` in quotes (\"*.example.com\"); write a repeated value out";
