//! What the access log says of each refusal beside its reason, as the table provokes it.

use portcullis::refusal::Refusal;

/// The text, where `#` stands for digits; `None` where the reason says it all.
pub fn of(refusal: Refusal) -> Option<&'static str> {
    Some(match refusal.reason() {
        "token_algorithm" => "alg \"none\", expected ES256",
        "token_header" => "the header has crit",
        "token_key_unknown" => "kid \"another\"",
        "token_signature" => "kid \"k1\"",
        "token_issuer" => "iss \"https://other.example\", expected \"https://id.example.com\"",
        "token_audience" => "aud \"somebody-else\", expected \"orders-api\"",
        "token_expired" => "expired # s ago",
        "token_not_yet_valid" => "nbf is # s ahead",
        "token_too_old" => "issued # s ago, max_age # s",
        "token_incomplete" => "no client_id",
        "token_type" => "no typ, expected \"at+jwt\"",
        "token_binding_unknown" => "cnf has [\"kid\"]",
        "proof_malformed" => "jti is missing, or of another kind",
        "proof_header" => "the header has crit",
        "proof_type" => "typ \"JWT\", expected \"dpop+jwt\"",
        "proof_algorithm" => "alg \"none\", expected ES256, EdDSA, Ed25519",
        "proof_key" => "jwk has a part that is secret",
        "proof_method" => "htm \"POST\", expected \"GET\"",
        "proof_target" => {
            "htu \"https://api.example.com/proved/y\", expected \"https://api.example.com/proved/x\""
        }
        "proof_token" => "no ath",
        "proof_expired" => "made # s ago, window # s",
        "proof_not_yet_valid" => "iat is # s ahead, leeway # s",
        "issuer_keys_unavailable" => "kid \"k1\"",
        "scope_missing" => "no scope \"read\"",
        "claim_missing" => "no claim \"tenant\"",
        "api_key_unknown" => "not of the form of an API key",
        "api_key_expired" => "expired # s ago",
        "api_key_of_another_peer" => "the certificate is none of the owner's `clients`",
        _ => return None,
    })
}

/// Whose credential it was: the issuer or the list, and the subject or the owner. What no key has
/// signed says nothing of anybody, whatever it claims.
pub fn whose(refusal: Refusal) -> Option<(&'static str, &'static str)> {
    let of_token = [
        "token_audience",
        "token_expired",
        "token_not_yet_valid",
        "token_incomplete",
        "token_type",
        "token_unbound",
        "token_of_another_peer",
        "token_binding_unknown",
        "token_bound_to_key",
        "token_unbound_to_key",
        "scope_missing",
        "claim_missing",
    ];
    match refusal.reason() {
        "token_too_old" => Some(("aged", "alice")),
        "session_too_large" => Some(("home", "long")),
        "api_key_expired" => Some(("keyed", "acme")),
        "api_key_of_another_peer" => Some(("keyed", "far")),
        reason if reason.starts_with("proof_nonce_") => Some(("noncing", "alice")),
        reason if reason.starts_with("proof_") => Some(("corp", "alice")),
        reason if of_token.contains(&reason) => Some(("corp", "alice")),
        _ => None,
    }
}

/// With `#` in place of whole numbers that stand alone.
pub fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words = text.split(' ');
    let words = words.map(|word| if is_number(word) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
