//! `/tls/clients`: the [record of clients](ClientRecord) as JSON, and as text for people. Who must
//! act first stands first: clients are sorted by the end of their certificate.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::client_record::{CLIENTS_MAX, Client, ClientFacts, ClientRecord, SeenCertificate};
use super::clock::{rfc3339, unix_now};
use super::heavy::DAY;
use super::json_list::{JsonPage, time};
use super::metrics::WITHIN;
use super::next_trust::Rehearsed;

/// Which clients are shown: all, or what one asks for.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    identity: Option<String>,
    listener: Option<String>,
    route: Option<String>,
    next: Option<Next>,
    within: Option<i64>,
    limit: Option<usize>,
}

/// What is asked about the bundle that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Passes,
    Fails,
    Unknown,
}

impl ClientFilter {
    /// Narrows down by a parameter of the query.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the operator.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "identity" => self.identity = Some(value.to_owned()),
            "listener" => self.listener = Some(value.to_owned()),
            "route" => self.route = Some(value.to_owned()),
            "next" => {
                self.next = Some(match value {
                    "ok" => Next::Passes,
                    "fail" => Next::Fails,
                    "unknown" => Next::Unknown,
                    _ => return Err("next: ok, fail or unknown".to_owned()),
                });
            }
            "within" => {
                let known = WITHIN.iter().find(|(label, _)| *label == value);
                let (_, seconds) = known.ok_or("within: 1h, 24h, 7d or 30d")?;
                self.within = Some(*seconds);
            }
            "limit" => {
                let limit = value.parse().map_err(|_no_number| "limit: a number")?;
                self.limit = Some(limit);
            }
            _ => {
                return Err(
                    "parameters are identity, listener, route, next, within, limit and format"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn shows(&self, client: &Client, facts: &ClientFacts, now: i64) -> bool {
        let named = |wanted: &Option<String>, list: &[crate::identity::name::Name]| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| list.iter().any(|name| name.as_str() == wanted))
        };
        let ends = client.ends.load(Ordering::Relaxed);
        let identity = self.identity.as_deref();
        identity.is_none_or(|wanted| client.identity.starts_with(wanted))
            && named(&self.listener, &facts.listeners)
            && named(&self.route, &facts.routes)
            && self
                .within
                .is_none_or(|within| ends <= now.saturating_add(within))
            && self.next.is_none_or(|wanted| facts.next(wanted, now))
    }
}

impl ClientFacts {
    /// Asked about the certificates of the last day: an older one says nothing about a client that
    /// has renewed since.
    fn next(&self, wanted: Next, now: i64) -> bool {
        let current = self
            .certificates
            .iter()
            .filter(|seen| seen.last > now - DAY);
        let mut fates = current.map(|seen| seen.next);
        match wanted {
            Next::Fails => fates.any(|fate| matches!(fate, Some(Rehearsed::Fails(_)))),
            Next::Unknown => fates.any(|fate| fate.is_none()),
            Next::Passes => {
                let mut known = fates.flatten().peekable();
                known.peek().is_some() && known.all(|fate| fate == Rehearsed::Passes)
            }
        }
    }
}

/// What is shown, in its order, and the counts of all.
struct Shown {
    now: i64,
    seen: usize,
    evicted: u64,
    clients: Vec<(Arc<Client>, ClientFacts)>,
}

impl Shown {
    fn of(record: &ClientRecord, filter: &ClientFilter) -> Self {
        let now = unix_now();
        let (all, evicted) = record.seen(now);
        let seen = all.len();
        let with_facts = all.into_iter().map(|client| {
            let facts = client.with(|facts| facts.clone());
            (client, facts)
        });
        let mut clients: Vec<_> = with_facts
            .filter(|(client, facts)| filter.shows(client, facts, now))
            .collect();
        clients.sort_by_cached_key(|(client, _)| {
            let ends = client.ends.load(Ordering::Relaxed);
            (ends, Arc::clone(&client.identity))
        });
        clients.truncate(filter.limit.unwrap_or(CLIENTS_MAX));
        Self {
            now,
            seen,
            evicted,
            clients,
        }
    }
}

