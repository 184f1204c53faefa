//! Holds an expression against what is known before any request is there: the names, what their
//! values are, and what may be done with them. CEL finds such mistakes at the first request.

use cel::common::ast::operators as op;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr,
};

use http::HeaderName;

use super::functions;
use super::kind::{FUNCTIONS, HIDDEN_FIELDS, Kind, VARIABLES};
use super::signature::{self, Signature};
use super::source::{Fault, Hint, Places};
use super::words;
use super::{Around, Tokens};

/// The header fields that a tree names.
///
/// # Errors
///
/// What is wrong with it; never empty.
pub(super) fn check(
    tree: &IdedExpr,
    places: &Places<'_>,
    around: &Around,
) -> Result<Box<[HeaderName]>, Vec<Fault>> {
    let mut checker = Checker {
        places,
        around,
        loops: Vec::new(),
        fields: Vec::new(),
        faults: Vec::new(),
    };
    let kind = checker.value(tree);
    if !kind.may_be(Kind::Bool) {
        let what = format!("the expression gives {}, not true or false", kind.shown());
        checker.fault(tree, what, "compare it with something".into());
    }
    if checker.faults.is_empty() {
        Ok(checker.fields.into())
    } else {
        Err(checker.faults)
    }
}

struct Checker<'a> {
    places: &'a Places<'a>,
    around: &'a Around,
    /// The variables of the loops around a part, innermost last.
    loops: Vec<(&'a str, Kind)>,
    /// The header fields that were named.
    fields: Vec<HeaderName>,
    faults: Vec<Fault>,
}

/// What is known of a part.
#[derive(Clone, Copy)]
struct Found {
    kind: Kind,
    /// Whether it is the same for every request.
    constant: bool,
}

impl Found {
    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            constant: false,
        }
    }
}

impl<'a> Checker<'a> {
    fn fault(&mut self, node: &IdedExpr, what: impl Into<String>, hint: Hint) -> Kind {
        let fault = self.places.fault(node, what, hint);
        self.faults.push(fault);
        Kind::Any
    }

    /// A part that is a value, and not a whole peer.
    fn value(&mut self, node: &'a IdedExpr) -> Kind {
        self.found(node).kind
    }

    fn found(&mut self, node: &'a IdedExpr) -> Found {
        let found = self.part(node);
        let Some(((first, _), _)) = found.kind.fields().and_then(<[_]>::split_first) else {
            return found;
        };
        let what = format!("{} is no value by itself", found.kind.shown());
        Found::of(self.fault(
            node,
            what,
            Hint::Text(format!("name a field of it, like `.{first}`")),
        ))
    }

