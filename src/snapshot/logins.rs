//! Logins of browsers: compiled from `logins`, and found by the host and path of a request.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::oauth::Server;
use super::planner::Planner;
use crate::authenticate::authenticator::Way;
use crate::authenticate::login::{
    InvalidSealKey, Login, LoginParts, LoginPlace, OwnCookies, Seals,
};
use crate::config::login::LoginSpec;
use crate::config::spec::{HostPattern, Rate, RouteSpec, Spec};
use crate::fetch::Bounds;
use crate::identity::host::Host;
use crate::identity::name::Name;
use crate::identity::path::NormalPath;
use crate::limit::store::Limiter;

/// The logins of one configuration, and where they answer.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    named: HashMap<Name, Arc<Login>>,
    exact: HashMap<Host, Vec<Here>>,
    /// `*.example.com`, by `example.com`.
    below: HashMap<Box<str>, Vec<Here>>,
    /// Cookies that are the gateway's own on every route.
    pub own: OwnCookies,
}

/// A path that a login answers itself.
#[derive(Clone, Copy, Debug)]
pub struct OwnPlace<'s> {
    /// The login.
    pub login: &'s Arc<Login>,
    /// As what it answers.
    pub place: LoginPlace,
    /// How often each client may come back from it.
    pub callbacks: &'s Limiter,
}

/// A login at a host.
#[derive(Clone, Debug)]
struct Here {
    login: Arc<Login>,
    callbacks: Arc<Limiter>,
    /// The only listeners whose requests may reach it; none: every listener.
    listeners: Option<Vec<Name>>,
}

impl Logins {
    /// The login that answers this request itself, and as what.
    #[must_use]
    pub fn place(&self, listener: &Name, host: &Host, path: &NormalPath) -> Option<OwnPlace<'_>> {
        if self.named.is_empty() {
            return None;
        }
        let exact = self.exact.get(host).into_iter().flatten();
        let parent = host.dns_name().and_then(|name| name.split_once('.'));
        let below = parent.and_then(|(_, parent)| self.below.get(parent));
        let here = exact.chain(below.into_iter().flatten());
        let mut places = here.filter_map(|here| {
            let listeners = here.listeners.as_ref();
            let reached = listeners.is_none_or(|names| names.contains(listener));
            let place = reached.then(|| here.login.place(path))??;
            Some(OwnPlace {
                login: &here.login,
                place,
                callbacks: &here.callbacks,
            })
        });
        places.next()
    }

    /// The login of a route, if it has one. `None` if there was a problem with it.
    pub(super) fn way(&self, route: &RouteSpec) -> Option<Option<Way>> {
        match &route.login {
            None => Some(None),
            Some(name) => Some(Some(Way::Login(Arc::clone(self.named.get(name)?)))),
        }
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Arc<Login>> {
        self.named.get(name)
    }

    /// Notes that routes of a host use a login.
    fn at(
        &mut self,
        host: &HostPattern,
        (login, callbacks): (&Arc<Login>, Arc<Limiter>),
        listeners: &[Name],
    ) {
        let here = match host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Below(parent) => {
                let parent = parent.dns_name().unwrap_or_default().into();
                self.below.entry(parent).or_default()
            }
        };
        let known = here.iter_mut().find(|here| Arc::ptr_eq(&here.login, login));
        match known {
            None => here.push(Here {
                login: Arc::clone(login),
                callbacks,
                listeners: (!listeners.is_empty()).then(|| listeners.to_vec()),
            }),
            Some(known) if listeners.is_empty() => known.listeners = None,
            Some(known) => {
                if let Some(names) = &mut known.listeners {
                    names.extend_from_slice(listeners);
                }
            }
        }
    }
}

/// How often each client may come back from a login, with whatever code: each is a question to the
/// server. More than people behind one certificate of a proxy do.
const CALLBACKS: Rate = Rate {
    count: NonZeroU32::new(20).unwrap(),
    per: Duration::from_secs(1),
    burst: NonZeroU32::new(200).unwrap(),
};

/// Answers of token endpoints are some kilobytes.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

