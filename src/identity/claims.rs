//! [`Claims`]: all claims of a token, read only when somebody asks for one.
//!
//! A token that comes a thousand times is verified once, and of most nobody wants more than the
//! subject and the scopes. So what is remembered of it are these; the claims are read again from
//! the payload that came with the request, and only then.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// The claims of a verified token.
#[derive(Clone)]
pub struct Claims {
    read: OnceLock<Map<String, Value>>,
    /// The payload as it was signed, where it was not read yet.
    payload: Box<[u8]>,
    /// Reads such a payload.
    reader: fn(&[u8]) -> Map<String, Value>,
}

impl Claims {
    /// Claims that `reader` finds in a payload that was verified, and read once before: it does not
    /// fail on it. A reader that could would have to answer without any claims, so that whoever asks for
    /// one refuses.
    #[must_use]
    pub fn later(payload: &[u8], reader: fn(&[u8]) -> Map<String, Value>) -> Self {
        Self {
            read: OnceLock::new(),
            payload: payload.into(),
            reader,
        }
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self {
            read: claims.into(),
            payload: Box::default(),
            reader: |_read_already| Map::new(),
        }
    }
}

/// Reads them, the first time.
impl Deref for Claims {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        self.read.get_or_init(|| (self.reader)(&self.payload))
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Without their values: what people are called is nothing for a log.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_read_once_and_are_the_same_however_they_came() {
        fn reader(payload: &[u8]) -> Map<String, Value> {
            serde_json::from_slice(payload).unwrap()
        }
        let later = Claims::later(br#"{"a":[1],"secret":"x"}"#, reader);
        let now = Claims::from(
            json!({"secret": "x", "a": [1]})
                .as_object()
                .cloned()
                .unwrap(),
        );
        assert_eq!(later, now);
        assert_eq!(later.clone().get("a"), Some(&json!([1])));
        assert!(!format!("{later:?} {now:?}").contains("secret"));
    }
}
