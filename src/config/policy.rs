//! The values of `routes.NAME.policy` and `routes.NAME.subject_is_peer`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::expression::Expression;
use crate::identity::claim::{ClaimPath, ClaimTest};
use crate::identity::client_pattern::ClientPattern;
use crate::identity::name::Name;
use crate::identity::spiffe_template::SpiffeTemplate;

/// What must hold of a request beside `clients` and `token`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySpec {
    /// Which certificate belongs to the token's subject. Default none is asked for.
    pub subject_is_peer: Option<SubjectIsPeerSpec>,
    /// Rules, each of which must hold. Default none.
    pub rules: Vec<RuleSpec>,
}

/// `routes.NAME.subject_is_peer`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectIsPeerSpec {
    /// The SPIFFE ID of a subject.
    pub template: SpiffeTemplate,
    /// Whether it is counted and logged, and nothing is refused. Default false.
    pub report_only: bool,
}

/// One entry of `routes.NAME.policy`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// Its name in metrics and logs.
    pub name: Name,
    /// What must hold.
    pub asks: RuleAsks,
    /// Whether it is counted and logged, and nothing is refused. Default false.
    pub report_only: bool,
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleAsks {
    /// `allow`: that one of these fits. At least one.
    Allow(Vec<AllowSpec>),
    /// `cel`: that this is true.
    Cel(Arc<Expression>),
}

/// One entry of `allow`: all of it must fit, and at least one thing is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowSpec {
    /// The certificate is one of these. Empty: any, or none.
    pub identities: Vec<ClientPattern>,
    /// The issuer of the token. None: each that the route takes.
    pub issuer: Option<Name>,
    /// Scopes that the token must give, all of them.
    pub scopes: Vec<String>,
    /// Claims that the token must have, all of them.
    pub claims: BTreeMap<ClaimPath, ClaimTest>,
}
