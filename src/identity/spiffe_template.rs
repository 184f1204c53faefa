//! [`SpiffeTemplate`]: which SPIFFE ID belongs to the subject of a token.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::claim::{ClaimPath, InvalidClaimPath};
use super::spiffe::{InvalidSpiffeId, SpiffeId};
use super::subject::Subject;

/// A SPIFFE ID with claims in its path: `spiffe://mesh.example/user/{sub}`.
///
/// A claim fills a segment or a part of one, and each segment has one at most: two that touch could
/// share a text in several ways. The trust domain is written out, for a claim must not choose who
/// vouches.
#[derive(Clone, PartialEq, Eq)]
pub struct SpiffeTemplate {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Claim(ClaimPath),
}

/// Why a text is not a [`SpiffeTemplate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// With a plain word for each claim it is no SPIFFE ID.
    #[error(transparent)]
    SpiffeId(#[from] InvalidSpiffeId),
    /// A brace has no partner.
    #[error("a `{{` or a `}}` stands alone")]
    Brace,
    /// What stands in braces names no claim.
    #[error("in braces stands a claim: {0}")]
    Claim(#[from] InvalidClaimPath),
    /// No claim is named.
    #[error("it names no claim, so that it would be the same ID for every subject")]
    NoClaim,
    /// A claim stands in the trust domain.
    #[error("a claim stands in the trust domain, and would choose who vouches")]
    TrustDomain,
    /// A segment has two claims.
    #[error("a segment has two claims, which could share its text in several ways")]
    TwoInSegment,
}

impl SpiffeTemplate {
    /// Whether `id` is the one that belongs to the subject.
    ///
    /// A claim that is not there, is no text, is empty, or has a `/`, a `%` or a `..` belongs to no ID:
    /// as a part of a path it could mean another place than it says.
    #[must_use]
    pub fn matches(&self, id: &SpiffeId, subject: &Subject) -> bool {
        let mut rest = id.as_str();
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => Some(&**text),
                Piece::Claim(path) => value(path, subject),
            };
            match text.and_then(|text| rest.strip_prefix(text)) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

fn value<'s>(path: &ClaimPath, subject: &'s Subject) -> Option<&'s str> {
    let found = match path.is_sub() {
        // The subject as it was verified: an API key has one and no claims.
        true => subject.sub.as_deref(),
        false => path.find(&subject.claims).and_then(Value::as_str),
    };
    found.filter(|text| !text.is_empty() && !text.contains(['/', '%']) && !text.contains(".."))
}

impl FromStr for SpiffeTemplate {
    type Err = InvalidTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        // The template with a plain word for each claim.
        let mut filled = String::new();
        let mut claims_in_segment = 0;
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at_checked(open).ok_or(InvalidTemplate::Brace)?;
            let braced = braced.strip_prefix('{').ok_or(InvalidTemplate::Brace)?;
            let (claim, behind) = braced.split_once('}').ok_or(InvalidTemplate::Brace)?;
            if claim.contains('{') {
                return Err(InvalidTemplate::Brace);
            }
            filled.push_str(before);
            if !in_path(&filled) {
                return Err(InvalidTemplate::TrustDomain);
            }
            claims_in_segment = match before.contains('/') {
                true => 1,
                false => claims_in_segment + 1,
            };
            if claims_in_segment > 1 {
                return Err(InvalidTemplate::TwoInSegment);
            }
            pieces.push(Piece::Text(before.into()));
            pieces.push(Piece::Claim(claim.parse()?));
            filled.push('x');
            rest = behind;
        }
        filled.push_str(rest);
        filled.parse::<SpiffeId>()?;
        if pieces.is_empty() {
            return Err(InvalidTemplate::NoClaim);
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self {
            text: text.into(),
            pieces: pieces.into(),
        })
    }
}

/// Whether what comes behind this beginning of a SPIFFE ID stands in its path.
fn in_path(beginning: &str) -> bool {
    let name = beginning.split_once("://").map(|(_scheme, name)| name);
    name.is_some_and(|name| name.contains('/'))
}

