//! `external_authorization`: services that are asked whether requests may pass, and the routes that
//! name one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::web::FieldUse;
use super::{Around, quantity, section, upstream, web};
use crate::config::external_authorization::{
    ExternalAuthorizationSpec, ExternallyAuthorizedSpec, WhenAway,
};
use crate::config::file::{ExternalAuthorizationFile, ExternallyAuthorizedFile, RootFile};
use crate::config::node::{Field, Node};
use crate::config::problem::shown;
use crate::identity::fields::is_for_others;
use crate::identity::name::Name;

const TIMEOUT_BOUNDS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_millis(200);
const IN_FLIGHT_MAX: u64 = 100_000;
const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The section `external_authorization`.
pub(super) fn authorizations(
    file: &RootFile<'_>,
    around: &Around<'_>,
) -> BTreeMap<Name, ExternalAuthorizationSpec> {
    let read = section(&file.external_authorization, |node| {
        authorization(node, around)
    });
    apart(file, &read, around);
    read
}

fn authorization(node: &Node<'_>, around: &Around<'_>) -> Option<ExternalAuthorizationSpec> {
    let file = ExternalAuthorizationFile::read(node)?;
    let endpoints = file.endpoints.needed(
        "write `endpoints: [\"opa.internal:9191\"]`",
        upstream::endpoints,
    );
    let tls = file.tls.needed(
        "write `tls:` with `identity`, `trust`, `server_name` and `accept`, as an upstream has them",
        |node| upstream::tls(node, around),
    );
    let timeout = file
        .timeout
        .or(TIMEOUT, |node| quantity::duration(node, TIMEOUT_BOUNDS));
    let when_away = file.when_away.or(WhenAway::Refuse, |node| {
        node.word(&[("refuse", WhenAway::Refuse), ("allow", WhenAway::Allow)])
    });
    let in_flight = file
        .in_flight
        .or(IN_FLIGHT, |node| node.count(IN_FLIGHT_MAX));
    let certificate = file.certificate.or(false, Node::flag);
    let send_credentials = names(&file.send_credentials, "`[authorization]`", |_, _| Some(()));
    let may_set = names(&file.may_set, "`[x-user]`", |node, name| {
        if is_for_others(name) {
            return Some(());
        }
        node.refuse(
            format!("nobody but the gateway and the client says `{name}`: each answer that sets it would be refused"),
            "remove it, and have the service set a field of its own, like `x-user`",
        )
    });
    Some(ExternalAuthorizationSpec {
        endpoints: endpoints?,
        tls: tls?,
        timeout: timeout?,
        when_away: when_away?,
        in_flight: in_flight?,
        certificate: certificate?,
        send_credentials: send_credentials?,
        may_set: may_set?,
    })
}

/// Names of header fields, each once, and each of which `may` be written here.
fn names(
    field: &Field<'_>,
    example: &str,
    may: fn(&Node<'_>, &HeaderName) -> Option<()>,
) -> Option<Vec<HeaderName>> {
    let mut names: Vec<HeaderName> = Vec::new();
    let read = field.or(Vec::new(), |node| {
        node.some(example, |node| {
            let name = web::field_name(node, node.text(example)?, FieldUse::Asked)?;
            if names.contains(&name) {
                return node.refuse(format!("`{name}` stands twice"), "keep one of them");
            }
            let allowed = may(node, &name);
            names.push(name);
            allowed
        })
    });
    read.map(|_all| names)
}

/// `routes.NAME.external_authorization`: a name, or a section with it.
pub(super) fn of_route(node: &Node<'_>, around: &Around<'_>) -> Option<ExternallyAuthorizedSpec> {
    let by = |node: &Node<'_>| {
        node.reference::<Name>("authorization service", &around.external_authorization)
    };
    if node.as_text().is_some() {
        return Some(ExternallyAuthorizedSpec {
            by: by(node)?,
            report_only: false,
        });
    }
    let file = ExternallyAuthorizedFile::read(node)?;
    let name = file
        .by
        .needed("write `by: NAME`, an entry of `external_authorization`", by);
    let report_only = file.report_only.or(false, Node::flag);
    Some(ExternallyAuthorizedSpec {
        by: name?,
        report_only: report_only?,
    })
}

/// Their handshakes, connections and endpoints are shown as those of upstreams, by name.
fn apart(
    file: &RootFile<'_>,
    authorizations: &BTreeMap<Name, ExternalAuthorizationSpec>,
    around: &Around<'_>,
) {
    let Some(section) = file.external_authorization.written() else {
        return;
    };
    for name in authorizations.keys() {
        if !around.upstreams.has(name.as_str()) {
            continue;
        }
        let what = format!("{} is the name of an upstream too", shown(name.as_str()));
        let hint = "metrics and logs tell both by their names: give it another";
        let entry = section.at(name.as_str());
        entry
            .as_ref()
            .unwrap_or(section)
            .refuse_key::<()>(what, hint);
        section.gap();
    }
}
