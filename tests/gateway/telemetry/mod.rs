//! What the admin listener tells of peers: who fails in the handshake, who is here, and who would fail
//! under the trust that is to come.

mod alerts;
mod clients;
mod failures;
mod floods;
mod next;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::bench::PATIENCE;
use crate::bench::gateway::Gateway;

/// A page of the admin listener, which must be JSON to the last byte.
async fn page(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.admin(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answer.text()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Waits until a page is as wanted: what is told after a handshake may come a moment later.
async fn wait_for_page(gateway: &Gateway, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let page = page(gateway, path).await;
        if wanted(&page) {
            return page;
        }
        assert!(Instant::now() < end, "{path} stays at {page:#}");
        sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The element of a list whose `key` has this value.
fn find<'p>(list: &'p Value, key: &str, value: &str) -> &'p Value {
    let found = list
        .as_array()
        .and_then(|list| list.iter().find(|one| one[key] == value));
    found.unwrap_or_else(|| panic!("no {key} {value} in {list:#}"))
}

fn length(list: &Value) -> usize {
    list.as_array().expect("a list").len()
}
