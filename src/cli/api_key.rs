//! `portcullis api-key`: makes API keys, and reads the file of a list of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::authenticate::api_keys::{ApiKey, KeyList};
use crate::identity::name::Name;
use crate::pki::Lifetime;
use crate::trust::TrustError;

use super::print::print;

pub(super) const EXAMPLES: &str = "Examples:
  portcullis api-key new --owner acme --ttl 90d
  portcullis api-key list keys/partners.yaml
  portcullis api-key check keys/partners.yaml < key.txt";

/// The commands below `portcullis api-key`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key: prints it, this once, and the entry for the file of its list
    ///
    /// The file holds the key's SHA-256 and not the key: who loses it gets another one. To change a
    /// key, add the new entry, have the owner take the new key, and remove the old entry: the
    /// gateway takes each change of the file within seconds.
    New(New),
    /// Show whose keys a file has, and when they end
    List(OfFile),
    /// Say whose key it is that stands on standard input
    ///
    /// Exit code 0 if it is one of the file and not over, else 1.
    Check(OfFile),
}

#[derive(Args, Debug)]
pub(super) struct New {
    /// Whose key it is, as the file will name the owner
    #[arg(long, value_name = "NAME")]
    owner: Name,
    /// How long it is valid: 24h, 90d, 1y, or `never` if it is to have no end
    #[arg(long, value_name = "TIME", default_value = "90d")]
    ttl: Ends,
}

#[derive(Args, Debug)]
pub(super) struct OfFile {
    /// The file of a list: `api_keys.NAME.file`
    file: PathBuf,
}

#[derive(Clone, Debug)]
enum Ends {
    Never,
    After(Lifetime),
}

impl std::str::FromStr for Ends {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let lifetime = text.parse::<Lifetime>();
        lifetime.map(Self::After).map_err(|error| error.to_string())
    }
}

pub(super) fn run(command: Command) -> Result<(), String> {
    match command {
        Command::New(new) => make(&new),
        Command::List(of) => list(&of.file),
        Command::Check(of) => check(&of.file),
    }
}

fn make(new: &New) -> Result<(), String> {
    let key = ApiKey::generate().ok_or("the system gives no random numbers")?;
    let expires = match &new.ttl {
        Ends::Never => "never".to_owned(),
        Ends::After(lifetime) => {
            let ends = now().saturating_add(lifetime.duration().as_secs());
            shown(ends).ok_or("this time is too far away")?
        }
    };
    let [id, sha256] = [&key.id()[..], &key.sha256()[..]].map(hex);
    print(&format!(
        "# The key, for its owner alone. It is shown this once.\n{}\n\n\
         # Its entry, for the file of the list. It is no secret.\n\
         owners:\n  {}:\n    keys:\n      - {{ id: \"{id}\", sha256: \"{sha256}\", expires: {expires} }}",
        key.expose(),
        new.owner,
    ));
    Ok(())
}

fn list(file: &Path) -> Result<(), String> {
    let now = now();
    for key in load(file)?.all() {
        let ends = shown(key.expires).unwrap_or_else(|| "never".to_owned());
        let over = if key.expires <= now { "  over" } else { "" };
        print(&format!("{}  {ends:20}  {}{over}", key.id, key.owner));
    }
    Ok(())
}

fn check(file: &Path) -> Result<(), String> {
    let mut text = String::new();
    let read = std::io::stdin()
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let key = ApiKey::parse(text.trim().as_bytes());
    let key = key.ok_or("this is no API key: a character is missing or mistyped")?;
    let found = load(file)?.find(&key);
    let found = found.ok_or_else(|| format!("{} has no such key", file.display()))?;
    let ends = shown(found.expires).unwrap_or_else(|| "never".to_owned());
    if found.expires <= now() {
        return Err(format!(
            "the key {} of {} ended {ends}",
            found.id, found.owner
        ));
    }
    print(&format!(
        "the key {} of {}, ends {ends}",
        found.id, found.owner
    ));
    Ok(())
}

/// A key, and white space around it.
const KEY_BYTES_MAX: u64 = 4096;

fn load(file: &Path) -> Result<KeyList, String> {
    // What the list is called is of no interest here.
    let name = "keys".parse::<Name>().map_err(|error| error.to_string())?;
    KeyList::load(&name, file, None).map_err(|error| {
        let what = if let TrustError::ApiKeys(mistakes) = &error {
            mistakes.join("\n")
        } else {
            error.what()
        };
        format!("{what}\n  hint: {}", error.hint())
    })
}

/// `2027-06-30T00:00:00Z`; `None` for never.
fn shown(seconds: u64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    time.format(&Rfc3339).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "a command line asks the clock")]
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
