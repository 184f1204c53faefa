//! A browser: cookies by host and path, redirects, forms, and the fields that browsers send.

use serde_json::Value;

use crate::bench::client::{Client, HOST};
use crate::bench::gateway::Gateway;
use crate::bench::http1::{Answer, Request};
use crate::bench::pki::Identity;
use crate::bench::provider::{Provider, encode_form};

/// What a browser holds, and whom it reaches.
#[derive(Clone)]
pub struct Browser {
    gateway: Client,
    provider: Client,
    provider_host: String,
    pub cookies: Vec<Cookie>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub host: String,
    pub name: String,
    pub path: String,
    pub value: String,
    /// As it was set, with its attributes.
    pub field: String,
}

/// Where it ended, and with what.
#[derive(Debug)]
pub struct Page {
    pub url: String,
    pub answer: Answer,
}

const HOPS_MAX: usize = 12;

impl Browser {
    /// One that shows this certificate to the gateway, and none to the provider.
    pub fn new(gateway: &Gateway, provider: &Provider, identity: &Identity) -> Self {
        Self {
            gateway: gateway.client(identity),
            provider: provider.client(),
            provider_host: format!("localhost:{}", provider.port),
            cookies: Vec::new(),
        }
    }

    /// The same cookies at another gateway.
    pub fn at(&self, gateway: &Gateway, identity: &Identity) -> Self {
        Self {
            gateway: gateway.client(identity),
            ..self.clone()
        }
    }

    /// The same cookies with another way to the gateway.
    pub fn through(&self, client: Client) -> Self {
        Self {
            gateway: client,
            ..self.clone()
        }
    }

    /// Without cookies.
    pub fn fresh(&self) -> Self {
        Self {
            cookies: Vec::new(),
            ..self.clone()
        }
    }

    /// Goes to a page as a user does, and to wherever it is sent.
    pub async fn go(&mut self, url: &str) -> Page {
        self.go_until(url, |_| false).await
    }

    /// The same, but stops in front of the first address that is meant.
    pub async fn go_until(&mut self, url: &str, stop: impl Fn(&str) -> bool) -> Page {
        let mut url = absolute(url);
        for _ in 0..HOPS_MAX {
            let answer = self.step(&url).await;
            let Some(next) = next(&url, &answer) else {
                return Page { url, answer };
            };
            url = next;
            if stop(&url) {
                return Page { url, answer };
            }
        }
        panic!("sent about without end, at last to {url}");
    }

    /// One navigation, without following anything.
    pub async fn step(&mut self, url: &str) -> Answer {
        let (host, target) = split(&absolute(url));
        let request = navigation(&target);
        self.send(&host, request).await
    }

    /// Any request to the gateway, with the browser's cookies.
    pub async fn ask(&mut self, request: Request) -> Answer {
        self.send(HOST, request).await
    }

