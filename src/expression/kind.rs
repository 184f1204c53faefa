//! [`Kind`]: what is known of a value before any request is there, and the words of expressions.

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever a claim holds.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    /// A list of texts.
    Texts,
    List,
    Map,
    /// From the name of a header field to its values.
    Headers,
    /// What `type(x)` gives.
    Type,
    Peer,
    Token,
    Request,
}

/// The variables of every expression.
pub(super) const VARIABLES: &[&str] = &["peer", "token", "request", "now"];

/// Names of types, to compare `type(x)` with.
const TYPES: [&str; 10] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

const PEER: &[(&str, Kind)] = &[
    ("spiffe_id", Kind::Text),
    ("trust_domain", Kind::Text),
    ("dns", Kind::Texts),
    ("fingerprint", Kind::Text),
    ("pin", Kind::Text),
    ("not_after", Kind::Int),
];
const TOKEN: &[(&str, Kind)] = &[
    ("sub", Kind::Text),
    ("issuer", Kind::Text),
    ("scopes", Kind::Texts),
    ("claims", Kind::Map),
    ("expires", Kind::Int),
    ("credential", Kind::Text),
];
const REQUEST: &[(&str, Kind)] = &[
    ("method", Kind::Text),
    ("host", Kind::Text),
    ("path", Kind::Text),
    ("query", Kind::Text),
    ("headers", Kind::Headers),
    ("listener", Kind::Text),
];
const PEER_WORDS: &[&str] = &[
    "spiffe_id",
    "trust_domain",
    "dns",
    "fingerprint",
    "pin",
    "not_after",
];
const TOKEN_WORDS: &[&str] = &["sub", "issuer", "scopes", "claims", "expires", "credential"];
const REQUEST_WORDS: &[&str] = &["method", "host", "path", "query", "headers", "listener"];

/// Functions that are called as `f(x)` and as `x.f()`.
pub(super) const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];

/// Fields that hold credentials: a rule has no business with them, and reads the token's claims.
pub(super) const HIDDEN_FIELDS: [&str; 4] =
    ["authorization", "cookie", "dpop", "proxy-authorization"];

impl Kind {
    /// Of a name that no loop has made.
    pub(super) fn of_variable(name: &str) -> Option<Self> {
        match name {
            "peer" => Some(Self::Peer),
            "token" => Some(Self::Token),
            "request" => Some(Self::Request),
            "now" => Some(Self::Int),
            _ => TYPES.contains(&name).then_some(Self::Type),
        }
    }

    /// The fields of a variable; `None` if it is no variable with fields.
    pub(super) const fn fields(self) -> Option<&'static [(&'static str, Self)]> {
        match self {
            Self::Peer => Some(PEER),
            Self::Token => Some(TOKEN),
            Self::Request => Some(REQUEST),
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Texts
            | Self::List
            | Self::Map
            | Self::Headers
            | Self::Type => None,
        }
    }

    /// The names of [`Self::fields`].
    pub(super) const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Peer => PEER_WORDS,
            Self::Token => TOKEN_WORDS,
            Self::Request => REQUEST_WORDS,
            Self::Any
            | Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Texts
            | Self::List
            | Self::Map
            | Self::Headers
            | Self::Type => &[],
        }
    }

    /// In a sentence.
    pub(super) const fn shown(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Null => "null",
            Self::Bool => "a truth value",
            Self::Int => "a whole number",
            Self::Uint => "an unsigned number",
            Self::Double => "a number with a fraction",
            Self::Text => "a text",
            Self::Bytes => "bytes",
            Self::Texts => "a list of texts",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Headers => "the header fields",
            Self::Type => "a type",
            Self::Peer => "the whole peer",
            Self::Token => "the whole token",
            Self::Request => "the whole request",
        }
    }

    /// Whether nothing is known of it, or it is this.
    pub(super) fn may_be(self, other: Self) -> bool {
        self == Self::Any || self == other
    }

    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::Texts | Self::List)
    }

    pub(super) const fn is_map(self) -> bool {
        matches!(self, Self::Map | Self::Headers)
    }

    /// Whether two values can be equal. `peer == null` asks whether there is one.
    pub(super) fn may_equal(self, other: Self) -> bool {
        let either = |kind: Self| self == kind || other == kind;
        let whole = |kind: Self| kind.fields().is_some();
        if whole(self) || whole(other) {
            return either(Self::Null) && !either(Self::Request);
        }
        either(Self::Any)
            || self == other
            || (self.is_number() && other.is_number())
            || (self.is_list() && other.is_list())
            || (self.is_map() && other.is_map())
    }

    /// What a loop over it, or `in`, finds there; `None` if it holds nothing.
    pub(super) const fn element(self) -> Option<Self> {
        match self {
            Self::Any | Self::List => Some(Self::Any),
            Self::Texts | Self::Map | Self::Headers => Some(Self::Text),
            Self::Null
            | Self::Bool
            | Self::Int
            | Self::Uint
            | Self::Double
            | Self::Text
            | Self::Bytes
            | Self::Type
            | Self::Peer
            | Self::Token
            | Self::Request => None,
        }
    }

    /// What one of two values is.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}
