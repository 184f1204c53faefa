//! Who asks issuers about tokens, from `issuers.NAME.introspection` and the files that it names.

use super::oauth::Server;
use super::planner::Planner;
use crate::authenticate::introspection::{Introspector, Sharing};
use crate::config::introspection::IntrospectionSpec;
use crate::config::spec::{IssuerSpec, Spec};
use crate::identity::name::Name;
use crate::trust::{SecretFile, secret};

impl Planner<'_> {
    /// Who asks this issuer about tokens: nobody, if it is not to be asked. The outer `None` is a
    /// problem, which is noted.
    pub(super) fn introspector(
        &mut self,
        spec: &Spec,
        name: &Name,
        issuer: &IssuerSpec,
    ) -> Option<Option<Introspector>> {
        let Some(introspection) = &issuer.introspection else {
            return Some(None);
        };
        let place = format!("issuers.{name}.introspection");
        let server = Server {
            client: &introspection.client,
            tls: &introspection.tls,
            audience: &issuer.issuer,
            bounds: Introspector::bounds(introspection),
        };
        let client = self.oauth_client(spec, &format!("{place}.tls"), &server);
        let at = format!("{place}.share_key");
        let secret = self.share_key(&at, introspection);
        let (client, secret) = (client?, secret?);
        let sharing = secret.as_ref().map(|read| Sharing {
            state: &self.stores.shared,
            secret: &read.text,
        });
        let metrics = self.stores.metrics.introspection(name);
        match Introspector::new(introspection, client, sharing, metrics) {
            Ok(introspector) => Some(Some(introspector)),
            Err(error) => {
                let hint = "make one that nobody can guess: `openssl rand -base64 32`";
                self.problem(&at, &error, Some(hint));
                None
            }
        }
    }

    /// The secret that seals shared answers. The outer `None` is a problem, which is noted.
    fn share_key(&mut self, at: &str, spec: &IntrospectionSpec) -> Option<Option<SecretFile>> {
        let Some(file) = &spec.share_key else {
            return Some(None);
        };
        match secret(file) {
            Ok(read) => {
                let warnings = read.warnings.iter();
                self.warnings
                    .extend(warnings.map(|warning| format!("{at}: {warning}")));
                Some(Some(read))
            }
            Err(error) => {
                self.problem(at, &error.what(), Some(error.hint()));
                None
            }
        }
    }
}
