//! [`LineLayer`]: turns an event into one line, JSON or readable.
//!
//! Every text is escaped on its way into the line, whoever logged it: nothing from outside can
//! begin a line of its own or move a terminal's cursor.

use std::cell::Cell;
use std::fmt::{self, Write};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::escape::Escaping;
use super::line_writer::LineWriter;
use crate::config::spec::LogFormat;

/// No field is longer. Texts from outside are cut shorter where they are logged; this is for error
/// messages and lists of problems.
const FIELD_CHARS_MAX: usize = 4_096;

/// Writes every event that it is shown.
#[derive(Debug)]
pub(super) struct LineLayer {
    format: LogFormat,
    out: LineWriter,
}

thread_local! {
    /// The line that this thread writes: one piece of memory for all its lines.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl LineLayer {
    pub(super) const fn new(format: LogFormat, out: LineWriter) -> Self {
        Self { format, out }
    }
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        // Taken out, not borrowed: an event within an event's `Display` finds an empty one.
        let mut line = LINE.take();
        line.clear();
        #[expect(
            clippy::disallowed_methods,
            reason = "a line is stamped when it is written"
        )]
        let now = OffsetDateTime::from(std::time::SystemTime::now());
        // Writing to a String fails only if a `Display` fails: what there is of the line is written.
        write_line(&mut line, self.format, now, event).unwrap_or_default();
        line.push('\n');
        self.out.push(line.as_bytes());
        LINE.set(line);
    }
}

fn write_line(
    line: &mut String,
    format: LogFormat,
    now: OffsetDateTime,
    event: &Event<'_>,
) -> fmt::Result {
    let level = event.metadata().level();
    let target = event.metadata().target();
    match format {
        LogFormat::Json => {
            line.write_str("{\"time\":\"")?;
            write_time(line, now)?;
            write!(line, "\",\"level\":\"{level}\",\"target\":\"{target}\"")?;
        }
        LogFormat::Readable => {
            write_time(line, now)?;
            write!(line, " {level:<5} {target}")?;
        }
    }
    let mut fields = Fields {
        line,
        format,
        result: Ok(()),
    };
    event.record(&mut fields);
    let result = fields.result;
    if format == LogFormat::Json {
        line.push('}');
    }
    result
}

/// RFC 3339, UTC, with milliseconds.
fn write_time(line: &mut String, now: OffsetDateTime) -> fmt::Result {
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second, milli) = now.time().as_hms_milli();
    let month = u8::from(month);
    write!(
        line,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
    )
}

struct Fields<'a> {
    line: &'a mut String,
    format: LogFormat,
    result: fmt::Result,
}

impl Fields<'_> {
    /// Writes a value that needs no quotes.
    fn bare(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let written = self.key(field).and_then(|()| self.line.write_fmt(value));
        self.result = self.result.and(written);
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let written = self.write_text(field, value);
        self.result = self.result.and(written);
    }

    fn write_text(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if self.format == LogFormat::Readable && field.name() == "message" {
            self.line.push(' ');
            return Escaping::bare(self.line, FIELD_CHARS_MAX).write_fmt(value);
        }
        self.key(field)?;
        self.line.push('"');
        let written = Escaping::quoted(self.line, FIELD_CHARS_MAX).write_fmt(value);
        self.line.push('"'); // Even then: the line stays JSON.
        written
    }

    /// Names of fields are identifiers of ours.
    fn key(&mut self, field: &Field) -> fmt::Result {
        match self.format {
            LogFormat::Json => write!(self.line, ",\"{}\":", field.name()),
            LogFormat::Readable => write!(self.line, " {}=", field.name()),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, format_args!("{value:.6}"));
        } else {
            self.bare(field, format_args!("null"));
        }
    }
}
