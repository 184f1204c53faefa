//! `routes`: who may ask what of which service. What is not said is refused.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::web::FieldUse;
use super::{
    Around, api_keys, exchange, external_authorization, policy, quantity, secret_fields, token,
    upstream, web,
};
use crate::config::api_keys::KeyListSpec;
use crate::config::file::{ForwardFile, LimitFile, MatchFile, RouteFile};
use crate::config::node::{Field, Node, all};
use crate::config::problem::{nearest, shown};
use crate::config::spec::{
    ClientsSpec, ForwardSpec, HostPattern, LimitKey, LimitSpec, MatchSpec, PathPattern, RouteSpec,
    TokenSpec, UpstreamSpec,
};
use crate::config::tree::Value;
use crate::identity::client_pattern::ClientPattern;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::identity::subject_name::SubjectName;
use http::Method;

/// The bounds of `max_body`; 1 TiB is no bound any more.
const MAX_BODY_BOUNDS: RangeInclusive<u64> = 0..=1 << 40;

/// Long enough to find out on a Monday what ended on a Friday; what is over for longer is over.
const GRACE_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(72 * 3_600);

const CLIENTS: &str = "`clients: [spiffe://partners.example/web/*]`, or `clients: any` for everybody \
     that the listener let in";

/// One entry of `routes`. `upstreams`, `credentials` and `lists` of API keys are what could be read of
/// them, to hold `accept`, `token` and `api_key` against.
pub(super) fn route(
    node: &Node<'_>,
    around: &Around<'_>,
    upstreams: &BTreeMap<Name, UpstreamSpec>,
    credentials: &token::Credentials<'_>,
    lists: &BTreeMap<Name, KeyListSpec>,
) -> Option<RouteSpec> {
    let file = RouteFile::read(node)?;
    let matches = file.matches.needed(
        "write `match: { host: api.example.com, path: /orders/** }`",
        matches,
    );
    let listeners = file
        .listeners
        .or(Vec::new(), |node| listeners(node, around));
    let clients = file
        .clients
        .needed(&format!("say who may ask: write {CLIENTS}"), clients);
    let grace_after_expiry = file
        .grace_after_expiry
        .optional(|node| quantity::duration(node, GRACE_BOUNDS));
    let login = file
        .login
        .optional(|node| node.reference::<Name>("login", &around.logins));
    let others = [("api_key", &file.api_key), ("login", &file.login)];
    let token = token::of_route(&file.token, &others, around, credentials);
    let api_key = api_keys::of_route(&file.api_key, token.as_ref(), lists, around);
    let limits = file.limits.or(Vec::new(), |node| {
        all(&node.items("`[{ rate: 100/s, per: client }]`")?, limit)
    });
    let external_authorization = file
        .external_authorization
        .optional(|node| external_authorization::of_route(node, around));
    let takes_token = !matches!(token, Some(TokenSpec::None));
    let exchange = file
        .exchange
        .optional(|node| exchange::exchange(node, around, takes_token, &others));
    let upstream = file
        .upstream
        .needed("write `upstream: NAME`, an entry of `upstreams`", |node| {
            node.reference::<Name>("upstream", &around.upstreams)
        });
    let wider = upstream.as_ref().and_then(|name| upstreams.get(name));
    let accept = accept(&file.accept, wider);
    let forward = file
        .forward
        .or(ForwardSpec::default(), |node| forward(node, around));
    let max_body = file.max_body.or(RouteSpec::MAX_BODY, |node| {
        quantity::size(node, MAX_BODY_BOUNDS)
    });
    let websocket = file.websocket.or(false, Node::flag);
    let policy = policy::policy(&file, around);
    let keys = api_key.as_ref().and_then(Option::as_ref);
    secret_fields::apart(&file, token.as_ref(), keys, policy.as_ref())?;
    Some(RouteSpec {
        matches: matches?,
        listeners: listeners?,
        clients: clients?,
        grace_after_expiry: grace_after_expiry?,
        token: token?,
        login: login?,
        api_key: api_key?,
        limits: limits?,
        external_authorization: external_authorization?,
        exchange: exchange?,
        upstream: upstream?,
        accept: accept?,
        forward: forward?,
        max_body: max_body?,
        websocket: websocket?,
        policy: policy?,
    })
}

