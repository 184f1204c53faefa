//! What opens no route, and what the service and the log never see.

use serde_json::json;

use super::{config, make, owners};
use crate::bench::World;
use crate::bench::config::Config;
use crate::bench::gateway::run;
use crate::bench::http1::Request;
use crate::bench::pki::Leaf;
use crate::bench::token::Token;

/// What one case does to a configuration that is right.
type Change<'c> = &'c dyn Fn(&mut Config);

const FAR: &str = "2100-01-01T00:00:00Z";

#[tokio::test]
async fn one_key_in_its_place_opens_the_route_and_nothing_else_does() {
    let world = World::new();
    let orders = world.orders().start().await;
    let (good, over, bound, others) = (
        make(FAR),
        make("2020-01-01T00:00:00Z"),
        make("never"),
        make(FAR),
    );
    let file = owners(&[&good, &over])
        + &format!(
            "  far:\n    clients: [\"spiffe://partners.example/far/*\"]\n    keys: [{}]\n",
            bound.entry
        );
    world.folder.write("partners.yaml", file);
    world.folder.write("others.yaml", owners(&[&others]));
    let mut config = config(&world, json!("partners"));
    config.endpoints("orders", &[orders.address]);
    config.set("api_keys.others.file", "others.yaml");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let get = || Request::get("/keyed/x");
    let key = |key: &str| get().header("X-Api-Key", key);
    let answer = client.request(&key(&good.key)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = orders.only_request();
    assert_eq!(seen.header("x-token-subject"), Some("acme"));
    assert_eq!(seen.header("x-api-key"), None, "it is the owner's and ours");
    let token = Token::new().sign(&world.issuer);
    let mistyped = {
        let last = if good.key.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &good.key[..93])
    };
    let secret_of_another = {
        // The id of one and the secret of another, with a checksum that is right.
        let body = format!("{}{}", &good.key[..22], &others.key[22..86]);
        let sum = crate::bench::pki::sha256(body.as_bytes());
        let sum: String = sum[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{body}{sum}")
    };
    let long = "pcak_".repeat(20_000);
    let cases = [
        ("none", get(), 401, "api_key_missing"),
        ("empty", key(""), 401, "api_key_missing"),
        (
            "two",
            key(&good.key).header("x-api-key", &over.key),
            400,
            "credentials_several",
        ),
        (
            "twice the same",
            key(&good.key).header("x-api-key", &good.key),
            400,
            "credentials_several",
        ),
        (
            "two in one field",
            key(&format!("{}, {}", good.key, over.key)),
            401,
            "api_key_unknown",
        ),
        (
            "beside a token",
            key(&good.key).bearer(&token),
            400,
            "credentials_several",
        ),
        ("a token", get().bearer(&token), 401, "api_key_missing"),
        (
            "as a token",
            get().bearer(&good.key),
            401,
            "api_key_missing",
        ),
        ("a token as a key", key(&token), 401, "api_key_unknown"),
        (
            "in the query",
            Request::get(&format!("/keyed/x?x-api-key={0}&api_key={0}", good.key)),
            401,
            "api_key_missing",
        ),
        (
            "in a cookie",
            get().header("Cookie", &format!("x-api-key={}", good.key)),
            401,
            "api_key_missing",
        ),
        (
            "another spelling",
            get().header("X_Api_Key", &good.key),
            400,
            "header_ambiguous",
        ),
        (
            "both spellings",
            key(&good.key).header("X_Api_Key", "x"),
            400,
            "header_ambiguous",
        ),
        (
            "nominated",
            key(&good.key).header("Connection", "x-api-key"),
            400,
            "connection_nominates",
        ),
        ("100 KiB", key(&long), 431, "headers_too_large"),
        ("8 KiB", key(&long[..8_000]), 401, "api_key_unknown"),
        ("mistyped", key(&mistyped), 401, "api_key_unknown"),
        (
            "upper case",
            key(&good.key.to_uppercase()),
            401,
            "api_key_unknown",
        ),
        ("half of it", key(&good.key[..50]), 401, "api_key_unknown"),
        ("its id", key(&good.id), 401, "api_key_unknown"),
        ("of another list", key(&others.key), 401, "api_key_unknown"),
        ("made up", key(&make(FAR).key), 401, "api_key_unknown"),
        (
            "another's secret",
            key(&secret_of_another),
            401,
            "api_key_unknown",
        ),
        ("bytes", key("\u{e9}\u{0}\u{7f}"), 400, "request_malformed"),
        (
            "high bytes",
            key(&"\u{e9}".repeat(47)),
            401,
            "api_key_unknown",
        ),
        ("over", key(&over.key), 401, "api_key_expired"),
        (
            "of another peer",
            key(&bound.key),
            401,
            "api_key_of_another_peer",
        ),
    ];
    for (which, request, status, reason) in cases {
        let answer = client.request(&request).await;
        assert_eq!(answer.status, status, "{which}");
        assert_eq!(
            gateway.reason(&answer).await.as_deref(),
            Some(reason),
            "{which}"
        );
        if status == 401 {
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("ApiKey in=\"header:x-api-key\""), "{which}");
        }
        assert!(!answer.text().contains("acme"), "{which}");
    }
    assert_eq!(orders.requests().len(), 1, "nothing of that was forwarded");
    let far = world.partner("spiffe://partners.example/far/a");
    let answer = gateway.client(&far).request(&key(&bound.key)).await;
    assert_eq!(answer.status, 200);
    let metrics = gateway.metrics().await;
    let uses = |result| {
        let labels = [("list", "partners"), ("result", result)];
        metrics.value("portcullis_api_key_uses_total", &labels)
    };
    assert_eq!((uses("ok"), uses("api_key_expired")), (2.0, 1.0));
    assert_eq!(
        (uses("api_key_of_another_peer"), uses("api_key_unknown")),
        (1.0, 11.0)
    );
    let keys = |state| {
        metrics.value(
            "portcullis_api_keys",
            &[("list", "partners"), ("state", state)],
        )
    };
    assert_eq!((keys("valid"), keys("expired")), (2.0, 1.0));
    let log = gateway.log().join("\n");
    for made in [&good, &over, &bound, &others] {
        assert!(
            !log.contains(&made.key) && !log.contains(&made.key[22..86]),
            "a key is in the log"
        );
    }
}

