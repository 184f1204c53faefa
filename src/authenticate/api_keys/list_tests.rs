//! Lists of API keys: what is found, what is refused, and what a file may not say.

use super::*;
use crate::config::api_keys::KeySpec;

const NOW: u64 = 1_800_000_000;

fn file(text: &str) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    let name = format!("portcullis-keys-{}-{number}.yaml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn load(text: &str) -> Result<KeyList, String> {
    let path = file(text);
    let loaded = KeyList::load(&"partners".parse().unwrap(), &path, None);
    std::fs::remove_file(&path).unwrap();
    loaded.map_err(|error| error.what())
}

fn entry(key: &ApiKey, expires: &str) -> String {
    let (id, sha256) = (hex(&key.id()), hex(&key.sha256()));
    format!("{{ id: \"{id}\", sha256: \"{sha256}\", expires: {expires} }}")
}

#[test]
fn two_keys_of_one_owner_speak_for_it_and_others_for_nobody() {
    let [old, new, over, stranger] = [(); 4].map(|()| ApiKey::generate().unwrap());
    let text = format!(
        "owners:\n  acme:\n    scopes: [orders:read]\n    claims: {{ tenant: acme }}\n    keys:\n      \
         - {}\n      - {}\n      - {}\n",
        entry(&old, "2027-01-16T00:00:00Z"),
        entry(&new, "never"),
        entry(&over, "2027-01-15T08:00:00Z"), // the second that is now
    );
    let list = load(&text).unwrap();
    for key in [&old, &new] {
        let subject = list.check(key, None, NOW).unwrap();
        assert_eq!(subject.sub.as_deref(), Some("acme"));
        assert!(subject.has_scope("orders:read") && !subject.has_scope("orders:write"));
        assert_eq!(subject.claims.get("tenant"), Some(&json!("acme")));
        assert_eq!(subject.credential, Credential::ApiKey);
    }
    assert_eq!(list.check(&over, None, NOW), Err(Refusal::ApiKeyExpired));
    assert!(list.check(&over, None, NOW - 1).is_ok());
    assert_eq!(
        list.check(&stranger, None, NOW),
        Err(Refusal::ApiKeyUnknown)
    );
    // The id of one and the secret of another.
    let mut mixed = list.0.keys.get(&old.id()).unwrap().sha256;
    mixed[0] ^= 1;
    let spec = KeySpec {
        id: old.id(),
        sha256: mixed,
        expires: None,
    };
    let owner = OwnerSpec {
        scopes: vec![],
        claims: Map::new(),
        clients: vec![],
        keys: vec![spec],
    };
    let other = KeyList::new(
        &"x".parse().unwrap(),
        [("acme".parse().unwrap(), owner)],
        [0; 32],
    );
    assert_eq!(other.check(&old, None, NOW), Err(Refusal::ApiKeyUnknown));
    assert_eq!((list.all().len(), list.ends().len()), (3, 3));
    assert!(list.find(&over).is_some() && list.find(&stranger).is_none());
}

#[test]
fn a_key_counts_only_with_the_certificates_of_its_owner() {
    let key = ApiKey::generate().unwrap();
    let text = format!(
        "owners:\n  acme:\n    clients: [\"spiffe://partners.example/acme/*\"]\n    keys: [{}]\n",
        entry(&key, "never")
    );
    let list = load(&text).unwrap();
    let peer = |id: &str| PeerIdentity::rehearsed(Some(id.parse().unwrap()), Vec::new());
    let cases = [
        (Some(peer("spiffe://partners.example/acme/a")), true),
        (Some(peer("spiffe://partners.example/other/a")), false),
        (Some(peer("spiffe://other.example/acme/a")), false),
        (None, false),
    ];
    for (peer, want) in cases {
        let checked = list.check(&key, peer.as_ref(), NOW);
        match want {
            true => assert!(checked.is_ok(), "{peer:?}"),
            false => assert_eq!(checked, Err(Refusal::ApiKeyOfAnotherPeer), "{peer:?}"),
        }
    }
}

#[test]
fn a_file_with_a_mistake_is_no_list() {
    let key = ApiKey::generate().unwrap();
    let good = entry(&key, "never");
    let owners = |text: &str| format!("owners:\n  acme:\n    keys: [{text}]\n");
    let twice = format!("{good}, {good}");
    let cases = [
        (String::new(), "empty"),
        ("[]".to_owned(), "keys are wanted"),
        ("owners:\n".to_owned(), "nothing"),
        ("owners: {}\nmore: 1\n".to_owned(), "no such key"),
        ("owners:\n  acme: {}\n".to_owned(), "`keys` is missing"),
        (
            "owners:\n  \"a b\": { keys: [] }\n".to_owned(),
            "cannot be a name",
        ),
        (owners(&twice), "stands twice"),
        (owners(&good.replace("never", "soon")), "no time"),
        (owners(&good.replace("never", "2027-01-01")), "no time"),
        (
            owners(&good.replace("never", "1969-01-01T00:00:00Z")),
            "no time",
        ),
        (owners(&good.replace("never", "~")), "nothing"),
        (
            owners(&good.replace(", expires: never", "")),
            "`expires` is missing",
        ),
        (
            owners(&good.replace("sha256: \"", "sha256: \"0")),
            "no such number",
        ),
        (owners(&good.replace("id: \"", "id: \"g")), "no such number"),
        (owners(&good.replace("id", "name")), "no such key"),
        (owners(&good).get(..60).unwrap().to_owned(), ""),
        (owners("\0"), "invisible"),
        (owners(&vec![&*good; 17].join(", ")), "17 keys of one owner"),
    ];
    for (text, want) in cases {
        let what = load(&text).expect_err(&text);
        assert!(what.contains(want), "{what}\n---\n{text}");
        // A key that somebody put in place of its hash is not shown.
        assert!(!what.contains(&hex(&key.sha256())), "{what}");
    }
    let secret = owners(&good.replace(&hex(&key.sha256()), key.expose()));
    let what = load(&secret).expect_err("the key itself");
    assert!(!what.contains(key.expose()), "{what}");
    assert_eq!(load("owners: {}\n").unwrap().all().len(), 0);
}

#[test]
fn the_same_file_is_the_same_list_and_that_of_another_name_is_not() {
    let text = format!(
        "owners:\n  a: {{ keys: [{}] }}\n",
        entry(&ApiKey::generate().unwrap(), "never")
    );
    let path = file(&text);
    let name: Name = "partners".parse().unwrap();
    let first = KeyList::load(&name, &path, None).unwrap();
    let again = KeyList::load(&name, &path, Some(&first)).unwrap();
    assert!(Arc::ptr_eq(&first.0, &again.0));
    let other = KeyList::load(&"others".parse().unwrap(), &path, Some(&first)).unwrap();
    assert!(!Arc::ptr_eq(&first.0, &other.0));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_long_list_is_read() {
    use std::fmt::Write as _;
    let mut text = String::from("owners:\n");
    for number in 0..5_000_u32 {
        let key = |which: u8| {
            let mut bytes = [which; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            (hex(&bytes[..8]), hex(&bytes))
        };
        let ((a, first), (b, second)) = (key(1), key(2));
        writeln!(
            text,
            "  owner-{number}:\n    scopes: [orders:read]\n    keys:"
        )
        .unwrap();
        for (id, sha256) in [(a, first), (b, second)] {
            writeln!(
                text,
                "      - {{ id: \"{id}\", sha256: \"{sha256}\", expires: never }}"
            )
            .unwrap();
        }
    }
    let list = load(&text).unwrap();
    assert_eq!(list.0.keys.len(), 10_000);
}
