//! [`Material`]: the key pairs and trust bundles of one snapshot, and how they are gathered from
//! their sources.
//!
//! A configuration that is loaded must be whole: what cannot be read is a problem. Between loads
//! each source goes on for itself (`How::Refresh`): what is new and good is taken, and where
//! something is not, the last good generation stays.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::UnixTime;

use super::accepted::Accepted;
use super::bundle_files::{bundle_files, crl_series};
use super::sources::SourceStore;
use super::trust_store::trust_store;
use crate::acme::store::Managed;
use crate::authenticate::api_keys::KeyList;
use crate::config::Places;
use crate::config::problem::Problem;
use crate::config::spec::{CaSpec, CertificateSpec, ListenerSpec, ServedSpec, Spec, TrustSpec};
use crate::edge::listener::Certificate;
use crate::identity::name::Name;
use crate::oauth::credential::Credential;
use crate::observe::{CertificateSeries, CrlSeries};
use crate::trust::{
    CertificateInfo, DenyList, KeyPair, Published, Source, SourceKind, SourceStatus, TrustBundle,
    TrustError, TrustStore,
};

/// The key material of one snapshot.
#[derive(Debug, Default)]
pub struct Material {
    /// Key pairs, by the place that names them.
    pub(super) key_pairs: HashMap<String, Arc<KeyPair>>,
    pub(super) bundles: HashMap<Name, Arc<TrustBundle>>,
    /// Bundles as they will be.
    next: HashMap<Name, Arc<TrustBundle>>,
    deny: Arc<DenyList>,
    /// Who we are to authorization servers.
    pub(super) credentials: HashMap<Name, Arc<Credential>>,
    /// Lists of API keys.
    pub(super) key_lists: HashMap<Name, Arc<KeyList>>,
    pub(super) accepted: Vec<Accepted>,
    pub(super) sources: Vec<Arc<SourceStatus>>,
    certificates: Vec<CertificateSeries>,
    crls: Vec<CrlSeries>,
    pub(super) warnings: Vec<String>,
    pub(super) absent: Vec<Arc<SourceStatus>>,
    /// What ACME directories issue, by place. An order may last, and needs this configuration in
    /// use to answer its challenge: what is missing holds no reload up, and is in no `absent`.
    pub(super) issued: Vec<(String, Arc<Managed>)>,
}

/// What is done about material that cannot be used.
#[derive(Clone, Copy, Debug)]
pub(super) enum How<'c> {
    /// It is a problem of the configuration.
    Load(&'c Places),
    /// The last good generation stays.
    Refresh,
    /// The same, and what is refused may have been told before.
    Again,
}

/// What came of gathering.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) material: Material,
    /// Of [`How::Load`].
    pub(super) problems: Vec<Problem>,
    /// Of a refresh: whether every source had something good.
    pub(super) whole: bool,
}

/// The place in the configuration of one of a listener's certificates.
pub(super) fn certificate_place(listener: &Name, index: usize) -> String {
    format!("listeners.{listener}.tls.certificates[{index}]")
}

impl Material {
    /// Gathers all that a configuration names. Blocks on files.
    pub(super) fn gather(
        spec: &Spec,
        sources: &SourceStore,
        how: How<'_>,
        now: UnixTime,
    ) -> Gathered {
        let mut gathering = Gathering {
            material: Self::default(),
            problems: Vec::new(),
            whole: true,
            spec,
            sources,
            how,
            now,
        };
        for (name, bundle) in &spec.trust {
            gathering.bundle(name, bundle);
            if let Some(next) = &bundle.next {
                gathering.next_bundle(name, next);
            }
        }
        for (name, acme) in &spec.acme {
            gathering.acme(name, acme);
        }
        gathering.deny(&spec.deny);
        for (name, pair) in &spec.identities {
            gathering.key_pair(identity_place(name), pair);
        }
        for (name, client) in &spec.oauth_clients {
            gathering.credential(name, client);
        }
        for (name, list) in &spec.api_keys {
            gathering.key_list(name, list);
        }
        for (name, listener) in &spec.listeners {
            for (index, certificate) in listener.tls.certificates.iter().enumerate() {
                let place = certificate_place(name, index);
                match certificate {
                    ServedSpec::Given(pair) => gathering.key_pair(place, pair),
                    ServedSpec::Acme(wanted) => gathering.issued(place, wanted, &spec.acme),
                }
            }
        }
        Gathered {
            material: gathering.material,
            problems: gathering.problems,
            whole: gathering.whole,
        }
    }

