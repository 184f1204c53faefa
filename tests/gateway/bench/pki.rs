//! Certificates made for one test: authorities, leaves of every shape (also bad ones), and the
//! folder on disk that they are written to.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// A folder of its own under cargo's folder for tests; removed when dropped.
/// `KEEP=1` in the environment keeps it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gateway-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file of this folder in one step: whoever reads it sees the old text or the new.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        write_atomically(&path, content.as_ref());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os("KEEP").is_none() {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

/// Writes beside `path`, then renames.
pub fn write_atomically(path: &Path, content: &[u8]) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("the file's folder");
    }
    let beside = path.with_extension("being-written");
    std::fs::write(&beside, content).expect("write a file");
    if path.extension().is_some_and(|extension| extension == "key") {
        // As the gateway wants keys to be: for their owner alone.
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&beside, owner_only).expect("set a file's mode");
    }
    std::fs::rename(&beside, path).expect("rename a file");
}

/// A certificate authority: a root, or one signed by another.
#[derive(Debug)]
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
    pem: String,
    /// From this one up to, and without, the root.
    chain: Vec<(CertificateDer<'static>, String)>,
}

impl Authority {
    pub fn new(common_name: &str) -> Self {
        Self::with(common_name, |_| {})
    }

    /// A root of which everything may be changed: lifetime, path length, name constraints.
    pub fn with(common_name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority_params(common_name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a root");
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self {
            params,
            key,
            der,
            pem,
            chain: Vec::new(),
        }
    }

    /// An authority below this one. What it issues brings its certificate along.
    pub fn intermediate(&self, common_name: &str) -> Self {
        self.intermediate_with(common_name, |_| {})
    }

    pub fn intermediate_with(
        &self,
        common_name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = authority_params(common_name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("an intermediate");
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        let mut chain = vec![(der.clone(), pem.clone())];
        chain.extend(self.chain.iter().cloned());
        Self {
            params,
            key,
            der,
            pem,
            chain,
        }
    }

    /// Another certificate (PEM) for the key of this authority, a root: what it issued stays good.
    pub fn renewed(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = self.params.clone();
        change(&mut params);
        params.self_signed(&self.key).expect("a root").pem()
    }

    /// This authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// For whatever else it may sign.
    pub fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// Another certificate (PEM) for this authority, signed by another.
    pub fn cross_signed(&self, by: &Self) -> (CertificateDer<'static>, String) {
        let signed = self.params.signed_by(&self.key, &by.issuer());
        let signed = signed.expect("a certificate");
        (signed.der().clone(), signed.pem())
    }

    /// A store with this authority as its only root.
    pub fn roots(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(self.der.clone()).expect("a root");
        store
    }

    /// An authority below this one that signs by RSA.
    pub fn intermediate_rsa(&self, common_name: &str) -> Self {
        let rsa = Self {
            key: KeyKind::Rsa2048.generate(),
            params: authority_params(common_name),
            der: self.der.clone(),
            pem: String::new(),
            chain: Vec::new(),
        };
        let (der, pem) = rsa.cross_signed(self);
        let mut chain = vec![(der.clone(), pem.clone())];
        chain.extend(self.chain.iter().cloned());
        Self {
            der,
            pem,
            chain,
            ..rsa
        }
    }

    /// A leaf for an RSA key of 1,024 bits that nobody has.
    pub fn issue_weak(&self, leaf: Leaf) -> CertificateDer<'static> {
        let signed = leaf.params.signed_by(&ShortKey::new(), &self.issuer());
        signed.expect("a leaf").der().clone()
    }

    pub fn issue(&self, leaf: Leaf) -> Identity {
        let key = leaf.key.generate();
        self.issue_for(leaf, key)
    }

    /// Issues for a key that exists, so that a certificate can be renewed under one key (pins).
    pub fn issue_for(&self, leaf: Leaf, key: KeyPair) -> Identity {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = leaf.params.signed_by(&key, &issuer).expect("a leaf");
        let mut chain = vec![certificate.der().clone()];
        let mut chain_pem = certificate.pem();
        for (der, pem) in &self.chain {
            chain.push(der.clone());
            chain_pem.push_str(pem);
        }
        Identity {
            chain,
            chain_pem,
            key,
        }
    }
}

/// A public key alone: RSA of 1,024 bits.
struct ShortKey(Vec<u8>);

impl ShortKey {
    fn new() -> Self {
        let head = [0x30, 0x81, 137, 0x02, 0x81, 129, 0x00];
        Self([&head[..], &[0x99; 128], &[0x02, 3, 1, 0, 1]].concat())
    }
}

impl PublicKeyData for ShortKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = dated(common_name, 3650);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn dated(common_name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::now_utc() - Duration::HOUR;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
    params
}

/// The kind of a leaf's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    #[default]
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    Rsa2048,
}

