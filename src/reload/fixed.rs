//! What a reload cannot change: sockets are opened and threads are started once.

use crate::config::Places;
use crate::config::acme::http_addresses;
use crate::config::problem::Problem;
use crate::config::spec::Spec;

/// The problems of a new configuration that a running process cannot take on.
pub(super) fn changed(before: &Spec, after: &Spec, places: &Places) -> Vec<Problem> {
    let problem = |place: &str, what: String| {
        places
            .problem(place, what)
            .with_hint("restart the gateway to change it, or put it back")
    };
    let mut problems = Vec::new();
    if before.admin != after.admin {
        problems.push(problem(
            "admin.address",
            "cannot change in a reload".to_owned(),
        ));
    }
    if before.workers != after.workers {
        problems.push(problem("workers", "cannot change in a reload".to_owned()));
    }
    if before.logs != after.logs {
        problems.push(problem("logs", "cannot change in a reload".to_owned()));
    }
    if !http_addresses(&before.acme)
        .keys()
        .eq(http_addresses(&after.acme).keys())
    {
        let what = "where HTTP-01 challenges are answered cannot change in a reload";
        problems.push(problem("acme", what.to_owned()));
    }
    for (name, listener) in &after.listeners {
        match before.listeners.get(name) {
            None => problems.push(problem(
                &format!("listeners.{name}"),
                "a listener cannot be added in a reload".to_owned(),
            )),
            Some(was) if was.address != listener.address => problems.push(problem(
                &format!("listeners.{name}.address"),
                format!("cannot change in a reload; it is {}", was.address),
            )),
            Some(_) => {}
        }
    }
    for name in before
        .listeners
        .keys()
        .filter(|name| !after.listeners.contains_key(*name))
    {
        let what = format!("listener {name} cannot be removed in a reload");
        problems.push(problem("listeners", what));
    }
    problems
}
