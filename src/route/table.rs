//! [`RouteTable`]: finds the route of a request, at the same cost for ten routes and for a hundred
//! thousand.
//!
//! Which of several routes that match is taken does not depend on their order in the file or on
//! their names. Asked in this sequence, the first difference decides:
//!
//! 1. an exact host before `*.`;
//! 2. a longer path before a shorter one, in segments, not counting `**`;
//! 3. from the left, an exact segment before `{name}`;
//! 4. a path that ends before one that goes on with `**`;
//! 5. a list of methods before none;
//! 6. more header fields before fewer.
//!
//! A route that does not match method or header fields is passed over, and the next one is asked.
//! Routes that none of this tells apart, and that one request could match, tie: there is no table.

use std::collections::{BTreeMap, HashMap};

use http::{HeaderMap, Method};

use crate::config::spec::{HostPattern, MatchSpec, RouteSpec};
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;

use super::choices::{Choices, Ties};
use super::trie::{Node, Trie};

/// The routes of one configuration, compiled.
#[derive(Debug)]
pub struct RouteTable {
    exact_hosts: HashMap<Host, Node>,
    /// `*.example.com`, by `example.com`.
    hosts_below: HashMap<Box<str>, Node>,
    paths: Trie,
    /// Whether any route names header fields.
    by_headers: bool,
}

/// Two routes that match the same requests equally well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tie {
    /// The one that comes first by name.
    pub a: Name,
    /// The other.
    pub b: Name,
}

impl RouteTable {
    /// Compiles routes. The time it takes grows with their number, not with its square.
    ///
    /// # Errors
    ///
    /// Routes that tie, in the order of their names. Of three or more routes that tie, each is
    /// named, but not every pair.
    pub fn build(routes: &BTreeMap<Name, RouteSpec>) -> Result<Self, Vec<Tie>> {
        let named: Vec<(&Name, &MatchSpec)> = routes
            .iter()
            .map(|(name, spec)| (name, &spec.matches))
            .collect();
        let mut table = Self {
            exact_hosts: HashMap::new(),
            hosts_below: HashMap::new(),
            paths: Trie::default(),
            by_headers: named.iter().any(|(_, spec)| !spec.headers.is_empty()),
        };
        let mut ties = Ties::new();
        for (index, (_, spec)) in named.iter().enumerate() {
            let root = table.root(&spec.host);
            if let Some(choices) = table.paths.choices(root, &spec.path) {
                choices.add(index, spec, &mut ties);
            }
        }
        let spec_of = |index: usize| named.get(index).map(|(_, spec)| *spec);
        for choices in table.paths.all_choices() {
            choices.finish(&spec_of, &mut ties);
        }
        let name_of = |index: usize| named.get(index).map(|(name, _)| (*name).clone());
        let ties: Vec<_> = ties
            .into_iter()
            .filter_map(|(a, b)| {
                Some(Tie {
                    a: name_of(a)?,
                    b: name_of(b)?,
                })
            })
            .collect();
        if ties.is_empty() {
            Ok(table)
        } else {
            Err(ties)
        }
    }

    fn root(&mut self, host: &HostPattern) -> Node {
        let paths = &mut self.paths;
        match host {
            HostPattern::Exact(host) => *self
                .exact_hosts
                .entry(host.clone())
                .or_insert_with(|| paths.add_root()),
            HostPattern::Below(parent) => *self
                .hosts_below
                .entry(parent.dns_name().unwrap_or_default().into())
                .or_insert_with(|| paths.add_root()),
        }
    }

    /// The route that a request takes, as its place in the map that the table was built from.
    ///
    /// None if no route matches: the request is refused.
    #[must_use]
    pub fn find(
        &self,
        host: &Host,
        path: &NormalPath,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<usize> {
        let choose = &mut |choices: &Choices| choices.find(method, headers);
        let mut roots = self.roots(host);
        roots.find_map(|root| self.paths.find(root, path, choose))
    }

    /// Whether a field by which a route for this host and path is chosen is there in another spelling
    /// (`X_Tenant` for `x-tenant`), which the service behind may take for it.
    #[must_use]
    pub fn has_twin(&self, host: &Host, path: &NormalPath, headers: &HeaderMap) -> bool {
        if !self.by_headers {
            return false;
        }
        let mut found = false;
        // None of them is chosen, so that all that match are looked at.
        let choose = &mut |choices: &Choices| {
            found = found || choices.has_twin(headers);
            None
        };
        for root in self.roots(host) {
            self.paths.find(root, path, choose);
        }
        found
    }

    /// Where to look: the exact host first.
    fn roots(&self, host: &Host) -> impl Iterator<Item = Node> {
        let exact = self.exact_hosts.get(host).copied();
        let parent = host.dns_name().and_then(|name| name.split_once('.'));
        let below = parent.and_then(|(_, parent)| self.hosts_below.get(parent).copied());
        exact.into_iter().chain(below)
    }
}
