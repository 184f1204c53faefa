//! `/tls/failures`: the [record of failed handshakes](FailureRecord) as JSON, and as text for people.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::clock::{rfc3339, unix_now};
use super::failure_record::{Certificate, Counts, FailureRecord, Sample};
use super::heavy::Entry;
use super::json_list::{JsonPage, time};
use super::labels::Side;
use crate::handshake_failure::HandshakeFailure;

/// Which failures are shown: all, or what one asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureFilter {
    reason: Option<HandshakeFailure>,
    side: Option<Side>,
}

impl FailureFilter {
    /// Narrows down by a parameter of the query.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for the operator.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "reason" => {
                let mut all = HandshakeFailure::ALL.iter().copied();
                let found = all.find(|reason| reason.reason() == value);
                self.reason = Some(found.ok_or("reason: no such reason of failed handshakes")?);
            }
            "side" => {
                let mut all = Side::ALL.iter().copied();
                let found = all.find(|side| side.label() == value);
                self.side = Some(found.ok_or("side: downstream or upstream")?);
            }
            _ => return Err("parameters are reason, side and format".to_owned()),
        }
        Ok(())
    }

    fn shows(&self, side: Side, reason: HandshakeFailure) -> bool {
        self.side.is_none_or(|wanted| wanted == side)
            && self.reason.is_none_or(|wanted| wanted == reason)
    }

    /// How often a key failed for what is asked for.
    fn count<D>(&self, entry: &Entry<D>) -> u64 {
        match self.reason {
            None => entry.count,
            Some(wanted) => {
                let reasons = entry.reasons.iter();
                reasons
                    .filter(|(reason, _)| *reason == wanted)
                    .map(|(_, count)| count)
                    .sum()
            }
        }
    }

    /// What is asked for, the most frequent first.
    fn ranked<'e, K: Ord, D>(
        &self,
        entries: Vec<(&'e K, &'e Entry<D>)>,
        side: impl Fn(&K, &D) -> Side,
    ) -> Vec<(&'e K, &'e Entry<D>, u64)> {
        let counted = entries
            .into_iter()
            .map(|(key, entry)| (key, entry, self.count(entry)));
        let mut shown: Vec<_> = counted
            .filter(|(key, entry, count)| {
                *count > 0
                    && self
                        .side
                        .is_none_or(|wanted| wanted == side(key, &entry.data))
            })
            .collect();
        shown.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        shown
    }
}

impl FailureRecord {
    /// The record as JSON.
    #[must_use]
    pub fn json(&self, filter: FailureFilter) -> String {
        let now = unix_now();
        let page = self.with(|counts| json_page(counts, filter, now));
        page.into_text()
    }

    /// The record as people read it.
    #[must_use]
    pub fn text(&self, filter: FailureFilter) -> String {
        let now = unix_now();
        let mut text = String::new();
        // Writing to a String cannot fail.
        self.with(|counts| write_text(&mut text, counts, filter, now))
            .unwrap_or_default();
        text
    }
}

fn json_page(counts: &Counts, filter: FailureFilter, now: i64) -> JsonPage {
    let mut page = JsonPage::default();
    page.value("since", &time(counts.since));
    page.value("failures", &counts.total.into());
    page.value("certificates_not_read", &counts.unread.into());
    let reasons = counts.reasons();
    let shown = reasons
        .iter()
        .filter(|(side, why, _)| filter.shows(*side, *why));
    page.list(
        "reasons",
        shown.map(|(side, reason, tally)| {
            json!({
                "side": side.label(),
                "reason": reason.reason(),
                "count": tally.count,
                "first_seen": time(tally.first),
                "last_seen": time(tally.last),
            })
        }),
    );
    let identities = filter.ranked(counts.identities.ranked(now), |_, last| last.side);
    page.list(
        "identities",
        identities.iter().map(|(identity, entry, count)| {
            let mut one = entry_json(entry, *count);
            one.insert("identity".into(), json!(&***identity));
            one.insert("side".into(), json!(entry.data.side.label()));
            one.insert("last".into(), sample_json(&entry.data));
            Value::Object(one)
        }),
    );
    let issuers = filter.ranked(counts.issuers.ranked(now), |_, side| *side);
    page.list(
        "issuers",
        issuers.iter().map(|(issuer, entry, count)| {
            let mut one = entry_json(entry, *count);
            one.insert("issuer".into(), json!(&***issuer));
            one.insert("side".into(), json!(entry.data.label()));
            Value::Object(one)
        }),
    );
    let sources = filter.ranked(counts.sources.ranked(now), |(side, _), ()| *side);
    page.list(
        "sources",
        sources.iter().map(|((side, source), entry, count)| {
            let mut one = entry_json(entry, *count);
            one.insert("source".into(), json!(source.to_string()));
            one.insert("side".into(), json!(side.label()));
            Value::Object(one)
        }),
    );
    let samples = counts.samples.iter();
    let shown = samples.filter(|sample| filter.shows(sample.side, sample.reason));
    page.list("samples", shown.map(|sample| sample_json(sample)));
    page
}

