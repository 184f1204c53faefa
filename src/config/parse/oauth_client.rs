//! `oauth_clients`: who the gateway is to authorization servers.

use super::{Around, issuer, path};
use crate::config::credential_file::{OauthClientFile, PrivateKeyJwtFile};
use crate::config::node::{Field, Node};
use crate::config::oauth_client::{ClientProofSpec, OauthClientSpec, PrivateKeyJwtSpec};
use crate::config::problem::shown;
use crate::identity::name::Name;

/// It stands in header fields, forms and tokens.
const TEXT_CHARS_MAX: usize = 512;

const HOW: &str = "write one of `secret_file: FILE`, `private_key_jwt: { key_file: FILE, algorithm: ES256 }` and `tls: IDENTITY`";

/// One entry of `oauth_clients`.
pub(super) fn oauth_client(node: &Node<'_>, around: &Around<'_>) -> Option<OauthClientSpec> {
    let file = OauthClientFile::read(node)?;
    let client_id = file.client_id.needed(
        "write `client_id: portcullis`, the name under which the authorization server knows us",
        |node| text(node, "`portcullis`"),
    );
    let ways: [&Field<'_>; 3] = [&file.secret_file, &file.private_key_jwt, &file.tls];
    let count = ways.iter().filter(|way| way.written().is_some()).count();
    if count != 1 {
        let what = match count {
            0 => "nothing says how we prove who we are",
            _ => "there is more than one way to prove who we are",
        };
        return node.refuse(what, HOW);
    }
    let secret = file.secret_file.optional(|node| {
        let file = path(node, around)?;
        Some(ClientProofSpec::Secret(file))
    });
    let key = file.private_key_jwt.optional(|node| {
        let key = private_key_jwt(node, around)?;
        Some(ClientProofSpec::PrivateKeyJwt(key))
    });
    let tls = file.tls.optional(|node| {
        let identity = node.reference("identity", &around.identities)?;
        Some(ClientProofSpec::Tls(identity))
    });
    Some(OauthClientSpec {
        client_id: client_id?,
        proof: secret?.or(key?).or(tls?)?,
    })
}

/// The name of an entry.
pub(super) fn client(node: &Node<'_>, around: &Around<'_>) -> Option<Name> {
    node.reference("OAuth client", &around.oauth_clients)
}

fn private_key_jwt(node: &Node<'_>, around: &Around<'_>) -> Option<PrivateKeyJwtSpec> {
    let file = PrivateKeyJwtFile::read(node)?;
    let key_file = file.key_file.needed(
        "write `key_file:` with the PEM file of the private key",
        |node| path(node, around),
    );
    let kid = file.kid.optional(|node| text(node, "`\"2026-01\"`"));
    let algorithm = file.algorithm.needed(
        "write `algorithm: ES256`, what the key signs with",
        issuer::own_algorithm,
    );
    let audience = file
        .audience
        .optional(|node| text(node, "`https://id.example.com`"));
    Some(PrivateKeyJwtSpec {
        key_file: key_file?,
        kid: kid?,
        algorithm: algorithm?,
        audience: audience?,
    })
}

fn text(node: &Node<'_>, example: &str) -> Option<String> {
    let text = node.text(example)?;
    let fits = text.chars().count() <= TEXT_CHARS_MAX && !text.contains(char::is_control);
    if fits {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} is too long, or has a control character", shown(text)),
        format!("write at most {TEXT_CHARS_MAX} characters, like {example}"),
    )
}
