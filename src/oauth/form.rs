//! [`Form`]: the body of a request to an authorization server (RFC 6749, appendix B).

use std::fmt;

use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};

/// Names and values, as they are sent.
pub(super) struct Form(Serializer<'static, String>);

/// The media type of a form.
pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

impl Form {
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        let mut form = Self(Serializer::new(String::new()));
        for (name, value) in pairs {
            form.add(name, value);
        }
        form
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0.append_pair(name, value);
    }

    pub(super) fn into_bytes(mut self) -> Bytes {
        self.0.finish().into()
    }
}

/// One value as it stands in a form.
pub(super) fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

impl fmt::Debug for Form {
    /// Nothing of it: tokens and proofs stand in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}
