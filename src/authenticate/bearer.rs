//! The token in the `Authorization` field (RFC 6750, section 2.1; RFC 9449, section 7.1). Other places for a token (form
//! body, query) are never looked at.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::possession::Scheme;
use crate::refusal::Refusal;

/// The token of a request, as a `b64token`, and how it is shown.
///
/// # Errors
///
/// [`Refusal::TokenMissing`] without the field, or with another scheme or no token in it;
/// [`Refusal::HeaderAmbiguous`] with the field twice; [`Refusal::TokenMalformed`] with characters
/// that no token has.
pub(super) fn token(headers: &HeaderMap) -> Result<(Scheme, &str), Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::TokenMissing)?;
    if values.next().is_some() {
        return Err(Refusal::HeaderAmbiguous);
    }
    let mut parts = value.as_bytes().splitn(2, |&byte| byte == b' ');
    let (Some(scheme), Some(rest)) = (parts.next(), parts.next()) else {
        return Err(Refusal::TokenMissing);
    };
    // Case does not matter: RFC 9110, section 11.1.
    let scheme = if scheme.eq_ignore_ascii_case(b"Bearer") {
        Scheme::Bearer
    } else if scheme.eq_ignore_ascii_case(b"DPoP") {
        Scheme::Dpop
    } else {
        return Err(Refusal::TokenMissing);
    };
    // One space or more: RFC 6750, section 2.1.
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    let (_spaces, token) = rest.split_at(spaces);
    if token.is_empty() {
        return Err(Refusal::TokenMissing);
    }
    if !token.iter().all(|&byte| is_b64token(byte)) {
        return Err(Refusal::TokenMalformed);
    }
    let token = str::from_utf8(token).map_err(|_not_ascii| Refusal::TokenMalformed)?;
    Ok((scheme, token))
}

const fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(values: &[&[u8]]) -> Result<String, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        token(&headers).map(|(_scheme, token)| token.to_owned())
    }

    #[test]
    fn the_scheme_has_no_case_and_spaces_are_one_or_more() {
        for value in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER a.b.c",
            "Bearer   a.b.c",
        ] {
            assert_eq!(of(&[value.as_bytes()]), Ok("a.b.c".into()), "{value}");
        }
    }

    #[test]
    fn the_scheme_says_whether_a_proof_comes_with_it() {
        let cases = [
            ("bearer a.b.c", Scheme::Bearer),
            ("DPoP a.b.c", Scheme::Dpop),
            ("dpop  a.b.c", Scheme::Dpop),
        ];
        for (value, scheme) in cases {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(token(&headers), Ok((scheme, "a.b.c")), "{value}");
        }
    }

    #[test]
    fn what_is_not_one_bearer_token_is_refused() {
        let cases: [(&[&[u8]], Refusal); 18] = [
            (&[], Refusal::TokenMissing),
            (&[b""], Refusal::TokenMissing),
            (&[b"Bearer"], Refusal::TokenMissing),
            (&[b"Bearer "], Refusal::TokenMissing),
            (&[b"Bearer\ta.b.c"], Refusal::TokenMissing),
            (&[b"Basic YTpi"], Refusal::TokenMissing),
            (&[b"DPoP"], Refusal::TokenMissing),
            (&[b"DPoPX a.b.c"], Refusal::TokenMissing),
            (&[b"BearerX a.b.c"], Refusal::TokenMissing),
            (&[b" Bearer a.b.c"], Refusal::TokenMissing),
            (&[b"a.b.c"], Refusal::TokenMissing),
            (
                &[b"Bearer a.b.c", b"Bearer a.b.c"],
                Refusal::HeaderAmbiguous,
            ),
            (&[b"Bearer a.b.c", b"Basic YTpi"], Refusal::HeaderAmbiguous),
            (&[b"Bearer a.b.c, Bearer d.e.f"], Refusal::TokenMalformed),
            (&[b"Bearer a.b.c d"], Refusal::TokenMalformed),
            (&[b"Bearer a.b.c "], Refusal::TokenMalformed),
            (&[b"Bearer \"a.b.c\""], Refusal::TokenMalformed),
            (&[b"Bearer a.\xffb.c"], Refusal::TokenMalformed),
        ];
        for (values, want) in cases {
            assert_eq!(of(values), Err(want), "{values:?}");
        }
    }
}
