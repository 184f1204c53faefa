//! `acme`: the directories that issue certificates of ours, and the certificates that they issue.

use std::path::PathBuf;

use http::Uri;

use super::{Around, path, web};
use crate::config::acme::{AcmeCertificateSpec, AcmeChallenge, AcmeEabSpec, AcmeSpec};
use crate::config::file::{AcmeEabFile, AcmeFile};
use crate::config::node::{Field, Node};
use crate::config::problem::shown;
use crate::identity::host::Host;

/// Which of the challenges, before it is known where.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    TlsAlpn01,
    Http01,
}

/// RFC 8555 has no bound; CAs take a hundred names in a certificate.
const NAMES_MAX: usize = 100;
const CONTACTS_MAX: usize = 10;

/// One entry of `acme`.
pub(super) fn acme(node: &Node<'_>, around: &Around<'_>) -> Option<AcmeSpec> {
    let file = AcmeFile::read(node)?;
    let directory = file.directory.needed(
        "write `directory: https://acme.example.com/directory`, as the CA names it",
        directory,
    );
    let ca = file.ca.needed(
        "write `ca:` with the CAs of the directory's own certificate; for a public one those of the system, on Debian `/etc/ssl/certs/ca-certificates.crt`",
        |node| path(node, around),
    );
    let contact = file.contact.or(Vec::new(), contacts);
    let agreed = file.terms_agreed.needed(
        "read the CA's terms of service, and write `terms_agreed: true` if you agree to them",
        agreed,
    );
    let folder = folder(&file.folder, around);
    let challenge = challenge(&file.challenge, &file.http);
    let eab = file.eab.optional(|node| eab(node, around));
    agreed?;
    Some(AcmeSpec {
        directory: directory?,
        ca: ca?,
        contact: contact?,
        folder: folder?,
        challenge: challenge?,
        eab: eab?,
    })
}

fn directory(node: &Node<'_>) -> Option<Uri> {
    const EXAMPLE: &str = "`https://acme.example.com/directory`";
    let text = node.text(EXAMPLE)?;
    let url = text.parse::<Uri>().ok().filter(|url| {
        let authority = url.authority().map(http::uri::Authority::as_str);
        authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'))
    });
    match url {
        Some(url) if url.scheme_str() == Some("https") => Some(url),
        Some(_) => node.refuse(
            format!("{} is not https", shown(text)),
            "what a directory says is believed: name it by https",
        ),
        // It may have a password in it.
        None if text.contains('@') => node.refuse(
            "the URL of a directory has no user in it",
            format!("write it like {EXAMPLE}"),
        ),
        None => node.refuse(
            format!("{} is no URL of a directory", shown(text)),
            format!("write it like {EXAMPLE}"),
        ),
    }
}

fn contacts(node: &Node<'_>) -> Option<Vec<String>> {
    const EXAMPLE: &str = "`[mailto:ops@example.com]`";
    let contacts = node.some(EXAMPLE, |node| {
        let text = node.text("`mailto:ops@example.com`")?;
        let address = text.strip_prefix("mailto:");
        let plain = |address: &str| address.chars().all(|c| c.is_ascii_graphic() && c != ',');
        if address.is_some_and(|address| address.contains('@') && plain(address)) {
            return Some(text.to_owned());
        }
        let what = format!("{} is no mail address that a CA takes", shown(text));
        node.refuse(what, "write it like `mailto:ops@example.com`")
    })?;
    if contacts.len() > CONTACTS_MAX {
        let what = format!("{} addresses are too many", contacts.len());
        return node.refuse(what, format!("write {CONTACTS_MAX} or fewer"));
    }
    Some(contacts)
}

fn agreed(node: &Node<'_>) -> Option<()> {
    if node.flag()? {
        return Some(());
    }
    node.refuse(
        "a CA issues nothing to who does not agree to its terms",
        "read them, and write `terms_agreed: true` if you agree",
    )
}

fn folder(field: &Field<'_>, around: &Around<'_>) -> Option<PathBuf> {
    field.needed(
        "write `folder: state/acme`, where the account and the certificates are kept",
        |node| path(node, around),
    )
}

fn challenge(kind: &Field<'_>, http: &Field<'_>) -> Option<AcmeChallenge> {
    let kind = kind.or(Kind::TlsAlpn01, |node| {
        node.word(&[("tls-alpn-01", Kind::TlsAlpn01), ("http-01", Kind::Http01)])
    })?;
    match kind {
        Kind::TlsAlpn01 => match http.written() {
            None => Some(AcmeChallenge::TlsAlpn01),
            Some(node) => node.refuse(
                "nothing is answered here: the challenge is tls-alpn-01",
                "remove `http`, or write `challenge: http-01`",
            ),
        },
        Kind::Http01 => {
            let address = http.needed(
                "write `http: 0.0.0.0:80`, where the CA's HTTP request arrives",
                web::address,
            )?;
            Some(AcmeChallenge::Http01 { address })
        }
    }
}

fn eab(node: &Node<'_>, around: &Around<'_>) -> Option<AcmeEabSpec> {
    let file = AcmeEabFile::read(node)?;
    let key_id = file
        .key_id
        .needed("write `key_id:` as the CA gave it out", |node| {
            Some(node.text("`kid-1`")?.to_owned())
        });
    let key_file = file.key_file.needed(
        "write `key_file:` with a file that holds the key, as the CA gave it out",
        |node| path(node, around),
    );
    Some(AcmeEabSpec {
        key_id: key_id?,
        key_file: key_file?,
    })
}

/// `acme` and `names` of a certificate.
pub(super) fn certificate(
    acme: &Node<'_>,
    names: &Field<'_>,
    around: &Around<'_>,
) -> Option<AcmeCertificateSpec> {
    let acme = acme.reference("ACME directory", &around.acme);
    let names = names.needed(
        "write `names: [api.example.com]`: what the certificate is for",
        |node| {
            let mut names = node.some("`[api.example.com]`", certificate_name)?;
            names.sort();
            names.dedup();
            if names.len() > NAMES_MAX {
                let what = format!("{} names are more than a CA takes", names.len());
                return node.refuse(what, "spread them over several certificates");
            }
            Some(names)
        },
    );
    Some(AcmeCertificateSpec {
        acme: acme?,
        names: names?,
    })
}

fn certificate_name(node: &Node<'_>) -> Option<Host> {
    let text = node.text("`api.example.com`")?;
    if text.contains('*') {
        let what = format!("{} is a wildcard", shown(text));
        return node.refuse(
            what,
            "name each host: wildcards can only be proved in DNS, which the gateway does not change",
        );
    }
    match Host::parse_name(text) {
        Ok(host) if host.dns_name().is_some_and(|name| !name.contains('_')) => Some(host),
        Ok(_) | Err(_) => node.refuse(
            format!("{} is no DNS name that a CA takes", shown(text)),
            "write it like `api.example.com`",
        ),
    }
}
