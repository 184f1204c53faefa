//! `policy` and `subject_is_peer` of a route: what must hold beside `clients` and `token`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Around, claims, route, token};
use crate::config::file::{AllowFile, PolicyRuleFile, RouteFile, SubjectIsPeerFile};
use crate::config::node::{Field, Names, Node, all};
use crate::config::policy::{AllowSpec, PolicySpec, RuleAsks, RuleSpec, SubjectIsPeerSpec};
use crate::config::problem::{either, nearest, shown};
use crate::expression::{self, Expression, Fault, Hint, Tokens};
use crate::identity::name::Name;

const RULE: &str = "`- { name: own-tenant, allow: [{ scopes: [orders:read] }] }` or \
     `- { name: own-tenant, cel: \"token.claims.tenant == 'acme'\" }`";
const ALLOW: &str = "`[{ identities: [spiffe://partners.example/web/*], scopes: [orders:read] }]`";
const TEMPLATE: &str = "`\"spiffe://mesh.example/user/{sub}\"`";
/// Under this name `subject_is_peer` is counted and logged.
const SUBJECT_IS_PEER: &str = "subject_is_peer";

/// Each rule is a label in metrics, and asked at every request.
const RULES_MAX: usize = 16;
/// More belong in a group that the issuer keeps.
const ALLOWED_MAX: usize = 64;

/// What a route asks.
pub(super) fn policy(file: &RouteFile<'_>, around: &Around<'_>) -> Option<PolicySpec> {
    let tokens = tokens_of(file);
    let subject_is_peer = file
        .subject_is_peer
        .optional(|node| subject_is_peer(node, tokens));
    let rules = file
        .policy
        .or(Vec::new(), |node| rules(node, around, tokens));
    Some(PolicySpec {
        subject_is_peer: subject_is_peer?,
        rules: rules?,
    })
}

/// Whether requests of a route act for anybody, with a token or in another way: a rule about what is
/// never there would let nobody in.
fn tokens_of(file: &RouteFile<'_>) -> Tokens {
    let none = file.token.written().is_some_and(|node| node.is("none"));
    let others = [&file.api_key, &file.login];
    match none && others.iter().all(|other| other.written().is_none()) {
        true => Tokens::Never,
        false => Tokens::Seen,
    }
}

fn needed(tokens: Tokens, node: &Node<'_>) -> Option<()> {
    if tokens == Tokens::Seen {
        return Some(());
    }
    node.refuse_key(
        "this asks for a token, and the route looks at none",
        "write `token: { issuer: NAME }`, or leave this out",
    )
}

fn subject_is_peer(node: &Node<'_>, tokens: Tokens) -> Option<SubjectIsPeerSpec> {
    let seen = needed(tokens, node);
    let (template, report_only) = if node.as_text().is_some() {
        (node.parse(TEMPLATE), Some(false))
    } else {
        let file = SubjectIsPeerFile::read(node)?;
        let hint = format!("write `template: {}`", TEMPLATE.trim_matches('`'));
        let template = file.template.needed(&hint, |node| node.parse(TEMPLATE));
        (template, file.report_only.or(false, Node::flag))
    };
    seen?;
    Some(SubjectIsPeerSpec {
        template: template?,
        report_only: report_only?,
    })
}

fn rules(node: &Node<'_>, around: &Around<'_>, tokens: Tokens) -> Option<Vec<RuleSpec>> {
    let items = bounded(node, RULE, RULES_MAX)?;
    let mut names: Vec<Name> = Vec::new();
    all(&items, |node| rule(node, around, tokens, &mut names))
}

/// The entries of a list that has some, and not more than `max`.
fn bounded<'a>(node: &Node<'a>, example: &str, max: usize) -> Option<Vec<Node<'a>>> {
    let items = node.items(example)?;
    if items.is_empty() || items.len() > max {
        return node.refuse(
            format!("{} entries stand here", items.len()),
            format!("write from 1 to {max}, like {example}, or leave the key out"),
        );
    }
    Some(items)
}

