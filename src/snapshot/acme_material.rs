//! What ACME directories issue, gathered: the part of [`Gathering`] that waits for nobody.

use std::collections::BTreeMap;

use super::material::{Gathering, How};
use crate::acme::external_key;
use crate::config::acme::{AcmeCertificateSpec, AcmeSpec};
use crate::identity::name::Name;
use crate::trust::roots;

impl Gathering<'_> {
    /// Looks whether an ACME directory could be asked. It is not: that is for a gateway that serves.
    pub(super) fn acme(&mut self, name: &Name, spec: &AcmeSpec) {
        let How::Load(places) = self.how else { return };
        if let Err(error) = roots(&spec.ca) {
            let problem = places.problem(&format!("acme.{name}.ca"), error.what());
            self.problems.push(problem.with_hint(error.hint()));
        }
        if let Some(Err(what)) = spec.eab.as_ref().map(external_key) {
            let problem = places.problem(&format!("acme.{name}.eab.key_file"), what);
            let hint = "write the key into the file as the CA gave it out";
            self.problems.push(problem.with_hint(hint));
        }
    }

    /// What an ACME directory has issued. There may be nothing yet.
    pub(super) fn issued(
        &mut self,
        place: String,
        wanted: &AcmeCertificateSpec,
        acme: &BTreeMap<Name, AcmeSpec>,
    ) {
        let Some(spec) = acme.get(&wanted.acme) else {
            return; // what is wrong with the entry was noted before
        };
        let managed = self.sources.acme().certificate(&place, spec, &wanted.names);
        self.material.sources.push(managed.source().status());
        let missing = managed.missing().map(|what| format!("{place}: {what}"));
        self.material.warnings.extend(missing);
        if let Some(pair) = managed.source().current() {
            self.note(&place, pair.certificates());
            self.material.key_pairs.insert(place.clone(), pair);
        }
        self.material.issued.push((place, managed));
    }
}
