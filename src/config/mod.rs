//! What the operator wrote: `gateway.yaml`, read and parsed, with every mistake shown in its place.
//!
//! `reader.rs` reads YAML and refuses what means something else than it shows, `tree.rs` has what
//! stands there with its places, `file.rs` has the shape of the YAML, `parse/` turns each text into
//! a value, `spec.rs` has the values, `problem.rs` the mistakes. No certificate is read here: that is `trust`'s work.

pub mod spec;
pub mod token;
pub mod acme;
pub mod exchange;
pub mod external_authorization;
pub mod api_keys;
pub mod fetch;
pub mod login;
pub mod shared_state;
pub mod issuer_keys;
pub mod introspection;
pub mod oauth_client;
pub mod possession;
pub mod workload_api;
pub mod problem;
mod credential_file;
mod file;
mod node;
mod parse;
mod places;
pub mod policy;
mod reader;
mod report;
mod tree;
mod within;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

pub use parse::{InvalidHostPattern, InvalidPathPattern};
pub use places::Places;

use problem::{Mark, Problem};
use report::Report;
use spec::Spec;

/// A configuration, and where its parts stand in the file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub spec: Spec,
    /// Where it says it.
    pub places: Places,
}

/// 100,000 routes take about 20 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A configuration with problems, and what of it is sound.
#[derive(Debug)]
pub struct Faulty {
    /// What is wrong. May be empty, if something was left out and no check said why.
    pub problems: Vec<Problem>,
    /// The entries that have no problem, to look for more in the files that they name: a
    /// configuration with gaps, never to be run. `None` if the file is no YAML of our kind.
    pub sound: Option<Loaded>,
    /// Whether the file could not be read, so that nothing is known of what it says.
    pub unreadable: bool,
}

impl Faulty {
    fn unread(problems: Vec<Problem>) -> Box<Self> {
        Box::new(Self {
            problems,
            sound: None,
            unreadable: false,
        })
    }
}

/// Reads and parses `file`. Paths in it become relative to its folder, so that they can be opened
/// as they are. No other file is looked at.
///
/// # Errors
///
/// Every problem that was found, each with its place, and what has none. A file that is no YAML of
/// our kind shows those problems first: nothing can be said of its values.
pub fn load(file: &Path) -> Result<Loaded, Box<Faulty>> {
    let bytes = read(file).map_err(|error| {
        let what = format!("it cannot be read: {error}");
        let problem = Problem::new(file, None, "", what).with_hint(unreadable(error.kind()));
        Box::new(Faulty {
            problems: vec![problem],
            sound: None,
            unreadable: true,
        })
    })?;
    parse(file, &bytes)
}

/// [`load`] of a text that is at hand.
fn parse(file: &Path, bytes: &[u8]) -> Result<Loaded, Box<Faulty>> {
    let text = text(file, bytes).map_err(|problem| Faulty::unread(vec![problem]))?;
    let places = reader::read(file, text).map_err(Faulty::unread)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let report = Report::new(&places, text);
    let spec = parse::spec(folder, &report);
    let sound = report.finish();
    let loaded = spec.map(|spec| Loaded { spec, places });
    match (loaded, sound) {
        (Some(loaded), Ok(())) => Ok(loaded),
        (None, Ok(())) => Err(Faulty::unread(Vec::new())),
        (sound, Err(problems)) => Err(Box::new(Faulty {
            problems,
            sound,
            unreadable: false,
        })),
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(file)?;
    let size = file.metadata()?.len().min(FILE_BYTES_MAX);
    // One more, for the read that finds the end.
    let room = usize::try_from(size).unwrap_or_default().saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    // One byte more than is allowed, so that `text` sees that it is too long.
    file.take(FILE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(kind: io::ErrorKind) -> &'static str {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is std's and grows; what is new to us has the general advice"
    )]
    match kind {
        io::ErrorKind::NotFound => {
            "look at the path, and at the folder that the gateway was started in"
        }
        io::ErrorKind::PermissionDenied => "let the user that the gateway runs as read it",
        io::ErrorKind::IsADirectory => "name the file in it, for example gateway.yaml",
        _ => "look at the disk and at the mount that it is on",
    }
}

/// The text without a byte order mark; nothing in it is invisible or reads in two ways.
fn text<'a>(file: &Path, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    if u64::try_from(bytes.len()).is_ok_and(|size| size > FILE_BYTES_MAX) {
        let what = format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(Problem::new(file, None, "", what)
            .with_hint("is this the right file? If so, split it over several gateways"));
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let mark = mark_after(&String::from_utf8_lossy(good));
            return Err(Problem::new(file, Some(mark), "", "this is not UTF-8")
                .with_hint("save the file as UTF-8"));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(at) = text.find(is_hidden) else {
        return Ok(text);
    };
    let (before, after) = text.split_at_checked(at).unwrap_or_default();
    let c = after.chars().next().unwrap_or_default();
    let what = format!(
        "an invisible character stands here (U+{:04X})",
        u32::from(c)
    );
    Err(Problem::new(file, Some(mark_after(before)), "", what)
        .with_hint("remove it; in double quotes it can be written as an escape, like \"\\u202e\""))
}

/// Characters that an editor does not show, that turn the direction of a line, or that one version
/// of YAML takes for the end of a line and the other does not.
fn is_hidden(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{85}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    hidden || (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

fn mark_after(text: &str) -> Mark {
    let line = text
        .bytes()
        .filter(|b| *b == b'\n')
        .count()
        .saturating_add(1);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let column = last.chars().count().saturating_add(1);
    Mark { line, column }
}
