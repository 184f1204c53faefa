//! [`TlsFacts`]: what a handshake agreed on, in labels from closed sets.
//!
//! The texts come from rustls by way of `transport::tls_facts`; what is not in a set here is
//! `other`, so that no stranger's choice makes a new time series.

/// What a completed handshake agreed on. Every text is from a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The name in IANA's registry, one of [`TlsFacts::CIPHER_SUITES`].
    pub cipher_suite: &'static str,
    /// The name in IANA's registry, one of [`TlsFacts::GROUPS`]; `none` if no keys were exchanged
    /// (TLS 1.2, resumed).
    pub group: &'static str,
    /// Whether an earlier session was resumed, so that no certificate was sent in this handshake.
    pub resumed: bool,
    /// `h2`, `http/1.1`, `acme-tls/1` (no connection comes of it), or `none` if the peer named no protocol.
    pub alpn: &'static str,
}

const OTHER: &str = "other";
const NONE: &str = "none";

impl TlsFacts {
    /// Every label of a version.
    pub const VERSIONS: [&'static str; 3] = ["1.2", "1.3", OTHER];

    /// Every label of a cipher suite: what our provider has.
    pub const CIPHER_SUITES: [&'static str; 10] = [
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        OTHER,
    ];

    /// Every label of a key exchange group: what our provider has.
    pub const GROUPS: [&'static str; 9] = [
        "X25519MLKEM768",
        "secp256r1MLKEM768",
        "MLKEM768",
        "MLKEM1024",
        "X25519",
        "secp256r1",
        "secp384r1",
        NONE,
        OTHER,
    ];

    /// Every label of an application protocol.
    pub const ALPNS: [&'static str; 5] = ["h2", "http/1.1", "acme-tls/1", NONE, OTHER];

    /// Sorts the names that rustls has for these things (`TLSv1_3`, `TLS13_AES_128_GCM_SHA256`,
    /// `X25519`) into our labels. `None` means that there is no such thing.
    #[must_use]
    pub fn of(
        version: Option<&str>,
        cipher_suite: Option<&str>,
        group: Option<&str>,
        resumed: bool,
        alpn: Option<&[u8]>,
    ) -> Self {
        Self {
            version: match version {
                Some("TLSv1_2") => "1.2",
                Some("TLSv1_3") => "1.3",
                Some(_) | None => OTHER,
            },
            cipher_suite: cipher_suite.map_or(OTHER, suite_label),
            group: group.map_or(NONE, |name| label(&Self::GROUPS, name)),
            resumed,
            alpn: alpn.map_or(NONE, |name| {
                std::str::from_utf8(name).map_or(OTHER, |name| label(&Self::ALPNS, name))
            }),
        }
    }
}

/// rustls writes `TLS13_` where the registry writes `TLS_`.
fn suite_label(name: &str) -> &'static str {
    let rest = |text: &'static str| text.strip_prefix("TLS_");
    let own = name
        .strip_prefix("TLS13_")
        .or_else(|| name.strip_prefix("TLS_"));
    TlsFacts::CIPHER_SUITES
        .into_iter()
        .find(|label| own.is_some() && rest(label) == own)
        .unwrap_or(OTHER)
}

fn label(set: &[&'static str], name: &str) -> &'static str {
    set.iter()
        .copied()
        .find(|label| *label == name)
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rustls_names_gets_the_label_of_the_registry() {
        let facts = TlsFacts::of(
            Some("TLSv1_3"),
            Some("TLS13_AES_128_GCM_SHA256"),
            Some("X25519MLKEM768"),
            false,
            Some(b"h2"),
        );
        let want = TlsFacts {
            version: "1.3",
            cipher_suite: "TLS_AES_128_GCM_SHA256",
            group: "X25519MLKEM768",
            resumed: false,
            alpn: "h2",
        };
        assert_eq!(facts, want);
    }

    #[test]
    fn what_is_unknown_or_absent_makes_no_new_label() {
        let cases: [(_, _, _, &[u8]); 3] = [
            (None, None, Some("FFDHE2048"), b"\xff\xfe"),
            (
                Some("SSLv3"),
                Some("TLS_RSA_WITH_RC4_128_SHA"),
                Some("a\"b"),
                b"spdy/3",
            ),
            (Some(""), Some("AES_128_GCM_SHA256"), Some("x25519"), b"H2"),
        ];
        for (version, suite, group, alpn) in cases {
            let facts = TlsFacts::of(version, suite, group, true, Some(alpn));
            assert_eq!(facts.version, OTHER, "{version:?}");
            assert_eq!(facts.cipher_suite, OTHER, "{suite:?}");
            assert_eq!(facts.group, OTHER, "{group:?}");
            assert_eq!(facts.alpn, OTHER, "{alpn:?}");
        }
        let silent = TlsFacts::of(Some("TLSv1_2"), None, None, true, None);
        assert_eq!((silent.group, silent.alpn), (NONE, NONE));
    }
}
