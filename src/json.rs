//! JSON that has one meaning: a member that comes twice is refused (RFC 7515, section 4; RFC 7519,
//! section 4), where `serde_json` alone would silently keep the last.
//!
//! Names are compared after their escapes are read, so that `"a\u006cg"` is a second `alg`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Objects and arrays inside each other. No token or answer needs more than a few; with this bound neither
/// reading nor dropping a value can run out of stack.
pub const DEPTH_MAX: usize = 32;

/// Reads one JSON object, and nothing after it.
///
/// # Errors
///
/// If the bytes are not JSON (RFC 8259, in UTF-8), not an object, nested more than [`DEPTH_MAX`]
/// deep, have a member twice in one object, or a number that a finite `f64` cannot hold.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict {
        depth_left: DEPTH_MAX,
    }
    .deserialize(&mut reader)?;
    reader.end()?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::custom("not an object"))
        }
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let depth_left = depth_left.ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if map.insert(name, value).is_some() {
                return Err(Error::custom("a member comes twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_read_as_serde_json_reads_them() {
        let text =
            r#"{"a":[1,-2,2.5,true,null,"\u00e9",{"b":{}}],"n":18446744073709551615,"A":1e3}"#;
        let want: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), want);
    }

    #[test]
    fn json_with_two_meanings_is_refused() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(object(deep(DEPTH_MAX - 1).as_bytes()).is_ok());
        let bad = [
            deep(DEPTH_MAX),
            deep(8000),
            String::new(),
            "[]".into(),
            "1".into(),
            "null".into(),
            "{".into(),
            "{} {}".into(),
            "{}\0".into(),
            "\u{feff}{}".into(),
            r#"{"a":1,"a":1}"#.into(),
            r#"{"a":1,"b":2,"\u0061":1}"#.into(),
            r#"{"x":{"a":1,"a":2}}"#.into(),
            r#"{"x":[{"a":1,"a":2}]}"#.into(),
            r#"{"a":1,}"#.into(),
            r#"{a:1}"#.into(),
            r#"{'a':1}"#.into(),
            r#"{"a":NaN}"#.into(),
            r#"{"a":Infinity}"#.into(),
            r#"{"a":1e400}"#.into(),
            r#"{"a":01}"#.into(),
            r#"{"a":"\ud800"}"#.into(),
            "{\"a\":\"\n\"}".into(),
            "{/*c*/}".into(),
        ];
        for text in bad {
            let shown = text.get(..40).unwrap_or(&text);
            assert!(object(text.as_bytes()).is_err(), "{shown}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
