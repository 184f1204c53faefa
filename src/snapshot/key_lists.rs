//! Lists of API keys, gathered as key material is: a key that is taken back must not wait for the
//! configuration.

use super::accepted::Accepted;
use super::material::{Gathering, How, Material};
use super::planner::Planner;
use super::stores::Stores;
use crate::authenticate::api_keys::{ApiKeys, KeyList};
use crate::config::api_keys::{KeyListSpec, WantedKey};
use crate::identity::name::Name;
use crate::trust::TrustError;

impl Gathering<'_> {
    pub(super) fn key_list(&mut self, name: &Name, spec: &KeyListSpec) {
        let place = place(name);
        let source = self.sources.key_list(&place);
        let known = source.current();
        let read = KeyList::load(name, &spec.file, known.as_deref());
        let read = read.map_err(|error| self.all_but_the_last(&place, error));
        let Some(list) = self.read(&place, &source, read) else {
            return;
        };
        let expected = matches!(self.how, How::Load(_)) && list.ends().is_empty();
        if expected {
            let file = spec.file.display();
            let warning = format!("{place}: {file} has no key in it: nobody is let in by one");
            self.material.warnings.push(warning);
        }
        self.material.key_lists.insert(name.clone(), list.clone());
        let accepted = Accepted::KeyList(source, list);
        self.material.accepted.push(accepted);
    }

    /// Whoever checks a configuration sees every mistake of a list: notes them, and leaves the last,
    /// which is noted as that of any other file is.
    fn all_but_the_last(&mut self, place: &str, error: TrustError) -> TrustError {
        let hint = error.hint();
        match (error, self.how) {
            (TrustError::ApiKeys(mut mistakes), How::Load(places)) => {
                let last = mistakes.pop();
                let problem = |what| places.problem(place, what).with_hint(hint);
                self.problems.extend(mistakes.into_iter().map(problem));
                TrustError::ApiKeys(last.into_iter().collect())
            }
            (error, How::Load(_) | How::Refresh | How::Again) => error,
        }
    }
}

impl Material {
    /// Shows the lists in the metrics.
    pub(super) fn show_key_lists(&self, stores: &Stores) {
        let metrics = &stores.metrics;
        metrics.api_keys_keep_only(self.key_lists.keys());
        for (name, list) in &self.key_lists {
            metrics.api_keys(name).set_ends(list.ends());
        }
    }
}

impl Planner<'_> {
    /// What a route takes of a list.
    pub(super) fn api_keys(&self, wanted: &WantedKey) -> ApiKeys {
        let source = self.stores.sources.key_list(&place(&wanted.list));
        let metrics = self.stores.metrics.api_keys(&wanted.list);
        ApiKeys::new(wanted, source, metrics)
    }
}

fn place(name: &Name) -> String {
    format!("api_keys.{name}.file")
}