#[tokio::test]
async fn rules_hold_for_owners_and_the_key_goes_on_only_where_it_is_written() {
    let world = World::new();
    let orders = world.orders().start().await;
    let good = make(FAR);
    world.folder.write("partners.yaml", owners(&[&good]));
    let mut config = config(
        &world,
        json!({ "list": "partners", "scopes": ["orders:read"] }),
    );
    config.endpoints("orders", &[orders.address]);
    config.set("api_keys.partners.header", "X-Partner-Key");
    config.set(
        "routes.keyed.forward",
        json!({ "api_key": true, "authorization": false }),
    );
    for (name, wanted) in [
        (
            "scoped",
            json!({ "list": "partners", "scopes": ["orders:read", "orders:write"] }),
        ),
        (
            "claimed",
            json!({ "list": "partners", "claims": { "tenant": "umbrella" } }),
        ),
        (
            "named",
            json!({ "list": "partners", "claims": { "sub": "acme", "tenant": { "matches": "ac*" } } }),
        ),
    ] {
        config.route(name, &format!("/{name}/**"), "orders");
        config.remove(&format!("routes.{name}.token"));
        config.set(&format!("routes.{name}.api_key"), wanted);
    }
    // Either of both.
    config.route("either", "/either/**", "orders");
    config.set(
        "routes.either.token",
        json!({ "issuer": "corp", "scopes": ["orders:read"] }),
    );
    config.set("routes.either.api_key", "partners");
    config.set(
        "tests",
        json!([
            { "request": { "url": "https://api.example.com/keyed/x", "claims": { "sub": "acme", "scope": "orders:read" } },
              "expect": { "route": "keyed" } },
            { "request": { "url": "https://api.example.com/keyed/x", "claims": { "sub": "acme" } },
              "expect": { "refusal": "scope_missing" } },
            { "request": { "url": "https://api.example.com/keyed/x" }, "expect": { "refusal": "api_key_missing" } },
            { "request": { "url": "https://api.example.com/either/x" }, "expect": { "refusal": "token_missing" } },
        ]),
    );
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let get = |path: &str| Request::get(path).header("x-partner-key", &good.key);
    let cases = [
        ("/keyed/x", None),
        ("/scoped/x", Some("scope_missing")),
        ("/claimed/x", Some("claim_missing")),
        ("/named/x", None),
        ("/either/x", None),
    ];
    for (path, reason) in cases {
        let answer = client.request(&get(path)).await;
        assert_eq!(gateway.reason(&answer).await.as_deref(), reason, "{path}");
        if reason.is_none() {
            let wanted = (path == "/keyed/x").then_some(good.key.as_str());
            assert_eq!(
                orders.last_request().header("x-partner-key"),
                wanted,
                "{path}"
            );
        }
    }
    let token = Token::new().scope("orders:read").sign(&world.issuer);
    let answer = client
        .request(&Request::get("/either/x").bearer(&token))
        .await;
    assert_eq!(answer.status, 200);
    let answer = client.request(&get("/either/x").bearer(&token)).await;
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("credentials_several")
    );
    let answer = client.request(&Request::get("/either/x")).await;
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("token_missing")
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_has_none_of_the_owners() {
    let world = World::new();
    let orders = world.orders().start().await;
    let bound = make("never");
    let file = format!(
        "owners:\n  far:\n    clients: [\"dns:far.example\"]\n    keys: [{}]\n",
        bound.entry
    );
    world.folder.write("partners.yaml", file);
    let mut config = config(&world, json!("partners"));
    config.endpoints("orders", &[orders.address]);
    config.set("listeners.edge.tls.clients.certificate", "optional");
    let gateway = world.gateway_with(&config).await;
    let request = Request::get("/keyed/x").header("x-api-key", &bound.key);
    let answer = gateway.anonymous().request(&request).await;
    assert_eq!(
        gateway.reason(&answer).await.as_deref(),
        Some("api_key_of_another_peer")
    );
    let far = world.partners.issue(Leaf::client("far").dns("far.example"));
    assert_eq!(gateway.client(&far).request(&request).await.status, 200);
}

