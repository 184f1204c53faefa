//! [`RequestIds`]: `X-Request-Id` and `traceparent`, passed on when well formed, else begun.

use http::{HeaderMap, HeaderValue};
use pingora::http::RequestHeader;

/// The identifiers of one request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// `X-Request-Id`: 1 to 128 characters of `A-Z a-z 0-9 - _ . : / + = @`.
    pub request: HeaderValue,
    /// `traceparent` (W3C Trace Context, section 3.2).
    pub trace: HeaderValue,
    trace_begun: bool,
    request_begun: bool,
}

const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";
const REQUEST_ID_BYTES_MAX: usize = 128;

impl RequestIds {
    /// Takes those of the client, or begins new ones.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let request = only(headers, REQUEST_ID).filter(|value| is_request_id(value.as_bytes()));
        let trace = only(headers, TRACEPARENT).filter(|value| is_traceparent(value.as_bytes()));
        Self {
            request_begun: request.is_none(),
            trace_begun: trace.is_none(),
            request: request
                .cloned()
                .unwrap_or_else(|| ascii(&hex::<32>(fastrand::u128(..)))),
            trace: trace.cloned().unwrap_or_else(begin_trace),
        }
    }

    /// The request's identifier as text.
    #[must_use]
    pub fn request_text(&self) -> &str {
        self.request.to_str().unwrap_or_default()
    }

    /// The trace identifier: the 32 digits in the middle of `traceparent`.
    #[must_use]
    pub fn trace_text(&self) -> &str {
        self.trace
            .to_str()
            .ok()
            .and_then(|text| text.get(3..35))
            .unwrap_or_default()
    }

    /// Tells the service.
    ///
    /// # Errors
    ///
    /// pingora's; these are header values already.
    pub(super) fn set(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        if self.request_begun {
            request.insert_header(REQUEST_ID, self.request.clone())?;
        }
        if self.trace_begun {
            request.insert_header(TRACEPARENT, self.trace.clone())?;
            request.remove_header("tracestate"); // it belongs to the trace that we did not take
        }
        Ok(())
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_request_id(text: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b);
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.iter().all(plain)
}

fn is_traceparent(text: &[u8]) -> bool {
    let mut parts = text.split(|b| *b == b'-');
    let mut part = |length: usize| {
        parts.next().filter(|p| {
            p.len() == length
                && p.iter()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        })
    };
    let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
    let zero = |p: &[u8]| p.iter().all(|b| *b == b'0');
    let well_formed = version.is_some_and(|v| v == b"00")
        && trace.is_some_and(|t| !zero(t))
        && span.is_some_and(|s| !zero(s))
        && flags.is_some();
    well_formed && parts.next().is_none()
}

fn begin_trace() -> HeaderValue {
    let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
    ascii(&format!("00-{trace:032x}-{span:016x}-01"))
}

fn hex<const DIGITS: usize>(number: u128) -> String {
    format!("{number:0DIGITS$x}")
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_identifiers_are_passed_on() {
        assert!(is_request_id(b"a1-B2_c.3:4/5+6=7@8"));
        for bad in ["", "a b", "a\tb", "<script>", "a;b", "\u{e9}"] {
            assert!(!is_request_id(bad.as_bytes()), "{bad}");
        }
        assert!(!is_request_id(&[b'a'; 129]));
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good.as_bytes()));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
        assert!(is_traceparent(begin_trace().as_bytes()));
    }
}
