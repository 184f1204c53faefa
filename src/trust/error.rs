//! [`TrustError`]: why a certificate, key or CA file cannot be used, for the operator.

use std::path::PathBuf;

use super::crl_problem::CrlProblem;
use super::info::date;
use super::secret::SecretProblem;
use super::workload_api::AgentError;

/// Why a file with certificates or a key cannot be used. [`TrustError::hint`] says what to do;
/// the `Display` text is both in one line.
#[derive(Debug)]
pub enum TrustError {
    /// The file is not there, or may not be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is larger than any file of its kind.
    TooLarge {
        /// The file.
        file: PathBuf,
        /// What may be read of it.
        mib_max: u64,
    },
    /// The file has no PEM block.
    Empty {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        wanted: Wanted,
    },
    /// The file has PEM blocks, and none of the wanted kind.
    WrongKind {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        wanted: Wanted,
        /// What it holds instead.
        found: &'static str,
    },
    /// A PEM block is cut off or is not base64.
    PemBroken {
        /// The file.
        file: PathBuf,
    },
    /// The private key is protected by a passphrase.
    KeyEncrypted {
        /// The file.
        file: PathBuf,
    },
    /// The key file has several private keys.
    SeveralKeys {
        /// The file.
        file: PathBuf,
        /// How many.
        count: usize,
    },
    /// The private key is damaged or of a kind that is not spoken here.
    KeyUnusable {
        /// The file.
        file: PathBuf,
    },
    /// The private key is no ECDSA key on P-256, which tokens are signed with.
    KeyNotP256 {
        /// The file.
        file: PathBuf,
    },
    /// The RSA key is too short.
    KeyWeak {
        /// The file with the certificate.
        file: PathBuf,
        /// Its length.
        bits: usize,
    },
    /// The private key belongs to another certificate.
    KeyMismatch {
        /// The file with the certificate.
        cert: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// A certificate cannot be read as X.509.
    CertificateMalformed {
        /// The file.
        file: PathBuf,
        /// Which certificate of the file, from 1.
        number: usize,
    },
    /// The leaf is over.
    Expired {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// When it ended, in seconds since 1970.
        not_after: i64,
    },
    /// The leaf has not begun.
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// When it begins, in seconds since 1970.
        not_before: i64,
    },
    /// The first certificate of a key pair is that of a CA.
    LeafIsCa {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
    },
    /// The chain is longer than anybody verifies.
    ChainTooLong {
        /// The file.
        file: PathBuf,
        /// How many certificates stand in it.
        count: usize,
    },
    /// A certificate of a trust bundle is not that of a CA.
    NotACa {
        /// The file.
        file: PathBuf,
        /// Which certificate of the file, from 1.
        number: usize,
        /// Whose certificate.
        subject: String,
    },
    /// The leaf is not for a name that it must be for.
    NameMissing {
        /// The file.
        file: PathBuf,
        /// The name.
        name: String,
    },
    /// An ACME directory did not issue a certificate, or issued one that cannot be used.
    NotIssued {
        /// Why, in whole.
        why: String,
    },
    /// An agent gives nothing, or nothing that is taken.
    Agent {
        /// Where it listens.
        agent: String,
        /// Why.
        error: Box<AgentError>,
    },
    /// A certificate of `intermediates` was signed by no CA of the bundle.
    NotBelow {
        /// The file.
        file: PathBuf,
        /// Which certificate of the file, from 1.
        number: usize,
        /// Whose certificate.
        subject: String,
    },
    /// More certificates of `intermediates` have one name than are tried.
    Namesakes {
        /// The file.
        file: PathBuf,
        /// Their name.
        subject: String,
    },
    /// A CRL is not taken.
    Crl {
        /// The file.
        file: PathBuf,
        /// Which CRL of the file, from 1.
        number: usize,
        /// Why.
        problem: CrlProblem,
    },
    /// A file does not hold the secret, or the key, that it should.
    Secret(SecretProblem),
    /// A line of a deny list cannot be read.
    DenyLine {
        /// The file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The deny list has more entries than are held.
    DenyTooMany {
        /// The file with the first that is too many.
        file: PathBuf,
    },
    /// The file of a list of API keys has mistakes: each with its place.
    ApiKeys(Vec<String>),
}

/// What a file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One certificate or more.
    Certificates,
    /// One private key.
    PrivateKey,
    /// One CRL or more.
    RevocationLists,
}

impl Wanted {
    const fn text(self) -> &'static str {
        match self {
            Self::Certificates => "certificate",
            Self::PrivateKey => "private key",
            Self::RevocationLists => "revocation list",
        }
    }
}

