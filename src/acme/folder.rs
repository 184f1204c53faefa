//! [`Folder`]: where the account and the certificates of one directory are kept.
//!
//! One file for each, readable by the owner alone. A file is replaced in one step and holds key and
//! chain together, so that after a crash either the old pair is there or the new one.
//!
//! ```text
//! state/acme/lock                                       whoever holds it orders
//!            acme.example.com-1f2e3d4c/account.json     the account at this directory
//!                                      api.example.com-9a8b7c6d.pem   key, certificate, chain
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::config::acme::AcmeSpec;
use crate::identity::host::Host;

/// The folder of one directory within the folder of an entry of `acme`.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    own: PathBuf,
}

/// Held by the one process that orders into a folder. The kernel lets go of it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

const OWNER_ONLY: u32 = 0o600;
const OWNER_ONLY_FOLDER: u32 = 0o700;
/// An account has some 500 bytes.
const PROBE_BYTES: usize = 64 * 1024;
const ACCOUNT_BYTES_MAX: u64 = 64 * 1024;

impl Folder {
    pub(super) fn of(spec: &AcmeSpec) -> Self {
        let url = spec.directory.to_string();
        let host = spec.directory.host().unwrap_or_default();
        Self {
            root: spec.folder.clone(),
            own: spec.folder.join(file_name(host, &url)),
        }
    }

    /// The file of the certificate for these names.
    pub(super) fn certificate(&self, names: &[Host]) -> PathBuf {
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let first = texts.first().map_or("", String::as_str);
        let name = file_name(first, &texts.join(" "));
        self.own.join(format!("{name}.pem"))
    }

    fn account(&self) -> PathBuf {
        self.own.join("account.json")
    }

    /// What is known of our account. `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn read_account(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match crate::trust::open(&self.account()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(ACCOUNT_BYTES_MAX).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    /// # Errors
    ///
    /// Those of writing. The file of before is there then.
    pub(super) fn write_account(&self, text: &[u8]) -> io::Result<()> {
        self.replace(&self.account(), text, |_draft| Ok(()))
    }

    /// Puts a certificate with its key in place of the one for these names, after `accept` has
    /// looked at the file that it is going to be.
    ///
    /// # Errors
    ///
    /// That of `accept`, and those of writing. The file of before is there then.
    pub(super) fn replace<E: From<io::Error>>(
        &self,
        file: &Path,
        text: &[u8],
        accept: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        self.make()?;
        let mut draft = file.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let written = write(&draft, text)
            .map_err(E::from)
            .and_then(|()| accept(&draft))
            .and_then(|()| Ok(fs::rename(&draft, file)?))
            .and_then(|()| Ok(File::open(&self.own)?.sync_all()?));
        if written.is_err() {
            drop(fs::remove_file(&draft)); // it may not be there
        }
        written
    }

    /// Makes the folders, for the owner alone.
    fn make(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(OWNER_ONLY_FOLDER);
        builder.create(&self.own)
    }

    /// Takes the lock of the folder; `None` if another process has it. It can be written then.
    ///
    /// # Errors
    ///
    /// Those of making the folder and the file.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        self.make()?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(OWNER_ONLY)
            .open(self.root.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a file of a certificate's size can be kept. One that is issued and lost is missed,
    /// and directories count what they issue.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub(super) fn probe(&self) -> io::Result<()> {
        self.make()?;
        let probe = self.own.join("probe");
        let written = write(&probe, &[0; PROBE_BYTES]);
        drop(fs::remove_file(&probe)); // it may not be there
        written
    }

    /// Where entries of `acme` that share the folder meet.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

fn write(draft: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash left behind may have another mode.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(draft)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A name that people recognize, and a part of a hash that tells it from others.
fn file_name(shown: &str, whole: &str) -> String {
    const SHOWN_MAX: usize = 100;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let shown: String = shown
        .chars()
        .filter(|c| plain(*c))
        .take(SHOWN_MAX)
        .collect();
    let hash = digest(&SHA256, whole.as_bytes());
    let hash = hash.as_ref().iter().take(4);
    let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
    format!("{shown}-{hash}")
}