fn rule(
    node: &Node<'_>,
    around: &Around<'_>,
    tokens: Tokens,
    names: &mut Vec<Name>,
) -> Option<RuleSpec> {
    let file = PolicyRuleFile::read(node)?;
    let hint = "write `name: own-tenant`: by it the rule is found in metrics and logs";
    let name = file.name.needed(hint, |node| name(node, names));
    let asks = match (file.allow.written(), file.cel.written()) {
        (Some(list), None) => allowed(list, around, tokens).map(RuleAsks::Allow),
        (None, Some(text)) => expression(text, around, tokens).map(RuleAsks::Cel),
        (Some(_), Some(_)) | (None, None) => node.refuse(
            "not exactly one of `allow` and `cel` stands here",
            format!("write one of them: {RULE}. Of several rules each must hold"),
        ),
    };
    let report_only = file.report_only.or(false, Node::flag);
    Some(RuleSpec {
        name: name?,
        asks: asks?,
        report_only: report_only?,
    })
}

fn name(node: &Node<'_>, names: &mut Vec<Name>) -> Option<Name> {
    let name: Name = node.parse("`own-tenant`")?;
    if name.as_str() == SUBJECT_IS_PEER {
        let what = format!("`{SUBJECT_IS_PEER}` is the name of the check that has its own key");
        return node.refuse(what, "give the rule another name");
    }
    if names.contains(&name) {
        return node.refuse(
            format!("{name} stands twice"),
            "give each rule of a route a name of its own",
        );
    }
    names.push(name.clone());
    Some(name)
}

fn allowed(node: &Node<'_>, around: &Around<'_>, tokens: Tokens) -> Option<Vec<AllowSpec>> {
    let items = bounded(node, ALLOW, ALLOWED_MAX)?;
    all(&items, |node| {
        let file = AllowFile::read(node)?;
        let of_tokens = [&file.issuer, &file.scopes, &file.claims];
        let mut written = of_tokens.into_iter().filter_map(Field::written).peekable();
        if written.peek().is_none() && file.identities.written().is_none() {
            let what = "nothing is asked here, so that everybody would be let through";
            return node.refuse(what, format!("write {ALLOW}"));
        }
        let seen = written.try_for_each(|node| needed(tokens, node));
        let identities = file.identities.or(Vec::new(), |node| {
            node.some("`[spiffe://partners.example/web/*]`", route::one_client)
        });
        let issuer = file
            .issuer
            .optional(|node| node.reference::<Name>("issuer", &around.issuers));
        let scopes = file.scopes.or(Vec::new(), |node| {
            node.some("`[orders:read]`", token::scope)
        });
        let claims = file.claims.or(BTreeMap::new(), claims::wanted);
        seen?;
        Some(AllowSpec {
            identities: identities?,
            issuer: issuer?,
            scopes: scopes?,
            claims: claims?,
        })
    })
}

/// All mistakes of an expression, each in its place in the file.
fn expression(node: &Node<'_>, around: &Around<'_>, tokens: Tokens) -> Option<Arc<Expression>> {
    let owned = |names: &Names<'_>| names.all().map(str::to_owned).collect::<Vec<_>>();
    let issuers = [owned(&around.issuers), owned(&around.api_keys)].concat();
    let known = expression::Around {
        tokens,
        issuers: Some(issuers),
        listeners: Some(owned(&around.listeners)),
    };
    let text = node.text("`\"token.claims.tenant == 'acme'\"`")?;
    match Expression::read(text, &known) {
        Ok(expression) => Some(Arc::new(expression)),
        Err(faults) => {
            for fault in faults.into_iter().take(FAULTS_MAX) {
                let place = (fault.line, fault.column);
                let hint = hint(&fault);
                node.refuse_within::<()>(place, fault.what, hint);
            }
            None
        }
    }
}

/// More follow from these.
const FAULTS_MAX: usize = 5;

fn hint(fault: &Fault) -> String {
    match &fault.hint {
        Hint::Text(text) => text.clone(),
        Hint::OneOf {
            written,
            kind,
            words,
        } => {
            let all = format!(
                "the {kind} are {}",
                either(words.iter().map(String::as_str))
            );
            match nearest(written, words.iter().map(String::as_str)) {
                Some(word) => format!(
                    "did you mean {}? T{}",
                    shown(word),
                    all.get(1..).unwrap_or_default()
                ),
                None => all,
            }
        }
    }
}