fn matches(node: &Node<'_>) -> Option<MatchSpec> {
    let file = MatchFile::read(node)?;
    let host = file.host.needed("write `host: api.example.com`", |node| {
        node.parse::<HostPattern>("`api.example.com` or `\"*.example.com\"`")
    });
    let path = file.path.needed(
        "write `path: /orders/**`, or `path: /**` for every path",
        |node| node.parse::<PathPattern>("`/orders`, `/orders/{id}` or `/orders/**`"),
    );
    let methods = file.methods.or(Vec::new(), methods);
    let headers = file
        .headers
        .or(Vec::new(), |node| web::fields(node, FieldUse::Match));
    Some(MatchSpec {
        host: host?,
        path: path?,
        methods: methods?,
        headers: headers?,
    })
}

fn methods(node: &Node<'_>) -> Option<Vec<Method>> {
    let items = node.items("`[GET, POST]`")?;
    if items.is_empty() {
        return node.refuse(
            "the list is empty",
            "write methods, or leave the key out to mean all of them",
        );
    }
    let mut methods: Vec<Method> = Vec::new();
    let read = all(&items, |node| {
        let method = web::method(node)?;
        if methods.contains(&method) {
            return node.refuse(format!("{method} stands twice"), "keep one of them");
        }
        methods.push(method);
        Some(())
    });
    read.map(|_all| methods)
}

/// The listeners that may reach a route, each once.
fn listeners(node: &Node<'_>, around: &Around<'_>) -> Option<Vec<Name>> {
    let mut listeners: Vec<Name> = Vec::new();
    let read = node.some("`[edge]`", |node| {
        let name = node.reference::<Name>("listener", &around.listeners)?;
        if listeners.contains(&name) {
            return node.refuse(format!("{name} stands twice"), "keep one of them");
        }
        listeners.push(name);
        Some(())
    });
    read.map(|_all| listeners)
}

fn clients(node: &Node<'_>) -> Option<ClientsSpec> {
    if let Some(text) = node.as_text() {
        if text == "any" {
            return Some(ClientsSpec::Any);
        }
        if text == "any_certificate" {
            return Some(ClientsSpec::AnyCertificate);
        }
        let what = format!(
            "{} is neither `any`, `any_certificate` nor a list",
            shown(text)
        );
        let hint = match text.parse::<ClientPattern>() {
            Ok(pattern) => format!("write a list: `[\"{pattern}\"]`"),
            Err(_) => format!("write {CLIENTS}"),
        };
        return node.refuse(what, hint);
    }
    if node.value() == Value::Null {
        let what = "nothing is said here: leaving it open would let everybody in";
        return node.refuse(what, format!("write {CLIENTS}"));
    }
    let items = node.items("`[spiffe://partners.example/web/*]`")?;
    if items.is_empty() {
        let what = "the list is empty, so nobody could use this route";
        return node.refuse(what, format!("write {CLIENTS}"));
    }
    all(&items, one_client).map(ClientsSpec::Of)
}

pub(super) fn one_client(node: &Node<'_>) -> Option<ClientPattern> {
    for word in ["any", "any_certificate"] {
        if node.is(word) {
            let hint = format!("write `clients: {word}`, without the list");
            return node.refuse(format!("`{word}` stands in a list"), hint);
        }
    }
    let text = node.as_text().unwrap_or_default();
    if text.parse::<SubjectName>().is_ok() {
        // YAML ends an entry of a list in brackets at the `,` that parts a subject.
        return node.refuse(
            format!("{} is a part of a subject, not a client", shown(text)),
            "put the whole entry in quotes: `'subject:CN=orders,O=Example'`",
        );
    }
    node.parse("`spiffe://partners.example/web/*`, `dns:shop.partner.example` or `'subject:CN=shop,O=Partner'`")
}

