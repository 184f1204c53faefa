//! [`show`]: a certificate in plain words.

use std::fmt::Write as _;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;

use crate::identity::certificate::{NoIdentity, PeerIdentity, peer_identity};

use super::authority::{certificates, parse};
use super::error::PkiError;

/// Says in plain words what the certificates of a PEM text say, one paragraph each. Texts from
/// the certificates are escaped for the terminal.
///
/// # Errors
///
/// [`PkiError::NoCertificate`] or [`PkiError::CertificateMalformed`].
pub fn show(pem: &str, now: OffsetDateTime) -> Result<String, PkiError> {
    let mut paragraphs = Vec::new();
    for (der, number) in certificates(pem)?.iter().zip(1..) {
        paragraphs.push(paragraph(der, &parse(der, number)?, now));
    }
    Ok(paragraphs.join("\n"))
}

/// When the first of the certificates of a PEM text ends.
///
/// # Errors
///
/// [`PkiError::NoCertificate`] or [`PkiError::CertificateMalformed`].
pub fn ends(pem: &str) -> Result<OffsetDateTime, PkiError> {
    let mut first = None;
    for (der, number) in certificates(pem)?.iter().zip(1..) {
        let end = parse(der, number)?.validity().not_after.to_datetime();
        first = Some(first.map_or(end, |first: OffsetDateTime| first.min(end)));
    }
    first.ok_or(PkiError::NoCertificate)
}

fn paragraph(
    der: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    now: OffsetDateTime,
) -> String {
    let identity = peer_identity(der);
    let mut lines = vec![
        (
            "subject",
            or_none(plain(&certificate.subject().to_string())),
        ),
        ("issuer", issuer(certificate)),
    ];
    let names = names(certificate);
    for (label, name) in std::iter::once("names")
        .chain(std::iter::repeat(""))
        .zip(names)
    {
        lines.push((label, name));
    }
    if !certificate.is_ca() {
        lines.push(("identity", identity_text(&identity)));
    }
    lines.push(("valid", validity(certificate, now)));
    lines.push(("usage", usages(certificate).join(", ")));
    lines.push(("key", key(certificate)));
    lines.push(("serial", certificate.raw_serial_as_string()));
    if let Ok(identity) = &identity {
        lines.push(("fingerprint", format!("sha256 {}", identity.fingerprint)));
        lines.push(("x5t#S256", identity.fingerprint.to_base64url()));
        lines.push(("pin", format!("pin:sha256/{}", identity.public_key)));
    }
    lines
        .iter()
        .fold(String::new(), |mut text, (label, value)| {
            // Writing to a String does not fail.
            writeln!(text, "{label:<12} {value}").unwrap_or_default();
            text
        })
}

fn issuer(certificate: &X509Certificate<'_>) -> String {
    if certificate.subject() == certificate.issuer() {
        return "itself".to_owned();
    }
    or_none(plain(&certificate.issuer().to_string()))
}

/// As the gateway would read it.
fn identity_text(identity: &Result<PeerIdentity, NoIdentity>) -> String {
    match identity {
        Ok(identity) => identity.display(),
        Err(reason) => format!("none: {reason}"),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names: Vec<_> = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().map(name).collect(),
        Ok(None) => Vec::new(),
        Err(_twice_or_unreadable) => vec!["unreadable".to_owned()],
    };
    if names.is_empty() {
        return vec!["none".to_owned()];
    }
    names
}

