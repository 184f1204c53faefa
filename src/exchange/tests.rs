//! What a token endpoint may answer.
