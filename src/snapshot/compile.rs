//! From a file to a [`Snapshot`]: parses it, reads the files that it names, and builds what
//! requests need. `check`, start and reload all come through [`build`], so that "valid" means
//! "runs".

use std::collections::BTreeMap;
use std::path::Path;

use rustls::pki_types::UnixTime;

use super::Snapshot;
use super::coverage::uncovered;
use super::materials::Materials;
use super::reach::disagreeing;
use super::rehearse::rehearse;
use super::stores::Stores;
use crate::config::problem::{Problem, Problems};
use crate::config::{Faulty, Loaded, Places, load};
use crate::observe::{CertificateSeries, ReloadFailure};
use crate::route::table::{RouteTable, Tie};

/// A snapshot that is ready to be swapped in, and what belongs to it outside.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Where its parts stand in the file.
    pub places: Places,
    /// Every certificate that was read, for the metrics.
    pub certificates: Vec<CertificateSeries>,
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
    let mut materials = Materials::new(&places, stores, previous, now);
    materials.read(&spec);
    let listeners = materials.listeners(&spec);
    let upstreams = materials.upstreams(&spec);
    let plans = materials.routes(&spec, &upstreams);
    let routes = RouteTable::build(&spec.routes);
    let (mut problems, certificates, mut warnings, issuers) = materials.into_parts();
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
    warnings.extend(uncovered(&spec.routes, &listeners));
    warnings.extend(disagreeing(&spec.routes, &listeners));
    let plans = plans.into_boxed_slice();
    spec.routes = BTreeMap::new();
    let snapshot = Snapshot {
        generation,
        spec,
        listeners,
        issuers,
        upstreams,
        routes,
        plans,
    };
    Ok(Compiled {
        snapshot,
        places,
        certificates,
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
