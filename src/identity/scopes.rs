//! [`Scopes`]: what a token gives access to, in one piece of memory.

use std::sync::Arc;

/// A set of scopes. Cheap to clone. They are compared byte by byte (RFC 6749, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Arc<str>);

/// Between two scopes. No scope that a route can ask for has it.
const BETWEEN: char = '\0';

impl Scopes {
    /// The scopes of these names, each once. Empty names count for nothing, and neither do names with a
    /// zero byte, which no route can ask for.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let plain = |name: &&str| !name.is_empty() && !name.contains(BETWEEN);
        let mut names: Vec<&str> = names.into_iter().filter(plain).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.join("\0").into())
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|own| own == scope)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(BETWEEN).filter(|name| !name.is_empty())
    }

    /// How much memory their text takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::of([])
    }
}

impl<'n> FromIterator<&'n str> for Scopes {
    fn from_iter<I: IntoIterator<Item = &'n str>>(names: I) -> Self {
        Self::of(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let scopes = Scopes::of(["b", "a", "", "b", "c d", "x\0y"]);
        let all: Vec<_> = scopes.iter().collect();
        assert_eq!(all, ["a", "b", "c d"]);
        for name in ["a", "b", "c d"] {
            assert!(scopes.contains(name), "{name}");
        }
        for name in ["", "c", "d", "x", "y", "x\0y", "a\0b", "A", "a b"] {
            assert!(!scopes.contains(name), "{name:?}");
        }
        assert_eq!(Scopes::default().iter().count(), 0);
        assert!(!Scopes::default().contains(""));
    }
}
