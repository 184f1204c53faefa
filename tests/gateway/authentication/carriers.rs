//! Where a token may stand, that it is one, and that what carried it is treated as `Authorization` is.

use serde_json::json;

use super::Stage;
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::token::Token;

/// Routes `/one/**` and `/bare/**` take a token from all four places; `/bare/**` does not hand it on.
async fn stage() -> Stage {
    Stage::with(World::new(), |config| {
        let from = [
            "authorization",
            "header:x-token",
            "cookie:token",
            "query:access_token",
        ];
        for name in ["one", "bare"] {
            config.route(name, &format!("/{name}/**"), "orders");
            let token = json!({ "issuer": "corp", "from": from });
            config.set(&format!("routes.{name}.token"), token);
        }
        config.set("routes.bare.forward", json!({ "authorization": false }));
        config.set("logs.level", "debug");
    })
    .await
}

#[tokio::test]
async fn a_token_opens_a_route_from_each_place_and_goes_on_or_not_as_the_route_says() {
    let stage = stage().await;
    let token = Token::new().sign(&stage.world.issuer);
    let client = stage.client();
    let crumbs = format!("a=1; token={token}; b=2");
    for name in ["one", "bare"] {
        let kept = name == "one";
        let get = |query: &str| Request::get(&format!("/{name}/x{query}"));
        let requests = [
            get("?q=1").bearer(&token),
            get("?q=1").header("X-Token", &token),
            get("?q=1").header("Cookie", &crumbs),
            get(&format!("?access_token={token}&q=1")),
            get(&format!("?q=1&access%5ftoken={token}")),
            get(&format!("?access_token={token}")),
        ];
        for (number, request) in requests.iter().enumerate() {
            let answer = client.request(request).await;
            assert_eq!(answer.status, 200, "{name} {number}: {}", answer.text());
            let heard = stage.orders.last_request();
            let head = String::from_utf8_lossy(&heard.head).into_owned();
            let has_token = head.contains(&token);
            assert_eq!(has_token, kept && number < 3, "{name} {number}: {head}");
            let target = if number == 5 {
                format!("/{name}/x")
            } else {
                format!("/{name}/x?q=1")
            };
            assert_eq!(heard.target, target, "{name} {number}");
            if number == 2 {
                let want = if kept { crumbs.as_str() } else { "a=1; b=2" };
                assert_eq!(heard.header("cookie"), Some(want), "only that cookie");
            }
            let answer = client.connect_h2().await.request(request).await;
            assert_eq!(answer.status, 200, "{name} {number}, h2: {}", answer.text());
            assert_eq!(
                stage.orders.last_request().target,
                target,
                "{name} {number}, h2"
            );
        }
        let alone = get("").header("Cookie", &format!("token={token}"));
        assert_eq!(client.request(&alone).await.status, 200);
        assert_eq!(stage.orders.last_request().header("cookie").is_some(), kept);
    }
    client.get("/the-end").await;
    stage
        .gateway
        .wait_for_log(|line| line.contains("/the-end"))
        .await;
    let log = stage.gateway.log().join("\n");
    assert!(
        !log.contains(&token) && !log.contains("access_token"),
        "in the log"
    );
}