impl fmt::Display for SpiffeTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::identity::scopes::Scopes;
    use crate::identity::subject::Credential;

    fn subject(sub: Option<&str>, claims: Value) -> Subject {
        let Value::Object(claims) = claims else {
            panic!("claims are an object")
        };
        Subject {
            credential: Credential::Jwt,
            issuer: "corp".parse().unwrap(),
            iss: None,
            sub: sub.map(Into::into),
            scopes: Scopes::default(),
            claims: claims.into(),
            expires: u64::MAX,
        }
    }

    #[test]
    fn a_template_is_a_spiffe_id_with_a_claim_in_its_path() {
        let good = [
            "spiffe://mesh.example/user/{sub}",
            "spiffe://mesh.example/{sub}",
            "spiffe://mesh.example/user-{sub}.v1/x",
            "spiffe://mesh.example/ns/{tenant}/sa/{sub}",
            "spiffe://mesh.example/ns/{/realm/tenant}/sa/{https://a.example/name}",
        ];
        for text in good {
            let template: SpiffeTemplate = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(template.to_string(), text);
        }
        let bad = [
            ("spiffe://mesh.example/user/jane", InvalidTemplate::NoClaim),
            ("spiffe://{tenant}/user/{sub}", InvalidTemplate::TrustDomain),
            ("spiffe://a.{tenant}/user", InvalidTemplate::TrustDomain),
            ("{sub}", InvalidTemplate::TrustDomain),
            (
                "spiffe://mesh.example/{a}{b}",
                InvalidTemplate::TwoInSegment,
            ),
            (
                "spiffe://mesh.example/{a}-{b}",
                InvalidTemplate::TwoInSegment,
            ),
            ("spiffe://mesh.example/user/{sub", InvalidTemplate::Brace),
            ("spiffe://mesh.example/user/sub}", InvalidTemplate::Brace),
            ("spiffe://mesh.example/user/{{sub}}", InvalidTemplate::Brace),
            (
                "spiffe://mesh.example/{}",
                InvalidTemplate::Claim(InvalidClaimPath::Empty),
            ),
            (
                "spiffe://mesh.example//{sub}",
                InvalidTemplate::SpiffeId(InvalidSpiffeId::Path),
            ),
            (
                "spiffe://mesh.example/../{sub}",
                InvalidTemplate::SpiffeId(InvalidSpiffeId::Path),
            ),
            (
                "spiffe://mesh.example/{sub}/",
                InvalidTemplate::SpiffeId(InvalidSpiffeId::Path),
            ),
            (
                "spiffe://Mesh.example/{sub}",
                InvalidTemplate::SpiffeId(InvalidSpiffeId::TrustDomain),
            ),
            (
                "https://mesh.example/{sub}",
                InvalidTemplate::SpiffeId(InvalidSpiffeId::Scheme),
            ),
        ];
        for (text, want) in bad {
            assert_eq!(text.parse::<SpiffeTemplate>(), Err(want), "{text}");
        }
    }

    /// (template, the ID of the subject)
    const OWN: [(&str, &str); 4] = [
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://a.example/user/jane",
        ),
        (
            "spiffe://a.example/{tenant}/{sub}",
            "spiffe://a.example/acme/jane",
        ),
        (
            "spiffe://a.example/x-{sub}.y/z",
            "spiffe://a.example/x-jane.y/z",
        ),
        ("spiffe://a.example/{/realm/name}", "spiffe://a.example/r"),
    ];
    const OF_OTHERS: [(&str, &str); 10] = [
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://a.example/user/Jane",
        ),
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://a.example/user/janet",
        ),
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://a.example/user/jan",
        ),
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://a.example/user/jane/x",
        ),
        (
            "spiffe://a.example/user/{sub}",
            "spiffe://b.example/user/jane",
        ),
        (
            "spiffe://a.example/{tenant}/{sub}",
            "spiffe://a.example/jane/acme",
        ),
        (
            "spiffe://a.example/user/{none}",
            "spiffe://a.example/user/none",
        ),
        (
            "spiffe://a.example/user/{number}",
            "spiffe://a.example/user/7",
        ),
        (
            "spiffe://a.example/user/{list}",
            "spiffe://a.example/user/jane",
        ),
        (
            "spiffe://a.example/user/x{empty}",
            "spiffe://a.example/user/x",
        ),
    ];

    #[test]
    fn only_the_id_of_the_subject_itself_matches() {
        let claims = json!({
            "tenant": "acme", "realm": {"name": "r"}, "number": 7, "list": ["jane"], "empty": "",
        });
        let jane = subject(Some("jane"), claims);
        let matches = |template: &str, id: &str| {
            let template: SpiffeTemplate = template.parse().unwrap();
            template.matches(&id.parse().unwrap(), &jane)
        };
        for (template, id) in OWN {
            assert!(matches(template, id), "{template} {id}");
        }
        for (template, id) in OF_OTHERS {
            assert!(!matches(template, id), "{template} {id}");
        }
    }

    #[test]
    fn a_value_that_could_mean_another_place_matches_nothing() {
        let template: SpiffeTemplate = "spiffe://a.example/user/{sub}".parse().unwrap();
        let below: SpiffeTemplate = "spiffe://a.example/{sub}".parse().unwrap();
        let id: SpiffeId = "spiffe://a.example/user/jane".parse().unwrap();
        for sub in [
            "user/jane",
            "jane/",
            "/jane",
            "../user/jane",
            "jane%",
            "..",
            "a..b",
            "",
            "jane\u{0}",
        ] {
            let subject = subject(Some(sub), json!({ "sub": "jane" }));
            assert!(!template.matches(&id, &subject), "{sub}");
            assert!(!below.matches(&id, &subject), "{sub}");
        }
        let dots: SpiffeId = "spiffe://a.example/user/a..b".parse().unwrap();
        assert!(!template.matches(&dots, &subject(Some("a..b"), json!({}))));
        assert!(!template.matches(&id, &subject(None, json!({ "sub": "jane" }))));
    }
}
