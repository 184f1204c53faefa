//! [`JsonPage`]: one JSON object with long lists, written one element a line, so that `grep` works on
//! it and no list stands in memory twice.

use serde_json::Value;

use super::clock::rfc3339;

/// One object while it is written.
#[derive(Debug, Default)]
pub(super) struct JsonPage(String);

impl JsonPage {
    fn key(&mut self, key: &'static str) {
        self.0
            .push_str(if self.0.is_empty() { "{\"" } else { ",\n\"" });
        self.0.push_str(key); // a word of ours
        self.0.push_str("\": ");
    }

    pub(super) fn value(&mut self, key: &'static str, value: &Value) {
        self.key(key);
        self.0.push_str(&value.to_string());
    }

    pub(super) fn list(&mut self, key: &'static str, elements: impl Iterator<Item = Value>) {
        self.key(key);
        self.0.push('[');
        for (element, number) in elements.zip(0_usize..) {
            self.0.push_str(if number == 0 { "\n" } else { ",\n" });
            self.0.push_str(&element.to_string());
        }
        self.0.push(']');
    }

    pub(super) fn into_text(mut self) -> String {
        self.0
            .push_str(if self.0.is_empty() { "{}\n" } else { "}\n" });
        self.0
    }
}

/// A point in time as JSON.
pub(super) fn time(seconds: i64) -> Value {
    rfc3339(seconds).map_or(Value::Null, Value::String)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_the_object_that_was_put_in() {
        let mut page = JsonPage::default();
        page.value("a", &json!("x\"\n"));
        page.list("none", std::iter::empty());
        page.list("two", [json!({"b": 1}), json!(null)].into_iter());
        let text = page.into_text();
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            back,
            json!({"a": "x\"\n", "none": [], "two": [{"b": 1}, null]})
        );
        assert_eq!(text.lines().count(), 5);
        assert_eq!(JsonPage::default().into_text(), "{}\n");
    }
}
