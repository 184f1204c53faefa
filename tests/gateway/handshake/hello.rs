//! A ClientHello by hand, for what no TLS library would say.

/// What a ClientHello offers. Begun as one that every server of TLS 1.2 takes.
#[derive(Clone, Debug)]
pub struct Hello {
    pub version: u16,
    pub suites: Vec<u16>,
    pub compression: Vec<u8>,
    pub groups: Vec<u16>,
    pub signatures: Vec<u16>,
    /// The bytes of the one name in `server_name`; none: no such extension.
    pub server_name: Option<Vec<u8>>,
    /// `supported_versions`; none: no such extension.
    pub versions: Option<Vec<u16>>,
}

const ECDHE_ECDSA_AES128_GCM: u16 = 0xc02b;
const AES128_GCM: u16 = 0x1301;
const SECP256R1: u16 = 23;
const ECDSA_P256_SHA256: u16 = 0x0403;

impl Hello {
    pub fn tls12(server_name: &str) -> Self {
        Self {
            version: 0x0303,
            suites: vec![ECDHE_ECDSA_AES128_GCM],
            compression: vec![0],
            groups: vec![SECP256R1],
            signatures: vec![ECDSA_P256_SHA256],
            server_name: Some(server_name.as_bytes().to_vec()),
            versions: None,
        }
    }

    /// Offers TLS 1.3 alone.
    pub fn tls13(server_name: &str) -> Self {
        Self {
            suites: vec![AES128_GCM],
            versions: Some(vec![0x0304]),
            ..Self::tls12(server_name)
        }
    }

    /// The handshake message in one record.
    pub fn record(&self) -> Vec<u8> {
        record(22, &self.message())
    }

    /// The handshake message in records of one byte each.
    pub fn in_records_of_one_byte(&self) -> Vec<u8> {
        let records = self.message().into_iter().map(|byte| record(22, &[byte]));
        records.flatten().collect()
    }

    fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]); // random
        body.push(0); // no session
        body.extend(with_length16(&shorts(&self.suites)));
        body.push(u8::try_from(self.compression.len()).expect("few"));
        body.extend(&self.compression);
        body.extend(with_length16(&self.extensions()));
        let mut message = vec![1];
        message.extend(&u32::try_from(body.len()).expect("short").to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    /// A share for secp256r1, if that is offered: the curve's own generator.
    fn key_share(&self) -> Vec<u8> {
        const GENERATOR: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                                 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        if !self.groups.contains(&SECP256R1) {
            return Vec::new();
        }
        let byte = |at: usize| u8::from_str_radix(&GENERATOR[at..at + 2], 16).expect("hex");
        let point: Vec<u8> = (0..GENERATOR.len()).step_by(2).map(byte).collect();
        [&SECP256R1.to_be_bytes()[..], &with_length16(&point)].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = &self.server_name {
            let mut entry = vec![0]; // host_name
            entry.extend(with_length16(name));
            all.extend(extension(0, &with_length16(&entry)));
        }
        all.extend(extension(10, &with_length16(&shorts(&self.groups))));
        all.extend(extension(11, &[1, 0])); // uncompressed points
        all.extend(extension(13, &with_length16(&shorts(&self.signatures))));
        all.extend(extension(23, &[])); // extended master secret
        if let Some(versions) = &self.versions {
            let list = shorts(versions);
            let mut value = vec![u8::try_from(list.len()).expect("few")];
            value.extend(list);
            all.extend(extension(43, &value));
            all.extend(extension(51, &with_length16(&self.key_share())));
        }
        all
    }
}

/// One TLS record.
pub fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 1];
    bytes.extend(with_length16(payload));
    bytes
}

/// A fatal alert in the clear.
pub fn alert(description: u8) -> Vec<u8> {
    record(21, &[2, description])
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(with_length16(value));
    bytes
}

fn shorts(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn with_length16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("at most 65,535 bytes");
    [&length.to_be_bytes(), bytes].concat()
}
