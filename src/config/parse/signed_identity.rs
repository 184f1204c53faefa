//! `signed_identity`: tokens of ours that tell services who asks.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Around, key_files, quantity};
use crate::config::file::SignedIdentityFile;
use crate::config::node::Node;
use crate::config::problem::shown;
use crate::config::spec::{SignedIdentitySpec, SigningKeysSpec};

/// Long enough for any one request to arrive, and too short to be worth stealing.
const LIFETIME: Duration = Duration::from_secs(60);
const LIFETIME_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(600);

/// A day: keys come and go while people are there to see it.
const ROTATE: Duration = Duration::from_secs(24 * 3_600);
const ROTATE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(30 * 24 * 3_600);

/// It stands in every token.
const ISSUER_CHARS_MAX: usize = 256;

/// One that signs, one that comes, one that goes; and room for those who are slower.
const KEYS_MAX: usize = 16;

/// The section.
pub(super) fn signed_identity(node: &Node<'_>, around: &Around<'_>) -> Option<SignedIdentitySpec> {
    let file = SignedIdentityFile::read(node)?;
    let issuer = file.issuer.needed(
        "write `issuer: https://gateway.example.com`, the claim `iss` that services look for",
        issuer,
    );
    let lifetime = file
        .lifetime
        .or(LIFETIME, |node| quantity::duration(node, LIFETIME_BOUNDS));
    let rotate = file.rotate.optional(|node| {
        let rotate = quantity::duration(node, ROTATE_BOUNDS)?;
        if file.keys.written().is_some() {
            return node.refuse(
                "keys from files are not rotated by the gateway",
                "remove `rotate`; to rotate, write another file in front of the list `keys`",
            );
        }
        if lifetime.is_some_and(|lifetime| rotate < lifetime) {
            return node.refuse(
                "a key would sign for a shorter time than a token lasts",
                "write at least as much as `lifetime`",
            );
        }
        Some(rotate)
    });
    let files = file
        .keys
        .optional(|node| key_files(node, around, "`[pki/identity.key]`", KEYS_MAX));
    let (rotate, files) = (rotate?, files?);
    let lifetime = lifetime?;
    let keys = match files {
        Some(files) => SigningKeysSpec::Files(files),
        None => SigningKeysSpec::Made {
            rotate: rotate.unwrap_or(ROTATE),
        },
    };
    Some(SignedIdentitySpec {
        issuer: issuer?,
        lifetime,
        keys,
    })
}

fn issuer(node: &Node<'_>) -> Option<String> {
    let text = node.text("`https://gateway.example.com`")?;
    let fits = text.chars().count() <= ISSUER_CHARS_MAX && !text.contains(char::is_control);
    if fits {
        return Some(text.to_owned());
    }
    node.refuse(
        format!("{} is too long, or has a control character", shown(text)),
        format!("write at most {ISSUER_CHARS_MAX} characters, like `https://gateway.example.com`"),
    )
}