impl TrustError {
    /// What is wrong, with the file, in one line.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one arm for each variant")]
    pub fn what(&self) -> String {
        match self {
            Self::Unreadable { file, error } => {
                format!("{} cannot be read: {error}", file.display())
            }
            Self::TooLarge { file, mib_max } => {
                format!("{} is larger than {mib_max} MiB", file.display())
            }
            Self::Empty { file, wanted } => {
                format!("{} has no {} in it", file.display(), wanted.text())
            }
            Self::WrongKind {
                file,
                wanted,
                found,
            } => {
                let (file, wanted) = (file.display(), wanted.text());
                format!("{file} has {found} in it and no {wanted}")
            }
            Self::PemBroken { file } => format!("{} is broken PEM", file.display()),
            Self::KeyEncrypted { file } => {
                format!("the private key in {} has a passphrase", file.display())
            }
            Self::SeveralKeys { file, count } => {
                format!("{} has {count} private keys in it", file.display())
            }
            Self::KeyUnusable { file } => {
                format!("the private key in {} cannot be used", file.display())
            }
            Self::KeyNotP256 { file } => {
                let file = file.display();
                format!("the private key in {file} is none on the curve P-256")
            }
            Self::KeyWeak { file, bits } => {
                format!("{} has an RSA key of {bits} bits", file.display())
            }
            Self::KeyMismatch { cert, key } => {
                let (cert, key) = (cert.display(), key.display());
                format!("the key in {key} is not that of the certificate in {cert}")
            }
            Self::CertificateMalformed { file, number } => {
                format!("certificate {number} in {} is no X.509", file.display())
            }
            Self::Expired {
                file,
                subject,
                not_after,
            } => {
                let (file, day) = (file.display(), date(*not_after));
                format!("the certificate in {file} ({subject}) expired on {day}")
            }
            Self::NotYetValid {
                file,
                subject,
                not_before,
            } => {
                let (file, day) = (file.display(), date(*not_before));
                format!("the certificate in {file} ({subject}) is valid from {day} on, not yet")
            }
            Self::LeafIsCa { file, subject } => {
                format!(
                    "the first certificate in {} ({subject}) is that of a CA",
                    file.display()
                )
            }
            Self::ChainTooLong { file, count } => {
                format!("{} has a chain of {count} certificates", file.display())
            }
            Self::NotACa {
                file,
                number,
                subject,
            } => {
                format!(
                    "certificate {number} in {} ({subject}) is not that of a CA",
                    file.display()
                )
            }
            Self::NameMissing { file, name } => {
                format!("the certificate in {} is not for {name}", file.display())
            }
            Self::NotIssued { why } => why.clone(),
            Self::ApiKeys(mistakes) => mistakes.join("; "),
            Self::Agent { agent, error } => format!("the agent at {agent} {}", error.what()),
            Self::NotBelow {
                file,
                number,
                subject,
            } => {
                let file = file.display();
                format!("certificate {number} in {file} ({subject}) is below no CA of this bundle")
            }
            Self::Namesakes { file, subject } => {
                let max = super::candidates::NAMESAKES_MAX;
                let file = file.display();
                format!("more than {max} certificates in {file} are those of {subject}")
            }
            Self::Crl {
                file,
                number,
                problem,
            } => format!("CRL {number} in {} {}", file.display(), problem.what()),
            Self::Secret(problem) => problem.to_string(),
            Self::DenyLine { file, line, what } => {
                format!("line {line} of {} {what}", file.display())
            }
            Self::DenyTooMany { file } => {
                let (file, max) = (file.display(), super::deny::ENTRIES_MAX);
                format!("with {file} the deny list has more than {max} entries")
            }
        }
    }

    /// What to do, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "check the path and that the user of the gateway may read the file"
            }
            Self::TooLarge { .. } => "name a file that holds what this key is for, and no more",
            Self::Empty { wanted, .. } | Self::WrongKind { wanted, .. } => match wanted {
                Wanted::Certificates => {
                    "name a PEM file with a block that begins `-----BEGIN CERTIFICATE-----`"
                }
                Wanted::PrivateKey => {
                    "name a PEM file with a block that begins `-----BEGIN PRIVATE KEY-----`"
                }
                Wanted::RevocationLists => {
                    "name a file with a block that begins `-----BEGIN X509 CRL-----`, or a CRL as DER"
                }
            },
            Self::PemBroken { .. } => "write the file anew: a block is cut off or is not base64",
            Self::KeyEncrypted { .. } => {
                "store it without: `openssl pkey -in FILE -out NEW`, readable by the gateway alone"
            }
            Self::SeveralKeys { .. } => "leave only the key of the certificate in the file",
            Self::KeyUnusable { .. } => {
                "use RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519, as PKCS #8"
            }
            Self::KeyNotP256 { .. } => {
                "make one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE`"
            }
            Self::KeyWeak { .. } => "use 2048 bits or more, or ECDSA",
            Self::KeyMismatch { .. } => "name the certificate and the key that were made together",
            Self::CertificateMalformed { .. } => "have it issued anew, or take it out of the file",
            Self::Expired { .. } => "renew it",
            Self::NotYetValid { .. } => "wait, or check the clock of this machine",
            Self::LeafIsCa { .. } => "put the gateway's own certificate first, then its chain",
            Self::ChainTooLong { .. } => "leave only the leaf and the CAs above it in the file",
            Self::NotACa { .. } => "name the certificate of the CA that issued it",
            Self::NameMissing { .. } => "remove the file: the certificate is ordered anew",
            Self::NotIssued { .. } => {
                "look at the names, at what they resolve to, and whether the CA's connections arrive"
            }
            Self::Agent { error, .. } => error.hint(),
            Self::NotBelow { .. } => "take it out, or name the CA above it in `ca`",
            Self::Namesakes { .. } => "leave those that are in use",
            Self::Crl { problem, .. } => problem.hint(),
            Self::Secret(problem) => problem.hint(),
            Self::DenyLine { .. } => {
                "write `spiffe://..`, `serial:HEX issuer:NAME`, `fingerprint:sha256/HEX` or \
                 `pin:sha256/BASE64`, one a line"
            }
            Self::ApiKeys(_) => "mend it; `portcullis api-key new` makes entries",
            Self::DenyTooMany { .. } => "take out what has expired, or revoke by CRL",
        }
    }
}

impl std::fmt::Display for TrustError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what(), self.hint())
    }
}

impl std::error::Error for TrustError {}