impl Planner<'_> {
    /// Compiles the logins that have no problem.
    pub(super) fn logins(&mut self, spec: &Spec) -> Logins {
        let mut logins = Logins::default();
        for (name, login) in &spec.logins {
            if let Some(login) = self.login(spec, name, login) {
                logins.named.insert(name.clone(), Arc::new(login));
            }
        }
        logins.own = OwnCookies::of(spec.logins.values().map(|login| login.cookie.as_str()));
        for route in spec.routes.values() {
            let name = route.login.as_ref();
            if let Some(login) = name.and_then(|name| logins.named.get(name)).map(Arc::clone) {
                let scope = format!("login/{}", login.name());
                let callbacks = self.stores.limits.limiter(&scope, CALLBACKS);
                logins.at(&route.matches.host, (&login, callbacks), &route.listeners);
            }
        }
        self.apart(spec, &logins);
        self.logins = logins.clone();
        logins
    }

    fn login(&mut self, spec: &Spec, name: &Name, login: &LoginSpec) -> Option<Login> {
        let place = format!("logins.{name}");
        let seals = self.seals(&place, login);
        let issuer = self.issuers.get(&login.issuer).map(Arc::clone);
        let audience = spec.issuers.get(&login.issuer)?.issuer.as_str();
        let bounds = Bounds {
            time: login.timeout,
            body: ANSWER_BYTES_MAX,
        };
        let server = Server {
            client: &login.client,
            tls: &login.tls,
            audience,
            bounds,
        };
        let tls = format!("{place}.tls");
        let client = self.oauth_client(spec, &tls, &server)?;
        let http = self.client(&tls, &login.tls)?;
        let parts = LoginParts {
            client,
            http,
            seals: seals?,
            shared: Arc::clone(&self.stores.shared),
            metrics: self.stores.metrics.login(name),
        };
        let previous = self.previous.and_then(|before| before.logins.get(name));
        let previous = previous.map(AsRef::as_ref);
        Some(Login::new(name, login, issuer?, parts, previous))
    }

    /// Reads the keys of its cookies.
    fn seals(&mut self, place: &str, login: &LoginSpec) -> Option<Seals> {
        let mut keys = Vec::new();
        for (index, file) in login.keys.iter().enumerate() {
            let place = format!("{place}.keys[{index}]");
            match Seals::read(file) {
                Ok((key, warnings)) => {
                    let warnings = warnings.iter().map(|text| format!("{place}: {text}"));
                    self.warnings.extend(warnings);
                    keys.push(key);
                }
                Err(InvalidSealKey::File(error)) => {
                    self.problem(&place, &error.what(), Some(error.hint()));
                }
                Err(error @ InvalidSealKey::Key) => {
                    let what = format!("{}: {error}", file.display());
                    self.problem(&place, &what, Some("make it by `openssl rand -base64 32`"));
                }
            }
        }
        (keys.len() == login.keys.len()).then(|| Seals::new(keys))
    }

    /// No two logins with cookies of one name, and none with one path on one host.
    fn apart(&mut self, spec: &Spec, logins: &Logins) {
        let mut cookies: HashMap<&str, &Name> = HashMap::new();
        for (name, login) in &spec.logins {
            if let Some(other) = cookies.insert(&login.cookie, name) {
                let what = format!("`logins.{other}` has cookies of the same name");
                let hint = "write another `cookie`";
                self.problem(&format!("logins.{name}.cookie"), &what, Some(hint));
            }
        }
        let hosts = logins.exact.values().chain(logins.below.values());
        let mut told = Vec::new();
        for here in hosts {
            let mut paths: HashMap<&NormalPath, &Here> = HashMap::new();
            for one in here {
                for path in one.login.paths() {
                    if let Some(other) = paths.insert(path, one) {
                        told.push((one.login.name().clone(), other.login.name().clone(), path));
                    }
                }
            }
        }
        told.sort();
        told.dedup();
        for (name, other, path) in told {
            let what = format!("{path} is a path of `logins.{other}` on the same host");
            let hint = "give each login of a host paths of its own";
            self.problem(&format!("logins.{name}"), &what, Some(hint));
        }
    }
}
