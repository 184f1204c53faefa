//! The token in the `Authorization` field (RFC 6750, section 2.1; RFC 9449, section 7.1).

use super::possession::Scheme;
use crate::refusal::Refusal;

/// The token of the field's value, and how it is shown; its characters are not looked at.
///
/// # Errors
///
/// [`Refusal::TokenMissing`] with another scheme or nothing behind it.
pub(super) fn token(value: &[u8]) -> Result<(Scheme, &[u8]), Refusal> {
    let mut parts = value.splitn(2, |&byte| byte == b' ');
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
    Ok((scheme, token))
}

/// A token as a text, if it is a `b64token`.
///
/// # Errors
///
/// [`Refusal::TokenMalformed`] with characters that no token has.
pub(super) fn text(token: &[u8]) -> Result<&str, Refusal> {
    if !token.iter().all(|&byte| is_b64token(byte)) {
        return Err(Refusal::TokenMalformed);
    }
    str::from_utf8(token).map_err(|_not_ascii| Refusal::TokenMalformed)
}

const fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> Result<&str, Refusal> {
        token(value).and_then(|(_scheme, token)| text(token))
    }

    #[test]
    fn the_scheme_has_no_case_and_spaces_are_one_or_more() {
        for value in [
            "Bearer a.b.c",
            "bearer a.b.c",
            "BEARER a.b.c",
            "Bearer   a.b.c",
        ] {
            assert_eq!(of(value.as_bytes()), Ok("a.b.c"), "{value}");
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
            let came = token(value.as_bytes());
            assert_eq!(came, Ok((scheme, &b"a.b.c"[..])), "{value}");
        }
    }

    #[test]
    fn what_is_not_one_bearer_token_is_refused() {
        let cases: [(&[u8], Refusal); 15] = [
            (b"", Refusal::TokenMissing),
            (b"Bearer", Refusal::TokenMissing),
            (b"Bearer ", Refusal::TokenMissing),
            (b"Bearer\ta.b.c", Refusal::TokenMissing),
            (b"Basic YTpi", Refusal::TokenMissing),
            (b"DPoP", Refusal::TokenMissing),
            (b"DPoPX a.b.c", Refusal::TokenMissing),
            (b"BearerX a.b.c", Refusal::TokenMissing),
            (b" Bearer a.b.c", Refusal::TokenMissing),
            (b"a.b.c", Refusal::TokenMissing),
            (b"Bearer a.b.c, Bearer d.e.f", Refusal::TokenMalformed),
            (b"Bearer a.b.c d", Refusal::TokenMalformed),
            (b"Bearer a.b.c ", Refusal::TokenMalformed),
            (b"Bearer \"a.b.c\"", Refusal::TokenMalformed),
            (b"Bearer a.\xffb.c", Refusal::TokenMalformed),
        ];
        for (value, want) in cases {
            assert_eq!(of(value), Err(want), "{value:?}");
        }
    }
}
