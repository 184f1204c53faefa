//! [`Places`]: from the path of a value to its line and column.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::problem::{Problem, shown};
use super::tree::{Id, Marks, Tree};

/// Where things stand in the file, to report a problem that is found later (a certificate that
/// cannot be read, two routes that tie) in its place.
///
/// Holds the whole file: to be dropped once the configuration goes live.
#[derive(Clone, Debug, Default)]
pub struct Places {
    file: PathBuf,
    tree: Arc<Tree>,
    /// Sections and their entries, by path; made for the first problem.
    named: OnceLock<HashMap<String, Named>>,
}

#[derive(Clone, Copy, Debug)]
enum Named {
    Section(Id),
    Entry(Id),
}

impl Places {
    pub(super) fn new(file: &Path, tree: Tree) -> Self {
        Self {
            file: file.to_path_buf(),
            tree: Arc::new(tree),
            named: OnceLock::new(),
        }
    }

    /// The file that the places are in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A problem with the value at `path` (`upstreams.orders.tls.accept[0]`). If nothing stands
    /// there, it is shown at the nearest thing above it.
    #[must_use]
    pub fn problem(&self, path: &str, what: impl Into<String>) -> Problem {
        let mark = self.find(path).map(|marks| marks.value);
        Problem::new(&self.file, mark, path, what)
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    fn find(&self, path: &str) -> Option<Marks> {
        let named = self.named.get_or_init(|| self.named());
        let mut nearest = (usize::MAX, Id::TOP);
        let mut head = path;
        // Names may have dots, so each beginning of the path may be a name; the longest goes first.
        while !head.is_empty() && nearest.0 > 0 {
            let rest = path.get(head.len()..).unwrap_or_default();
            let found = named.get(head).map(|named| match named {
                Named::Section(id) => (rest.len(), *id),
                Named::Entry(id) => self.walk(*id, rest),
            });
            if let Some(found) = found.filter(|found| found.0 < nearest.0) {
                nearest = found;
            }
            head = head
                .rfind(['.', '['])
                .and_then(|end| head.get(..end))
                .unwrap_or_default();
        }
        self.tree.marks(nearest.1)
    }

    /// What stands at `rest` below `id`, or the nearest thing above that, and how much of `rest`
    /// is left then.
    fn walk(&self, id: Id, rest: &str) -> (usize, Id) {
        let mut nearest = (rest.len(), id);
        if rest.is_empty() {
            return nearest;
        }
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        for below in self.tree.below(id) {
            let step = self.tree.step("", below);
            let Some(left) = rest.strip_prefix(step.as_str()) else {
                continue;
            };
            if left.is_empty() || left.starts_with(['.', '[']) {
                let found = self.walk(below, left);
                nearest = if found.0 < nearest.0 { found } else { nearest };
            }
        }
        nearest
    }

    fn named(&self) -> HashMap<String, Named> {
        let mut named = HashMap::new();
        for section in self.tree.below(Id::TOP) {
            let path = self.tree.step("", section);
            for entry in self.tree.below(section) {
                named.insert(self.tree.step(&path, entry), Named::Entry(entry));
            }
            named.entry(path).or_insert(Named::Section(section));
        }
        named
    }
}

/// The path of a key of the mapping at `path`.
pub(super) fn below(path: &str, key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let well_formed = !key.is_empty() && key.len() <= 100 && key.bytes().all(plain);
    let key = if well_formed {
        key.to_owned()
    } else {
        shown(key)
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// The path of an entry of the list at `path`.
pub(super) fn entry(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
