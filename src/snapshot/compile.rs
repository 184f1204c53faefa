//! From [`Spec`] to [`Snapshot`]: reads the files that the configuration names, and builds what
//! requests need. `check`, start and reload all come through here, so that "valid" means "runs".

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::Snapshot;
use super::plan::{Authenticator, LimitPlan, ListenerPlan, RoutePlan, UpstreamPlan};
use super::stores::Stores;
use crate::authenticate::{Issuer, JwtVerifier};
use crate::authorize::Rules;
use crate::config::problem::{Problem, Problems};
use crate::config::spec::{
    IssuerSpec, KeyPairSpec, ListenerSpec, RouteSpec, Spec, TokenSpec, UpstreamSpec,
};
use crate::config::{Loaded, Places};
use crate::edge::listener::Listener;
use crate::identity::name::Name;
use crate::identity::pattern::ServerPattern;
use crate::limit::InFlight;
use crate::observe::CertificateSeries;
use crate::route::RouteTable;
use crate::trust::{CertificateInfo, KeyPair, TrustBundle};
use crate::upstream::{Policy, PolicyParts};

/// A snapshot that is ready to be swapped in, and what belongs to it outside.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Every certificate that was read, for the metrics.
    pub certificates: Vec<CertificateSeries>,
    /// What is not wrong but should be looked at: a key file that others can read, keys of a key
    /// set that were passed over.
    pub warnings: Vec<String>,
}

/// Compiles a configuration. Nothing outside of the result changes, so that giving it up changes
/// nothing.
///
/// # Errors
///
/// Every problem that the named files have, each at its place.
pub fn compile(
    loaded: Loaded,
    stores: &Stores,
    previous: Option<&Snapshot>,
    generation: u64,
    now: UnixTime,
) -> Result<Compiled, Problems> {
    let Loaded { spec, places } = loaded;
    let mut work = Work {
        places: &places,
        stores,
        previous,
        now,
        problems: Vec::new(),
        certificates: Vec::new(),
        warnings: Vec::new(),
    };
    let trust = work.trust(&spec);
    let identities = work.identities(&spec);
    let issuers = work.issuers(&spec);
    let listeners = work.listeners(&spec, &trust);
    let upstreams = work.upstreams(&spec);
    let plans = work.routes(&spec, &trust, &identities, &issuers, &upstreams);
    let routes = match RouteTable::build(&spec.routes) {
        Ok(routes) => Some(routes),
        Err(ties) => {
            work.problems.extend(ties.iter().map(|tie| {
                let what = format!("matches the same requests as route {}", tie.a);
                places.problem(&format!("routes.{}.match", tie.b), what).with_hint(
                    "give one of them another host, path, method or header, or remove it",
                )
            }));
            None
        }
    };
    let Work { problems, certificates, warnings, .. } = work;
    match (routes, Problems::of(places.file(), problems)) {
        (_, Some(problems)) => Err(problems),
        (Some(routes), None) => {
            let plans = plans.into_boxed_slice();
            let snapshot = Snapshot { generation, spec, listeners, issuers, routes, plans };
            Ok(Compiled { snapshot, certificates, warnings })
        }
        (None, None) => unreachable!("ties are problems"),
    }
}

type Bundles = HashMap<Name, Arc<TrustBundle>>;
type KeyPairs = HashMap<Name, Arc<KeyPair>>;

/// What one compilation goes on with and gathers.
struct Work<'c> {
    places: &'c Places,
    stores: &'c Stores,
    previous: Option<&'c Snapshot>,
    now: UnixTime,
    problems: Vec<Problem>,
    certificates: Vec<CertificateSeries>,
    warnings: Vec<String>,
}
