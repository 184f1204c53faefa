//! `tls` of whatever the gateway asks over HTTPS.

use super::{Around, path, trust};
use crate::config::credential_file::FetchTlsFile;
use crate::config::fetch::{BelievedSpec, FetchTlsSpec};
use crate::config::node::Node;

const BELIEVED: &str = "write `trust: NAME`, an entry of `trust`, or `ca: FILE` with public CAs, such as \
     /etc/ssl/certs/ca-certificates.crt";

/// On whose word a server is believed, and who we are to it.
pub(super) fn tls(node: &Node<'_>, around: &Around<'_>) -> Option<FetchTlsSpec> {
    let file = FetchTlsFile::read(node)?;
    let trust = file.trust.optional(|node| trust::bundles(node, around));
    let ca = file.ca.optional(|node| path(node, around));
    let identity = file
        .identity
        .optional(|node| node.reference("identity", &around.identities));
    let believed = match (trust?, ca?) {
        (Some(trust), None) => BelievedSpec::Trust(trust),
        (None, Some(ca)) => BelievedSpec::Ca(ca),
        (None, None) => return node.refuse("nothing says whose word is believed", BELIEVED),
        (Some(_), Some(_)) => {
            return node.refuse("`trust` and `ca` stand beside each other", BELIEVED);
        }
    };
    Some(FetchTlsSpec {
        believed,
        identity: identity?,
    })
}
