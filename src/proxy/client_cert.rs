//! `Client-Cert` and `Client-Cert-Chain` (RFC 9440): the client's certificate, and what it sent
//! with it in the handshake.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A longer chain is not told at all: half a chain is none, and services commonly take 16 KiB of
/// header fields or less.
const CHAIN_BYTES_MAX: usize = 16 * 1024;

/// The value of `Client-Cert`: a byte sequence of structured fields (RFC 9440, section 2.2).
pub(super) fn leaf(certificate: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

/// The value of `Client-Cert-Chain`: a list of them, in the order of the handshake, without the
/// leaf (RFC 9440, section 2.3). `None` if there is nothing above it, or too much.
pub(super) fn chain(above: &[impl AsRef<[u8]>]) -> Option<String> {
    // Each with two colons, and a comma and a space.
    let encoded = |certificate: &[u8]| certificate.len().div_ceil(3) * 4 + 4;
    let length: usize = above.iter().map(|one| encoded(one.as_ref())).sum();
    if above.is_empty() || length > CHAIN_BYTES_MAX {
        return None;
    }
    let all: Vec<String> = above.iter().map(|one| leaf(one.as_ref())).collect();
    Some(all.join(", "))
}
