//! The token in the `Authorization` field (RFC 6750, section 2.1).

use crate::refusal::Refusal;

/// The bearer token of the field's value; its characters are not looked at.
///
/// # Errors
///
/// [`Refusal::TokenMissing`] with another scheme or nothing behind it.
pub(super) fn token(value: &[u8]) -> Result<&[u8], Refusal> {
    let mut parts = value.splitn(2, |&byte| byte == b' ');
    let (Some(scheme), Some(rest)) = (parts.next(), parts.next()) else {
        return Err(Refusal::TokenMissing);
    };
    // Case does not matter: RFC 9110, section 11.1.
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(Refusal::TokenMissing);
    }
    // One space or more: RFC 6750, section 2.1.
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    let (_spaces, token) = rest.split_at(spaces);
    if token.is_empty() {
        return Err(Refusal::TokenMissing);
    }
    Ok(token)
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
        token(value).and_then(text)
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
    fn what_is_not_one_bearer_token_is_refused() {
        let cases: [(&[u8], Refusal); 14] = [
            (b"", Refusal::TokenMissing),
            (b"Bearer", Refusal::TokenMissing),
            (b"Bearer ", Refusal::TokenMissing),
            (b"Bearer\ta.b.c", Refusal::TokenMissing),
            (b"Basic YTpi", Refusal::TokenMissing),
            (b"DPoP a.b.c", Refusal::TokenMissing),
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