    fn part(&mut self, node: &'a IdedExpr) -> Found {
        match &node.expr {
            Expr::Literal(literal) => Found {
                kind: of_literal(literal),
                constant: true,
            },
            Expr::Ident(name) => Found::of(self.name(node, name)),
            Expr::Select(select) => Found::of(self.field(node, select)),
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(it) => Found::of(self.comprehension(node, it)),
            Expr::List(list) => {
                let found = list.elements.iter().map(|part| self.found(part));
                let found: Vec<Found> = found.collect();
                let texts = !found.is_empty() && found.iter().all(|it| it.kind == Kind::Text);
                Found {
                    kind: if texts { Kind::Texts } else { Kind::List },
                    constant: found.iter().all(|it| it.constant),
                }
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.value(&entry.key);
                        self.value(&entry.value);
                    }
                }
                Found::of(Kind::Map)
            }
            Expr::Struct(_) | Expr::Unspecified => Found::of(self.fault(
                node,
                "there are no messages here",
                "write a map, like `{'a': 1}`".into(),
            )),
        }
    }

    fn name(&mut self, node: &IdedExpr, name: &str) -> Kind {
        let looped = self.loops.iter().rev().find(|(known, _)| *known == name);
        if let Some((_, kind)) = looped {
            return *kind;
        }
        let kind = Kind::of_variable(name);
        if kind == Some(Kind::Token) && self.around.tokens == Tokens::Never {
            let what = "this asks for a token, and the route looks at none";
            let hint = "write `token: { issuer: NAME }`, or leave this out";
            self.fault(node, what, hint.into());
        }
        kind.unwrap_or_else(|| {
            let hint = Hint::OneOf {
                written: name.to_owned(),
                kind: "variables",
                words: owned(VARIABLES),
            };
            self.fault(node, format!("there is no variable `{name}`"), hint)
        })
    }

    /// `x.f` and `has(x.f)`.
    fn field(&mut self, node: &IdedExpr, select: &'a SelectExpr) -> Kind {
        let of = self.part(&select.operand).kind;
        let kind = match of.fields() {
            Some(fields) => match fields.iter().find(|(name, _)| *name == select.field) {
                Some((_, kind)) => *kind,
                None => {
                    let what = format!("{} has no field `{}`", of.shown(), select.field);
                    let hint = Hint::OneOf {
                        written: select.field.clone(),
                        kind: "fields",
                        words: owned(of.words()),
                    };
                    self.fault(node, what, hint)
                }
            },
            None if of == Kind::Headers => self.header(node, &select.field),
            None if of.may_be(Kind::Map) => Kind::Any,
            None => {
                let what = format!("{} has no fields", of.shown());
                self.fault(node, what, "only maps have, like `token.claims`".into())
            }
        };
        if select.test { Kind::Bool } else { kind }
    }

    fn header(&mut self, node: &IdedExpr, name: &str) -> Kind {
        if HIDDEN_FIELDS.contains(&name) {
            let what = format!("the field `{name}` holds a credential and is not shown");
            return self.fault(node, what, "ask `token.claims`, which were verified".into());
        }
        let Ok(name) = HeaderName::from_lowercase(name.as_bytes()) else {
            let what = "this is no name of a header field";
            let hint = "write it in lower case, like `request.headers['x-tenant']`";
            return self.fault(node, what, hint.into());
        };
        if !self.fields.contains(&name) {
            self.fields.push(name);
        }
        Kind::List
    }

    /// `all`, `exists`, `exists_one`, `map` and `filter`.
    fn comprehension(&mut self, node: &IdedExpr, it: &'a ComprehensionExpr) -> Kind {
        let range = self.value(&it.iter_range);
        let element = range.element().unwrap_or_else(|| {
            let what = format!("{} has no entries to go through", range.shown());
            self.fault(&it.iter_range, what, "go through a list or a map".into())
        });
        if Kind::of_variable(&it.iter_var).is_some() {
            let what = format!("the variable `{}` is known already", it.iter_var);
            self.fault(
                node,
                what,
                "give the loop a name of its own, like `x`".into(),
            );
        }
        let before = self.loops.len();
        let sum = self.value(&it.accu_init);
        self.loops.push((&it.accu_var, sum));
        self.loops.push((&it.iter_var, element));
        self.value(&it.loop_cond);
        self.value(&it.loop_step);
        let result = self.value(&it.result);
        self.loops.truncate(before);
        result
    }

    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr) -> Found {
        let mistakes = self.faults.len();
        let mut parts: Vec<&'a IdedExpr> = Vec::new();
        parts.extend(call.target.as_deref());
        parts.extend(&call.args);
        let equality = matches!(call.func_name.as_str(), op::EQUALS | op::NOT_EQUALS);
        let found: Vec<Found> = parts
            .iter()
            .map(|part| match equality {
                true => self.part(part),
                false => self.found(part),
            })
            .collect();
        let kinds: Vec<Kind> = found.iter().map(|it| it.kind).collect();
        let kind = match kinds.as_slice() {
            [of, at] if call.func_name == op::INDEX => Some(self.index(node, (*of, *at), &parts)),
            [_, Kind::Headers] if call.func_name == op::IN => {
                if let Some(name) = parts.first().and_then(|part| text(part)) {
                    self.header(node, name);
                }
                self.operator(node, &call.func_name, &kinds)
            }
            _ => self.operator(node, &call.func_name, &kinds),
        };
        let kind = kind.unwrap_or_else(|| self.function(node, call, &kinds));
        let compares = equality || call.func_name == op::IN;
        if let ([left, right], true) = (parts.as_slice(), compares) {
            for (part, what, hint) in words::mistakes(left, right, self.around) {
                self.fault(part, what, hint);
            }
        }
        // The crate would know `matches` only with regular expressions that are not bounded.
        let constant = found.iter().all(|it| it.constant) && call.func_name != "matches";
        if constant
            && self.faults.len() == mistakes
            && let Err(failure) = functions::of_constants(node)
        {
            let what = format!("this fails for every request: {failure}");
            return Found::of(self.fault(node, what, "write what it is to be".into()));
        }
        Found { kind, constant }
    }

    /// What comes of an operator; `None` if it is none.
    fn operator(&mut self, node: &IdedExpr, name: &str, kinds: &[Kind]) -> Option<Kind> {
        let signature = match kinds {
            [left, right] => signature::pair(name, *left, *right),
            _ => None,
        };
        let Signature { fits, gives } = signature.or_else(|| signature::other(name, kinds))?;
        if !fits {
            let shown: Vec<_> = kinds.iter().map(|kind| kind.shown()).collect();
            let what = match (name, shown.as_slice()) {
                (op::EQUALS | op::NOT_EQUALS, [left, right]) => {
                    format!("{left} never equals {right}")
                }
                (op::CONDITIONAL, [condition, ..]) => format!("`?` does not fit {condition}"),
                _ => {
                    let sign = name.trim_matches('_').trim_start_matches('@');
                    format!("`{sign}` does not fit {}", shown.join(" and "))
                }
            };
            self.fault(node, what, FITTING.into());
        }
        Some(gives)
    }

    /// `x[i]`.
    fn index(&mut self, node: &IdedExpr, (of, index): (Kind, Kind), parts: &[&IdedExpr]) -> Kind {
        let (fits, gives) = match of {
            Kind::Any => (true, Kind::Any),
            Kind::List => (index.may_be(Kind::Int) || index == Kind::Uint, Kind::Any),
            Kind::Texts => (index.may_be(Kind::Int) || index == Kind::Uint, Kind::Text),
            Kind::Map => (index.may_be(Kind::Text), Kind::Any),
            Kind::Headers => {
                if let Some(name) = parts.get(1).and_then(|part| text(part)) {
                    return self.header(node, name);
                }
                (index.may_be(Kind::Text), Kind::List)
            }
            Kind::Null
            | Kind::Bool
            | Kind::Int
            | Kind::Uint
            | Kind::Double
            | Kind::Text
            | Kind::Bytes
            | Kind::Type
            | Kind::Peer
            | Kind::Token
            | Kind::Request => (false, Kind::Any),
        };
        if fits {
            return gives;
        }
        let what = format!("{} has no entry by {}", of.shown(), index.shown());
        self.fault(
            node,
            what,
            "lists have theirs by a number, maps by a text".into(),
        )
    }

    fn function(&mut self, node: &IdedExpr, call: &CallExpr, kinds: &[Kind]) -> Kind {
        let name = call.func_name.as_str();
        let Some(signature) = signature::function(name, kinds, call.target.is_some()) else {
            let (what, hint) = match FUNCTIONS.contains(&name) {
                true => (
                    format!("`{name}` is not called like this"),
                    Hint::from("docs/tokens.md shows how each function is called"),
                ),
                false => (
                    format!("there is no function `{name}`"),
                    Hint::OneOf {
                        written: name.to_owned(),
                        kind: "functions",
                        words: owned(FUNCTIONS),
                    },
                ),
            };
            return self.fault(node, what, hint);
        };
        if !signature.fits {
            let shown: Vec<_> = kinds.iter().map(|kind| kind.shown()).collect();
            let what = format!("`{name}` does not take {}", shown.join(" and "));
            self.fault(node, what, FITTING.into());
        }
        signature.gives
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const FITTING: &str = "convert one of them, for example with `string(..)` or `int(..)`, or compare \
     something else";

/// The text, if a part is one.
pub(super) fn text(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        Expr::Literal(_)
        | Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => None,
    }
}

const fn of_literal(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::UInt(_) => Kind::Uint,
    }
}
