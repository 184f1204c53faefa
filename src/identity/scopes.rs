//! [`Scopes`]: what a token gives access to, in one piece of memory.

use std::sync::Arc;

/// A set of scopes. Cheap to clone. They are compared byte by byte (RFC 6749, section 3.3).
///
/// Each is a scope-token: services and authorization services are told them as a text with spaces
/// between, in which a name with a space would be two other scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Arc<str>);

/// Between two scopes, as RFC 6749 writes them. None has it.
const BETWEEN: char = ' ';

/// Whether this is a scope-token (RFC 6749, section 3.3): visible ASCII without `"` and `\`.
#[must_use]
pub fn is_scope(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !name.is_empty() && name.bytes().all(plain)
}

impl Scopes {
    /// The scopes of these names, each once. A name that is no scope-token is no scope: no route can ask
    /// for it, and nobody could be told it.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().filter(|name| is_scope(name)).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.join(" ").into())
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

    /// All of them as a text with spaces between (RFC 6749, section 3.3).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
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
        let strange = [
            "c d", "e\tf", "x\0y", "\"g\"", "h\\", "k\u{e9}", "l\u{a0}m", " n",
        ];
        let scopes = Scopes::of(["b", "a", "", "b", "!#[]~:/"].into_iter().chain(strange));
        let all: Vec<_> = scopes.iter().collect();
        assert_eq!(all, ["!#[]~:/", "a", "b"]);
        assert_eq!(scopes.as_str(), "!#[]~:/ a b");
        for name in ["a", "b", "!#[]~:/"] {
            assert!(scopes.contains(name), "{name}");
        }
        for name in strange.into_iter().chain(["", "c", "d", "A", "a b", "n"]) {
            assert!(!scopes.contains(name), "{name:?}");
        }
        assert_eq!(Scopes::default().iter().count(), 0);
        assert_eq!(Scopes::default().as_str(), "");
        assert!(!Scopes::default().contains(""));
    }
}
