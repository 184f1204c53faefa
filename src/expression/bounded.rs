//! Rewrites an expression so that it takes the cost of what it does from a budget, and its patterns
//! are compiled before any request is there.
//!
//! Without loops an expression is bounded by its length and by what a request may hold. A loop over
//! a claim, or one in another, is as long as a stranger makes it. So a loop takes its entries
//! times the parts of its body from the budget before it begins, and inside of it each value is
//! weighed where it is named. Whatever else there is was made of these, once each.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr,
};
use cel::common::types::CelInt;

use super::check::text;
use super::functions::{LOOP, MATCHES, Pattern, WEIGH};
use super::source::{Fault, Places, parts};
use super::values::{BUDGET_NAME, PATTERN_NAME};

/// A rewritten expression.
pub(super) struct Bounded {
    pub(super) tree: IdedExpr,
    /// The patterns, by the number in their names.
    pub(super) patterns: Box<[Pattern]>,
}

/// Rewrites a tree.
///
/// # Errors
///
/// Patterns that cannot be compiled, or are not there before a request is.
pub(super) fn bounded(tree: IdedExpr, places: &Places<'_>) -> Result<Bounded, Vec<Fault>> {
    let mut rewriter = Rewriter {
        places,
        patterns: Vec::new(),
        faults: Vec::new(),
    };
    let tree = rewriter.part(tree, false);
    if rewriter.faults.is_empty() {
        let patterns = rewriter.patterns.into();
        Ok(Bounded { tree, patterns })
    } else {
        Err(rewriter.faults)
    }
}

struct Rewriter<'a> {
    places: &'a Places<'a>,
    patterns: Vec<Pattern>,
    faults: Vec<Fault>,
}

impl Rewriter<'_> {
    /// One part; `looped` says whether it is evaluated for each entry of something.
    fn part(&mut self, node: IdedExpr, looped: bool) -> IdedExpr {
        let id = node.id;
        let weighed = looped && is_named(&node);
        let expr = match node.expr {
            Expr::Call(call) => return self.call(id, call, looped),
            Expr::Comprehension(it) => self.comprehension(*it, looped),
            Expr::Select(select) => Expr::Select(SelectExpr {
                // `x.a.b` is one name, and weighed as a whole.
                operand: match is_named(&select.operand) {
                    true => select.operand,
                    false => Box::new(self.part(*select.operand, looped)),
                },
                ..select
            }),
            Expr::List(list) => Expr::List(ListExpr {
                elements: self.all(list.elements, looped),
                ..list
            }),
            Expr::Map(mut map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.part(std::mem::take(&mut entry.key), looped);
                        entry.value = self.part(std::mem::take(&mut entry.value), looped);
                    }
                }
                Expr::Map(map)
            }
            other @ (Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_)) => {
                other
            }
        };
        let node = IdedExpr { id, expr };
        match weighed {
            true => ours(id, WEIGH, vec![named(id, BUDGET_NAME), node]),
            false => node,
        }
    }

    fn all(&mut self, nodes: Vec<IdedExpr>, looped: bool) -> Vec<IdedExpr> {
        nodes
            .into_iter()
            .map(|node| self.part(node, looped))
            .collect()
    }

    fn call(&mut self, id: u64, mut call: CallExpr, looped: bool) -> IdedExpr {
        let target = call.target.take();
        if call.func_name == "matches" {
            let args = target.into_iter().map(|target| *target).chain(call.args);
            return self.matches(id, args.collect(), looped);
        }
        call.target = target.map(|target| Box::new(self.part(*target, looped)));
        call.args = self.all(call.args, looped);
        let expr = Expr::Call(call);
        IdedExpr { id, expr }
    }

    fn matches(&mut self, id: u64, args: Vec<IdedExpr>, looped: bool) -> IdedExpr {
        let mut args = args.into_iter();
        let subject = args.next().unwrap_or_default();
        let pattern = args.next().unwrap_or_default();
        let name = self.pattern(&pattern);
        let subject = self.part(subject, looped);
        let args = vec![named(id, BUDGET_NAME), subject, named(id, &name)];
        ours(id, MATCHES, args)
    }

    /// The name by which a pattern is found.
    fn pattern(&mut self, node: &IdedExpr) -> String {
        let name = format!("{PATTERN_NAME}{}", self.patterns.len());
        let Some(text) = text(node) else {
            let what = "the pattern is not known before there is a request";
            let hint =
                "write it out, like `.matches('^[a-z]+$')`; a value is searched with `contains`";
            self.faults.push(self.places.fault(node, what, hint.into()));
            return name;
        };
        match Pattern::new(text) {
            Ok(pattern) => self.patterns.push(pattern),
            Err(error) => {
                let what = format!("this is no pattern: {}", in_one_line(&error));
                let hint = "patterns are those of the crate `regex`, without look-around and back-references";
                self.faults.push(self.places.fault(node, what, hint.into()));
            }
        }
        name
    }

    fn comprehension(&mut self, it: ComprehensionExpr, looped: bool) -> Expr {
        let body = [&it.loop_cond, &it.loop_step].map(evaluated);
        let parts = body.into_iter().fold(0_i64, i64::saturating_add);
        let id = it.iter_range.id;
        let range = self.part(it.iter_range, looped);
        let parts = Expr::Literal(LiteralValue::Int(CelInt::from(parts)));
        let parts = IdedExpr { id, expr: parts };
        Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: ours(id, LOOP, vec![named(id, BUDGET_NAME), range, parts]),
            loop_cond: self.part(it.loop_cond, true),
            loop_step: self.part(it.loop_step, true),
            ..it
        }))
    }
}

/// How many parts are evaluated for one entry of a loop. A loop in it takes its own body from the
/// budget.
fn evaluated(node: &IdedExpr) -> i64 {
    let below: i64 = match &node.expr {
        Expr::Comprehension(it) => evaluated(&it.iter_range),
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => parts(node).into_iter().map(evaluated).sum(),
    };
    below.saturating_add(1)
}

/// Whether a part is `x` or `x.a.b`. What the macros name themselves begins with `@`: the crate
/// looks for it where they left it.
fn is_named(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Ident(name) => !name.starts_with('@'),
        Expr::Select(select) => !select.test && is_named(&select.operand),
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => false,
    }
}

fn named(id: u64, name: &str) -> IdedExpr {
    let expr = Expr::Ident(name.to_owned());
    IdedExpr { id, expr }
}

fn ours(id: u64, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let expr = Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    });
    IdedExpr { id, expr }
}

/// The last line of the crate's message says what is wrong; those before show where.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