impl ClientRecord {
    /// The record as JSON.
    #[must_use]
    pub fn json(&self, filter: &ClientFilter) -> String {
        let shown = Shown::of(self, filter);
        let mut page = JsonPage::default();
        page.value("seen", &shown.seen.into());
        page.value("most", &CLIENTS_MAX.into());
        page.value("evicted", &shown.evicted.into());
        page.value("shown", &shown.clients.len().into());
        let clients = shown.clients.iter();
        page.list(
            "clients",
            clients.map(|(client, facts)| client_json(client, facts, shown.now)),
        );
        page.into_text()
    }

    /// The record as people read it.
    #[must_use]
    pub fn text(&self, filter: &ClientFilter) -> String {
        let shown = Shown::of(self, filter);
        let mut text = String::new();
        // Writing to a String cannot fail.
        write_text(&mut text, &shown).unwrap_or_default();
        text
    }
}

fn client_json(client: &Client, facts: &ClientFacts, now: i64) -> Value {
    let ends = client.ends.load(Ordering::Relaxed);
    let names = |list: &[crate::identity::name::Name]| {
        let mut names: Vec<&str> = list.iter().map(|name| name.as_str()).collect();
        names.sort_unstable();
        json!(names)
    };
    json!({
        "identity": &*client.identity,
        "not_after": time(ends),
        "ends_in": ends.saturating_sub(now),
        "first_seen": time(client.first),
        "last_seen": time(client.last.load(Ordering::Relaxed)),
        "open_connections": client.open.load(Ordering::Relaxed),
        "handshakes": facts.handshakes,
        "resumed": facts.resumed,
        "listeners": names(&facts.listeners),
        "routes": names(&facts.routes),
        "more_routes": facts.more_routes,
        "tls": {
            "version": facts.version,
            "group": facts.group,
            "post_quantum": facts.post_quantum,
        },
        "certificates": facts.certificates.iter().map(certificate_json).collect::<Vec<_>>(),
    })
}

fn certificate_json(seen: &SeenCertificate) -> Value {
    json!({
        "fingerprint": seen.fingerprint.to_string(),
        "subject": seen.subject,
        "issuer": seen.issuer,
        "serial": seen.serial,
        "not_after": time(seen.not_after),
        "last_seen": time(seen.last),
        "next": seen.next.map(Rehearsed::label),
    })
}

fn write_text(out: &mut String, shown: &Shown) -> std::fmt::Result {
    let Shown {
        now, seen, evicted, ..
    } = shown;
    write!(
        out,
        "{} of {seen} clients of the last day",
        shown.clients.len()
    )?;
    if *evicted > 0 {
        write!(
            out,
            "; {evicted} more were forgotten, for at most {CLIENTS_MAX} are kept"
        )?;
    }
    writeln!(
        out,
        "\n\nends                  in        last seen             post-quantum  identity"
    )?;
    for (client, facts) in &shown.clients {
        let ends = client.ends.load(Ordering::Relaxed);
        let until = rfc3339(ends).unwrap_or_default();
        let last = rfc3339(client.last.load(Ordering::Relaxed)).unwrap_or_default();
        let ready = if facts.post_quantum { "yes" } else { "no" };
        let left = left(ends.saturating_sub(*now));
        writeln!(
            out,
            "{until}  {left:8}  {last}  {ready:12}  {}",
            client.identity
        )?;
        let listeners = list(&facts.listeners);
        let more = if facts.more_routes { " and more" } else { "" };
        writeln!(
            out,
            "          listeners {listeners}; routes {}{more}",
            list(&facts.routes)
        )?;
        for seen in &facts.certificates {
            let until = rfc3339(seen.not_after).unwrap_or_default();
            let (issuer, serial) = (&seen.issuer, &seen.serial);
            write!(
                out,
                "          until {until}, issuer {issuer}, serial {serial}"
            )?;
            if let Some(next) = seen.next {
                write!(out, ", next {}", next.label())?;
            }
            writeln!(out, "\n          sha256 {}", seen.fingerprint)?;
        }
    }
    Ok(())
}

fn list(names: &[crate::identity::name::Name]) -> String {
    let mut names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// A span of time in the largest units: `3d4h`, `5h`, `12m`, `ended`.
fn left(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match (seconds, days, hours) {
        (i64::MIN..=0, ..) => "ended".to_owned(),
        (_, 1.., _) => format!("{days}d{}h", hours % 24),
        (_, _, 1..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{minutes}m"),
    }
}
