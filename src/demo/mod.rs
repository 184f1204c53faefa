//! `portcullis demo`: a whole world in one folder. A PKI, signing keys, two services that require
//! mTLS, an edge, and `curl` lines that show what is let through and what is refused.
//!
//! The gateway runs as a child process, with the very command that an operator would use; nothing
//! here reaches into it. It is ended with the demo.

mod child;
mod lines;
mod material;
mod place;
mod sample;
mod service;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use crate::pki::{Overwrite, PkiError, write_public};

pub use sample::{SampleOptions, run_sample};

use child::Child;
use material::Material;
use place::Place;

/// What may be said about a demo.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where certificates, keys, tokens and demo.json are kept
    #[arg(long, value_name = "DIR", default_value = place::DIR)]
    dir: PathBuf,
    /// Where the gateway listens for clients (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = place::EDGE)]
    edge: SocketAddr,
    /// Where the gateway listens for metrics and health (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = place::ADMIN)]
    admin: SocketAddr,
}

/// Why a demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Certificates, keys or files cannot be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A port is taken.
    #[error(
        "{address} cannot be listened on ({error}): is another demo running? \
         --dir, --edge and --admin name others"
    )]
    Port {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// Something of the system fails.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: std::io::Error,
    },
    /// The gateway ended by itself.
    #[error("the gateway ended ({status}); it said:\n{said}")]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        said: String,
    },
    /// The gateway does not become ready.
    #[error("the gateway was not ready after {} s; it said:\n{said}", child::READY_WITHIN.as_secs())]
    NotReady {
        /// The last lines of its log.
        said: String,
    },
}

impl DemoError {
    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}

/// Runs the demo until Ctrl-C or SIGTERM. `print` takes what the person at the terminal reads.
///
/// # Errors
///
/// [`DemoError`] if it cannot start, or if the gateway ends by itself.
pub fn run(options: &Options, print: fn(&str)) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DemoError::system("the demo cannot start its threads"))?;
    runtime.block_on(demo(options, print))
}

async fn demo(options: &Options, print: fn(&str)) -> Result<(), DemoError> {
    let mut signals = Signals::listen()?;
    let mut place = Place::choose(options)?;
    place.check_free().await?;
    let demo_json = options.dir.join("demo.json");
    forget(&demo_json)?;
    let material = Material::ready(&options.dir, OffsetDateTime::now_utc())?;
    let mut services = JoinSet::new();
    let orders = service::listen(place.orders).await?;
    let impostor = service::listen(place.billing).await?;
    (place.orders, place.billing) = (address(&orders)?, address(&impostor)?);
    services.spawn(service::serve(orders, material.service("orders")?));
    services.spawn(service::serve(impostor, material.service("impostor")?));

    place.write_config()?;
    let mut gateway = Child::start(&place.config, &options.dir.join("gateway.log"))?;
    let shown = async {
        gateway.ready(place.admin).await?;
        let told = lines::told(&place, &material)?;
        write_public(&demo_json, &format!("{told:#}\n"), Overwrite::Yes)?;
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print(&lines::page(&place, &material, colours));
        Err(gateway.ended().await)
    };
    let ended = tokio::select! {
        biased; // after Ctrl-C the gateway ends as well, and that is no error
        () = signals.heard() => Ok(()),
        error = shown => error,
    };
    gateway.stop().await;
    forget(&demo_json)?;
    ended?;
    print("stopped");
    Ok(())
}

/// What ends a demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is closed. The gateway takes this one for the wish to reload.
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, DemoError> {
        let listen = |kind| signal(kind).map_err(DemoError::system("signals cannot be heard"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// A `demo.json` that is there says that the gateway is ready: an old one would lie.
fn forget(demo_json: &Path) -> Result<(), DemoError> {
    match std::fs::remove_file(demo_json) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DemoError::System {
            what: "demo.json of the last run cannot be removed",
            error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, DemoError> {
    listener
        .local_addr()
        .map_err(DemoError::system("a listener has no address"))
}

/// How often something that has no event is looked at.
const GLANCE: Duration = Duration::from_millis(50);