    /// Publishes what was read from files: to be called when the snapshot goes live.
    pub fn publish(&self, sources: &SourceStore) {
        for accepted in &self.accepted {
            accepted.publish();
        }
        sources.keep_only(&self.sources);
        let issued = self.issued.iter().map(|(_, managed)| Arc::clone(managed));
        sources.acme().keep(issued.collect());
    }

    /// The key pair of an entry of `identities`, if its source has given one.
    pub(super) fn identity(&self, name: &Name) -> Option<Arc<KeyPair>> {
        self.key_pairs.get(&identity_place(name)).cloned()
    }

    /// The certificates of a listener, in their order. One that is missing for a problem is left
    /// out.
    pub(super) fn served(&self, name: &Name, listener: &ListenerSpec) -> Vec<Certificate> {
        let specs = listener.tls.certificates.iter().enumerate();
        let certificate = |(index, spec): (usize, &ServedSpec)| {
            let place = certificate_place(name, index);
            let there = self.key_pairs.get(&place);
            match (there, spec) {
                (Some(pair), _) => Some(Certificate::There(Arc::clone(pair))),
                (None, ServedSpec::Acme(wanted)) => Some(Certificate::Awaited {
                    names: wanted.names.clone(),
                    meanwhile: self.meanwhile(&place),
                }),
                (None, ServedSpec::Given(_)) => None,
            }
        };
        specs.filter_map(certificate).collect()
    }

    fn meanwhile(&self, place: &str) -> Option<Arc<KeyPair>> {
        let mut issued = self.issued.iter();
        let (_, managed) = issued.find(|(at, _)| at == place)?;
        managed.meanwhile().cloned()
    }

    /// What these bundles vouch for together. `None` if one could not be read: that is noted.
    pub(super) fn trust_store(&self, bundles: &[Name]) -> Option<Arc<TrustStore>> {
        trust_store(bundles, &self.bundles, &self.next, &self.deny).map(Arc::new)
    }

    /// The bundles that are rehearsed.
    pub fn rehearsed(&self) -> impl Iterator<Item = &Name> {
        self.next.keys()
    }

    /// Whether every key pair and every bundle is the same. Sources give the same `Arc` again where
    /// nothing about its content is new.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.deny.digest() == other.deny.digest()
            && same(&self.key_pairs, &other.key_pairs)
            && same(&self.bundles, &other.bundles)
            && same(&self.next, &other.next)
            && same(&self.credentials, &other.credentials)
            && same(&self.key_lists, &other.key_lists)
    }

    /// The sources, for the metrics.
    #[must_use]
    pub fn sources(&self) -> &[Arc<SourceStatus>] {
        &self.sources
    }

    /// Every certificate, for the metrics.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateSeries] {
        &self.certificates
    }

    /// Every CRL, for the metrics.
    #[must_use]
    pub fn crls(&self) -> &[CrlSeries] {
        &self.crls
    }

    /// What is not wrong but should be looked at: a key file that others can read, a CRL that is
    /// out of date.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The sources that have given nothing yet. What depends on them is refused.
    #[must_use]
    pub fn absent(&self) -> &[Arc<SourceStatus>] {
        &self.absent
    }
}

fn same<K: Eq + Hash, T>(a: &HashMap<K, Arc<T>>, b: &HashMap<K, Arc<T>>) -> bool {
    let is = |(key, value)| b.get(key).is_some_and(|other| Arc::ptr_eq(other, value));
    a.len() == b.len() && a.iter().all(is)
}

fn identity_place(name: &Name) -> String {
    format!("identities.{name}")
}

/// [`Material`] while it is gathered.
pub(super) struct Gathering<'c> {
    pub(super) material: Material,
    pub(super) problems: Vec<Problem>,
    whole: bool,
    pub(super) spec: &'c Spec,
    pub(super) sources: &'c SourceStore,
    pub(super) how: How<'c>,
    now: UnixTime,
}