    /// Submits the one form of a page of the provider.
    pub async fn submit(&mut self, page: &Page) -> Page {
        let text = page.answer.text();
        let attribute = |tag: &str, name: &str| {
            let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
            let end = tag[start..].find('"')? + start;
            Some(tag[start..end].to_owned())
        };
        let form = text.split("<form").nth(1).expect("a form");
        let action = attribute(form, "action").expect("an action");
        let inputs = form.split("<input").skip(1);
        let inputs: Vec<(String, String)> = inputs
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
            .collect();
        let inputs: Vec<(&str, &str)> = inputs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (host, target) = split(&action);
        let request = Request::post(&target, encode_form(&inputs))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "text/html");
        let answer = self.send(&host, request).await;
        match next(&action, &answer) {
            Some(url) => self.go(&url).await,
            None => Page {
                url: action,
                answer,
            },
        }
    }

    async fn send(&mut self, host: &str, mut request: Request) -> Answer {
        let path = request.target.split('?').next().unwrap_or("/").to_owned();
        let own = self.cookies.iter().filter(|cookie| {
            let below = path.starts_with(&cookie.path);
            cookie.host == host && below
        });
        let pairs: Vec<String> = own.map(|c| format!("{}={}", c.name, c.value)).collect();
        if !pairs.is_empty() {
            request = request.header("Cookie", &pairs.join("; "));
        }
        let client = match host {
            HOST => &self.gateway,
            _ if host == self.provider_host => &self.provider,
            other => panic!("sent to {other}, which nobody meant"),
        };
        let answer = client.request(&request).await;
        for field in answer.headers.all("set-cookie") {
            self.keep(host, &path, field);
        }
        answer
    }

    /// Keeps a cookie, or removes it, as RFC 6265 says.
    fn keep(&mut self, host: &str, asked: &str, field: &str) {
        let mut parts = field.split(';').map(str::trim);
        let (name, value) = parts
            .next()
            .and_then(|pair| pair.split_once('='))
            .expect("a pair");
        let attributes: Vec<(String, &str)> = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let of = |wanted: &str| {
            let found = attributes.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| *value)
        };
        let default = asked.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let default = if default.is_empty() { "/" } else { default };
        let path = of("path").unwrap_or(default).to_owned();
        self.cookies
            .retain(|c| !(c.host == host && c.name == name && c.path == path));
        let over = of("max-age").is_some_and(|age| age.parse::<i64>().is_ok_and(|age| age <= 0));
        let over = over || of("expires").is_some_and(|date| date.contains("1970"));
        if !over {
            self.cookies.push(Cookie {
                host: host.to_owned(),
                name: name.to_owned(),
                path,
                value: value.to_owned(),
                field: field.to_owned(),
            });
        }
    }

    /// The cookies of the gateway.
    pub fn ours(&self) -> Vec<&Cookie> {
        self.cookies.iter().filter(|c| c.host == HOST).collect()
    }

    /// The cookies of the gateway whose names are meant.
    pub fn named(&self, meant: impl Fn(&str) -> bool) -> Vec<&Cookie> {
        let ours = self.ours().into_iter();
        ours.filter(|cookie| meant(&cookie.name)).collect()
    }

    /// The session's first cookie.
    pub fn session(&self) -> Option<&Cookie> {
        self.ours().into_iter().find(|c| c.name == SESSION)
    }

    pub fn change(&mut self, name: &str, change: impl FnOnce(&str) -> String) {
        let cookie = self
            .cookies
            .iter_mut()
            .find(|c| c.host == HOST && c.name == name)
            .unwrap_or_else(|| panic!("no cookie {name}"));
        cookie.value = change(&cookie.value);
    }

    pub fn forget(&mut self, meant: impl Fn(&Cookie) -> bool) {
        self.cookies.retain(|cookie| !meant(cookie));
    }

    /// Has another browser's cookie as well.
    pub fn plant(&mut self, cookie: &Cookie) {
        let other = |own: &Cookie| own.host == cookie.host && own.name == cookie.name;
        self.cookies.retain(|own| !other(own));
        self.cookies.push(cookie.clone());
    }
}

/// The session's cookie, in the configuration of these tests.
pub const SESSION: &str = "__Host-portcullis-staff";
/// How the cookies of logins under way begin.
pub const PENDING: &str = "__Host-portcullis-staff.p.";

/// A request as a browser's address bar makes it.
pub fn navigation(target: &str) -> Request {
    Request::get(target)
        .header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("Sec-Fetch-Mode", "navigate")
        .header("Sec-Fetch-Dest", "document")
        .header("Sec-Fetch-Site", "none")
}

/// A member of the query of an address.
pub fn member(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut found = pairs.filter(|(own, _)| own == name);
    found.next().map(|(_, value)| value.into_owned())
}

/// The address with a member of its query put in the place of what was there; null takes it away.
pub fn with_member(url: &str, name: &str, value: impl Into<Value>) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .filter(|(own, _)| own != name)
        .collect();
    if let Some(value) = value.into().as_str() {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    format!("{path}?{}", encode_form(&pairs))
}

fn absolute(url: &str) -> String {
    match url.starts_with('/') {
        true => format!("https://{HOST}{url}"),
        false => url.to_owned(),
    }
}

fn split(url: &str) -> (String, String) {
    let rest = url.strip_prefix("https://").expect("an https address");
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    let target = if target.is_empty() { "/" } else { target };
    (host.to_owned(), target.to_owned())
}

/// Where an answer sends a browser.
fn next(from: &str, answer: &Answer) -> Option<String> {
    if !(300..400).contains(&answer.status) {
        return None;
    }
    let to = answer.header("location").expect("a place to go to");
    // Browsers read these as another host.
    assert!(!to.starts_with("//") && !to.contains('\\'), "{to}");
    Some(match to.starts_with('/') {
        true => format!("https://{}{to}", split(from).0),
        false => to.to_owned(),
    })
}
