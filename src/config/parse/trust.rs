//! `trust` and `deny`: whose signatures we accept, and whom we believe in no case.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Around, path, workload_api};
use crate::config::external_authorization::ExternalAuthorizationSpec;
use crate::config::file::{NextTrustFile, RootFile, TrustFile};
use crate::config::node::{Field, Node, all};
use crate::config::spec::{
    CaSpec, ListenerSpec, RevocationSpec, TrustDomainSpec, TrustSpec, UpstreamSpec,
};
use crate::config::tree::Value;
use crate::identity::name::Name;

/// One entry of `trust`.
pub(super) fn trust(node: &Node<'_>, around: &Around<'_>) -> Option<TrustSpec> {
    let file = TrustFile::read(node)?;
    if let Some(agent) = file.workload_api.written() {
        return of_agent(agent, &file, around);
    }
    let ca = file
        .ca
        .needed("write `ca:` with a PEM file of CA certificates", |node| {
            files(node, around)
        });
    let trust_domain = file.trust_domain.or(TrustDomainSpec::Anyone, trust_domain);
    let intermediates = file
        .intermediates
        .or(None, |node| path(node, around).map(Some));
    let crl = file.crl.or(Vec::new(), |node| files(node, around));
    let default = match &crl {
        Some(crl) if crl.is_empty() => RevocationSpec::Off,
        Some(_) | None => RevocationSpec::Required,
    };
    let revocation = file.revocation.or(default, |node| {
        let word = node.word(&[
            ("required", RevocationSpec::Required),
            ("when_known", RevocationSpec::WhenKnown),
            ("off", RevocationSpec::Off),
        ])?;
        if word != RevocationSpec::Off && file.crl.written().is_none() {
            let hint = "write `crl:` with the CRL of the CA, or `revocation: off`";
            return node.refuse("there is no CRL in which anything could be revoked", hint);
        }
        Some(word)
    });
    let next = file.next.optional(|node| next(node, around));
    let today = TrustSpec {
        ca: CaSpec::Files(ca?),
        trust_domain: trust_domain?,
        intermediates: intermediates?,
        crl: crl?,
        revocation: revocation?,
        next: None,
    };
    let next = next?.map(|next| Box::new(next.instead_of(&today)));
    Some(TrustSpec { next, ..today })
}

/// What will be another in an entry of `trust`.
struct Next {
    ca: Option<Vec<PathBuf>>,
    crl: Option<Vec<PathBuf>>,
}

fn next(node: &Node<'_>, around: &Around<'_>) -> Option<Next> {
    let file = NextTrustFile::read(node)?;
    let ca = file.ca.optional(|node| files(node, around));
    let crl = file.crl.optional(|node| files(node, around));
    let next = Next { ca: ca?, crl: crl? };
    if next.ca.is_none() && next.crl.is_none() {
        let hint = "write `ca:` or `crl:` as they will be";
        return node.refuse("nothing is to come", hint);
    }
    Some(next)
}

impl Next {
    /// The whole bundle as it will be.
    fn instead_of(self, today: &TrustSpec) -> TrustSpec {
        let first_crl = today.crl.is_empty() && self.crl.is_some();
        TrustSpec {
            ca: self.ca.map_or_else(|| today.ca.clone(), CaSpec::Files),
            crl: self.crl.unwrap_or_else(|| today.crl.clone()),
            // As it is by default where a CRL is written.
            revocation: match first_crl {
                true => RevocationSpec::Required,
                false => today.revocation,
            },
            ..today.clone()
        }
    }
}