impl KeyKind {
    pub fn generate(self) -> KeyPair {
        let algorithm = match self {
            Self::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
        };
        KeyPair::generate_for(algorithm).expect("a key")
    }
}

/// A certificate to be issued: good by default, and changed into whatever the test is about.
#[derive(Clone, Debug)]
pub struct Leaf {
    params: CertificateParams,
    key: KeyKind,
}

impl Leaf {
    /// For TLS clients.
    pub fn client(common_name: &str) -> Self {
        Self::for_usage(common_name, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// For TLS servers.
    pub fn server(common_name: &str) -> Self {
        Self::for_usage(common_name, &[ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// For both sides of TLS.
    pub fn both(common_name: &str) -> Self {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        Self::for_usage(common_name, &[ClientAuth, ServerAuth])
    }

    /// For the purposes given; none: the extension is left out.
    pub fn for_usage(common_name: &str, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        let mut params = dated(common_name, 30);
        params.extended_key_usages = usages.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Self {
            params,
            key: KeyKind::default(),
        }
    }

    /// Adds a URI name. It may be anything in ASCII, and there may be several.
    pub fn spiffe(mut self, uri: &str) -> Self {
        let uri = uri.try_into().expect("ASCII");
        self.params.subject_alt_names.push(SanType::URI(uri));
        self
    }

    pub fn dns(mut self, name: &str) -> Self {
        let name = name.try_into().expect("ASCII");
        self.params.subject_alt_names.push(SanType::DnsName(name));
        self
    }

    pub fn ip(mut self, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("an address");
        self.params
            .subject_alt_names
            .push(SanType::IpAddress(address));
        self
    }

    pub fn key(mut self, kind: KeyKind) -> Self {
        self.key = kind;
        self
    }

    pub fn serial(mut self, serial: u64) -> Self {
        self.params.serial_number = Some(SerialNumber::from(serial));
        self
    }

    /// Valid from `from` until `until`, both as offsets from now in seconds.
    pub fn valid(mut self, from: i64, until: i64) -> Self {
        self.params.not_before = OffsetDateTime::now_utc() + Duration::seconds(from);
        self.params.not_after = OffsetDateTime::now_utc() + Duration::seconds(until);
        self
    }

    pub fn expired(self) -> Self {
        self.valid(-7200, -3600)
    }

    pub fn not_yet_valid(self) -> Self {
        self.valid(3600, 7200)
    }

    /// Says of itself that it is an authority.
    pub fn authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// Adds an extension that nobody knows.
    pub fn unknown_extension(mut self, critical: bool) -> Self {
        let mut extension =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        self.params.custom_extensions.push(extension);
        self
    }

    /// Whatever else rcgen can do.
    pub fn change(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }
}

/// A certificate with its chain, and its key.
#[derive(Debug)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub chain_pem: String,
    pub key: KeyPair,
}

impl Identity {
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// SHA-256 of the leaf's DER.
    pub fn fingerprint(&self) -> Vec<u8> {
        sha256(self.leaf())
    }

    /// The fingerprint as `cnf.x5t#S256` has it (RFC 8705, section 3.1).
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.fingerprint())
    }

    /// The fingerprint in lower-case hex.
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo), standard base64: what `pin:sha256/` names.
    pub fn pin(&self) -> String {
        let spki = self.key.subject_public_key_info();
        base64::engine::general_purpose::STANDARD.encode(sha256(&spki))
    }

    /// Another owner of the same certificate and key.
    pub fn duplicate(&self) -> Self {
        let key = KeyPair::from_pem(&self.key_pem()).expect("our own key");
        Self {
            chain: self.chain.clone(),
            chain_pem: self.chain_pem.clone(),
            key,
        }
    }

    /// Writes `NAME.pem` and `NAME.key` into the folder, each in one step.
    pub fn write(&self, folder: &Folder, name: &str) {
        folder.write(&format!("{name}.key"), self.key_pem());
        folder.write(&format!("{name}.pem"), &self.chain_pem);
    }
}

pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
