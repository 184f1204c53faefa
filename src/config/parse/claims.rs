//! Claims: JSON that stands in the file as YAML.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use crate::config::node::{Node, all};
use crate::config::tree::Value;

/// The claims that a route asks for: one text, whole number or truth value each.
pub(super) fn wanted(node: &Node<'_>) -> Option<BTreeMap<String, Json>> {
    let mut entries = node.entries("`tenant: acme`")?.peekable();
    if entries.peek().is_none() {
        return node.refuse(
            "no claim stands here",
            "write one, like `tenant: acme`, or leave the key out",
        );
    }
    let read = entries.map(|(name, node)| {
        let value = match node.value() {
            Value::Text(_) | Value::Bool(_) => json(&node),
            Value::Number(number) if !number.is_f64() => json(&node),
            Value::Null | Value::Number(_) | Value::List | Value::Mapping => node.refuse(
                "a claim is compared with one text, whole number or truth value",
                "write one value; an array in the token matches if it contains it",
            ),
        };
        value.map(|value| (name.to_owned(), value))
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// The claims of a rehearsal's token.
pub(super) fn token(node: &Node<'_>) -> Option<Map<String, Json>> {
    object(node.entries("`scope: \"orders:read\"`")?)
}

fn object<'a>(entries: impl Iterator<Item = (&'a str, Node<'a>)>) -> Option<Map<String, Json>> {
    let read = entries.map(|(name, node)| Some((name.to_owned(), json(&node)?)));
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// As deep as the file, which is bounded.
fn json(node: &Node<'_>) -> Option<Json> {
    match node.value() {
        Value::Null => Some(Json::Null),
        Value::Bool(flag) => Some(Json::Bool(flag)),
        Value::Text(text) => Some(Json::String(text.to_owned())),
        Value::Number(number) => {
            let whole = number
                .as_u64()
                .map(Number::from)
                .or(number.as_i64().map(Number::from));
            match whole.or(number.as_f64().and_then(Number::from_f64)) {
                Some(number) => Some(Json::Number(number)),
                None => node.refuse(
                    format!("{number} is no number of JSON"),
                    "write a finite number, or a text in quotes",
                ),
            }
        }
        Value::List => all(&node.items("`[a, b]`")?, json).map(Json::Array),
        Value::Mapping => object(node.entries("`name: value`")?).map(Json::Object),
    }
}
