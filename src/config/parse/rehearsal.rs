//! `tests`: rehearsals that the operator writes, run before a configuration is used.

use http::Method;

use super::web::FieldUse;
use super::{Around, claims, web};
use crate::config::file::{ExpectFile, TestFile, TestRequestFile};
use crate::config::node::{Node, all};
use crate::config::problem::{nearest, shown};
use crate::config::spec::{Expectation, TestRequest, TestSpec};
use crate::identity::client_pattern::ClientPattern;
use crate::identity::host::{Authority, Host};
use crate::identity::name::Name;
use crate::identity::pattern::IdentityPattern;
use crate::refusal::Refusal;

const EXPECT: &str = "write `expect: { route: NAME }` or `expect: { refusal: peer_not_allowed }`";
const CLIENT: &str = "`spiffe://partners.example/web/shop`, `dns:shop.partner.example` or \
     `'subject:CN=shop,O=Partner'`";

/// The list `tests`.
pub(super) fn tests(node: &Node<'_>, around: &Around<'_>) -> Option<Vec<TestSpec>> {
    let items = node.items("`- request: { url: \"https://api.example.com/orders\" }`")?;
    all(&items, |node| {
        let file = TestFile::read(node)?;
        let hint = "write `request: { url: \"https://api.example.com/orders\" }`";
        let request = file.request.needed(hint, |node| request(node, around));
        let expect = file.expect.needed(EXPECT, |node| expect(node, around));
        Some(TestSpec {
            request: request?,
            expect: expect?,
        })
    })
}

fn request(node: &Node<'_>, around: &Around<'_>) -> Option<TestRequest> {
    let file = TestRequestFile::read(node)?;
    let method = file.method.or(Method::GET, method);
    let target = file
        .url
        .needed("write `url: \"https://api.example.com/orders\"`", url);
    let listener = file
        .listener
        .optional(|node| node.reference::<Name>("listener", &around.listeners));
    let client = file.client.optional(client);
    let claims = file.claims.optional(claims::token);
    let headers = file
        .headers
        .or(Vec::new(), |node| web::fields(node, FieldUse::Test));
    let (host, path) = target?;
    Some(TestRequest {
        method: method?,
        host,
        path,
        listener: listener?,
        client: client?,
        claims: claims?,
        headers: headers?,
    })
}

/// Any method: a rehearsal may show that one is refused.
fn method(node: &Node<'_>) -> Option<Method> {
    let text = node.text("`GET`")?;
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) => Some(method),
        Err(_) => node.refuse(
            format!("{} is no method", shown(text)),
            "write a method, like `GET`",
        ),
    }
}

/// The host, and the path as a client would send it, in any spelling.
fn url(node: &Node<'_>) -> Option<(Host, String)> {
    const EXAMPLE: &str = "write it like `\"https://api.example.com/orders/7\"`";
    let text = node.text("`\"https://api.example.com/orders/7\"`")?;
    let Some(rest) = text.strip_prefix("https://") else {
        return node.refuse(
            format!("{} does not begin with `https://`", shown(text)),
            EXAMPLE,
        );
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let authority = match Authority::parse(authority) {
        Ok(authority) => authority,
        Err(error) => return node.refuse(format!("{}: {error}", shown(text)), EXAMPLE),
    };
    let path = if path.is_empty() { "/" } else { path };
    if path.contains('#') || !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic()) {
        let what = format!("{} has a path that no client sends", shown(text));
        return node.refuse(
            what,
            "begin it with `/`, without `#`, spaces and letters beyond ASCII",
        );
    }
    Some((authority.host, path.to_owned()))
}

/// One certificate, by what it states: a rehearsal has one client.
fn client(node: &Node<'_>) -> Option<ClientPattern> {
    let client: ClientPattern = node.parse(CLIENT)?;
    let text = node.as_text().unwrap_or_default();
    let (what, names) = match &client {
        ClientPattern::Identity(IdentityPattern::SpiffeBelow(_)) => {
            ("is a pattern, and one client is wanted", false)
        }
        ClientPattern::Identity(IdentityPattern::Dns(host)) => {
            ("has no DNS name behind `dns:`", host.dns_name().is_some())
        }
        ClientPattern::Identity(IdentityPattern::Spiffe(_))
        | ClientPattern::Fingerprint(_)
        | ClientPattern::Pin(_)
        | ClientPattern::Subject { .. } => return Some(client),
    };
    if names {
        return Some(client);
    }
    node.refuse(format!("{} {what}", shown(text)), format!("write {CLIENT}"))
}

fn expect(node: &Node<'_>, around: &Around<'_>) -> Option<Expectation> {
    let file = ExpectFile::read(node)?;
    match (file.route.written(), file.refusal.written()) {
        (Some(node), None) => node
            .reference("route", &around.routes)
            .map(Expectation::Route),
        (None, Some(node)) => refusal(node).map(Expectation::Refusal),
        (Some(_), Some(_)) => node.refuse("both `route` and `refusal` are expected", EXPECT),
        (None, None) => node.refuse("nothing is expected", EXPECT),
    }
}

fn refusal(node: &Node<'_>) -> Option<Refusal> {
    let text = node.text("`peer_not_allowed`")?;
    if let Some(refusal) = Refusal::ALL.iter().find(|refusal| refusal.reason() == text) {
        return Some(*refusal);
    }
    let hint = match nearest(text, Refusal::ALL.iter().map(|refusal| refusal.reason())) {
        Some(reason) => format!("did you mean {reason:?}?"),
        None => "reasons are the labels of refusals in metrics and in the access log, \
                 like `peer_not_allowed`, `scope_missing` or `route_unknown`"
            .to_owned(),
    };
    node.refuse(format!("{} is no reason of a refusal", shown(text)), hint)
}
