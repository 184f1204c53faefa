//! What operators and functions take and give, as far as it is known before any request is there.

use cel::common::ast::operators as op;

use super::kind::Kind;

/// What comes of a call.
pub(super) struct Signature {
    /// Whether these values may do.
    pub(super) fits: bool,
    /// What it gives.
    pub(super) gives: Kind,
}

const fn signature(fits: bool, gives: Kind) -> Option<Signature> {
    Some(Signature { fits, gives })
}

/// An operator between two values; `None` if it is none.
pub(super) fn pair(name: &str, left: Kind, right: Kind) -> Option<Signature> {
    let both = |test: fn(Kind) -> bool| {
        let known = |kind: Kind| kind == Kind::Any || test(kind);
        known(left) && known(right)
    };
    let same = left == right || left == Kind::Any || right == Kind::Any;
    match name {
        op::LOGICAL_AND | op::LOGICAL_OR => signature(both(|kind| kind == Kind::Bool), Kind::Bool),
        op::EQUALS | op::NOT_EQUALS => signature(left.may_equal(right), Kind::Bool),
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => {
            let ordered = |kind| matches!(kind, Kind::Text | Kind::Bytes | Kind::Bool);
            let fits = both(Kind::is_number) || (same && both(ordered));
            signature(fits, Kind::Bool)
        }
        op::ADD => {
            let joined = |kind: Kind| {
                kind.is_number() || kind.is_list() || matches!(kind, Kind::Text | Kind::Bytes)
            };
            let fits = (same || both(Kind::is_list)) && both(joined);
            signature(fits, left.or(right))
        }
        op::SUBSTRACT | op::MULTIPLY | op::DIVIDE => {
            signature(same && both(Kind::is_number), left.or(right))
        }
        op::MODULO => {
            let whole = |kind| matches!(kind, Kind::Int | Kind::Uint);
            signature(same && both(whole), left.or(right))
        }
        op::IN => {
            let found = right.element();
            let fits = found.is_some_and(|found| found == Kind::Any || found.may_equal(left));
            signature(fits, Kind::Bool)
        }
        _ => None,
    }
}

/// Another operator than `x[i]`; `None` if it is none.
pub(super) fn other(name: &str, kinds: &[Kind]) -> Option<Signature> {
    match (name, kinds) {
        (op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE, [it]) => {
            signature(it.may_be(Kind::Bool), Kind::Bool)
        }
        (op::NEGATE, [it]) => signature(it.may_be(Kind::Int) || *it == Kind::Double, *it),
        (op::CONDITIONAL, [condition, one, other]) => {
            signature(condition.may_be(Kind::Bool), one.or(*other))
        }
        _ => None,
    }
}

/// A function, called as `x.f()` if it is a `method`; `None` if there is none that is called like
/// this.
pub(super) fn function(name: &str, kinds: &[Kind], method: bool) -> Option<Signature> {
    let text = |kind: &Kind| kind.may_be(Kind::Text);
    let number_of = |kind: &Kind| text(kind) || kind.is_number();
    match (name, kinds, method) {
        ("size", [it], _) => {
            let sized = it.element().is_some() || matches!(it, Kind::Text | Kind::Bytes);
            signature(sized, Kind::Int)
        }
        ("contains" | "startsWith" | "endsWith", [it, part], true) | ("matches", [it, part], _) => {
            signature(text(it) && text(part), Kind::Bool)
        }
        ("int", [it], false) => signature(number_of(it), Kind::Int),
        ("uint", [it], false) => signature(number_of(it), Kind::Uint),
        ("double", [it], false) => signature(number_of(it), Kind::Double),
        ("string", [it], false) => {
            let plain = matches!(it, Kind::Bool | Kind::Bytes);
            signature(plain || number_of(it), Kind::Text)
        }
        ("bool", [it], false) => signature(text(it) || *it == Kind::Bool, Kind::Bool),
        ("bytes", [it], false) => signature(text(it) || *it == Kind::Bytes, Kind::Bytes),
        ("type", [_], false) => signature(true, Kind::Type),
        ("dyn", [_], false) => signature(true, Kind::Any),
        _ => None,
    }
}
