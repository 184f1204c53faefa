//! A sample service by itself, for compose files and first steps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;

use super::service::{Service, serve};
use super::{DemoError, Signals};
use crate::identity::spiffe::SpiffeId;
use crate::pki::{mutual_server, read_text};

/// What may be said about a sample service.
#[derive(Args, Clone, Debug)]
pub struct SampleOptions {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9443")]
    address: SocketAddr,
    /// Its certificate (PEM), the leaf first
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who signs the certificates of its callers (PEM)
    #[arg(long, value_name = "FILE")]
    client_ca: PathBuf,
    /// The one identity that it answers: that of the gateway
    #[arg(long, value_name = "SPIFFE-ID")]
    caller: SpiffeId,
    /// What it calls itself in its answers
    #[arg(long, value_name = "NAME", default_value = "sample")]
    name: String,
}

/// Runs a sample service until Ctrl-C or SIGTERM.
///
/// # Errors
///
/// [`DemoError`] if it cannot start.
pub fn run_sample(options: &SampleOptions, print: fn(&str)) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::system("the service cannot start"))?;
    runtime.block_on(sample(options, print))
}

async fn sample(options: &SampleOptions, print: fn(&str)) -> Result<(), DemoError> {
    let mut signals = Signals::listen()?;
    let tls = mutual_server(
        &read_text(&options.cert)?,
        &read_text(&options.key)?,
        &read_text(&options.client_ca)?,
    )?;
    let service = Service::new(options.name.clone(), options.caller.to_string(), tls.into());
    let listener = TcpListener::bind(options.address)
        .await
        .map_err(DemoError::system("--address cannot be listened on"))?;
    print(&format!(
        "{} answers {} on {}",
        options.name, options.caller, options.address
    ));
    tokio::select! {
        () = serve(listener, Arc::new(service)) => {}
        () = signals.heard() => {}
    }
    Ok(())
}
