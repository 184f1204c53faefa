//! Where credentials stand in a request, and that exactly one is shown.
//!
//! A place is looked at in all the ways in which a service could read it: a cookie in every `Cookie`
//! field, cookie and parameter in every spelling of their names. What is found there is never logged.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::authenticator::Asked;
use super::bearer;
use super::possession::Scheme;
use crate::config::token::Carrier;
use crate::identity::query::{self, is_read_as};
use crate::refusal::Refusal;

/// A credential that a request shows, not looked at yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'r> {
    /// Where it stands.
    pub(super) carrier: &'r Carrier,
    /// Its text. For [`Carrier::Authorization`] the whole value, with its scheme.
    text: &'r [u8],
}

/// The one credential that a request shows in these places; none, if it shows none.
///
/// `Authorization` counts in any case: whoever reads it behind us would read another credential than
/// the one that we looked at. `session` is the one place that nobody behind us reads: a cookie that
/// merely looks like it, which a neighbour of the host may set, is another.
///
/// # Errors
///
/// [`Refusal::CredentialsSeveral`] if there is more than one, be it the same one twice.
pub(super) fn only_one<'r>(
    carriers: impl Iterator<Item = &'r Carrier>,
    session: Option<&Carrier>,
    asked: &Asked<'r>,
) -> Result<Option<Shown<'r>>, Refusal> {
    let mut found = Found::default();
    found.all(&Carrier::Authorization, false, asked);
    for carrier in carriers.filter(|carrier| **carrier != Carrier::Authorization) {
        let exact = session == Some(carrier);
        found.all(carrier, exact, asked);
    }
    if found.several || (found.first.is_some() && found.hidden) {
        return Err(Refusal::CredentialsSeveral);
    }
    Ok(found.first)
}

impl<'r> Shown<'r> {
    /// The token that it is: behind its scheme in `Authorization`, the whole text elsewhere, where
    /// nothing is said of it.
    ///
    /// # Errors
    ///
    /// [`Refusal::TokenMissing`] if it is none.
    pub(super) fn token(&self) -> Result<(Scheme, &'r [u8]), Refusal> {
        match self.carrier {
            Carrier::Authorization => bearer::token(self.text),
            Carrier::Header(_) | Carrier::Cookie(_) | Carrier::Query(_) if self.text.is_empty() => {
                Err(Refusal::TokenMissing)
            }
            Carrier::Header(_) | Carrier::Cookie(_) | Carrier::Query(_) => {
                Ok((Scheme::Bearer, self.text))
            }
        }
    }
}

#[derive(Default)]
struct Found<'r> {
    first: Option<Shown<'r>>,
    several: bool,
    /// Somebody may see a credential where there is none to us.
    hidden: bool,
}

impl<'r> Found<'r> {
    /// Takes note of all that stands in one place.
    fn all(&mut self, carrier: &'r Carrier, exact: bool, asked: &Asked<'r>) {
        let headers = asked.headers;
        match carrier {
            Carrier::Authorization => {
                for value in headers.get_all(AUTHORIZATION) {
                    self.take(carrier, value.as_bytes());
                }
            }
            Carrier::Header(name) => {
                for value in headers.get_all(name) {
                    self.take(carrier, value.as_bytes());
                }
            }
            Carrier::Cookie(name) => {
                for value in cookies(headers, name, exact, b";") {
                    self.take(carrier, value);
                }
                // The session's name is guarded by browsers; what only looks like it is a neighbour's.
                if !exact {
                    let both = cookies(headers, name, exact, b";,").count();
                    self.hidden |= both > cookies(headers, name, exact, b";").count();
                }
            }
            Carrier::Query(name) => {
                for value in query::values(asked.query.unwrap_or_default(), name) {
                    self.take(carrier, value.as_bytes());
                }
            }
        }
    }

    fn take(&mut self, carrier: &'r Carrier, text: &'r [u8]) {
        self.several |= self.first.is_some();
        self.first = Some(Shown { carrier, text });
    }
}

/// The values of all cookies of this name, in every field. They are parted by `;` (RFC 6265, section
/// 5.4). To RFC 2965 and some who still read it, and to whoever joins fields as those that are lists
/// (RFC 9110, section 5.3), a `,` parts them too: what they would find besides is not taken, but
/// looked for.
fn cookies<'r>(
    headers: &'r HeaderMap,
    name: &'r str,
    exact: bool,
    parted_by: &'static [u8],
) -> impl Iterator<Item = &'r [u8]> {
    let fields = headers.get_all(COOKIE).into_iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| parted_by.contains(byte)));
    pairs.filter_map(move |pair| {
        let ends = pair.iter().position(|byte| *byte == b'=')?;
        let (own, value) = pair.split_at_checked(ends)?;
        let value = value.strip_prefix(b"=")?;
        let is_it = match exact {
            true => own.trim_ascii() == name.as_bytes(),
            false => is_read_as(own, name),
        };
        is_it.then(|| value.trim_ascii())
    })
}
