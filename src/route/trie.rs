//! The paths of a route table, as a trie of segments.
//!
//! All nodes lie in one list, and all edges in one map, so that a hundred thousand routes are a few
//! large allocations. The text of each segment is kept once and has a number; an edge is a pair of
//! numbers, which no client chooses.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::config::spec::{PathPattern, SegmentPattern};
use crate::identity::path::{NormalPath, comparable};

use super::choices::Choices;

/// A number of a node; some nodes are roots, one for each host.
pub(super) type Node = usize;

#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Place>,
    /// From a node along a segment's number to a node.
    edges: HashMap<(Node, usize), Node>,
    /// Each literal segment's number.
    segments: HashMap<Box<str>, usize>,
}

/// Where some path ends or goes on.
#[derive(Debug, Default)]
struct Place {
    /// Along `{name}`.
    any: Option<Node>,
    /// Routes whose path ends here.
    here: Option<Box<Choices>>,
    /// Routes whose path goes on with `**`.
    below: Option<Box<Choices>>,
}

/// The best route so far, and how many segments its pattern has.
type Best = Option<(usize, usize)>;

/// Whether a search goes on.
#[derive(PartialEq, Eq)]
enum Search {
    GoesOn,
    /// No path that comes later is as long.
    IsOver,
}

impl Trie {
    pub(super) fn add_root(&mut self) -> Node {
        self.nodes.push(Place::default());
        self.nodes.len() - 1
    }

    /// The routes that have this pattern below `root`, whatever its `{name}`s are called.
    pub(super) fn choices(&mut self, root: Node, pattern: &PathPattern) -> Option<&mut Choices> {
        let mut node = root;
        for segment in segments_of(pattern) {
            node = match segment {
                SegmentPattern::Exact(text) => self.along(node, text),
                SegmentPattern::Any(_) => self.along_any(node)?,
            };
        }
        let place = self.nodes.get_mut(node)?;
        let side = if pattern.rest {
            &mut place.below
        } else {
            &mut place.here
        };
        Some(side.get_or_insert_default())
    }

    fn along(&mut self, from: Node, text: &str) -> Node {
        let next = self.segments.len();
        let text = match comparable(text) {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into_boxed_str(),
        };
        let segment = *self.segments.entry(text).or_insert(next);
        let nodes = &mut self.nodes;
        *self.edges.entry((from, segment)).or_insert_with(|| {
            nodes.push(Place::default());
            nodes.len() - 1
        })
    }

    fn along_any(&mut self, from: Node) -> Option<Node> {
        if let Some(node) = self.nodes.get(from)?.any {
            return Some(node);
        }
        let node = self.add_root();
        self.nodes.get_mut(from)?.any = Some(node);
        Some(node)
    }

    /// Every set of choices, to finish it.
    pub(super) fn all_choices(&mut self) -> impl Iterator<Item = &mut Choices> {
        let places = self.nodes.iter_mut();
        places
            .flat_map(|place| [place.here.as_deref_mut(), place.below.as_deref_mut()])
            .flatten()
    }

    /// The best route for a path below `root`: the longest pattern; of several, the one that has
    /// an exact segment where the others first have `{name}`; of two, the one without `**`.
    ///
    /// A pattern for which `choose` finds no route is passed over.
    ///
    /// Each node is visited at most once, and only if its pattern matches the beginning of the
    /// path: two nodes for the first segment, at most four for the second, and never more than
    /// there are. A client cannot make the trie have more of them than the operator wrote.
    pub(super) fn find(
        &self,
        root: Node,
        path: &NormalPath,
        choose: &mut impl FnMut(&Choices) -> Option<usize>,
    ) -> Option<usize> {
        let mut best = None;
        self.search(root, Some(path.below_root()), 0, &mut best, choose);
        best.map(|(_, route)| route)
    }

    /// Looks at the patterns from `node` on. `rest` is what is left of the path; none if nothing,
    /// not even an empty segment. Goes as deep as the longest pattern.
    fn search(
        &self,
        node: Node,
        rest: Option<&str>,
        depth: usize,
        best: &mut Best,
        choose: &mut impl FnMut(&Choices) -> Option<usize>,
    ) -> Search {
        let Some(place) = self.nodes.get(node) else {
            return Search::GoesOn;
        };
        if let Some(rest) = rest {
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            let exact = self.exact(node, segment);
            let any = place.any.filter(|_| !segment.is_empty());
            for next in [exact, any].into_iter().flatten() {
                if self.search(next, rest, depth + 1, best, choose) == Search::IsOver {
                    return Search::IsOver;
                }
            }
        }
        if best.is_some_and(|(length, _)| length >= depth) {
            return Search::GoesOn;
        }
        let here = place.here.as_deref().filter(|_| rest.is_none());
        let route = here
            .and_then(&mut *choose)
            .or_else(|| place.below.as_deref().and_then(&mut *choose));
        if let Some(route) = route {
            *best = Some((depth, route));
            if rest.is_none() {
                return Search::IsOver;
            }
        }
        Search::GoesOn
    }

    fn exact(&self, from: Node, segment: &str) -> Option<Node> {
        let segment = self.segments.get(&*comparable(segment))?;
        self.edges.get(&(from, *segment)).copied()
    }
}

/// The segments before `**`. Before that of `/**` there is none, though the path `/` has one.
fn segments_of(pattern: &PathPattern) -> &[SegmentPattern] {
    match pattern.segments.as_slice() {
        [SegmentPattern::Exact(only)] if pattern.rest && only.is_empty() => &[],
        segments => segments,
    }
}