fn entry_json<D>(entry: &Entry<D>, count: u64) -> Map<String, Value> {
    let reasons = entry.reasons().into_iter();
    let reasons: Map<String, Value> = reasons
        .map(|(reason, count)| (reason.reason().to_owned(), count.into()))
        .collect();
    let mut one = Map::new();
    one.insert("count".into(), count.into());
    one.insert("reasons".into(), Value::Object(reasons));
    one.insert("first_seen".into(), time(entry.first));
    one.insert("last_seen".into(), time(entry.last));
    one
}

fn sample_json(sample: &Sample) -> Value {
    json!({
        "time": time(sample.at),
        "side": sample.side.label(),
        "name": sample.name,
        "reason": sample.reason.reason(),
        "detail": sample.detail,
        "peer_address": sample.peer.map(|peer| peer.to_string()),
        "sni": sample.sni,
        "duration": sample.seconds,
        "certificate": sample.certificate.as_ref().map(certificate_json),
    })
}

fn certificate_json(certificate: &Certificate) -> Value {
    json!({
        "identity": certificate.identity,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "names": certificate.names,
        "not_before": time(certificate.not_before),
        "not_after": time(certificate.not_after),
        "fingerprint": certificate.fingerprint,
        "key": certificate.key,
        "chain_length": certificate.chain_length,
    })
}

fn write_text(
    out: &mut String,
    counts: &Counts,
    filter: FailureFilter,
    now: i64,
) -> std::fmt::Result {
    let since = rfc3339(counts.since).unwrap_or_default();
    writeln!(out, "{} handshakes failed since {since}", counts.total)?;
    if counts.unread > 0 {
        let unread = counts.unread;
        writeln!(
            out,
            "{unread} certificates among them were too many to be read"
        )?;
    }
    writeln!(
        out,
        "\nREASONS\n   count  last seen             side        reason"
    )?;
    let reasons = counts.reasons();
    for (side, why, tally) in reasons
        .iter()
        .filter(|(side, why, _)| filter.shows(*side, *why))
    {
        let (last, side) = (rfc3339(tally.last).unwrap_or_default(), side.label());
        writeln!(
            out,
            "{:8}  {last}  {side:10}  {}",
            tally.count,
            why.reason()
        )?;
    }
    writeln!(out, "\nIDENTITIES, as their certificates claim")?;
    for (identity, entry, count) in
        filter.ranked(counts.identities.ranked(now), |_, last| last.side)
    {
        write_entry(out, entry, count, identity)?;
        write_sample(out, &entry.data)?;
    }
    writeln!(out, "\nISSUERS")?;
    for (issuer, entry, count) in filter.ranked(counts.issuers.ranked(now), |_, side| *side) {
        write_entry(out, entry, count, issuer)?;
    }
    writeln!(out, "\nSOURCES")?;
    for ((side, source), entry, count) in
        filter.ranked(counts.sources.ranked(now), |(side, _), ()| *side)
    {
        let source = match side {
            Side::Downstream => source.to_string(),
            Side::Upstream => format!("{source} (service)"),
        };
        write_entry(out, entry, count, &source)?;
    }
    writeln!(out, "\nTHE LAST FAILURES")?;
    let samples = counts.samples.iter();
    for sample in samples.filter(|sample| filter.shows(sample.side, sample.reason)) {
        write_sample(out, sample)?;
    }
    Ok(())
}

fn write_entry<D>(out: &mut String, entry: &Entry<D>, count: u64, key: &str) -> std::fmt::Result {
    let last = rfc3339(entry.last).unwrap_or_default();
    write!(out, "{count:8}  {last}  {key} ")?;
    for (reason, count) in entry.reasons() {
        write!(out, " {}={count}", reason.reason())?;
    }
    writeln!(out)
}

fn write_sample(out: &mut String, sample: &Sample) -> std::fmt::Result {
    let at = rfc3339(sample.at).unwrap_or_default();
    let (side, name, reason) = (sample.side.label(), &sample.name, sample.reason.reason());
    write!(out, "          {at}  {side} {name}  {reason}")?;
    if let Some(peer) = sample.peer {
        write!(out, "  from {peer}")?;
    }
    if let Some(sni) = &sample.sni {
        write!(out, "  for {sni}")?;
    }
    writeln!(out)?;
    if let Some(detail) = &sample.detail {
        writeln!(out, "              {detail}")?;
    }
    let Some(certificate) = &sample.certificate else {
        return Ok(());
    };
    let Certificate {
        subject,
        issuer,
        serial,
        key,
        chain_length,
        ..
    } = certificate;
    let from = rfc3339(certificate.not_before).unwrap_or_default();
    let until = rfc3339(certificate.not_after).unwrap_or_default();
    writeln!(
        out,
        "              subject {subject}, issuer {issuer}, serial {serial}"
    )?;
    writeln!(
        out,
        "              valid {from} to {until}, {key}, chain of {chain_length}"
    )?;
    writeln!(out, "              sha256 {}", certificate.fingerprint)?;
    if !certificate.names.is_empty() {
        writeln!(out, "              names {}", certificate.names.join(", "))?;
    }
    Ok(())
}