#[tokio::test]
async fn a_configuration_that_leaves_something_open_is_refused() {
    let world = World::new();
    let good = make(FAR);
    world.folder.write("partners.yaml", owners(&[&good]));
    world.folder.write("twice.yaml", owners(&[&good, &good]));
    let check = |change: Change<'_>| {
        let mut config = config(&world, json!("partners"));
        change(&mut config);
        let checked = run(&world, &config, &["check"]);
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        (
            checked.status.success(),
            text + &String::from_utf8_lossy(&checked.stderr),
        )
    };
    let (good, text) = check(&|_| {});
    assert!(good, "{text}");
    let cases: [(Change<'_>, &str); 7] = [
        (
            &|config| {
                config.set("api_keys.partners.file", "nowhere.yaml");
            },
            "cannot be read",
        ),
        (
            &|config| {
                config.set("api_keys.partners.file", "twice.yaml");
            },
            "stands twice",
        ),
        (
            &|config| {
                config.set("routes.keyed.api_key", "partner");
            },
            "no list of API keys is named",
        ),
        (
            &|config| {
                config.remove("routes.keyed.api_key");
            },
            "say it either way",
        ),
        (
            &|config| {
                config.set("api_keys.corp.file", "partners.yaml");
            },
            "an issuer has this name too",
        ),
        (
            &|config| {
                config.set("api_keys.partners.header", "Authorization");
            },
            "has a form of its own",
        ),
        (
            &|config| {
                config.set(
                    "routes.keyed.token",
                    json!({ "issuer": "corp", "from": "header:x-api-key" }),
                );
            },
            "the route's tokens stand in",
        ),
    ];
    for (change, want) in cases {
        let (good, text) = check(change);
        assert!(!good && text.contains(want), "{want}: {text}");
    }
}

