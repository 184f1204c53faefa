//! [`Report`]: the problems that are found while the values of a file are read.

use std::cell::{Cell, RefCell};
use std::path::Path;

use super::places::Places;
use super::problem::Problem;
use super::tree::Tree;

/// What has been found so far. Interior, so that a node can report while others are held.
#[derive(Debug)]
pub(super) struct Report<'a> {
    places: &'a Places,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    /// Whether something was left out of what was read.
    gaps: Cell<bool>,
}

/// Beyond this nothing is kept: bounds what a file of nothing but mistakes takes.
const PROBLEMS_MAX: usize = 10_000;
/// Twice as many as are shown. A search goes through up to 10,000 names.
const SEARCHED_MAX: usize = 200;

impl<'a> Report<'a> {
    pub(super) fn new(places: &'a Places, text: &'a str) -> Self {
        Self {
            places,
            text,
            problems: RefCell::default(),
            gaps: Cell::new(false),
        }
    }

    /// The file that is read.
    pub(super) fn file(&self) -> &'a Path {
        self.places.file()
    }

    /// What stands in it.
    pub(super) fn tree(&self) -> &'a Tree {
        self.places.tree()
    }

    /// The file as it is.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// One more problem.
    pub(super) fn push(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        }
    }

    /// Whether there are so few problems that each deserves a search for what was meant.
    pub(super) fn is_short(&self) -> bool {
        self.problems.borrow().len() < SEARCHED_MAX
    }

    /// Something is left out; why is said by a problem.
    pub(super) fn gap(&self) {
        self.gaps.set(true);
    }

    /// All problems.
    ///
    /// # Errors
    ///
    /// The same if there is any, or if something was left out.
    pub(super) fn finish(self) -> Result<(), Vec<Problem>> {
        let problems = self.problems.into_inner();
        if problems.is_empty() && !self.gaps.get() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}