fn name(name: &GeneralName<'_>) -> String {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the rest means nothing to the gateway"
    )]
    match name {
        GeneralName::DNSName(text) => format!("DNS {}", plain(text)),
        GeneralName::URI(text) => format!("URI {}", plain(text)),
        GeneralName::RFC822Name(text) => format!("mail {}", plain(text)),
        GeneralName::IPAddress(bytes) => match address(bytes) {
            Some(address) => format!("IP {address}"),
            None => "IP unreadable".to_owned(),
        },
        _ => "of another kind".to_owned(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

const MINUTE: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute] UTC");

fn validity(certificate: &X509Certificate<'_>, now: OffsetDateTime) -> String {
    let begin = certificate.validity().not_before.to_datetime();
    let end = certificate.validity().not_after.to_datetime();
    let at = |time: OffsetDateTime| time.format(MINUTE).unwrap_or_else(|_far| time.to_string());
    let in_words = if now < begin {
        format!("not yet: in {}", span(begin - now))
    } else if now > end {
        format!("over, since {}", span(now - end))
    } else {
        format!("{} left", span(end - now))
    };
    format!("{} to {} ({in_words})", at(begin), at(end))
}

/// In the largest unit of which there are two or more.
fn span(time: time::Duration) -> String {
    let units = [
        (time.whole_days(), "days"),
        (time.whole_hours(), "hours"),
        (time.whole_minutes(), "minutes"),
    ];
    match units.into_iter().find(|(count, _unit)| *count >= 2) {
        Some((count, unit)) => format!("{count} {unit}"),
        None => format!("{} seconds", time.whole_seconds()),
    }
}

fn usages(certificate: &X509Certificate<'_>) -> Vec<&'static str> {
    let mut words = Vec::new();
    if certificate.is_ca() {
        words.push("CA");
    }
    if let Ok(Some(extended)) = certificate.extended_key_usage() {
        let usage = extended.value;
        let known = [
            (usage.server_auth, "TLS server"),
            (usage.client_auth, "TLS client"),
            (usage.any, "any"),
            (usage.code_signing, "code signing"),
            (usage.email_protection, "mail"),
            (usage.ocsp_signing, "OCSP signing"),
            (usage.time_stamping, "time stamping"),
            (!usage.other.is_empty(), "others"),
        ];
        words.extend(known.iter().filter(|(has, _)| *has).map(|(_, word)| *word));
    }
    if words.is_empty() {
        words.push("not restricted");
    }
    words
}

fn key(certificate: &X509Certificate<'_>) -> String {
    let info = certificate.public_key();
    let curve = info
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.as_oid().ok())
        .map(|oid| oid.to_id_string());
    match (info.parsed(), curve.as_deref()) {
        (Ok(PublicKey::RSA(rsa)), _) => format!("RSA, {} bits", rsa.key_size()),
        (Ok(PublicKey::EC(_)), Some("1.2.840.10045.3.1.7")) => "ECDSA P-256".to_owned(),
        (Ok(PublicKey::EC(_)), Some("1.3.132.0.34")) => "ECDSA P-384".to_owned(),
        (Ok(PublicKey::EC(_)), Some("1.3.132.0.35")) => "ECDSA P-521".to_owned(),
        _ if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
        _ => format!("of another kind ({})", info.algorithm.algorithm),
    }
}

/// What a terminal can show without being told what to do.
fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, c| {
        if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
            plain.push(c);
        } else {
            plain.extend(c.escape_default());
        }
        plain
    })
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, KeyKind, Request, Usage};

    const NOW: OffsetDateTime = time::macros::datetime!(2030-01-01 12:00 UTC);

    fn shown(request: Request) -> String {
        let day = time::Duration::days(30);
        let ca = Authority::valid("Example CA", NOW - day, NOW + day).unwrap();
        show(&ca.issue(request).unwrap().cert, NOW).unwrap()
    }

    fn request() -> Request {
        let mut request = Request::new("orders", Usage::Both, std::time::Duration::ZERO);
        request.not_before = NOW - time::Duration::hours(1);
        request.not_after = NOW + time::Duration::days(20);
        request
    }

    #[test]
    fn a_certificate_is_told_in_plain_words() {
        let mut request = request();
        request.dns = vec!["orders.internal".into()];
        request.ips = vec!["::1".parse().unwrap()];
        request.spiffe = vec!["spiffe://mesh.example/orders".into()];
        let text = shown(request);
        let begin = "\
subject      CN=orders
issuer       CN=Example CA
names        DNS orders.internal
             IP ::1
             URI spiffe://mesh.example/orders
identity     spiffe://mesh.example/orders
valid        2030-01-01 11:00 UTC to 2030-01-21 12:00 UTC (20 days left)
usage        TLS server, TLS client
key          ECDSA P-256
serial       ";
        assert!(text.starts_with(begin), "{text}");
        for label in [
            "\nfingerprint  sha256 ",
            "\nx5t#S256     ",
            "\npin          pin:sha256/",
        ] {
            assert!(text.contains(label), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        let mut over = request();
        over.not_after = NOW - time::Duration::minutes(90);
        let mut early = request();
        early.not_before = NOW + time::Duration::seconds(5);
        let mut several = request();
        several.spiffe = vec!["spiffe://a.example/a".into(), "spiffe://a.example/b".into()];
        several.key = KeyKind::Rsa2048;
        let mut nasty = request();
        nasty.common_name = "a\u{1b}[31m\nb".into();
        let cases = [
            (over, "(over, since 90 minutes)"),
            (early, "(not yet: in 5 seconds)"),
            (
                several.clone(),
                "identity     none: the certificate has several URI names",
            ),
            (several, "key          RSA, 2048 bits"),
            (nasty.clone(), "names        none"),
            (nasty, r"CN=a\u{1b}[31m\nb"),
        ];
        for (request, want) in cases {
            let text = shown(request);
            assert!(text.contains(want), "{want}: {text}");
        }
        assert!(show("hello", NOW).is_err());
    }

    #[test]
    fn a_ca_is_named_as_one() {
        let ca = Authority::valid("root", NOW, NOW + time::Duration::days(3)).unwrap();
        let text = show(ca.cert(), NOW).unwrap();
        assert!(text.contains("issuer       itself\n"), "{text}");
        assert!(text.contains("usage        CA\n"), "{text}");
    }
}
