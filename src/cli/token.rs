//! `portcullis token`: mints a JWT for development, and makes the key for it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::identity::certificate::peer_identity;
use crate::pki::{
    JwtAlgorithm, Lifetime, Overwrite, PkiError, SigningKey, certificates, key_set, read_text,
    write_public, write_secret,
};

use super::pki::overwrite;
use super::print::print;

pub(super) const EXAMPLES: &str = "Examples:
  portcullis token keys --out pki/signing --jwks pki/jwks.json
  portcullis token --key pki/signing.key --iss https://id.example.com --aud orders-api \\
    --scope orders:read
  portcullis token --key pki/signing.key --iss https://id.example.com --aud orders-api \\
    --sub alice --ttl 1h --bind pki/shop.pem --claim tenant=acme --claim level=3";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Token {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    mint: Option<Mint>,
}

/// The commands below `portcullis token`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Make a signing key, and the key set by which its tokens are verified
    ///
    /// Writes OUT.key (the private key, mode 0600) and the JWKS that the gateway reads as
    /// `issuers.NAME.keys.file`.
    Keys(Keys),
}

#[derive(Args, Debug)]
struct Keys {
    /// What the key will sign with: ES256, ES384, EdDSA, RS256..RS512, PS256..PS512
    #[arg(long, value_name = "ALG", default_value = "ES256")]
    alg: JwtAlgorithm,
    /// Where to write the private key: OUT.key
    #[arg(long, default_value = "signing")]
    out: PathBuf,
    /// Where to write the key set
    #[arg(long, value_name = "FILE", default_value = "jwks.json")]
    jwks: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
struct Mint {
    /// The private key (PEM) that signs
    #[arg(long, value_name = "FILE", required = true)]
    key: PathBuf,
    /// What it signs with; by default what the key is made for (RSA: RS256)
    #[arg(long, value_name = "ALG")]
    alg: Option<JwtAlgorithm>,
    /// Who issues it (claim `iss`)
    #[arg(long, value_name = "URL", required = true)]
    iss: String,
    /// For whom it is meant (claim `aud`; may be given several times)
    #[arg(long, value_name = "TEXT", required = true)]
    aud: Vec<String>,
    /// Whom it speaks for (claim `sub`)
    #[arg(long, value_name = "TEXT", default_value = "developer")]
    sub: String,
    /// What it allows, words apart by spaces (claim `scope`; may be given several times)
    #[arg(long, value_name = "WORDS")]
    scope: Vec<String>,
    /// How long it is valid: 30s, 15m, 24h
    #[arg(long, value_name = "TIME", default_value = "15m")]
    ttl: Lifetime,
    /// Bind it to this certificate (claim `cnf.x5t#S256`, RFC 8705)
    #[arg(long, value_name = "CERT")]
    bind: Option<PathBuf>,
    /// Another claim; the value is read as JSON where it is JSON, else as text
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<Claim>,
}

#[derive(Clone, Debug)]
struct Claim {
    name: String,
    value: Value,
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE")?;
        if name.is_empty() {
            return Err("a claim has a name: NAME=VALUE");
        }
        Ok(Self {
            name: name.to_owned(),
            value: serde_json::from_str(value).unwrap_or_else(|_text| json!(value)),
        })
    }
}

pub(super) fn run(token: Token) -> Result<(), PkiError> {
    if let Some(Command::Keys(keys)) = token.command {
        return make_keys(&keys);
    }
    match token.mint {
        Some(mint) => {
            let key = SigningKey::from_pem(&read_text(&mint.key)?, mint.alg)
                .map_err(|error| error.in_file(&mint.key))?;
            let now = OffsetDateTime::now_utc().unix_timestamp();
            print(&key.sign(&claims(mint, now)?)?);
            Ok(())
        }
        None => Err(PkiError::KeyUnusable),
    }
}

fn make_keys(wanted: &Keys) -> Result<(), PkiError> {
    let overwrite = overwrite(wanted.force);
    let key = SigningKey::generate(wanted.alg)?;
    let mut file = wanted.out.clone().into_os_string();
    file.push(".key");
    let file = PathBuf::from(file);
    // Neither without the other: a key whose key set was not written verifies nowhere.
    if overwrite == Overwrite::No && wanted.jwks.exists() {
        let file = wanted.jwks.clone();
        return Err(PkiError::Exists { file });
    }
    write_secret(&file, key.pem(), overwrite)?;
    write_public(
        &wanted.jwks,
        &format!("{:#}\n", key_set(&[&key])),
        overwrite,
    )?;
    let (file, jwks) = (file.display(), wanted.jwks.display());
    print(&format!("wrote {file} and {jwks} (kid {})", key.kid()));
    Ok(())
}

/// The claims, with `now` in seconds since 1970. What `--claim` says, wins.
fn claims(mint: Mint, now: i64) -> Result<Map<String, Value>, PkiError> {
    let ttl = i64::try_from(mint.ttl.duration().as_secs()).unwrap_or(i64::MAX);
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), json!(mint.iss));
    claims.insert(
        "aud".to_owned(),
        match mint.aud.as_slice() {
            [one] => json!(one),
            several => json!(several),
        },
    );
    claims.insert("sub".to_owned(), json!(mint.sub));
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("nbf".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now.saturating_add(ttl)));
    if !mint.scope.is_empty() {
        claims.insert("scope".to_owned(), json!(mint.scope.join(" ")));
    }
    if let Some(cert) = &mint.bind {
        claims.insert("cnf".to_owned(), json!({"x5t#S256": fingerprint(cert)?}));
    }
    for claim in mint.claim {
        claims.insert(claim.name, claim.value);
    }
    Ok(claims)
}

fn fingerprint(cert: &Path) -> Result<String, PkiError> {
    let certificates = certificates(&read_text(cert)?).map_err(|error| error.in_file(cert))?;
    let leaf = certificates.first().ok_or(PkiError::NoCertificate)?;
    peer_identity(leaf)
        .map(|identity| identity.fingerprint.to_base64url())
        .map_err(|_unreadable| PkiError::CertificateMalformed { number: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        token: Token,
    }

    fn minted(line: &str) -> Map<String, Value> {
        let line = format!("token --key k --iss i --aud a {line}");
        let token = Line::try_parse_from(line.split_whitespace()).unwrap().token;
        claims(token.mint.unwrap(), 1_000).unwrap()
    }

    #[test]
    fn the_claims_are_those_of_the_command_line() {
        let plain = minted("--ttl 1m --scope orders:read --scope orders:write");
        let want = json!({
            "iss": "i", "aud": "a", "sub": "developer", "iat": 1000, "nbf": 1000, "exp": 1060,
            "scope": "orders:read orders:write",
        });
        assert_eq!(Value::Object(plain), want);
        let more =
            minted("--aud b --claim level=3 --claim tenant=acme --claim exp=5 --claim a=b=c");
        assert_eq!(more["aud"], json!(["a", "b"]));
        assert_eq!(
            (&more["level"], &more["tenant"]),
            (&json!(3), &json!("acme"))
        );
        assert_eq!((&more["exp"], &more["a"]), (&json!(5), &json!("b=c")));
        assert!("novalue".parse::<Claim>().is_err());
        assert!("=x".parse::<Claim>().is_err());
    }
}