#[tokio::test]
async fn a_token_is_shown_once_or_the_request_is_refused() {
    let stage = stage().await;
    let token = Token::new().sign(&stage.world.issuer);
    let other = Token::new().subject("bob").sign(&stage.world.issuer);
    let get = |query: &str| Request::get(&format!("/one/x{query}"));
    let cookie = |text: &str| text.replace("TOKEN", &token).replace("OTHER", &other);
    let several = [
        (
            "two fields",
            get("").header("X-Token", &token).header("X-Token", &token),
        ),
        (
            "one of them empty",
            get("").header("X-Token", &token).header("X-Token", ""),
        ),
        (
            "two crumbs",
            get("").header("Cookie", &cookie("token=TOKEN; token=TOKEN")),
        ),
        (
            "two crumbs of two",
            get("").header("Cookie", &cookie("token=OTHER;a=b;token=TOKEN")),
        ),
        (
            "two cookie fields",
            get("")
                .header("Cookie", &cookie("token=TOKEN"))
                .header("Cookie", &cookie("token=OTHER")),
        ),
        (
            "a crumb behind a comma",
            get("").header("Cookie", &cookie("a=1,token=OTHER; token=TOKEN")),
        ),
        (
            "a crumb behind a comma of our own",
            get("").header("Cookie", &cookie("token=TOKEN,token=OTHER")),
        ),
        (
            "a crumb behind a comma in another field",
            get("")
                .header("Cookie", &cookie("token=TOKEN"))
                .header("Cookie", &cookie("a=\"1\", token = OTHER")),
        ),
        (
            "bearer and a crumb behind a comma",
            get("")
                .bearer(&token)
                .header("Cookie", &cookie("a=1,token=OTHER;b=2")),
        ),
        (
            "two parameters",
            get(&format!("?access_token={token}&access_token={token}")),
        ),
        (
            "two spellings",
            get(&format!("?access_token={token}&%61ccess_token={other}")),
        ),
        (
            "what PHP reads as one",
            get(&format!("?access.token=x&access_token={token}")),
        ),
        (
            "behind a space",
            get(&format!("?+access_token=x&access_token={token}")),
        ),
        (
            "an array",
            get(&format!("?access_token[]=x&access_token={token}")),
        ),
        (
            "another case",
            get(&format!("?access_token={token}&Access_Token=x")),
        ),
        (
            "a cookie behind a space that Unicode knows",
            get("").header("Cookie", &cookie("token\u{a0}=OTHER; token=TOKEN")),
        ),
        (
            "a cookie of PHP",
            get("").header("Cookie", &cookie("token[x]=OTHER; token=TOKEN")),
        ),
        (
            "bearer and cookie",
            get("")
                .bearer(&token)
                .header("Cookie", &cookie("token=TOKEN")),
        ),
        (
            "bearer and field",
            get("").bearer(&token).header("X-Token", &token),
        ),
        (
            "bearer and query",
            get(&format!("?access_token={token}")).bearer(&token),
        ),
        (
            "field and cookie",
            get("")
                .header("X-Token", &other)
                .header("Cookie", &cookie("token=TOKEN")),
        ),
        (
            "Basic and cookie",
            get("")
                .header("Authorization", "Basic eDp5")
                .header("Cookie", &cookie("token=TOKEN")),
        ),
    ];
    for (what, request) in &several {
        for h2 in [false, true] {
            let client = stage.client();
            let answer = if h2 {
                client.connect_h2().await.request(request).await
            } else {
                client.request(request).await
            };
            let came = stage.verdict(&answer).await;
            let want = (400, Some("credentials_several".to_owned()));
            assert_eq!(came, want, "{what}, h2: {h2}");
        }
    }
    let twice = get("").bearer(&token).bearer(&token);
    let answer = stage.client().request(&twice).await;
    let want = (400, Some("header_ambiguous".to_owned()));
    assert_eq!(stage.verdict(&answer).await, want);
    assert_eq!(stage.orders.requests().len(), 0);
    // Commas of other cookies are theirs, and hide nothing by themselves.
    let others = cookie("a=1,2; b=\"x, y\",tokens=3; token=TOKEN; c=,,token; d=,a token=4");
    let answer = stage
        .client()
        .request(&get("").header("Cookie", &others))
        .await;
    assert_eq!(stage.verdict(&answer).await, (200, None));
    let hidden = get("").header("Cookie", &cookie("a=1,token=TOKEN"));
    let answer = stage.client().request(&hidden).await;
    let want = (401, Some("token_missing".to_owned()));
    assert_eq!(stage.verdict(&answer).await, want);
    assert_eq!(stage.orders.requests().len(), 1);
    // Where the route does not look, nothing is a credential.
    let elsewhere = Request::get("/orders/7?access_token=x")
        .header("X-Token", "y")
        .header("Cookie", "token=z");
    assert_eq!(
        stage
            .client()
            .request(&elsewhere.bearer(&token))
            .await
            .status,
        200
    );
}

