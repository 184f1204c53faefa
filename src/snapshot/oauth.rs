//! Who we are to authorization servers: the credentials, gathered as other key material, and the
//! clients that ask with them.

use std::sync::Arc;

use super::accepted::Accepted;
use super::material::Gathering;
use super::planner::Planner;
use crate::config::fetch::FetchTlsSpec;
use crate::config::oauth_client::OauthClientSpec;
use crate::config::spec::Spec;
use crate::fetch::Bounds;
use crate::identity::name::Name;
use crate::oauth::client::Client;
use crate::oauth::credential::Credential;

/// Which server is asked, and how.
#[derive(Debug)]
pub(super) struct Server<'s> {
    /// The entry of `oauth_clients`.
    pub(super) client: &'s Name,
    /// On whose word it is believed.
    pub(super) tls: &'s FetchTlsSpec,
    /// What it calls itself: its issuer identifier, or the URL that is asked.
    pub(super) audience: &'s str,
    /// How long an answer may take, and how large it may be.
    pub(super) bounds: Bounds,
}

fn place(name: &Name) -> String {
    format!("oauth_clients.{name}")
}

/// Another client, or another file, is another source: who asks as before goes on with the
/// credential of before, and never sends it where the new configuration does not.
fn wish(spec: &OauthClientSpec) -> String {
    format!("{spec:?}")
}

impl Gathering<'_> {
    /// Reads the secret or the key.
    pub(super) fn credential(&mut self, name: &Name, spec: &OauthClientSpec) {
        let place = place(name);
        let source = self.sources.credential(&place, &wish(spec));
        let Some(credential) = self.read(&place, &source, Credential::load(spec)) else {
            return;
        };
        let warnings = credential.warnings().iter();
        let warnings = warnings.map(|warning| format!("{place}: {warning}"));
        self.material.warnings.extend(warnings);
        let kept = Arc::clone(&credential);
        self.material.credentials.insert(name.clone(), kept);
        let accepted = Accepted::Credential(source, credential);
        self.material.accepted.push(accepted);
    }
}

impl Planner<'_> {
    /// The client that asks this server; `tls` of it stands at `place`. It can ask when the snapshot
    /// is published. `None` if there is a problem, which is noted.
    pub(super) fn oauth_client(
        &mut self,
        spec: &Spec,
        at: &str,
        server: &Server<'_>,
    ) -> Option<Arc<Client>> {
        let spec = spec.oauth_clients.get(server.client)?;
        let mut tls = server.tls.clone();
        if let Some(ours) = spec.identity() {
            if tls.identity.as_ref().is_some_and(|other| other != ours) {
                let what = format!(
                    "the client {} shows the certificate of `{ours}`, and this is another",
                    server.client
                );
                let hint = "leave it out: the client says which certificate is shown";
                self.problem(&format!("{at}.identity"), &what, Some(hint));
                return None;
            }
            tls.identity = Some(ours.clone());
        }
        let credential = self
            .stores
            .sources
            .credential(&place(server.client), &wish(spec));
        let client_id = spec.client_id.clone();
        let http = self.client(at, &tls)?;
        let client = Client::new(&client_id, credential, http, server.audience, server.bounds);
        Some(Arc::new(client))
    }
}
