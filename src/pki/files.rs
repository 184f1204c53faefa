//! Files as they are written here: whole or not at all, keys for their owner alone, and nothing
//! lost by mistake.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::PkiError;

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and that is an error.
    No,
    /// It is replaced.
    Yes,
}

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// No PEM file of this tool is larger than 1 MiB.
const BYTES_MAX: u64 = 1024 * 1024;

/// Writes a file that only its owner can read (mode 0600), in one step.
///
/// # Errors
///
/// [`PkiError::Exists`] or [`PkiError::Write`].
pub fn write_secret(file: &Path, text: &str, overwrite: Overwrite) -> Result<(), PkiError> {
    write(file, text, overwrite, SECRET)
}

/// Writes a file that everybody can read (mode 0644), in one step.
///
/// # Errors
///
/// [`PkiError::Exists`] or [`PkiError::Write`].
pub fn write_public(file: &Path, text: &str, overwrite: Overwrite) -> Result<(), PkiError> {
    write(file, text, overwrite, PUBLIC)
}

/// Reads a text file of at most 1 MiB.
///
/// # Errors
///
/// [`PkiError::Read`].
pub fn read_text(file: &Path) -> Result<String, PkiError> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| PkiError::Read {
            file: file.to_owned(),
            error,
        })?;
    Ok(text)
}

fn write(file: &Path, text: &str, overwrite: Overwrite, mode: u32) -> Result<(), PkiError> {
    let failed = |error: io::Error| match (error.kind(), overwrite) {
        (io::ErrorKind::AlreadyExists, Overwrite::No) => PkiError::Exists {
            file: file.to_owned(),
        },
        _ => PkiError::Write {
            file: file.to_owned(),
            error,
        },
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let written = fill(&new, text, mode).and_then(|()| match overwrite {
        Overwrite::Yes => fs::rename(&new, file),
        // A rename would replace what is there; a link refuses.
        Overwrite::No => fs::hard_link(&new, file),
    });
    // After a rename it is gone already.
    if new.exists() {
        fs::remove_file(&new).map_err(failed)?;
    }
    written.map_err(failed)
}

fn fill(new: &Path, text: &str, mode: u32) -> io::Result<()> {
    // The mode holds only for a file that is made here, not for one that somebody put in its place.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(new)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_for_its_owner_alone_and_is_not_lost_by_mistake() {
        let folder = std::env::temp_dir().join(format!("portcullis-files-{}", std::process::id()));
        let file = folder.join("below/a.key");
        write_secret(&file, "one", Overwrite::No).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = write_secret(&file, "two", Overwrite::No).unwrap_err();
        assert!(matches!(error, PkiError::Exists { .. }), "{error}");
        assert_eq!(read_text(&file).unwrap(), "one");
        write_secret(&file, "two", Overwrite::Yes).unwrap();
        assert_eq!(read_text(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.join("below")).unwrap().count(), 1);
        // What somebody else put where the new file is made would keep its mode, or lead elsewhere.
        let new = folder.join(format!("below/a.key.{}.new", std::process::id()));
        let elsewhere = folder.join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, &new).unwrap();
        write_secret(&file, "three", Overwrite::Yes).unwrap();
        assert!(!elsewhere.exists());
        assert!(fs::symlink_metadata(&file).unwrap().is_file());
        fs::remove_dir_all(&folder).unwrap();
    }
}