/// A bundle that an agent gives vouches for its own trust domain alone.
fn of_agent(agent: &Node<'_>, file: &TrustFile<'_>, around: &Around<'_>) -> Option<TrustSpec> {
    let beside = [&file.intermediates, &file.crl, &file.revocation, &file.next];
    if let Some(field) = beside.iter().find_map(|field| field.written()) {
        return field.refuse_key(
            "this goes with a bundle from files, and an agent is named here",
            "remove it, or write `ca` in place of `workload_api`",
        );
    }
    let bundle = workload_api::bundle(agent, &file.trust_domain, &file.ca, around)?;
    Some(TrustSpec {
        trust_domain: TrustDomainSpec::Domain(bundle.trust_domain.clone()),
        ca: CaSpec::WorkloadApi(bundle),
        intermediates: None,
        crl: Vec::new(),
        revocation: RevocationSpec::Off,
        next: None,
    })
}

fn trust_domain(node: &Node<'_>) -> Option<TrustDomainSpec> {
    if node.is("none") {
        return Some(TrustDomainSpec::None);
    }
    let domain =
        node.parse("`partners.example`, the name in `spiffe://partners.example/..`, or `none`")?;
    Some(TrustDomainSpec::Domain(domain))
}

/// One path, or a list of paths.
pub(super) fn files(node: &Node<'_>, around: &Around<'_>) -> Option<Vec<PathBuf>> {
    if node.value() == Value::List {
        return node.some("`[pki/a.pem, pki/b.pem]`", |node| path(node, around));
    }
    path(node, around).map(|path| vec![path])
}

/// One name of a trust bundle, or a list of names.
pub(super) fn bundles(node: &Node<'_>, around: &Around<'_>) -> Option<Vec<Name>> {
    let name = |node: &Node<'_>| node.reference::<Name>("trust bundle", &around.trust);
    if node.value() != Value::List {
        return name(node).map(|name| vec![name]);
    }
    let items = node.items("`[partners, suppliers]`")?;
    if items.is_empty() {
        return node.refuse("the list is empty", "write at least one, like `[partners]`");
    }
    let names = all(&items, name)?;
    for (at, node) in items.iter().enumerate() {
        let named = names.get(at);
        if named.is_some_and(|name| names.iter().take(at).any(|before| before == name)) {
            return node.refuse("this trust bundle stands twice", "keep one");
        }
    }
    Some(names)
}

/// Where several bundles stand together, each says for whom it vouches: a CA of one of them must not
/// be able to make the certificates of another.
pub(super) fn federated(
    file: &RootFile<'_>,
    trust: &BTreeMap<Name, TrustSpec>,
    listeners: &BTreeMap<Name, ListenerSpec>,
    upstreams: &BTreeMap<Name, UpstreamSpec>,
    asked: &BTreeMap<Name, ExternalAuthorizationSpec>,
) {
    for (name, listener) in listeners {
        let way = [name.as_str(), "tls", "clients", "trust"];
        each_says_for_whom(&file.listeners, &way, &listener.tls.clients.trust, trust);
    }
    for (name, upstream) in upstreams {
        let way = [name.as_str(), "tls", "trust"];
        each_says_for_whom(&file.upstreams, &way, &upstream.tls.trust, trust);
    }
    for (name, asked) in asked {
        let way = [name.as_str(), "tls", "trust"];
        let section = &file.external_authorization;
        each_says_for_whom(section, &way, &asked.tls.trust, trust);
    }
}

fn each_says_for_whom(
    section: &Field<'_>,
    way: &[&str],
    names: &[Name],
    trust: &BTreeMap<Name, TrustSpec>,
) {
    let alone = names.len() < 2;
    let silent = names.iter().find(|name| {
        let bundle = trust.get(*name);
        bundle.is_some_and(|bundle| bundle.trust_domain == TrustDomainSpec::Anyone)
    });
    let (Some(silent), Some(section)) = (silent.filter(|_| !alone), section.written()) else {
        return;
    };
    let place = way.iter().try_fold(*section, |node, key| node.at(key));
    let place = place.as_ref().unwrap_or(section);
    place.refuse::<()>(
        format!("`{silent}` stands beside others and does not say for whom it vouches"),
        format!(
            "write `trust_domain: NAME` at `trust.{silent}`, or `trust_domain: none` if its \
             certificates have no SPIFFE IDs"
        ),
    );
    place.gap();
}
