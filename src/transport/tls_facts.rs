//! Reads what a handshake agreed on from rustls, in rustls' own words.
//!
//! Both sides ask here. `observe::TlsFacts::of` turns the words into labels; it is handed in, for
//! neither folder stands above the other.

use rustls::{CommonState, HandshakeKind};

/// Calls `make` with version, cipher suite, group, whether the session was resumed, and the
/// application protocol: `tls_facts::read(connection, TlsFacts::of)`.
pub fn read<T>(
    connection: &CommonState,
    make: impl FnOnce(Option<&str>, Option<&str>, Option<&str>, bool, Option<&[u8]>) -> T,
) -> T {
    make(
        connection
            .protocol_version()
            .and_then(|version| version.as_str()),
        connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str()),
        connection
            .negotiated_key_exchange_group()
            .map(|group| group.name().as_str().unwrap_or("")),
        connection.handshake_kind() == Some(HandshakeKind::Resumed),
        connection.alpn_protocol(),
    )
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use crate::observe::TlsFacts;

    #[test]
    fn everything_that_the_provider_has_is_a_label_of_its_own() {
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            let facts = TlsFacts::of(None, suite.suite().as_str(), None, false, None);
            assert_ne!(facts.cipher_suite, "other", "{suite:?}");
        }
        for group in aws_lc_rs::ALL_KX_GROUPS {
            let facts = TlsFacts::of(None, None, group.name().as_str(), false, None);
            assert_ne!(facts.group, "other", "{group:?}");
        }
    }
}
