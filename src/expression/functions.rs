//! What a rewritten expression calls beside the functions of CEL: what counts its cost, and patterns
//! that were compiled before. Their names begin with `@`, which nobody can write.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{
    CelBool, CelBytes, CelInt, CelList, CelMap, CelString, DYN_TYPE, INT_TYPE, STRING_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Context, Env, ExecutionError, Value};

use super::Failure;

/// `@loop(@budget, range, parts)`: the range, after the cost of going through it was taken.
pub(super) const LOOP: &str = "@loop";
/// `@weigh(@budget, value)`: the value, after the cost of looking at it was taken.
pub(super) const WEIGH: &str = "@weigh";
/// `@matches(@budget, text, pattern)`.
pub(super) const MATCHES: &str = "@matches";

/// What a loop may cost in an evaluation, in parts of the expression that are evaluated and in
/// pieces of 64 bytes that they look at: some milliseconds. A loop over 200 groups that compares
/// each with 20 names costs 5,000.
pub(super) const BUDGET: u32 = 20_000;
const PIECE_BYTES: usize = 64;
/// A byte of text costs a pattern more than it costs a comparison: half a microsecond for each unit of its
/// weight, where every byte makes a state that it has not seen (`a[ab]{100}c` on any `a` and `b`).
const PATTERN_PIECE_BYTES: usize = 2;

/// What is left of [`BUDGET`] in one evaluation.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

/// A pattern of `matches`, as a value.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: regex::Regex,
    /// What it costs to hold a piece of text against it: as much as it has states that a text can
    /// keep in play at once.
    weight: usize,
}

static BUDGET_TYPE: Type = Type::new_unspecified_type("budget");
static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

/// The functions of CEL and ours. The same for every expression, and never changed.
pub(super) fn environment() -> Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut env = Env::default().with_optional_support(false).with_stdlib();
        let budget = || BUDGET_TYPE.to_owned();
        // A function that were not there would fail when it is called: a refusal.
        drop(env.add_overload(LOOP, LOOP, vec![budget(), DYN_TYPE, INT_TYPE], looped));
        drop(env.add_overload(WEIGH, WEIGH, vec![budget(), DYN_TYPE], weighed));
        let pattern = PATTERN_TYPE.to_owned();
        let args = vec![budget(), STRING_TYPE, pattern];
        drop(env.add_overload(MATCHES, MATCHES, args, matched));
        Arc::new(env)
    });
    Arc::clone(&ENVIRONMENT)
}

/// Evaluates a part that names no variable.
///
/// # Errors
///
/// Why it cannot be.
pub(super) fn of_constants(part: &IdedExpr) -> Result<(), Failure> {
    let context = Context::with_env(environment());
    match Value::resolve_val(part, &context) {
        Ok(_value) => Ok(()),
        Err(error) => Err(Failure::sorted(&error, "")),
    }
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(BUDGET))
    }

    /// What is left; 0 once anything was asked for that was no longer there.
    pub(super) fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, cost: usize) -> Result<(), ExecutionError> {
        let left = u32::try_from(cost)
            .ok()
            .and_then(|cost| self.left().checked_sub(cost))
            .filter(|left| *left > 0);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        match left {
            Some(_) => Ok(()),
            None => Err(ExecutionError::function_error("budget", "")),
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, regex::Error> {
        // The crate does not tell how large a pattern is, only that it is too large.
        let mut bytes = PATTERN_BYTES;
        loop {
            let built = regex::RegexBuilder::new(text)
                .size_limit(bytes)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build();
            match built {
                Err(regex::Error::CompiledTooBig(_)) if bytes < PATTERN_BYTES_MAX => bytes *= 2,
                built => {
                    let weight = bytes / PATTERN_BYTES;
                    return built.map(|regex| Self { regex, weight });
                }
            }
        }
    }
}

/// What a pattern of weight 1 takes, when it is compiled.
const PATTERN_BYTES: usize = 2 << 10;
/// What any may take. `^[\w-]+$` takes a quarter.
const PATTERN_BYTES_MAX: usize = 64 * PATTERN_BYTES;

/// The cost of looking at a value once, as far as there is so much left.
fn weight(value: &dyn Val, most: usize) -> usize {
    let of_bytes = |bytes: usize| bytes / PIECE_BYTES + 1;
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        return of_bytes(text.inner().len());
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        return of_bytes(bytes.inner().len());
    }
    let mut sum = 1_usize;
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        for element in list.inner() {
            sum = sum.saturating_add(weight(&**element, most.saturating_sub(sum)));
            if sum > most {
                break;
            }
        }
    }
    if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        for (key, element) in map.inner() {
            sum = sum.saturating_add(weight(key.inner(), most));
            sum = sum.saturating_add(weight(&**element, most.saturating_sub(sum)));
            if sum > most {
                break;
            }
        }
    }
    sum
}

fn budget<'a>(args: &'a [CowVal<'_, '_>]) -> Result<&'a Budget, ExecutionError> {
    let budget = args.first().and_then(|arg| arg.downcast_ref::<Budget>());
    budget.ok_or_else(ExecutionError::missing_argument_or_target)
}

fn weighed<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let budget = budget(&args)?;
    let value = args
        .get(1)
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    budget.take(weight(value.as_ref(), size(budget.left())))?;
    Ok(args.swap_remove(1))
}

fn looped<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let budget = budget(&args)?;
    let missing = ExecutionError::missing_argument_or_target;
    let range = args.get(1).ok_or_else(missing)?;
    let parts = args.get(2).and_then(|arg| arg.downcast_ref::<CelInt>());
    let parts = usize::try_from(*parts.ok_or_else(missing)?.inner()).unwrap_or(usize::MAX);
    // What has no size has no entries either: the loop itself refuses it.
    let entries = range.as_sizer().map_or(0, |sizer| *sizer.size().inner());
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let weight = weight(range.as_ref(), size(budget.left()));
    budget.take(entries.saturating_mul(parts).saturating_add(weight))?;
    Ok(args.swap_remove(1))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "what the crate takes for a function"
)]
fn matched<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let budget = budget(&args)?;
    let text = args
        .get(1)
        .and_then(|arg| arg.downcast_ref::<CelString<'_>>());
    let pattern = args.get(2).and_then(|arg| arg.downcast_ref::<Pattern>());
    let (Some(text), Some(pattern)) = (text, pattern) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let pieces = text.inner().len() / PATTERN_PIECE_BYTES + 1;
    budget.take(pieces.saturating_mul(pattern.weight))?;
    let matched = pattern.regex.is_match(text.inner());
    Ok(CowVal::owned(CelBool::from(matched)))
}

fn size(left: u32) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX)
}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        &BUDGET_TYPE
    }

    fn cel_type() -> &'static Type {
        &BUDGET_TYPE
    }

    /// A copy has nothing to give: a second budget would be none.
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self(AtomicU32::new(0)))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Budget {}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}
