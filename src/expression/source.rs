//! From text to a tree of bounded size, and where in the text each part of it stands.

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::{ParseError, PrattParser};

/// Longer expressions are programs, and belong to an external authorization.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// Nobody reads deeper ones. It bounds the stack: a level takes 40 KiB of it where nothing is
/// optimized, and a worker has 2 MiB.
const DEPTH_MAX: usize = 20;
/// Parts of an expression, with what its macros stand for.
const NODES_MAX: usize = 1_000;
/// More are deeper than [`DEPTH_MAX`], or stand in patterns that nobody can read.
const CONDITIONS_MAX: usize = 50;
/// Mistakes of syntax that are looked for.
const ERRORS_MAX: u32 = 10;

/// One mistake in an expression, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line in the expression, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do.
    pub hint: Hint,
}

/// What to do about a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// This.
    Text(String),
    /// Write one of these words, and not this one.
    OneOf {
        /// The word that was written.
        written: String,
        /// What the words are, in the plural.
        kind: &'static str,
        /// The words.
        words: Vec<String>,
    },
}

impl From<&str> for Hint {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A tree, and where its parts stand.
pub(super) struct Read<'a> {
    pub(super) tree: IdedExpr,
    pub(super) places: Places<'a>,
}

/// From the number of a part to its place.
pub(super) struct Places<'a> {
    source: &'a str,
    info: Option<Arc<SourceInfo>>,
}

/// Reads the text.
///
/// # Errors
///
/// The first mistake of syntax, or a bound.
pub(super) fn read(source: &str) -> Result<Read<'_>, Fault> {
    let mut places = Places { source, info: None };
    if source.len() > SOURCE_BYTES_MAX {
        let what = format!("the expression has more than {SOURCE_BYTES_MAX} bytes");
        return Err(places.fault_at(0, what, TOO_LARGE.into()));
    }
    // The one thing that the parser goes down into without counting its depth is `a ? b : c`.
    if source.matches('?').count() > CONDITIONS_MAX {
        let what = format!("the expression has more than {CONDITIONS_MAX} `?`");
        return Err(places.fault_at(0, what, TOO_LARGE.into()));
    }
    let tree = parser().parse(source).map_err(|errors| {
        let first = errors.errors.into_iter().next();
        places.not_cel(first.as_ref())
    })?;
    let (depth, nodes) = measured(&tree);
    if depth > DEPTH_MAX || nodes > NODES_MAX {
        let what = match depth > DEPTH_MAX {
            true => format!("the expression is more than {DEPTH_MAX} levels deep"),
            false => format!("the expression has more than {NODES_MAX} parts"),
        };
        return Err(places.fault_at(0, what, TOO_LARGE.into()));
    }
    // The parser tells where the parts stand with its errors alone: so it reads the text once more
    // with a mistake behind it. The parts have the same numbers.
    let wrong = parser().parse(&format!("{source}\n)")).err();
    let mut told = wrong.into_iter().flat_map(|errors| errors.errors);
    places.info = told.find_map(|error| error.source_info);
    Ok(Read { tree, places })
}

const TOO_LARGE: &str =
    "write several rules, of which each must hold, or ask an external authorization";

fn parser() -> PrattParser {
    PrattParser::new()
        .max_recursion_depth(u16::try_from(DEPTH_MAX).unwrap_or(u16::MAX))
        .error_recovery_limit(ERRORS_MAX)
        .error_reporting_limit(ERRORS_MAX)
}

impl Places<'_> {
    /// A fault at a part of the tree.
    pub(super) fn fault(&self, node: &IdedExpr, what: impl Into<String>, hint: Hint) -> Fault {
        self.fault_at(self.offset(node), what.into(), hint)
    }

    /// Where a part begins, in bytes. A function is shown at its name, a field at its own.
    fn offset(&self, node: &IdedExpr) -> usize {
        let info = self.info.as_ref();
        let told = info.and_then(|info| info.offset_for(node.id));
        let start = told.map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        let bracket = self.source.get(start..).unwrap_or_default();
        match &node.expr {
            Expr::Select(select) if !select.test && bracket.starts_with('.') => {
                start.saturating_add(1)
            }
            Expr::Call(call) if call.target.is_some() && bracket.starts_with('(') => {
                start.saturating_sub(call.func_name.len())
            }
            Expr::Select(_)
            | Expr::Call(_)
            | Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::Ident(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Struct(_) => start,
        }
    }

    fn fault_at(&self, offset: usize, what: String, hint: Hint) -> Fault {
        let before = (0..=offset.min(self.source.len()))
            .rev()
            .find_map(|end| self.source.get(..end));
        let before = before.unwrap_or_default();
        let last = before.rsplit('\n').next().unwrap_or_default();
        Fault {
            line: before.matches('\n').count().saturating_add(1),
            column: last.chars().count().saturating_add(1),
            what,
            hint,
        }
    }

    fn not_cel(&self, error: Option<&ParseError>) -> Fault {
        const HINT: &str = "write one expression of CEL, like `token.claims.tenant == 'acme'`";
        let Some(error) = error else {
            return self.fault_at(0, "this is no expression of CEL".to_owned(), HINT.into());
        };
        let number = |number: isize| usize::try_from(number).unwrap_or(0).saturating_sub(1);
        let (line, column) = (number(error.pos.0), number(error.pos.1));
        let above = self.source.split_inclusive('\n').take(line);
        let offset = above.map(str::len).sum::<usize>().saturating_add(column);
        let said = error.msg.trim_start_matches("Syntax error: ");
        let what: String = said.chars().take(MESSAGE_CHARS_MAX).collect();
        let what = what.replace(char::is_control, " ");
        self.fault_at(offset, format!("this is no CEL: {what}"), HINT.into())
    }
}

/// The crate shows the piece of the text that it cannot read, however long.
const MESSAGE_CHARS_MAX: usize = 120;

/// How deep a tree is and how many parts it has. Not by recursion: the tree is not bounded yet.
fn measured(tree: &IdedExpr) -> (usize, usize) {
    let (mut deepest, mut count) = (0, 0_usize);
    let mut open = vec![(tree, 1_usize)];
    while let Some((node, depth)) = open.pop() {
        deepest = deepest.max(depth);
        count = count.saturating_add(1);
        let below = parts(node).into_iter();
        open.extend(below.map(|part| (part, depth.saturating_add(1))));
    }
    (deepest, count)
}

/// The parts that a part has.
pub(super) fn parts(node: &IdedExpr) -> Vec<&IdedExpr> {
    match &node.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call
            .target
            .iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Comprehension(it) => vec![
            &it.iter_range,
            &it.accu_init,
            &it.loop_cond,
            &it.loop_step,
            &it.result,
        ],
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| entry_parts(&entry.expr))
            .collect(),
        Expr::Struct(it) => it
            .entries
            .iter()
            .flat_map(|entry| entry_parts(&entry.expr))
            .collect(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}
