//! The query of a page: strict, so that a misspelt filter is not taken for none.

use super::reply::Form;

/// Longer queries are none of ours.
const QUERY_BYTES_MAX: usize = 1024;

/// Reads `name=value&..`. `format` says in which form the page is wanted; every other parameter is
/// handed to `set`.
///
/// # Errors
///
/// What is wrong, for the operator.
pub(super) fn read(
    query: &str,
    accept: Option<&str>,
    mut set: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<Form, String> {
    if query.len() > QUERY_BYTES_MAX {
        return Err("the query is too long".to_owned());
    }
    // `curl -H 'Accept: text/plain'`; who takes anything gets JSON.
    let plain = accept.is_some_and(|accept| accept.trim().eq_ignore_ascii_case("text/plain"));
    let mut form = if plain { Form::Text } else { Form::Json };
    let mut seen: Vec<&str> = Vec::new();
    for part in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = part.split_once('=').ok_or("parameters are NAME=VALUE")?;
        if seen.contains(&name) {
            return Err("a parameter stands twice".to_owned());
        }
        seen.push(name);
        if value.is_empty() || !value.bytes().all(plain_byte) {
            return Err("values are plain: no escapes, and not empty".to_owned());
        }
        match (name, value) {
            ("format", "json") => form = Form::Json,
            ("format", "text") => form = Form::Text,
            ("format", _) => return Err("format: json or text".to_owned()),
            (name, value) => set(name, value)?,
        }
    }
    Ok(form)
}

/// All that names of ours and identities are made of.
const fn plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':' | b'/' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_understood_as_a_whole_or_refused() {
        let cases = [
            ("", Some((Form::Json, 0))),
            ("format=text", Some((Form::Text, 0))),
            ("reason=a&side=b", Some((Form::Json, 2))),
            (
                "identity=spiffe://a.example/b&format=json",
                Some((Form::Json, 1)),
            ),
            ("reason=a&reason=b", None),
            ("reason", None),
            ("reason=", None),
            ("=a", None),
            ("format=xml", None),
            ("reason=a%20b", None),
            ("reason=a&", None),
            ("&", None),
            ("unknown=a", None),
        ];
        for (query, want) in cases {
            let mut count = 0;
            let read = read(query, None, |name, _| match name {
                "reason" | "side" | "identity" => {
                    count += 1;
                    Ok(())
                }
                _ => Err("unknown".to_owned()),
            });
            assert_eq!(read.ok().map(|form| (form, count)), want, "{query}");
        }
        let long = format!("reason={}", "a".repeat(QUERY_BYTES_MAX));
        assert!(read(&long, None, |_, _| Ok(())).is_err());
        assert_eq!(read("", Some("text/plain"), |_, _| Ok(())), Ok(Form::Text));
        assert_eq!(read("", Some("*/*"), |_, _| Ok(())), Ok(Form::Json));
    }
}
