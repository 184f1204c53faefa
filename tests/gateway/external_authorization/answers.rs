//! What a yes and a no do.

use serde_json::json;

use super::server::{
    Script, Service, action, append, body, codes, denied_field, denied_response, no, no_with,
    ok_response, query, remove, set, status, tell, yes, yes_with,
};
use super::{DENIED, INVALID, Stage, with_login};
use crate::bench::World;
use crate::bench::http1::Request;
use crate::bench::service::Reply;

#[tokio::test]
async fn a_yes_changes_the_header_fields_that_it_may_change() {
    let may_set = json!(["x-user", "x-list", "x-there", "x-role", "authorization"]);
    let stage = Stage::with(&[("may_set", may_set)]).await;
    stage.opa.play(Script::Say(yes_with(&[
        set("X-User", "alice"),
        append("x-list", "1"),
        append("x-list", "2"),
        action("x-role", "reader", 1),
        action("x-there", "3", 3),
        set("authorization", "Basic c2VydmljZQ=="),
        remove("x-debug"),
        tell("x-policy", "v7"),
        tell("set-cookie", "policy=1"),
    ])));
    stage
        .orders
        .set_reply(|_| Reply::new(200, &[("X-Policy", "v1"), ("Set-Cookie", "own=1")], "hello"));
    let client = stage.gateway.client(&stage.world.web());
    let request = Request::get("/open/x")
        .header("x-user", "forged")
        .header("x_user", "twin")
        .header("x-list", "0")
        .header("x-there", "forged")
        .header("x-debug", "1")
        .header("x-kept", "1")
        .bearer("of-the-client");
    let answer = client.request(&request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers.all("x-policy"), ["v7"]);
    assert_eq!(answer.headers.all("set-cookie"), ["own=1", "policy=1"]);
    let got = stage.orders.only_request();
    assert_eq!(got.headers.all("x-user"), ["alice"]);
    assert_eq!(got.headers.all("x_user"), [""; 0], "another spelling of it");
    assert_eq!(got.headers.all("x-list"), ["1", "2"]);
    assert_eq!(got.headers.all("x-role"), ["reader"]);
    assert_eq!(
        got.headers.all("x-there"),
        [""; 0],
        "a client's own counts as none"
    );
    assert_eq!(got.headers.all("authorization"), ["Basic c2VydmljZQ=="]);
    assert_eq!(got.headers.all("x-debug"), [""; 0]);
    assert_eq!(got.headers.all("x-kept"), ["1"]);
    assert_eq!(
        stage.opa.last().headers.get("x-user"),
        None,
        "who is asked does not see it either"
    );
}

#[tokio::test]
async fn what_only_an_answer_sets_reaches_the_service_from_no_client() {
    let stage = Stage::with(&[("may_set", json!(["x-user"]))]).await;
    let client = stage.gateway.client(&stage.world.web());
    let request = Request::get("/open/x").header("x-user", "forged");
    assert_eq!(client.request(&request).await.status, 200);
    assert_eq!(stage.orders.only_request().header("x-user"), None);
}

