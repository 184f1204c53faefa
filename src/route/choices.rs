//! The routes that share a host and a path: told apart by method and header fields.
//!
//! They are found by hashing, however many there are: first by the values of the fields that
//! they name, then by method. The cost grows only with the number of different sets of field
//! names at one path.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use http::{HeaderMap, HeaderName, Method};

use crate::config::spec::MatchSpec;
use crate::identity::fields::has_twin;

/// Routes at one path. No two of them match the same request equally well.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// Routes that name header fields, by which fields they name; those with most come first.
    by_headers: Vec<HeaderGroup>,
    /// Routes that name no header fields.
    plain: Methods,
}

/// Routes that name the same header fields.
#[derive(Debug)]
struct HeaderGroup {
    /// In ascending order.
    names: Box<[HeaderName]>,
    by_values: HashMap<Vec<u8>, Methods>,
}

/// Routes that differ in nothing but their methods.
#[derive(Debug, Default)]
struct Methods {
    /// A few: only methods that HTTP knows are forwarded.
    listed: Vec<(Method, usize)>,
    /// The route that lists none, and means every method.
    unlisted: Option<usize>,
}

/// Pairs of routes that match the same requests equally well, the smaller index first.
pub(super) type Ties = BTreeSet<(usize, usize)>;

impl Choices {
    /// Adds a route. If it ties with one that is here, it is only put on the list.
    pub(super) fn add(&mut self, route: usize, spec: &MatchSpec, ties: &mut Ties) {
        let methods = if spec.headers.is_empty() {
            &mut self.plain
        } else {
            let wanted = wanted_fields(spec);
            let names: Box<[HeaderName]> = wanted.iter().map(|(n, _)| (*n).clone()).collect();
            let group = match self.by_headers.iter().position(|g| g.names == names) {
                Some(at) => self.by_headers.get_mut(at),
                None => {
                    let by_values = HashMap::new();
                    self.by_headers.push(HeaderGroup { names, by_values });
                    self.by_headers.last_mut()
                }
            };
            let Some(group) = group else { return }; // it was found or pushed
            let values = key(wanted.iter().map(|(_, value)| value.as_bytes()));
            group.by_values.entry(values).or_default()
        };
        methods.add(route, &spec.methods, ties);
    }

    /// Puts the groups in order, and finds the ties between routes that name different fields.
    pub(super) fn finish<'a>(
        &mut self,
        spec_of: &impl Fn(usize) -> Option<&'a MatchSpec>,
        ties: &mut Ties,
    ) {
        self.by_headers
            .sort_by_key(|group| Reverse(group.names.len()));
        for (at, one) in self.by_headers.iter().enumerate() {
            let as_many = |other: &&HeaderGroup| other.names.len() == one.names.len();
            for other in self.by_headers.iter().skip(at + 1).take_while(as_many) {
                one.ties_with(other, spec_of, ties);
            }
        }
    }

    /// Whether a field that routes are told apart by is there in a spelling that a service may take for
    /// it, and we do not.
    pub(super) fn has_twin(&self, headers: &HeaderMap) -> bool {
        let mut names = self.by_headers.iter().flat_map(|group| &group.names);
        names.any(|name| has_twin(headers, name))
    }

    /// The route that says most about the request: one that lists methods before one that lists
    /// none, then the one that names most header fields.
    pub(super) fn find(&self, method: &Method, headers: &HeaderMap) -> Option<usize> {
        let mut unlisted = None;
        for group in &self.by_headers {
            let Some(methods) = group.find(headers) else {
                continue;
            };
            if let Some(route) = methods.with(method) {
                return Some(route);
            }
            unlisted = unlisted.or(methods.unlisted);
        }
        self.plain.with(method).or(unlisted).or(self.plain.unlisted)
    }
}

impl HeaderGroup {
    /// The routes whose fields have exactly the request's values. A field that stands in the
    /// request twice has none: who comes behind us may read the one or the other.
    fn find(&self, headers: &HeaderMap) -> Option<&Methods> {
        let mut values = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let mut lines = headers.get_all(name).iter();
            let (Some(value), None) = (lines.next(), lines.next()) else {
                return None;
            };
            values.push(value.as_bytes());
        }
        self.by_values.get(&key(values.into_iter()))
    }

    /// Two routes that name as many fields, but not the same ones, tie if one request can have all
    /// their values and both list its method, or neither lists any. One of several ties suffices.
    fn ties_with<'a>(
        &self,
        other: &Self,
        spec_of: &impl Fn(usize) -> Option<&'a MatchSpec>,
        ties: &mut Ties,
    ) {
        let shared: Vec<_> = self
            .names
            .iter()
            .filter(|n| other.names.contains(n))
            .collect();
        let shared_values = |route: usize| {
            let wanted = wanted_fields(spec_of(route)?).into_iter();
            let shared = wanted.filter(|(name, _)| shared.contains(name));
            Some(key(shared.map(|(_, value)| value.as_bytes())))
        };
        let ours: HashMap<_, _> = self
            .routes()
            .filter_map(|(method, route)| Some(((method, shared_values(route)?), route)))
            .collect();
        for (method, route) in other.routes() {
            let Some(values) = shared_values(route) else {
                continue;
            };
            if let Some(&one) = ours.get(&(method, values)) {
                ties.insert((one.min(route), one.max(route)));
            }
        }
    }

    /// Each route once for each of its methods.
    fn routes(&self) -> impl Iterator<Item = (Option<&Method>, usize)> {
        self.by_values.values().flat_map(|methods| {
            let listed = methods
                .listed
                .iter()
                .map(|(method, route)| (Some(method), *route));
            listed.chain(methods.unlisted.map(|route| (None, route)))
        })
    }
}

impl Methods {
    fn add(&mut self, route: usize, methods: &[Method], ties: &mut Ties) {
        if methods.is_empty() {
            match self.unlisted {
                Some(other) => drop(ties.insert((other.min(route), other.max(route)))),
                None => self.unlisted = Some(route),
            }
        }
        self.listed.reserve_exact(methods.len());
        for method in methods {
            match self.with(method) {
                Some(other) if other == route => {} // listed twice
                Some(other) => drop(ties.insert((other.min(route), other.max(route)))),
                None => self.listed.push((method.clone(), route)),
            }
        }
    }

    fn with(&self, method: &Method) -> Option<usize> {
        let listed = self.listed.iter().find(|(listed, _)| listed == method);
        listed.map(|(_, route)| *route)
    }
}

/// The fields that a route names, with their values, in one order for all routes.
fn wanted_fields(spec: &MatchSpec) -> Vec<(&HeaderName, &str)> {
    let fields = spec.headers.iter();
    let mut wanted: Vec<_> = fields.map(|(name, value)| (name, value.as_str())).collect();
    wanted.sort_unstable_by_key(|(name, _)| name.as_str());
    wanted
}

/// Values as one key: each behind its length, so that no two lists look alike.
fn key<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut key = Vec::new();
    for value in values {
        key.extend_from_slice(&value.len().to_le_bytes());
        key.extend_from_slice(value);
    }
    key
}
