//! [`Terms`]: which store, and on what terms it is spoken to.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::config::shared_state::StoreSpec;

/// Which store, and on what terms.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What the configuration says.
    pub spec: StoreSpec,
    /// What stands in its file.
    pub password: Option<Password>,
    /// How it is spoken to.
    pub security: Security,
}

/// How a store is spoken to.
#[derive(Clone, Debug)]
pub enum Security {
    /// In the clear: so it is written.
    None,
    /// TLS, with the host of each endpoint as the name that the certificate must have. The same
    /// `Arc` is the same in every respect.
    Tls(Arc<ClientConfig>),
    /// TLS, and a source of the key material for it has given nothing yet: it is not spoken to.
    Awaited,
}

/// A password, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Terms {
    /// Whether both are the same, so that connections may be used on.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let security = match (&self.security, &other.security) {
            (Security::None, Security::None) | (Security::Awaited, Security::Awaited) => true,
            (Security::Tls(a), Security::Tls(b)) => Arc::ptr_eq(a, b),
            (Security::None | Security::Tls(_) | Security::Awaited, _) => false,
        };
        security && self.spec == other.spec && self.password == other.password
    }
}

impl Password {
    /// What a file holds, without the line break at its end.
    #[must_use]
    pub fn of_file(text: &str) -> Option<Self> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let fits = !text.is_empty() && text.len() <= PASSWORD_BYTES_MAX;
        (fits && !text.contains(['\n', '\r', '\0'])).then(|| Self(text.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// Redis' own ACL has hashes of passwords; those that it makes are 64 characters.
const PASSWORD_BYTES_MAX: usize = 1024;

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_and_shown_nowhere() {
        let cases = [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\n", Some("secret")),
            (" secret ", Some(" secret ")),
            ("", None),
            ("\n", None),
            ("one\ntwo\n", None),
        ];
        for (text, want) in cases {
            let password = Password::of_file(text);
            assert_eq!(password.as_ref().map(Password::expose), want, "{text:?}");
            assert!(!format!("{password:?}").contains("secret"));
        }
        assert_eq!(Password::of_file(&"x".repeat(1025)), None);
    }
}