fn limit(node: &Node<'_>) -> Option<LimitSpec> {
    let file = LimitFile::read(node)?;
    let rate = quantity::rate(&file.rate, &file.burst);
    let per = file.per.needed(
        "say whose requests count together: write `per: client`, `subject`, `source` or `header:NAME`",
        limit_key,
    );
    Some(LimitSpec {
        rate: rate?,
        per: per?,
    })
}

fn limit_key(node: &Node<'_>) -> Option<LimitKey> {
    let text = node.text("`client`")?;
    if let Some(name) = text.strip_prefix("header:") {
        return web::field_name(node, name, FieldUse::LimitKey).map(LimitKey::Header);
    }
    match text {
        "client" => Some(LimitKey::Client),
        "subject" => Some(LimitKey::Subject),
        "source" => Some(LimitKey::Source),
        _ => {
            let words = ["client", "subject", "source"];
            let all = "write `client`, `subject`, `source` or `header:NAME`";
            let hint = match nearest(text, words.into_iter()) {
                Some(word) => format!("did you mean {word:?}? Else {all}"),
                None => all.to_owned(),
            };
            node.refuse(format!("nothing is counted by {}", shown(text)), hint)
        }
    }
}

/// Who may answer on this route: each must be among those whom the upstream accepts.
fn accept(field: &Field<'_>, upstream: Option<&UpstreamSpec>) -> Option<Vec<ServerPattern>> {
    let Some(node) = field.written() else {
        return Some(Vec::new());
    };
    let accept = upstream::accept(node)?;
    let Some(upstream) = upstream else {
        return Some(accept);
    };
    let mut items = accept.iter().zip(node.items(upstream::ACCEPT)?);
    let outside =
        items.find(|(narrow, _)| !upstream.tls.accept.iter().any(|wide| wide.covers(narrow)));
    match outside {
        None => Some(accept),
        Some((pattern, node)) => node.refuse(
            format!("{pattern} is not among those whom the upstream accepts"),
            "a route may narrow its upstream's `accept`, never widen it: write it there too, or correct it",
        ),
    }
}

fn forward(node: &Node<'_>, around: &Around<'_>) -> Option<ForwardSpec> {
    let file = ForwardFile::read(node)?;
    let usual = ForwardSpec::default();
    let x_forwarded = file.x_forwarded.or(usual.x_forwarded, Node::flag);
    let forwarded = file.forwarded.or(usual.forwarded, Node::flag);
    let client_cert = file.client_cert.or(usual.client_cert, Node::flag);
    let client_cert_chain = file.client_cert_chain.or(usual.client_cert_chain, |node| {
        let wanted = node.flag()?;
        if wanted && client_cert == Some(false) {
            return node.refuse(
                "the chain is wanted without the certificate that it is for (RFC 9440, section 2.3)",
                "write `client_cert: true` beside it",
            );
        }
        Some(wanted)
    });
    let xfcc = file.xfcc.or(usual.xfcc, Node::flag);
    let identity = file.identity.or(usual.identity, Node::flag);
    let signed_identity = file.signed_identity.or(usual.signed_identity, |node| {
        let wanted = node.flag()?;
        if wanted && !around.signs_identities {
            return node.refuse(
                "there is no section `signed_identity`, which says in whose name it is signed",
                "write `signed_identity: { issuer: https://gateway.example.com }` at the top",
            );
        }
        Some(wanted)
    });
    let authorization = file.authorization.or(usual.authorization, Node::flag);
    let api_key = file.api_key.or(usual.api_key, Node::flag);
    Some(ForwardSpec {
        x_forwarded: x_forwarded?,
        forwarded: forwarded?,
        client_cert: client_cert?,
        client_cert_chain: client_cert_chain?,
        xfcc: xfcc?,
        identity: identity?,
        signed_identity: signed_identity?,
        authorization: authorization?,
        api_key: api_key?,
    })
}
