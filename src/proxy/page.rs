//! What a person at a browser is shown in place of a problem in JSON: the same words, as a page.
//!
//! Nothing in it comes from outside but the identifier of the request, which is made of characters that
//! mean nothing in HTML.

use super::ids::RequestIds;
use crate::refusal::Refusal;

/// Its media type.
pub(super) const TYPE: &str = "text/html; charset=utf-8";

/// It loads nothing, runs nothing, and stands in no frame.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// The page of a refusal.
pub(super) fn of(refusal: Refusal, ids: Option<&RequestIds>) -> String {
    let (status, text) = (refusal.status(), refusal.public_text());
    let reason = status.canonical_reason().unwrap_or_default();
    let request = ids.map(RequestIds::request_text).unwrap_or_default();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{reason}</title>\n\
         <style>{STYLE}</style>\n<h1>{text}</h1>\n<p>{code} {reason}<br>Request {request}</p>\n",
        code = status.as_u16(),
    )
}

const STYLE: &str = ":root{color-scheme:light dark}\
    body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem}\
    h1{font-size:1.5rem;font-weight:600}p{overflow-wrap:anywhere}";
