//! Claims: JSON that stands in the file as YAML.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use crate::config::file::ClaimFile;
use crate::config::node::{Node, all};
use crate::config::problem::shown;
use crate::config::tree::Value;
use crate::identity::claim::{ClaimPath, ClaimTest, TextPattern};

/// The claims that are asked for, and what each must be.
pub(super) fn wanted(node: &Node<'_>) -> Option<BTreeMap<ClaimPath, ClaimTest>> {
    let mut entries = node.entries("`tenant: acme`")?.peekable();
    if entries.peek().is_none() {
        return node.refuse(
            "no claim stands here",
            "write one, like `tenant: acme`, or leave the key out",
        );
    }
    let mut wanted = BTreeMap::new();
    let mut complete = true;
    for (name, node) in entries {
        let (path, test) = (path(name, &node), test(&node));
        match (path, test) {
            (Some(path), Some(_)) if wanted.contains_key(&path) => {
                let what = format!("the claim `{path}` stands twice");
                complete = node.refuse_key(what, "keep one of them").unwrap_or(false);
            }
            (Some(path), Some(test)) => drop(wanted.insert(path, test)),
            (None, _) | (_, None) => complete = false,
        }
    }
    complete.then_some(wanted)
}

fn path(text: &str, node: &Node<'_>) -> Option<ClaimPath> {
    match text.parse() {
        Ok(path) => Some(path),
        Err(error) => node.refuse_key(
            format!("{} is no claim: {error}", shown(text)),
            "write the name of a claim as it is, or a path that begins with `/`, like `/realm_access/roles`",
        ),
    }
}

/// What a claim must be: one value, `{ one_of: [..] }` or `{ matches: .. }`.
fn test(node: &Node<'_>) -> Option<ClaimTest> {
    if node.value() != Value::Mapping {
        return scalar(node).map(|value| ClaimTest::OneOf([value].into()));
    }
    let file = ClaimFile::read(node)?;
    match (file.one_of.written(), file.matches.written()) {
        (Some(list), None) => {
            let values = list.some("`[acme, umbrella]`", scalar)?;
            Some(ClaimTest::OneOf(values.into()))
        }
        (None, Some(text)) => pattern(text).map(ClaimTest::Matches),
        (Some(_), Some(_)) | (None, None) => node.refuse(
            "not exactly one of `one_of` and `matches` stands here",
            "write one of them; a claim within a claim is named by a path, like `/realm_access/roles`",
        ),
    }
}

/// A value that a claim is compared with.
fn scalar(node: &Node<'_>) -> Option<Json> {
    match node.value() {
        Value::Text(_) | Value::Bool(_) => json(node),
        Value::Number(number) if !number.is_f64() => json(node),
        Value::List => node.refuse(
            "a list stands where one value is wanted",
            "write `{ one_of: [..] }`; an array in the token is right if one of its items is",
        ),
        Value::Null | Value::Number(_) | Value::Mapping => node.refuse(
            "a claim is compared with a text, a whole number or a truth value",
            "write one; an array in the token is right if one of its items is",
        ),
    }
}

fn pattern(node: &Node<'_>) -> Option<TextPattern> {
    let text = node.text("`team-*`")?;
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => node.refuse(
            format!("{} is no pattern: {error}", shown(text)),
            r"write the text with `*` for any characters; `\*` is a star and `\\` a backslash",
        ),
    }
}

/// The claims that give scopes: one, or a list.
pub(super) fn paths(node: &Node<'_>) -> Option<Vec<ClaimPath>> {
    const EXAMPLE: &str = "`permissions`";
    let one = |node: &Node<'_>| -> Option<ClaimPath> { node.parse(EXAMPLE) };
    if node.as_text().is_some() {
        return one(node).map(|path| vec![path]);
    }
    node.some("`[scp, roles]`", one)
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
