//! Claims: JSON that stands in the file as YAML.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};
use serde_yaml::Value;

use crate::config::node::{Node, all};

/// The claims that a route asks for: one text, whole number or truth value each.
pub(super) fn wanted(node: &Node<'_>) -> Option<BTreeMap<String, Json>> {
    let entries = node.entries("`tenant: acme`")?;
    if entries.is_empty() {
        return node.refuse(
            "no claim stands here",
            "write one, like `tenant: acme`, or leave the key out",
        );
    }
    let read = entries.into_iter().map(|(name, node)| {
        let value = match node.value() {
            Value::String(_) | Value::Bool(_) => json(&node),
            Value::Number(number) if !number.is_f64() => json(&node),
            Value::Null
            | Value::Number(_)
            | Value::Sequence(_)
            | Value::Mapping(_)
            | Value::Tagged(_) => node.refuse(
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
    let entries = node.entries("`scope: \"orders:read\"`")?;
    object(entries)
}

fn object(entries: Vec<(&str, Node<'_>)>) -> Option<Map<String, Json>> {
    let read = entries
        .into_iter()
        .map(|(name, node)| Some((name.to_owned(), json(&node)?)));
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// As deep as the file, which is bounded.
fn json(node: &Node<'_>) -> Option<Json> {
    match node.value() {
        Value::Null => Some(Json::Null),
        Value::Bool(flag) => Some(Json::Bool(*flag)),
        Value::String(text) => Some(Json::String(text.clone())),
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
        Value::Sequence(_) => all(&node.items("`[a, b]`")?, json).map(Json::Array),
        Value::Mapping(_) => object(node.entries("`name: value`")?).map(Json::Object),
        Value::Tagged(_) => node.refuse("tags (`!name`) are not read", "remove the tag"),
    }
}