/// Whatever a service makes of a name, the token that it finds there is the one that was verified.
#[tokio::test]
async fn a_spelling_that_some_service_reads_is_the_place_itself() {
    let stage = stage().await;
    let token = Token::new().sign(&stage.world.issuer);
    for name in [
        "access.token",
        "%20access_token",
        "access_token[]",
        "ACCESS_TOKEN",
    ] {
        let request = Request::get(&format!("/bare/x?a=1&{name}={token}"));
        let answer = stage.client().request(&request).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(stage.orders.last_request().target, "/bare/x?a=1", "{name}");
    }
    for name in ["token", "token\u{a0}", "Token"] {
        let request = Request::get("/bare/x").header("Cookie", &format!("{name}={token}; a=1"));
        assert_eq!(stage.client().request(&request).await.status, 200, "{name}");
        assert_eq!(stage.orders.last_request().header("cookie"), Some("a=1"));
    }
    let kept = Request::get(&format!(
        "/bare/x?xaccess_token=1&access-token=2&access_token={token}"
    ));
    assert_eq!(stage.client().request(&kept).await.status, 200);
    let target = "/bare/x?xaccess_token=1&access-token=2";
    assert_eq!(stage.orders.last_request().target, target);
}

#[tokio::test]
async fn no_other_field_takes_a_credential_away_and_no_spelling_hides_one() {
    let stage = stage().await;
    let token = Token::new().sign(&stage.world.issuer);
    let get = || Request::get("/one/x");
    let cases = [
        (
            get()
                .header("X-Token", &token)
                .header("Connection", "X-Token"),
            "connection_nominates",
        ),
        (
            get()
                .header("X-Token", &token)
                .header("Connection", "close, x-token"),
            "connection_nominates",
        ),
        (
            get().bearer(&token).header("Connection", "x-token"),
            "connection_nominates",
        ),
        (
            get().bearer(&token).header("Connection", "x_token"),
            "connection_nominates",
        ),
        (
            get().bearer(&token).header("Connection", "Authorization"),
            "connection_nominates",
        ),
        (
            get()
                .header("Cookie", &format!("token={token}"))
                .header("Connection", "cookie"),
            "connection_nominates",
        ),
        (
            get().header("X-Token", &token).header("X_Token", &token),
            "header_ambiguous",
        ),
        (
            get().bearer(&token).header("X_Token", &token),
            "header_ambiguous",
        ),
        (
            get().bearer(&token).header("x.token", &token),
            "header_ambiguous",
        ),
    ];
    for (request, reason) in cases {
        let answer = stage.client().request(&request).await;
        let came = stage.verdict(&answer).await;
        assert_eq!(came, (400, Some(reason.to_owned())));
    }
    assert_eq!(stage.orders.requests().len(), 0);
}

#[tokio::test]
async fn a_rule_sees_what_was_verified_and_nothing_of_what_carried_it() {
    let world = World::new();
    let made = crate::api_keys::make("never");
    world
        .folder
        .write("partners.yaml", crate::api_keys::owners(&[&made]));
    let stage = Stage::with(world, |config| {
        config.set("api_keys.partners.file", "partners.yaml");
        config.route("ruled", "/ruled/**", "orders");
        let from = ["header:x-token", "cookie:token", "query:access_token"];
        let token = json!({ "issuer": "corp", "from": from });
        config.set("routes.ruled.token", token);
        config.set("routes.ruled.api_key", "partners");
        let cel = "token.credential in ['jwt', 'api_key'] && request.headers['x-other'] == ['seen'] \
                   && !(has(request.query) && request.query.contains('token')) \
                   && request.headers.all(name, !name.matches('token|key|cookie|auth'))";
        let peeps = "request.headers['x-api' + '-key'][0].startsWith('pcak_')";
        let policy = json!([
            { "name": "sees", "cel": cel },
            { "name": "peeps", "cel": peeps, "report_only": true },
        ]);
        config.set("routes.ruled.policy", policy);
        config.set("logs.level", "debug");
    })
    .await;
    let token = Token::new().sign(&stage.world.issuer);
    let get = |query: &str| Request::get(&format!("/ruled/x{query}")).header("X-Other", "seen");
    let requests = [
        get("").header("X-Token", &token),
        get("").header("Cookie", &format!("token={token}")),
        get(&format!("?a=1&access_token={token}")),
        get("").header("X-Api-Key", &made.key),
    ];
    for request in &requests {
        let answer = stage.client().request(request).await;
        assert_eq!(stage.verdict(&answer).await, (200, None));
        let line = stage.gateway.access_line(&answer).await;
        assert_eq!(line["policy_would_refuse"], "peeps");
    }
    let log = stage.gateway.log().join("\n");
    assert!(!log.contains(&token) && !log.contains(&made.key));
}
