//! The names of signature algorithms, and what each means to the crate that verifies.

use jsonwebtoken::Algorithm;

use crate::config::spec::SignatureAlgorithm;

/// The algorithm that `alg` names (RFC 7518, section 3.1; RFC 8037), compared byte by byte. `None`
/// for `none`, for symmetric ones and for every other text.
pub(super) fn by_name(name: &str) -> Option<SignatureAlgorithm> {
    Some(match name {
        "RS256" => SignatureAlgorithm::RS256,
        "RS384" => SignatureAlgorithm::RS384,
        "RS512" => SignatureAlgorithm::RS512,
        "PS256" => SignatureAlgorithm::PS256,
        "PS384" => SignatureAlgorithm::PS384,
        "PS512" => SignatureAlgorithm::PS512,
        "ES256" => SignatureAlgorithm::ES256,
        "ES384" => SignatureAlgorithm::ES384,
        "EdDSA" => SignatureAlgorithm::EdDSA,
        _ => return None,
    })
}

/// The name that `alg` has in a header and in a key.
pub(super) const fn name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::RS256 => "RS256",
        SignatureAlgorithm::RS384 => "RS384",
        SignatureAlgorithm::RS512 => "RS512",
        SignatureAlgorithm::PS256 => "PS256",
        SignatureAlgorithm::PS384 => "PS384",
        SignatureAlgorithm::PS512 => "PS512",
        SignatureAlgorithm::ES256 => "ES256",
        SignatureAlgorithm::ES384 => "ES384",
        SignatureAlgorithm::EdDSA => "EdDSA",
    }
}

/// What the verifying crate calls it.
pub(super) const fn of_crate(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asymmetric_names_are_known_and_round_trip() {
        let known = [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
        ];
        for text in known {
            let algorithm = by_name(text).unwrap();
            assert_eq!(name(algorithm), text);
            assert_eq!(format!("{:?}", of_crate(algorithm)), text);
        }
        let unknown = [
            "", "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "es256", "ES256 ",
            "ES256K", "ES512", "ES521", "RSA1_5", "dir", "A128KW", "Ed25519", "Ed448", "rs256",
        ];
        for text in unknown {
            assert_eq!(by_name(text), None, "{text}");
        }
    }
}
