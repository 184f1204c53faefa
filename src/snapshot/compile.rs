//! From a file to a [`Snapshot`]: parses it, reads the files that it names, and builds what
//! requests need. `check`, start and reload all come through [`build`], so that "valid" means
//! "runs".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::Snapshot;
use super::coverage::uncovered;
use super::material::{How, Material};
use super::planner::{Planned, Planner, listeners};
use super::policies::policies;
use super::reach::{disagreeing, largest_grace};
use super::rehearse::rehearse;
use super::stores::Stores;
use crate::config::problem::{Problem, Problems};
use crate::config::{Faulty, Loaded, Places, load};
use crate::identity::name::Name;
use crate::observe::ReloadFailure;
use crate::route::table::{RouteTable, Tie};

/// A snapshot that is ready to be swapped in, and what belongs to it outside.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Where its parts stand in the file.
    pub places: Places,
    /// What is not wrong but should be looked at: a key file that others can read, keys of a key
    /// set that were passed over.
    pub warnings: Vec<String>,
}

/// Why a configuration is not used.
#[derive(Debug)]
pub struct Refused {
    /// For the metric.
    pub why: ReloadFailure,
    /// For the operator.
    pub problems: Problems,
}

/// Loads, compiles and rehearses a configuration. Nothing outside of the result changes, so that
/// giving it up changes nothing.
///
/// # Errors
///
/// Every problem, each at its place.
pub fn build(
    file: &Path,
    stores: &Stores,
    previous: Option<&Snapshot>,
    generation: u64,
    now: UnixTime,
) -> Result<Compiled, Refused> {
    let refused = |problems| Refused {
        why: ReloadFailure::Problems,
        problems: Problems::new(file, problems),
    };
    let compiled = match load(file) {
        Ok(loaded) => compile(loaded, stores, previous, generation, now).map_err(refused)?,
        Err(faulty) => {
            let Faulty {
                mut problems,
                sound,
                unreadable,
            } = *faulty;
            // What comes of the sound entries is not used: only what is wrong with their files.
            let more = sound.map(|sound| compile(sound, stores, previous, generation, now));
            problems.extend(more.and_then(Result::err).into_iter().flatten());
            let why = match unreadable {
                true => ReloadFailure::Unreadable,
                false => ReloadFailure::Problems,
            };
            let problems = Problems::new(file, problems);
            return Err(Refused { why, problems });
        }
    };
    let failed = rehearse(&compiled.snapshot, &compiled.places, now);
    if !failed.is_empty() {
        let problems = Problems::new(file, failed);
        return Err(Refused {
            why: ReloadFailure::TestsFailed,
            problems,
        });
    }
    Ok(compiled)
}

/// More routes that tie are not told in one go.
const TIES_MAX: usize = 10_000;

fn compile(
    loaded: Loaded,
    stores: &Stores,
    previous: Option<&Snapshot>,
    generation: u64,
    now: UnixTime,
) -> Result<Compiled, Vec<Problem>> {
    let Loaded { mut spec, places } = loaded;
    let gathered = Material::gather(&spec, &stores.sources, How::Load(&places), now);
    let (material, mut problems) = (gathered.material, gathered.problems);
    let mut planner = Planner::new(&places, stores, previous);
    planner.issuers(&spec);
    planner.proof_terms(&spec);
    let upstreams = planner.upstreams(&spec);
    let asserter = planner.asserter(&spec);
    planner.external_authorizations(&spec);
    let logins = planner.logins(&spec);
    let sharing = planner.sharing(&spec, &material);
    let plans = planner.routes(&spec, &upstreams, asserter.as_ref());
    let grace = |name: &Name| largest_grace(name, &plans);
    let listeners = listeners(&spec, &material, stores, previous, grace, |place, error| {
        planner.problem(&place, error, None);
    });
    let Planned {
        problems: more,
        mut warnings,
        issuers,
        terms,
        external_authorizations,
    } = planner.finish();
    problems.extend(more);
    let policies = policies(&terms, &material, stores, |place, error| {
        problems.push(places.problem(place, error.to_string()));
    });
    let routes = RouteTable::build(&spec.routes);
    let routes = match routes {
        Ok(routes) => routes,
        Err(ties) => {
            problems.extend(ties.iter().take(TIES_MAX).map(|tie| tied(tie, &places)));
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    warnings.splice(0..0, material.warnings().iter().cloned());
    if material.absent().is_empty() {
        warnings.extend(uncovered(&spec.routes, &listeners));
    }
    warnings.extend(disagreeing(&spec.routes, &listeners));
    spec.routes = BTreeMap::new();
    let snapshot = Snapshot {
        generation,
        spec: Arc::new(spec),
        material,
        listeners,
        issuers,
        asserter,
        external_authorizations,
        logins,
        sharing,
        upstreams,
        routes: Arc::new(routes),
        plans: plans.into(),
        terms: terms.into(),
        policies,
    };
    Ok(Compiled {
        snapshot,
        places,
        warnings,
    })
}

fn tied(tie: &Tie, places: &Places) -> Problem {
    let what = format!(
        "it matches requests that route {} matches as well, and neither goes first",
        tie.a
    );
    places
        .problem(&format!("routes.{}.match", tie.b), what)
        .with_hint("give one of them another host, path, method or header, or remove it")
}