#[tokio::test]
async fn a_no_is_told_with_its_own_status_fields_and_body() {
    let stage = Stage::set().await;
    let client = stage.gateway.client(&stage.world.web());
    stage.opa.play(Script::Say(no_with(&[
        status(451),
        denied_field("X-Why", "law"),
        denied_field("content-type", "application/json"),
        body("{\"why\":\"law\"}"),
    ])));
    let answer = client.get("/open/x").await;
    assert_eq!((answer.status, &*answer.text()), (451, "{\"why\":\"law\"}"));
    assert_eq!(answer.header("x-why"), Some("law"));
    assert_eq!(answer.headers.all("content-type"), ["application/json"]);
    assert!(answer.header("x-request-id").is_some());
    let line = stage.gateway.access_line(&answer).await;
    assert_eq!(line["reason"], DENIED);
    assert_eq!(line["external_authorization"], "denied");
    assert_eq!(line["status"], 451);

    stage.opa.play(Script::Say(no_with(&[body("not you")])));
    let answer = client
        .connect_h2()
        .await
        .request(&Request::get("/open/x"))
        .await;
    assert_eq!((answer.status, &*answer.text()), (403, "not you"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );

    stage.opa.play(Script::Say(no()));
    let answer = client.get("/open/x").await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["detail"], "Access is denied.");
    assert_eq!(stage.checks("denied").await, 3.0);
    assert_eq!(stage.orders.requests().len(), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_a_rule_is_not_followed_in_part() {
    let may_set = json!(["x-user", "cookie"]);
    let stage = Stage::with(&[("may_set", may_set)]).await;
    let many: Vec<_> = (0..65)
        .map(|number| tell(&format!("x-{number}"), "1"))
        .collect();
    let long = "x".repeat(9 * 1024);
    let cases = [
        ("nothing at all", Vec::new()),
        ("yes and no", [yes(), no_with(&[])[4..].to_vec()].concat()),
        (
            "a field that is not named",
            yes_with(&[set("x-other", "1")]),
        ),
        (
            "our identity",
            yes_with(&[set("X-Client-Identity", "spiffe://a/b")]),
        ),
        (
            "our address",
            yes_with(&[set("x-forwarded-for", "10.0.0.1")]),
        ),
        (
            "without our address",
            yes_with(&[remove("x-forwarded-for")]),
        ),
        ("another host", yes_with(&[set("host", "b.example")])),
        ("a pseudo-field", yes_with(&[set(":path", "/admin")])),
        ("one hop", yes_with(&[set("connection", "x-user")])),
        ("framing", yes_with(&[set("transfer-encoding", "chunked")])),
        ("a length", yes_with(&[remove("content-length")])),
        (
            "a credential beside the client's",
            yes_with(&[append("cookie", "role=admin")]),
        ),
        (
            "a credential that is not named",
            yes_with(&[set("authorization", "Basic eA==")]),
        ),
        (
            "without the credential",
            yes_with(&[remove("authorization")]),
        ),
        ("a proof", yes_with(&[set("dpop", "x")])),
        (
            "another method",
            yes_with(&[set("x-http-method-override", "DELETE")]),
        ),
        ("an identifier", yes_with(&[set("x-request-id", "1")])),
        ("two lines", yes_with(&[set("x-user", "a\r\nx-admin: 1")])),
        ("a name with a space", yes_with(&[set("x user", "a")])),
        ("an unknown action", yes_with(&[action("x-user", "a", 9)])),
        ("another query", yes_with(&[query("admin", "1")])),
        ("too many", yes_with(&many)),
        ("too long", yes_with(&[set("x-user", &long)])),
        (
            "framing of the answer",
            yes_with(&[tell("content-length", "0")]),
        ),
        (
            "another type of the answer",
            yes_with(&[tell("content-type", "text/html")]),
        ),
        (
            "a no that is a redirect",
            no_with(&[status(302), denied_field("location", "/")]),
        ),
        ("a no that is a yes", no_with(&[status(200)])),
        ("a no without end", no_with(&[body(&"x".repeat(17 * 1024))])),
        (
            "a no with a length",
            no_with(&[denied_field("content-length", "9")]),
        ),
        ("a code that is cut to 0", codes(&[1 << 32])),
        ("a no and then a yes", [no(), yes()].concat()),
        ("a yes and then a no", [yes(), no()].concat()),
        ("two codes", codes(&[7, 0])),
        (
            "the answer of a no and that of a yes",
            [codes(&[0]), denied_response(), ok_response()].concat(),
        ),
        (
            "the answer of a yes and that of a no",
            [codes(&[0]), ok_response(), denied_response()].concat(),
        ),
        (
            "a no with the answers of both",
            [no(), denied_response(), ok_response()].concat(),
        ),
        (
            "two answers of a yes",
            [yes(), ok_response(), ok_response()].concat(),
        ),
        (
            "an action that is cut to a known one",
            yes_with(&[action("x-user", "a", 1 << 32)]),
        ),
        (
            "a status that is cut to a known one",
            no_with(&[status((1 << 32) + 403)]),
        ),
        ("bytes", vec![0xff; 64]),
        ("a field that ends early", vec![0x0a, 0x7f, 0x00]),
    ];
    for (number, (what, message)) in cases.into_iter().enumerate() {
        stage.opa.play(Script::Say(message));
        let (status, reason) = stage.get("/open/x").await;
        assert_eq!((status, &*reason), (502, INVALID), "{what}");
        let unusable = stage.checks("unusable").await;
        assert_eq!(unusable, (number + 1) as f64, "{what}");
    }
    assert_eq!(stage.orders.requests().len(), 0);
    stage.opa.play(Script::Say(yes()));
    assert_eq!(stage.get("/open/x").await.0, 200);
    assert_eq!(
        stage.opa.counts().connections,
        1,
        "the connection is not to blame"
    );
}

#[tokio::test]
async fn nobody_is_given_a_session_by_an_answer() {
    let world = World::new();
    let opa = Service::start(&world).await;
    let stage = Stage::changed(world, opa, with_login).await;
    let client = stage.gateway.client(&stage.world.web());
    let sessions = [
        "__Host-portcullis-staff=1abc; Path=/; Secure",
        "__Host-portcullis-staff.1=def; Path=/; Secure",
        "__Host-portcullis-staff.p.aaaaaaaa=; Max-Age=0",
        "\t__Host-portcullis-staff = 1abc",
    ];
    for session in sessions {
        for answer in [
            yes_with(&[tell("x-policy", "v7"), tell("Set-Cookie", session)]),
            no_with(&[status(401), denied_field("set-cookie", session)]),
        ] {
            stage.opa.play(Script::Say(answer));
            let answer = client.get("/open/x").await;
            assert_eq!(answer.headers.all("set-cookie"), [""; 0], "{session}");
            let reason = stage.gateway.reason(&answer).await;
            assert_eq!((answer.status, reason.as_deref()), (502, Some(INVALID)));
        }
    }
    assert_eq!(stage.orders.requests().len(), 0);
    let foreign = "__Host-staff=1";
    stage
        .opa
        .play(Script::Say(yes_with(&[tell("set-cookie", foreign)])));
    let answer = client.get("/open/x").await;
    assert_eq!(answer.headers.all("set-cookie"), [foreign]);
}

#[tokio::test]
async fn a_report_refuses_nothing_changes_nothing_and_is_counted() {
    let route = json!({ "by": "opa", "report_only": true });
    let stage = Stage::with(&[
        ("route.external_authorization", route),
        ("may_set", json!(["x-user"])),
    ])
    .await;
    let client = stage.gateway.client(&stage.world.web());
    let answers = [
        Script::Say(no_with(&[status(401)])),
        Script::Say(Vec::new()),
        Script::Status(13),
        Script::Say(yes_with(&[set("x-user", "alice"), tell("x-policy", "v7")])),
    ];
    for answer in answers {
        stage.opa.play(answer);
        let request = Request::get("/open/x").header("x-user", "own");
        let answer = client.request(&request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-policy"), None);
        assert_eq!(stage.orders.last_request().header("x-user"), Some("own"));
    }
    assert_eq!(stage.waived("report_only").await, 3.0);
    for result in ["denied", "unusable", "failed", "allowed"] {
        assert_eq!(stage.checks(result).await, 1.0, "{result}");
    }
}
