//! Fields that are always one of a few words: comparing them with another holds for no request.

use cel::common::ast::{Expr, IdedExpr};

use super::Around;
use super::check::text;
use super::source::Hint;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What `token.credential` may be: see `values`.
pub(super) const CREDENTIALS: [&str; 4] = ["jwt", "introspected", "api_key", "login"];

/// One mistake: where, what, and what to do.
pub(super) type Mistake<'a> = (&'a IdedExpr, String, Hint);

/// What is wrong with a comparison of two parts (`==`, `!=`, or `in` with a list that is written out).
pub(super) fn mistakes<'a>(
    left: &'a IdedExpr,
    right: &'a IdedExpr,
    around: &Around,
) -> Vec<Mistake<'a>> {
    let pairs = [(left, right), (right, left)];
    let found = pairs.into_iter().find_map(|(field, other)| {
        let (name, kind, words) = words_of(field, around)?;
        let literals = literals(other).into_iter();
        let wrong = literals.filter(|(_, text)| !words.iter().any(|word| word == text));
        let wrong = wrong.map(|(part, text)| {
            let hint = Hint::OneOf {
                written: text.to_owned(),
                kind,
                words: words.clone(),
            };
            (part, format!("`{name}` is never `{text}`"), hint)
        });
        Some(wrong.collect())
    });
    found.unwrap_or_default()
}

fn literals(part: &IdedExpr) -> Vec<(&IdedExpr, &str)> {
    let of = |part| Some((part, text(part)?));
    match &part.expr {
        Expr::List(list) => list.elements.iter().filter_map(of).collect(),
        Expr::Literal(_)
        | Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => of(part).into_iter().collect(),
    }
}

/// The words that a field may be, and what they are; `None` if it may be anything.
fn words_of(part: &IdedExpr, around: &Around) -> Option<(&'static str, &'static str, Vec<String>)> {
    let Expr::Select(select) = &part.expr else {
        return None;
    };
    let Expr::Ident(variable) = &select.operand.expr else {
        return None;
    };
    let fixed = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match (variable.as_str(), select.field.as_str()) {
        ("request", "method") => Some(("request.method", "methods", fixed(&METHODS))),
        ("token", "credential") => Some(("token.credential", "credentials", fixed(&CREDENTIALS))),
        ("token", "issuer") => {
            let known = around.issuers.clone()?;
            Some(("token.issuer", "issuers and lists of API keys", known))
        }
        ("request", "listener") => {
            let known = around.listeners.clone()?;
            Some(("request.listener", "listeners", known))
        }
        _ => None,
    }
}
