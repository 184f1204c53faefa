//! Another spelling of a field that decides about a request: a service that reads CGI variables takes
//! `X_Plan` for `X-Plan`.

use serde_json::json;

use crate::bench::World;
use crate::bench::http1::Request;

type Fields = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn a_field_that_decides_comes_in_no_other_spelling() {
    let world = World::new();
    let orders = world.orders().start().await;
    let mut config = world.config();
    config.endpoints("orders", &[orders.address]);
    for route in ["tenant", "tenants", "ruled", "asked", "counted", "plain"] {
        let path = format!("/{}/**", route.trim_end_matches('s'));
        config.route(route, &path, "orders");
    }
    config.set("routes.tenant.match.headers", json!({ "x-tenant": "acme" }));
    let free = "request.headers['x-plan'] == ['free']";
    config.set("routes.ruled.policy", json!([{ "name": "a", "cel": free }]));
    let none = "!('x-plan' in request.headers) && !has(request.headers.via)";
    config.set("routes.asked.policy", json!([{ "name": "a", "cel": none }]));
    let limit = json!([{ "rate": "1000/s", "per": "header:x-plan" }]);
    config.set("routes.counted.limits", limit);
    let gateway = world.gateway_with(&config).await;
    let client = gateway.client(&world.web());
    let cases: [(&str, Fields, u16); 18] = [
        ("/tenant/x", &[("x-tenant", "acme")], 200),
        ("/tenant/x", &[("x-tenant", "acme"), ("X_Tenant", "b")], 400),
        // Another route would have been chosen.
        ("/tenant/x", &[("x_tenant", "acme")], 400),
        ("/tenant/x", &[("x.tenant", "acme")], 400),
        ("/tenant/x", &[("x-plan", "a"), ("x_plan", "b")], 200),
        ("/ruled/x", &[("x-plan", "free")], 200),
        ("/ruled/x", &[("x-plan", "free"), ("X_Plan", "gold")], 400),
        ("/ruled/x", &[("x-plan", "free"), ("x.plan", "gold")], 400),
        ("/ruled/x", &[("X_PLAN", "gold")], 400),
        ("/ruled/x", &[("x-plan", "free"), ("x-plan", "gold")], 403),
        ("/asked/x", &[], 200),
        ("/asked/x", &[("x-plan", "free")], 403),
        ("/asked/x", &[("x_plan", "gold")], 400),
        ("/counted/x", &[("x-plan", "a")], 200),
        ("/counted/x", &[("x-plan", "a"), ("x_plan", "b")], 400),
        ("/counted/x", &[("x_plan", "b")], 400),
        ("/plain/x", &[("x-plan", "a"), ("x_plan", "b")], 200),
        ("/plain/x", &[("x-tenant", "a"), ("x_tenant", "b")], 200),
    ];
    for (target, fields, want) in cases {
        let heard = orders.requests().len();
        let request = fields
            .iter()
            .fold(Request::get(target), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = client.request(&request).await;
        assert_eq!(answer.status, want, "{target} {fields:?}");
        let reason = gateway.reason(&answer).await;
        let named = match want {
            200 => None,
            400 => Some("header_ambiguous"),
            _ => Some("policy_refused"),
        };
        assert_eq!(reason.as_deref(), named, "{target} {fields:?}");
        let passed = usize::from(want == 200);
        assert_eq!(
            orders.requests().len(),
            heard + passed,
            "{target} {fields:?}"
        );
    }
}