#[tokio::test]
async fn the_log_says_which_key_was_shown_and_what_is_wrong_with_it() {
    let world = World::new();
    let orders = world.orders().start().await;
    let (good, over, gone) = (make(FAR), make("2020-01-01T00:00:00Z"), make(FAR));
    world.folder.write("partners.yaml", owners(&[&good, &over]));
    let mut config = config(
        &world,
        json!({ "list": "partners", "scopes": ["orders:read"] }),
    );
    config.endpoints("orders", &[orders.address]);
    config.route("strict", "/strict/**", "orders");
    config.remove("routes.strict.token");
    let strict = json!({ "list": "partners", "scopes": ["orders:read", "orders:write"] });
    config.set("routes.strict.api_key", strict);
    config.route("either", "/either/**", "orders");
    config.set("routes.either.token", json!({ "issuer": "corp" }));
    config.set("routes.either.api_key", "partners");
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let secret_of_another = {
        let body = format!("{}{}", &good.key[..22], &gone.key[22..86]);
        let sum = crate::bench::pki::sha256(body.as_bytes());
        let sum: String = sum[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{body}{sum}")
    };
    let ours = Some(("partners", "acme"));
    let cases = [
        ("/keyed/x", &good.key, Some(&good.id), ours, None),
        (
            "/keyed/x",
            &over.key,
            Some(&over.id),
            ours,
            Some("expired "),
        ),
        (
            "/keyed/x",
            &gone.key,
            Some(&gone.id),
            None,
            Some("no key of the list has this id"),
        ),
        (
            "/keyed/x",
            &secret_of_another,
            Some(&good.id),
            None,
            Some("the key of this id has another secret"),
        ),
        (
            "/keyed/x",
            &good.id,
            None,
            None,
            Some("not of the form of an API key"),
        ),
        (
            "/strict/x",
            &good.key,
            Some(&good.id),
            ours,
            Some("no scope \"orders:write\""),
        ),
    ];
    for (target, key, id, whose, detail) in cases {
        let answer = client
            .request(&Request::get(target).header("x-api-key", key))
            .await;
        let line = gateway.access_line(&answer).await;
        let text = |field: &str| line.get(field).and_then(|value| value.as_str());
        assert_eq!(text("api_key"), id.map(String::as_str), "{line}");
        assert_eq!(text("issuer").zip(text("subject")), whose, "{line}");
        match detail {
            Some(detail) => assert!(
                text("detail").is_some_and(|it| it.starts_with(detail)),
                "{line}"
            ),
            None => assert_eq!(text("detail"), None, "{line}"),
        }
        if target == "/strict/x" {
            // The challenges that there are for scopes are those of tokens (RFC 6750).
            assert_eq!(answer.status, 403);
            assert_eq!(answer.header("www-authenticate"), None);
        }
    }
    let answer = client.request(&Request::get("/either/x")).await;
    assert_eq!(
        gateway.access_line(&answer).await["reason"],
        "token_missing"
    );
    let both = "Bearer realm=\"api\", ApiKey in=\"header:x-api-key\"";
    assert_eq!(answer.header("www-authenticate"), Some(both));
    let log = gateway.log().join("\n");
    for key in [&good.key, &over.key, &gone.key] {
        assert!(!log.contains(&key[22..]), "a secret stands in the log");
    }
}
