//! Assembly: what is built in which order; start, drain, stop. `run` and `check` begin the same
//! way, so that a configuration which passes `check` is one that starts.

mod sockets;
mod stop;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pingora::apps::HttpServerOptions;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::protocols::Stream;
use pingora::proxy::ProxyServiceBuilder;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as _;
use rustls::pki_types::UnixTime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::sockets::Sockets;
use self::stop::{Signals, open, wind_down};
use crate::acme::http01;
use crate::acme::keeper::Keeper;
use crate::admin::{self, KeySets, Readiness};
use crate::authenticate::keys::store::IssuerKeyStore;
use crate::observe::{RevocationLog, start_logging};
use crate::proxy::GatewayProxy;
use crate::proxy::connection::{Door, Proxy, serve};
use crate::proxy::sweep::Sweeper;
use crate::reload::{AtStart, Reloader, unix_seconds};
use crate::snapshot::Live;
use crate::snapshot::compile::{Compiled, build};
use crate::snapshot::stores::Stores;
use crate::trust::provider;
use crate::upstream::MtlsConnector;

/// Why the machine does not let the gateway start, for the operator.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(
        "{place} {address} cannot be listened on: {source}\n    hint: is another process there? `ss -ltnp` tells; ports below 1024 need a privilege"
    )]
    Bind {
        place: String,
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
}

/// Connections to services that are kept while nobody uses them, on each listener.
const POOLED_CONNECTIONS_MAX: usize = 1024;

/// What a configuration comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Routes.
    pub routes: usize,
    /// Upstreams.
    pub upstreams: usize,
    /// Listeners.
    pub listeners: usize,
    /// Tests that passed.
    pub tests: usize,
}

/// Loads and compiles the configuration as `run` does.
///
/// # Errors
///
/// Every problem, as text for the operator.
pub fn check(file: &Path) -> Result<(Checked, Vec<String>), String> {
    install_provider();
    let compiled = build(
        file,
        &Stores::default(),
        None,
        FIRST_GENERATION,
        UnixTime::now(),
    )
    .map_err(|refused| refused.problems.to_string())?;
    let spec = &compiled.snapshot.spec;
    let checked = Checked {
        routes: compiled.snapshot.names().routes.len(),
        upstreams: spec.upstreams.len(),
        listeners: spec.listeners.len(),
        tests: spec.tests.len(),
    };
    Ok((checked, compiled.warnings))
}

/// Runs the gateway until SIGTERM or SIGINT.
///
/// # Errors
///
/// Why it does not start, as text for the operator.
pub fn run(file: &Path) -> Result<(), String> {
    install_provider();
    let stores = Stores::default();
    let at_start = AtStart::look(file);
    let compiled = build(file, &stores, None, FIRST_GENERATION, UnixTime::now())
        .map_err(|refused| refused.problems.to_string())?;
    let logs = &compiled.snapshot.spec.logs;
    let logging = start_logging(logs.format, logs.level).map_err(|error| error.to_string())?;
    stores.metrics.show_logging(&logging);
    let ended = serve_until_told(file, stores, compiled, at_start);
    let ended = ended.map_err(|error| error.to_string());
    logging.flush(LOG_FLUSH_MAX);
    ended
}

const FIRST_GENERATION: u64 = 1;
const LOG_FLUSH_MAX: Duration = Duration::from_secs(1);

/// Before pingora starts, which would install another.
fn install_provider() {
    // Already there in tests that run several gateways: it is the same.
    drop(provider().as_ref().clone().install_default());
}

fn serve_until_told(
    file: &Path,
    stores: Stores,
    compiled: Compiled,
    at_start: AtStart,
) -> Result<(), StartError> {
    let spec = &compiled.snapshot.spec;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("gateway");
    if let Some(workers) = spec.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.build().map_err(StartError::Runtime)?;
    let sockets = Sockets::bind(spec)?;
    let ended = runtime.block_on(serve_all(file, stores, compiled, sockets, at_start));
    runtime.shutdown_background();
    ended
}

