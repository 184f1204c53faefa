//! [`Places`]: from the path of a value to its line and column.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::Value;

use super::problem::{Mark, Problem, shown};

/// Where things stand in the file, to report a problem that is found later (a certificate that
/// cannot be read, two routes that tie) in its place.
#[derive(Clone, Debug, Default)]
pub struct Places {
    file: PathBuf,
    marks: Arc<HashMap<String, Marks>>,
    /// Values, entries and mappings; `marks` has fewer if a name has a dot and looks like a path.
    nodes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// The key, or the value where there is none.
    pub(super) key: Mark,
    /// The value, or the key where the value begins on a later line.
    pub(super) value: Mark,
}

impl Places {
    pub(super) fn new(file: &Path, marks: HashMap<String, Marks>, nodes: usize) -> Self {
        Self {
            file: file.to_path_buf(),
            marks: Arc::new(marks),
            nodes,
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

    /// A problem with the key at `path`.
    pub(super) fn problem_with_key(&self, path: &str, what: impl Into<String>) -> Problem {
        let mark = self.find(path).map(|marks| marks.key);
        Problem::new(&self.file, mark, path, what)
    }

    fn find(&self, path: &str) -> Option<Marks> {
        let mut path = path;
        loop {
            if let Some(marks) = self.marks.get(path) {
                return Some(*marks);
            }
            if path.is_empty() {
                return None;
            }
            path = path
                .rfind(['.', '['])
                .map_or("", |end| path.get(..end).unwrap_or_default());
        }
    }

    /// Whether both readers saw the same keys and entries.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub(super) fn agree(&self, value: &Value) -> Result<(), Problem> {
        let seen = self.count("", value)?;
        if seen == self.nodes {
            return Ok(());
        }
        Err(self.read_in_two_ways(""))
    }

    fn count(&self, path: &str, value: &Value) -> Result<usize, Problem> {
        if !self.marks.contains_key(path) {
            return Err(self.read_in_two_ways(path));
        }
        let mut seen: usize = 1;
        match value {
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let key = key.as_str().ok_or_else(|| self.read_in_two_ways(path))?;
                    seen = seen.saturating_add(self.count(&below(path, key), value)?);
                }
            }
            Value::Sequence(items) => {
                for (index, value) in items.iter().enumerate() {
                    seen = seen.saturating_add(self.count(&entry(path, index), value)?);
                }
            }
            Value::Tagged(_) => return Err(self.read_in_two_ways(path)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(seen)
    }

    fn read_in_two_ways(&self, path: &str) -> Problem {
        self.problem(path, "two YAML readers read this in different ways")
            .with_hint("write it in a plainer way: one key a line, texts in double quotes")
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
