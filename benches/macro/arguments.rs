//! `COMMAND --key value --flag`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// What this program was started with.
pub struct Arguments {
    command: Option<String>,
    values: BTreeMap<String, String>,
}

impl Arguments {
    pub fn read() -> Self {
        let (mut command, mut values) = (None, BTreeMap::new());
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                None => command = Some(word),
                Some(key) => {
                    let value = words.next_if(|next| !next.starts_with("--") && key != "bench");
                    values.insert(key.to_owned(), value.unwrap_or_default());
                }
            }
        }
        Self { command, values }
    }

    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub fn number(&self, key: &str, default: usize) -> usize {
        self.text(key).map_or(default, |text| parse(key, text))
    }

    /// A value that must be there.
    pub fn needed<T: FromStr>(&self, key: &str) -> T {
        parse(
            key,
            self.text(key)
                .unwrap_or_else(|| panic!("--{key} is missing")),
        )
    }

    /// Whether a list `a,b,c` names this one; `default` if there is no list.
    pub fn names(&self, key: &str, name: &str, default: bool) -> bool {
        self.text(key)
            .map_or(default, |list| list.split(',').any(|own| own == name))
    }

    /// The folder with the certificates.
    pub fn folder(&self) -> PathBuf {
        self.needed("folder")
    }
}

fn parse<T: FromStr>(key: &str, text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("--{key} {text} cannot be read"))
}