impl Gathering<'_> {
    fn bundle(&mut self, name: &Name, spec: &TrustSpec) {
        let place = format!("trust.{name}");
        if let CaSpec::WorkloadApi(wanted) = &spec.ca {
            return self.agent_bundle(name, &place, wanted);
        }
        let source = self.sources.bundle(SourceKind::File, &place);
        let in_use = source.current();
        let read = self.read_bundle(spec, &source, in_use.as_deref());
        let Some(bundle) = self.read(&place, &source, read) else {
            return;
        };
        let warnings = bundle.warnings(self.now).into_iter();
        let warnings = warnings.map(|warning| format!("{place}: {warning}"));
        self.material.warnings.extend(warnings);
        let crls = bundle.crls().into_iter();
        let crls = crls.map(|crl| crl_series(name.as_str(), crl));
        self.material.crls.extend(crls);
        self.note(&place, bundle.certificates());
        self.material.bundles.insert(name.clone(), bundle.clone());
        let accepted = Accepted::Bundle(source, bundle);
        self.material.accepted.push(accepted);
    }

    /// As it will be. Its CRLs are not those in use: the metrics do not show them.
    fn next_bundle(&mut self, name: &Name, spec: &TrustSpec) {
        let place = format!("trust.{name}.next");
        let source = self.sources.bundle(SourceKind::File, &place);
        let known = source.current();
        let read = self.read_bundle(spec, &source, known.as_deref());
        let Some(bundle) = self.read(&place, &source, read) else {
            return;
        };
        self.note(&place, bundle.certificates());
        self.material.next.insert(name.clone(), bundle.clone());
        self.material
            .accepted
            .push(Accepted::Bundle(source, bundle));
    }

    fn read_bundle(
        &mut self,
        spec: &TrustSpec,
        source: &Source<TrustBundle>,
        before: Option<&TrustBundle>,
    ) -> Result<TrustBundle, TrustError> {
        let files = bundle_files(spec);
        let Some(before) = before.filter(|_| !matches!(self.how, How::Load(_))) else {
            return TrustBundle::read(&files, self.now, before);
        };
        let (bundle, refused) = TrustBundle::read_on(&files, self.now, before)?;
        self.refuse(source, &refused);
        Ok(bundle)
    }

    /// Notes what is not good beside what is taken.
    fn refuse<T: Published>(&mut self, source: &Source<T>, refused: &[TrustError]) {
        self.whole = self.whole && refused.is_empty();
        let is_told = matches!(self.how, How::Again) && source.status().problem().is_some();
        if !is_told {
            refused.iter().for_each(|error| source.refuse(error));
        }
    }

    fn deny(&mut self, files: &[PathBuf]) {
        const PLACE: &str = "deny";
        if files.is_empty() {
            return;
        }
        let source = self.sources.deny(PLACE);
        let before = source
            .current()
            .filter(|_| !matches!(self.how, How::Load(_)));
        let read = before.map_or_else(
            || DenyList::load(files),
            |before| {
                let (list, refused) = DenyList::load_on(files, &before);
                self.refuse(&source, &refused);
                Ok(list)
            },
        );
        let Some(list) = self.read(PLACE, &source, read) else {
            return;
        };
        self.material.deny = Arc::clone(&list);
        self.material.accepted.push(Accepted::Deny(source, list));
    }

    fn key_pair(&mut self, place: String, spec: &CertificateSpec) {
        let spec = match spec {
            CertificateSpec::Files(files) => files,
            CertificateSpec::WorkloadApi(wanted) => return self.svid(place, wanted),
        };
        let source = self.sources.key_pair(SourceKind::File, &place);
        let read = KeyPair::load(&spec.cert, &spec.key, self.now);
        let Some(pair) = self.read(&place, &source, read) else {
            return;
        };
        let warnings = pair.warnings().iter();
        let warnings = warnings.map(|warning| format!("{place}: {warning}"));
        self.material.warnings.extend(warnings);
        self.note(&place, pair.certificates());
        self.material.key_pairs.insert(place, pair.clone());
        let accepted = Accepted::KeyPair(source, pair);
        self.material.accepted.push(accepted);
    }

    /// What was read, or what is in use where that stays.
    pub(super) fn read<T: Published>(
        &mut self,
        place: &str,
        source: &Source<T>,
        read: Result<T, TrustError>,
    ) -> Option<Arc<T>> {
        self.material.sources.push(source.status());
        match (read, self.how) {
            (Ok(value), _) => Some(source.same_or(value)),
            (Err(error), How::Load(places)) => {
                if source.current().is_some() {
                    source.refuse(&error);
                }
                let problem = places.problem(place, error.what());
                self.problems.push(problem.with_hint(error.hint()));
                None
            }
            (Err(error), How::Refresh | How::Again) => {
                self.refuse(source, &[error]);
                source.current()
            }
        }
    }

    pub(super) fn note(&mut self, place: &str, certificates: Vec<CertificateInfo>) {
        let series = certificates.into_iter().map(|info| CertificateSeries {
            place: place.to_owned(),
            serial: info.serial,
            subject: info.subject,
            is_ca: info.is_ca,
            not_before: info.not_before,
            not_after: info.not_after,
        });
        self.material.certificates.extend(series);
    }
}
