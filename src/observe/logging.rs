//! The set-up of logging: who is heard at which level, where lines go, and what a panic leaves.

use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;

use super::line_layer::LineLayer;
use super::line_writer::LineWriter;
use crate::config::spec::{LogFormat, LogLevel};

/// Logging that runs until the process ends.
#[derive(Clone, Debug)]
#[must_use = "the last lines are written only if `flush` is called before the process ends"]
pub struct Logging(Arc<LogCounts>);

/// What logging counts.
#[derive(Debug)]
pub(super) struct LogCounts {
    writer: LineWriter,
    panics: AtomicU64,
}

/// Logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingNotStarted {
    /// It was started before: there is one log for each process.
    #[error("logging was started before")]
    Already,
    /// The system gives no thread for it.
    #[error("no thread for the log: {0}")]
    Thread(#[from] io::Error),
}

/// Starts to log to standard output, and to log panics. Once for each process.
///
/// # Errors
///
/// [`LoggingNotStarted`].
pub fn start_logging(format: LogFormat, level: LogLevel) -> Result<Logging, LoggingNotStarted> {
    let writer = LineWriter::start(io::stdout())?;
    let subscriber = subscriber(format, level, writer.clone());
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_already| LoggingNotStarted::Already)?;
    let counts = Arc::new(LogCounts {
        writer,
        panics: AtomicU64::new(0),
    });
    let panics = Arc::clone(&counts);
    panic::set_hook(Box::new(move |panic| {
        panics.panics.fetch_add(1, Ordering::Relaxed);
        log_panic(panic);
    }));
    Ok(Logging(counts))
}

impl Logging {
    /// Waits until every line is written, at most `limit`. Blocks: for the end of the process.
    pub fn flush(&self, limit: Duration) {
        self.0.writer.flush(limit);
    }

    pub(super) fn counts(&self) -> Arc<LogCounts> {
        Arc::clone(&self.0)
    }
}

impl LogCounts {
    /// Lines dropped, and panics.
    pub(super) fn values(&self) -> (u64, u64) {
        (self.writer.dropped(), self.panics.load(Ordering::Relaxed))
    }
}

fn subscriber(
    format: LogFormat,
    level: LogLevel,
    writer: LineWriter,
) -> impl Subscriber + Send + Sync {
    Registry::default().with(LineLayer::new(format, writer).with_filter(filter(level)))
}

/// Ours at the level that the operator wants. Libraries are heard from `warn` on: below that, some
/// write header fields, and with them tokens and cookies.
fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_targets([
            ("portcullis", ours),
            ("access", ours),
            ("handshake", ours),
            ("revocation", ours),
        ])
}

/// Where, and what the code itself says there. A message that was put together when it happened may
/// hold whatever was at hand, a token or a claim: it goes nowhere.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    let message = message.unwrap_or("its message is not shown, for it may hold secrets");
    let place = panic.location().map(tracing::field::display);
    tracing::error!(place, error = message, "panic: a fault of the gateway");
}

#[cfg(test)]
#[path = "logging_tests.rs"]
mod tests;
