//! [`Refusal`]: every way in which the gateway says no to a request.
//!
//! Status, label and public text stand together, so that they cannot drift apart. What a client
//! is told must not help a stranger; what an operator counts is [`Refusal::reason`].

use http::StatusCode;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident, $status:ident, $reason:literal, $text:literal;)+) => {
        /// One way to refuse a request. Stages return it; `proxy` answers with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// Every variant, for the metrics' start values and for the test that walks them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label in metrics and logs. Dashboards read it: once released, it stays.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }

            /// The status of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// What the client is told: no policy, no names, no addresses.
            #[must_use]
            pub const fn public_text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

refusals! {
    /// The request line, a header line or the framing breaks RFC 9112 or RFC 9113.
    RequestMalformed, BAD_REQUEST, "request_malformed", "The request is not well formed.";
    /// The target is not a path in origin-form, or the path has a spelling that parties could read
    /// in two ways.
    PathAmbiguous, BAD_REQUEST, "path_ambiguous", "The path is not in its normal form.";
    /// There is not exactly one well-formed host.
    HostMalformed, BAD_REQUEST, "host_malformed", "The request must name exactly one host.";
    /// A header field's name or number could be read in two ways: `_` in the name of a field that
    /// has a meaning, two `Authorization` fields, or a field that overrides the method.
    HeaderAmbiguous, BAD_REQUEST, "header_ambiguous", "A header field is ambiguous.";
    /// `Connection` names a field that it may not remove.
    ConnectionNominates, BAD_REQUEST, "connection_nominates", "The Connection field names a field that it may not name.";
    /// `Transfer-Encoding` is anything but one `chunked`.
    FramingAmbiguous, BAD_REQUEST, "framing_ambiguous", "The length of the body is ambiguous.";
    /// More than one credential is shown, or one of them twice: whom the request acts for would depend
    /// on who reads it.
    CredentialsSeveral, BAD_REQUEST, "credentials_several", "The request shows more than one credential.";
    /// The route wants a token and there is none.
    TokenMissing, UNAUTHORIZED, "token_missing", "A token is required.";
    /// The token is not a JWT that we read: parts, base64, JSON, sizes, duplicate members.
    TokenMalformed, UNAUTHORIZED, "token_malformed", "The token is not valid.";
    /// The algorithm is `none`, symmetric, not of this issuer, or not the key's own.
    TokenAlgorithm, UNAUTHORIZED, "token_algorithm", "The token is not valid.";
    /// The header has `crit`, or brings a key or the address of one.
    TokenHeader, UNAUTHORIZED, "token_header", "The token is not valid.";
    /// No key of the issuer has the token's `kid`.
    TokenKeyUnknown, UNAUTHORIZED, "token_key_unknown", "The token is not valid.";
    /// The signature is wrong.
    TokenSignature, UNAUTHORIZED, "token_signature", "The token is not valid.";
    /// The token is of another issuer than the route's.
    TokenIssuer, UNAUTHORIZED, "token_issuer", "The token is not valid.";
    /// The token is meant for somebody else.
    TokenAudience, UNAUTHORIZED, "token_audience", "The token is not valid.";
    /// The token's time is over, or it has no `exp`.
    TokenExpired, UNAUTHORIZED, "token_expired", "The token has expired.";
    /// The token's time has not begun.
    TokenNotYetValid, UNAUTHORIZED, "token_not_yet_valid", "The token is not valid yet.";
    /// The token is older than its issuer's `max_age`.
    TokenTooOld, UNAUTHORIZED, "token_too_old", "The token has expired.";
    /// The token lacks a claim that its issuer's or its route's profile requires: one of RFC 9068,
    /// section 2.2, or `iat` where a `max_age` counts from it.
    TokenIncomplete, UNAUTHORIZED, "token_incomplete", "The token is not valid.";
    /// `typ` is not what the route wants.
    TokenType, UNAUTHORIZED, "token_type", "The token is not valid.";
    /// The issuer says that the token is not, or no longer, good (RFC 7662, section 2.2).
    TokenInactive, UNAUTHORIZED, "token_inactive", "The token is not valid.";
    /// The route wants a token that is bound to a certificate, and this one is bound to none.
    TokenUnbound, UNAUTHORIZED, "token_unbound", "The token is not bound to a certificate.";
    /// The token is bound to another certificate (RFC 8705, section 3).
    TokenOfAnotherPeer, UNAUTHORIZED, "token_of_another_peer", "The token is not bound to this connection.";
    /// The authorization server does not take the token for an exchange.
    TokenExchangeRefused, UNAUTHORIZED, "token_exchange_refused", "The token is not valid.";
    /// The claim `cnf` of the token names a method that we cannot check (RFC 7800).
    TokenBindingUnknown, UNAUTHORIZED, "token_binding_unknown", "The token is not valid.";
    /// The token is bound to a key and comes as a plain bearer token (RFC 9449, section 7.2).
    TokenBoundToKey, UNAUTHORIZED, "token_bound_to_key", "The token needs a DPoP proof.";
    /// The route wants a token that is bound to a key, or the client says that this one is (scheme
    /// `DPoP`), and it is bound to none.
    TokenUnboundToKey, UNAUTHORIZED, "token_unbound_to_key", "The token is not bound to a key.";
    /// There is no field `DPoP` with a token that needs a proof.
    ProofMissing, UNAUTHORIZED, "proof_missing", "A DPoP proof is required.";
    /// There is more than one field `DPoP`.
    ProofSeveral, UNAUTHORIZED, "proof_several", "There must be one DPoP proof.";
    /// The proof is not a JWT that we read: parts, base64, JSON, sizes, a claim that is missing or
    /// of another type.
    ProofMalformed, UNAUTHORIZED, "proof_malformed", "The DPoP proof is not well formed.";
    /// The header of the proof has `crit`, or a key elsewhere than in `jwk`.
    ProofHeader, UNAUTHORIZED, "proof_header", "The DPoP proof is not valid.";
    /// `typ` of the proof is not `dpop+jwt`.
    ProofType, UNAUTHORIZED, "proof_type", "The typ of the DPoP proof is wrong.";
    /// The algorithm of the proof is `none`, symmetric, or none that the issuer's `dpop` takes.
    ProofAlgorithm, UNAUTHORIZED, "proof_algorithm", "The algorithm of the DPoP proof is not accepted.";
    /// `jwk` of the proof is missing, private, symmetric, weak, or of another algorithm.
    ProofKey, UNAUTHORIZED, "proof_key", "The key of the DPoP proof is not accepted.";
    /// The token is bound to another key than that of the proof.
    ProofOfAnotherKey, UNAUTHORIZED, "proof_of_another_key", "The token is bound to another key.";
    /// `htm` of the proof is another method than that of the request.
    ProofMethod, UNAUTHORIZED, "proof_method", "The htm of the DPoP proof is wrong.";
    /// `htu` of the proof is another URL than that of the request.
    ProofTarget, UNAUTHORIZED, "proof_target", "The htu of the DPoP proof is wrong.";
    /// `ath` of the proof is missing, or the hash of another token.
    ProofToken, UNAUTHORIZED, "proof_token", "The ath of the DPoP proof is wrong.";
    /// The proof was made longer ago than the issuer's `dpop` allows.
    ProofExpired, UNAUTHORIZED, "proof_expired", "The DPoP proof is too old.";
    /// The proof was made in the future.
    ProofNotYetValid, UNAUTHORIZED, "proof_not_yet_valid", "The DPoP proof is not valid yet.";
    /// The issuer's `dpop` wants a nonce, and the proof has none.
    ProofNonceMissing, UNAUTHORIZED, "proof_nonce_missing", "The DPoP proof needs a nonce.";
    /// The nonce of the proof is over.
    ProofNonceExpired, UNAUTHORIZED, "proof_nonce_expired", "The DPoP proof needs a newer nonce.";
    /// The nonce of the proof was made with none of our keys.
    ProofNonceUnknown, UNAUTHORIZED, "proof_nonce_unknown", "The DPoP proof needs another nonce.";
    /// The signature of the proof is wrong.
    ProofSignature, UNAUTHORIZED, "proof_signature", "The DPoP proof is not valid.";
    /// The `jti` of the proof was seen before.
    ProofReplayed, UNAUTHORIZED, "proof_replayed", "The DPoP proof was used before.";
    /// The route wants a login and there is no good session, and whoever asks is no browser that could
    /// be sent to log in.
    LoginRequired, UNAUTHORIZED, "login_required", "A login is required.";
    /// A browser comes back from a login that it did not begin, or that is over.
    LoginStateUnknown, BAD_REQUEST, "login_state_unknown", "This login was not begun here, or it is over. Please begin again.";
    /// What a browser brings back from a login is no answer of the server.
    LoginAnswerMalformed, BAD_REQUEST, "login_answer_malformed", "The answer of the login is not well formed.";
    /// The token that is to end sessions is not believed.
    LogoutTokenRefused, BAD_REQUEST, "logout_token_refused", "The logout token is not valid.";
    /// The server says no, or does not take its own code.
    LoginDenied, FORBIDDEN, "login_denied", "The login was refused.";
    /// The ID token of a login is not believed.
    IdTokenRefused, FORBIDDEN, "id_token_refused", "The login could not be verified.";
    /// Another site asks to log a user out.
    LogoutCrossSite, FORBIDDEN, "logout_cross_site", "Please log out from a page of this site.";
    /// The route wants an API key and there is none.
    ApiKeyMissing, UNAUTHORIZED, "api_key_missing", "An API key is required.";
    /// The API key is none of the route's list: made up, mistyped, taken back, or of another list.
    ApiKeyUnknown, UNAUTHORIZED, "api_key_unknown", "The API key is not valid.";
    /// The API key is over.
    ApiKeyExpired, UNAUTHORIZED, "api_key_expired", "The API key has expired.";
    /// The API key came with a certificate that is none of its owner's.
    ApiKeyOfAnotherPeer, UNAUTHORIZED, "api_key_of_another_peer", "The API key is not bound to this connection.";
    /// The route wants a client certificate and the connection has none.
    CertificateMissing, FORBIDDEN, "certificate_missing", "A client certificate is required.";
    /// The client certificate ended while the connection was open, or longer ago than the route's
    /// `grace_after_expiry`.
    CertificateExpired, FORBIDDEN, "certificate_expired", "The client certificate has expired.";
    /// The client certificate no longer verifies under the trust bundle of now.
    CertificateUntrusted, FORBIDDEN, "certificate_untrusted", "The client certificate is not accepted.";
    /// A CRL or the deny list took the client certificate away while the connection was open.
    CertificateRevoked, FORBIDDEN, "certificate_revoked", "The client certificate is not accepted.";
    /// None of the route's `clients` is this client.
    PeerNotAllowed, FORBIDDEN, "peer_not_allowed", "Access is denied.";
    /// The token lacks a scope that the route asks for.
    ScopeMissing, FORBIDDEN, "scope_missing", "The token does not give access.";
    /// The token lacks a claim that the route asks for.
    ClaimMissing, FORBIDDEN, "claim_missing", "The token does not give access.";
    /// The authorization server gives no token for the route's service in exchange for this one.
    TokenExchangeDenied, FORBIDDEN, "token_exchange_denied", "The token does not give access.";
    /// The authorization service of the route says no. What the client is told is its to say.
    ExternalAuthorizationDenied, FORBIDDEN, "external_authorization_denied", "Access is denied.";
    /// A rule of the route's policy does not hold, or cannot be answered. The log says which.
    PolicyRefused, FORBIDDEN, "policy_refused", "Access is denied.";
    /// The certificate is not the one that belongs to the token's subject.
    SubjectNotPeer, FORBIDDEN, "subject_not_peer", "Access is denied.";
    /// No route has this host and path with this method and these headers.
    RouteUnknown, NOT_FOUND, "route_unknown", "There is nothing here.";
    /// The listener is none of those that may reach the route. The client is told what it is told
    /// of a path that is not there.
    ListenerNotAllowed, NOT_FOUND, "listener_not_allowed", "There is nothing here.";
    /// The method is one that the gateway forwards for nobody (`TRACE`, `CONNECT`, unknown ones).
    MethodRefused, METHOD_NOT_ALLOWED, "method_refused", "The method is not allowed.";
    /// The head of the request did not arrive in time.
    HeadTimeout, REQUEST_TIMEOUT, "head_timeout", "The request took too long.";
    /// The body did not arrive in time.
    BodyTimeout, REQUEST_TIMEOUT, "body_timeout", "The request took too long.";
    /// The body is larger than the route takes.
    BodyTooLarge, PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large.";
    /// The target is longer than the listener takes.
    UriTooLong, URI_TOO_LONG, "uri_too_long", "The request target is too long.";
    /// The host of the request is not the one that the connection was opened for.
    Misdirected, MISDIRECTED_REQUEST, "misdirected", "This connection is not for that host.";
    /// This client sends more than a limit of the route lets through.
    RateExceeded, TOO_MANY_REQUESTS, "rate_exceeded", "Too many requests.";
    /// This client sends more than the listener lets any client send.
    PeerRateExceeded, TOO_MANY_REQUESTS, "peer_rate_exceeded", "Too many requests.";
    /// This client has too many requests under way.
    PeerInFlightExceeded, TOO_MANY_REQUESTS, "peer_in_flight_exceeded", "Too many requests at a time.";
    /// Of what may be remembered of proofs, this subject's have as much as is left for all others.
    ProofsOfOneFull, TOO_MANY_REQUESTS, "proofs_of_one_full", "Too many requests.";
    /// There are too many header fields, or they are too long.
    HeadersTooLarge, REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The header section is too large.";
    /// A fault of ours; the log says which.
    Internal, INTERNAL_SERVER_ERROR, "internal", "Something went wrong here.";
    /// A later phase ran for a request that `admit` had not passed: a fault of ours that must not
    /// let anything through.
    NotAdmitted, INTERNAL_SERVER_ERROR, "not_admitted", "Something went wrong here.";
    /// The service did not prove the identity that the route expects.
    UpstreamIdentityMismatch, BAD_GATEWAY, "upstream_identity_mismatch", "The service cannot be reached.";
    /// The mTLS handshake with the service failed for another reason.
    UpstreamHandshake, BAD_GATEWAY, "upstream_handshake", "The service cannot be reached.";
    /// No connection to the service could be made.
    UpstreamUnreachable, BAD_GATEWAY, "upstream_unreachable", "The service cannot be reached.";
    /// The service closed the connection before its answer was complete.
    UpstreamClosed, BAD_GATEWAY, "upstream_closed", "The service did not answer.";
    /// The service answered with something that is not HTTP, or that no request had asked for.
    UpstreamProtocol, BAD_GATEWAY, "upstream_protocol", "The service did not answer.";
    /// The authorization service of the route gave an answer that cannot be followed.
    ExternalAuthorizationInvalid, BAD_GATEWAY, "external_authorization_invalid", "Something went wrong here.";
    /// The authorization service of the route cannot be asked, or gave no answer.
    ExternalAuthorizationUnavailable, SERVICE_UNAVAILABLE, "external_authorization_unavailable", "Please try again later.";
    /// The tokens of a login do not fit into cookies.
    SessionTooLarge, BAD_GATEWAY, "session_too_large", "The login is too large.";
    /// The server for logins, or what is known of ended sessions, cannot be asked.
    LoginUnavailable, SERVICE_UNAVAILABLE, "login_unavailable", "Please try again later.";
    /// The issuer's keys were never fetched, not for too long, or not since a token came with a key
    /// that is not among them: nobody can say whether the token is good.
    IssuerKeysUnavailable, SERVICE_UNAVAILABLE, "issuer_keys_unavailable", "Please try again later.";
    /// The token cannot be exchanged now, and that is not the client's fault.
    TokenExchangeUnavailable, SERVICE_UNAVAILABLE, "token_exchange_unavailable", "Please try again later.";
    /// The issuer could not be asked about the token, or did not answer in a way that can be believed.
    IntrospectionUnavailable, SERVICE_UNAVAILABLE, "introspection_unavailable", "Please try again later.";
    /// The source of the gateway's own certificate for the upstream has given none yet.
    UpstreamIdentityUnavailable, SERVICE_UNAVAILABLE, "upstream_identity_unavailable", "Please try again later.";
    /// No endpoint of the upstream has an address.
    UpstreamNoEndpoint, SERVICE_UNAVAILABLE, "upstream_no_endpoint", "Please try again later.";
    /// The upstream has as many requests under way as it may.
    UpstreamInFlightExceeded, SERVICE_UNAVAILABLE, "upstream_in_flight_exceeded", "Please try again later.";
    /// No more proofs can be remembered, so that none can be let in.
    ProofsFull, SERVICE_UNAVAILABLE, "proofs_full", "Please try again later.";
    /// Nobody can say whether a proof was seen before: what the gateways share is away.
    ProofsUnavailable, SERVICE_UNAVAILABLE, "proofs_unavailable", "Please try again later.";
    /// The connection to the service was not made in time.
    UpstreamConnectTimeout, GATEWAY_TIMEOUT, "upstream_connect_timeout", "The service did not answer in time.";
    /// The service did not answer in time.
    UpstreamResponseTimeout, GATEWAY_TIMEOUT, "upstream_response_timeout", "The service did not answer in time.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_is_a_label_of_its_own() {
        let reasons: BTreeSet<_> = Refusal::ALL.iter().map(|r| r.reason()).collect();
        assert_eq!(reasons.len(), Refusal::ALL.len());
        assert!(
            reasons
                .iter()
                .all(|r| r.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn every_refusal_is_an_error_status() {
        assert!(Refusal::ALL.iter().all(|r| r.status().as_u16() >= 400));
    }
}