async fn serve_all(
    file: &Path,
    stores: Stores,
    compiled: Compiled,
    sockets: Sockets,
    at_start: AtStart,
) -> Result<(), StartError> {
    let Compiled {
        snapshot,
        warnings,
        places,
    } = compiled;
    drop(places); // the whole file
    warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    let mut signals = Signals::watch()?;
    let readiness = Arc::new(Readiness::default());
    let admin_address = snapshot.spec.admin.address;
    stores
        .metrics
        .configuration_loaded(snapshot.generation, unix_seconds());
    snapshot.publish(&stores);
    stores.sources.agents.start();
    let live = Arc::new(Live::new(snapshot));
    let (stop, stopping) = watch::channel(false);
    let mut caps = Vec::new();
    let mut edges = JoinSet::new();
    let revocations = Arc::new(RevocationLog::default());
    for (name, address, socket) in sockets.edges {
        tracing::info!(listener = %name, %address, "listening");
        let door = Arc::new(Door::new(name, &live, &stores, &revocations));
        edges.spawn(Sweeper::new(Arc::clone(&door)).run());
        caps.push(Arc::clone(&door.caps));
        edges.spawn(listen(
            door,
            address,
            socket,
            stores.clone(),
            stopping.clone(),
        ));
    }
    tend(sockets.challenges, &stores, &mut edges)?;
    let admin = tokio::net::TcpListener::from_std(sockets.admin).map_err(StartError::Runtime)?;
    let admin_stop = Arc::new(Notify::new());
    let until = Arc::clone(&admin_stop);
    let admin_task = tokio::spawn(admin::serve(
        admin,
        Arc::clone(&stores.metrics),
        Arc::clone(&readiness),
        KeySets::of(Arc::clone(&live)),
        async move { until.notified().await },
    ));
    let forced = Arc::clone(&signals.reload);
    let issuer_keys = Arc::clone(&stores.issuer_keys);
    let reloader =
        tokio::spawn(Reloader::new(file, Arc::clone(&live), stores, forced, at_start).run());
    tracing::info!(admin = %admin_address, "admin listening");
    let ready = ready_when_whole(Arc::clone(&live), issuer_keys, Arc::clone(&readiness));
    tokio::spawn(ready);
    signals.stop().await;
    readiness.draining();
    let how = live.now().spec.shutdown;
    tracing::info!(delay = ?how.delay, deadline = ?how.deadline, "stopping: not ready, and after the delay no new connections");
    tokio::select! {
        () = wind_down(how, reloader, &stop, &caps) => {}
        () = signals.stop() => {
            tracing::warn!(open = open(&caps), "stopped: a second signal came with connections open");
        }
    }
    edges.abort_all();
    admin_stop.notify_one();
    drop(tokio::time::timeout(Duration::from_secs(1), admin_task).await);
    Ok(())
}

/// Orders and renews certificates, answers HTTP-01 challenges, and fetches the keys of issuers.
fn tend(
    sockets: Vec<TcpListener>,
    stores: &Stores,
    tasks: &mut JoinSet<()>,
) -> Result<(), StartError> {
    let acme = stores.sources.acme();
    for socket in sockets {
        let socket = tokio::net::TcpListener::from_std(socket).map_err(StartError::Runtime)?;
        tasks.spawn(http01::serve(socket, Arc::clone(acme.challenges())));
    }
    let keeper = Keeper::new(Arc::clone(acme), Arc::clone(&stores.metrics));
    tasks.spawn(keeper.run());
    tasks.spawn(Arc::clone(&stores.issuer_keys).fetch());
    Ok(())
}

/// Says that the gateway is ready once every source has given something, and issuers their keys or
/// been waited for: before that, requests would be refused that are not to be.
async fn ready_when_whole(
    live: Arc<Live>,
    issuer_keys: Arc<IssuerKeyStore>,
    readiness: Arc<Readiness>,
) {
    let mut swaps = live.swaps();
    loop {
        let now = live.now();
        let mut absent = now.material.absent().iter().peekable();
        if absent.peek().is_none() {
            break;
        }
        for source in absent {
            let (place, kind) = (&*source.place, source.kind.label());
            tracing::info!(place, source = kind, "not ready: no key material yet");
        }
        drop(now); // a snapshot should not live as long as a wait
        if swaps.changed().await.is_err() {
            return;
        }
    }
    issuer_keys.awaited().await;
    readiness.ready();
    tracing::info!("ready");
}

/// Accepts connections of one listener until `stopping`.
async fn listen(
    door: Arc<Door>,
    address: SocketAddr,
    socket: TcpListener,
    stores: Stores,
    stopping: ShutdownWatch,
) {
    let conf = ServerConf {
        upstream_keepalive_pool_size: POOLED_CONNECTIONS_MAX,
        // For pooled connections that have ended; else `GatewayProxy` gives up sooner.
        max_retries: 16,
        ..ServerConf::default()
    };
    let mut options = HttpServerOptions::default();
    options.force_custom = true; // each connection comes to `serve` before any TLS
    options.allow_connect_method_proxying = true; // `admit` refuses CONNECT, by name
    let face = GatewayProxy::new(
        Arc::clone(&door.live),
        Arc::clone(&stores.metrics),
        Arc::clone(&door.handshakes),
    );
    let connector = MtlsConnector::new(Arc::clone(&stores.policies), Arc::clone(&door.handshakes));
    let on_connection = Arc::new(move |proxy: Arc<Proxy>, io: Stream, stop: &ShutdownWatch| {
        let (door, stop) = (Arc::clone(&door), stop.clone());
        let connection: futures_util::future::BoxFuture<'static, Option<Stream>> =
            Box::pin(async move {
                serve(proxy, io, door, stop).await;
                None
            });
        connection
    });
    let mut service = ProxyServiceBuilder::new(&Arc::new(conf), face)
        .custom(connector, on_connection)
        .server_options(options)
        .build();
    let endpoint = ListenerConfig::tcp(address.to_string());
    service.add_listener(endpoint.l4_buffer(L4BufferSettings::unbuffered()));
    let mut sockets = Fds::new();
    sockets.add(address.to_string(), socket.into_raw_fd());
    let sockets: ListenFds = Arc::new(Mutex::new(sockets));
    service.start_service(Some(sockets), stopping, 1).await;
}
