//! [`Node::refuse_within`]: a problem at a place in a text is shown at its place in the file that the
//! text stands in.

use std::iter::Peekable;
use std::str::Chars;

use super::node::Node;
use super::problem::{Mark, Problem};

impl Node<'_> {
    /// Reports a problem at a place within this text: `line` and `column` are in the text, from 1.
    pub(super) fn refuse_within<T>(
        &self,
        (line, column): (usize, usize),
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        let tree = self.report.tree();
        let text = self.as_text().unwrap_or_default();
        let start = tree.marks(self.id).map(|marks| marks.value);
        let found = start.filter(|_| self.report.is_short());
        let found = found.and_then(|start| within(self.report.text(), start, text, (line, column)));
        let mut what = what.into();
        if found.is_none() {
            what = format!("{what} (line {line}, column {column} of the text)");
        }
        let mark = found.or(start);
        let problem = Problem::new(self.report.file(), mark, &tree.path(self.id), what);
        self.report.push(problem.with_hint(hint));
        None
    }
}

/// Where in the file `file` a place of `text` stands that begins at `start`: behind a `|` or a `>`, in
/// quotes, or as it is. `place` is line and column in the text, from 1.
///
/// YAML does not say it. So file and text are read side by side up to the place; `None` if they part
/// before.
fn within(file: &str, start: Mark, text: &str, place: (usize, usize)) -> Option<Mark> {
    let behind = Mark {
        line: start.line.saturating_add(1),
        column: 1,
    };
    // In a block, the text begins on the line below.
    side_by_side(file, start, text, place).or_else(|| side_by_side(file, behind, text, place))
}

fn side_by_side(file: &str, start: Mark, text: &str, place: (usize, usize)) -> Option<Mark> {
    let above = file.split_inclusive('\n').take(start.line.checked_sub(1)?);
    let from = file.get(above.map(str::len).sum()..)?;
    let mut reader = Reader {
        left: from.chars().peekable(),
        at: Mark {
            line: start.line,
            column: 1,
        },
    };
    for _ in 1..start.column {
        reader.next();
    }
    let quote = reader.left.next_if(|c| matches!(c, '"' | '\''));
    reader.at.column = reader
        .at
        .column
        .saturating_add(usize::from(quote.is_some()));
    reader.skip_blank();
    let mut now = (1, 1);
    let mut wanted = text.chars().peekable();
    while now != place {
        let c = wanted.next()?;
        now = match c {
            '\n' => (now.0 + 1, 1),
            _ => (now.0, now.1 + 1),
        };
        if c.is_whitespace() {
            // A line of the file may be folded, and has an indentation.
            if wanted.peek().is_none_or(|c| !c.is_whitespace()) {
                reader.blank()?;
            }
        } else if reader.character(quote)? != c {
            return None;
        }
    }
    let at = reader.at;
    match wanted.next() {
        // The end, or a blank, says nothing of its own.
        None => Some(at),
        Some(c) if c.is_whitespace() => Some(at),
        Some(c) => (reader.character(quote)? == c).then_some(at),
    }
}

struct Reader<'f> {
    left: Peekable<Chars<'f>>,
    at: Mark,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.left.next()?;
        self.at = match c {
            '\n' => Mark {
                line: self.at.line.saturating_add(1),
                column: 1,
            },
            _ => Mark {
                column: self.at.column.saturating_add(1),
                ..self.at
            },
        };
        Some(c)
    }

    /// One character of the text: in quotes, a quote may be written as two, or behind a backslash.
    fn character(&mut self, quote: Option<char>) -> Option<char> {
        let c = self.next()?;
        let doubled = c == '\'' && quote == Some('\'');
        let escaped = c == '\\' && quote == Some('"');
        if doubled || escaped {
            self.next()
        } else {
            Some(c)
        }
    }

    fn skip_blank(&mut self) {
        while self.left.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
    }

    /// At least one blank.
    fn blank(&mut self) -> Option<()> {
        self.left.peek().filter(|c| c.is_whitespace())?;
        self.skip_blank();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_text_is_found_in_its_file_however_it_is_written() {
        // (file, where the value begins, the text, a place in it, that place in the file)
        type Place = (usize, usize);
        let cases: [(&str, Place, &str, Place, Option<Place>); 14] = [
            ("a: b == c\n", (1, 4), "b == c", (1, 1), Some((1, 4))),
            ("a: b == c\n", (1, 4), "b == c", (1, 6), Some((1, 9))),
            ("a: b == c\n", (1, 4), "b == c", (1, 7), Some((1, 10))),
            ("a: \"b == c\"\n", (1, 4), "b == c", (1, 6), Some((1, 10))),
            (
                "a: \"b == \\\"c\\\"\"\n",
                (1, 4),
                "b == \"c\"",
                (1, 7),
                Some((1, 12)),
            ),
            (
                "a: 'b == ''é'' c'\n",
                (1, 4),
                "b == 'é' c",
                (1, 10),
                Some((1, 16)),
            ),
            (
                "x:\n  a: |\n    b ==\n      c\n",
                (2, 3),
                "b ==\n  c\n",
                (2, 3),
                Some((4, 7)),
            ),
            (
                "x:\n  a: |\n    b ==\n      c\n",
                (2, 6),
                "b ==\n  c\n",
                (1, 1),
                Some((3, 5)),
            ),
            (
                "a: >-\n  b ==\n  c && d\n",
                (1, 4),
                "b == c && d",
                (1, 11),
                Some((3, 8)),
            ),
            ("a:\n  b ==\n  c\n", (1, 1), "b == c", (1, 6), Some((3, 3))),
            (
                "- {a: \"b\", cel: \"c == d\"}\n",
                (1, 17),
                "c == d",
                (1, 6),
                Some((1, 23)),
            ),
            // Written in another way: not found, and not guessed.
            ("a: \"\\u0062 == c\"\n", (1, 4), "b == c", (1, 6), None),
            ("a: b == c\n", (1, 4), "b == d", (1, 7), None),
            ("a: b\n", (9, 1), "b", (1, 1), None),
        ];
        for (file, start, text, place, want) in cases {
            let start = Mark {
                line: start.0,
                column: start.1,
            };
            let found = within(file, start, text, place).map(|mark| (mark.line, mark.column));
            assert_eq!(found, want, "{file:?} {place:?}");
        }
    }
}
