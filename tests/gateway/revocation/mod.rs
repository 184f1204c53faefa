//! What becomes of connections, sessions and pooled connections when somebody's standing is taken
//! away while they are open. How it is taken away is [`How`]: each test that takes a way goes
//! through all of them.

use std::time::{Duration, Instant};

use crate::bench::client::{Client, H2};
use crate::bench::config::Config;
use crate::bench::crl::Crl;
use crate::bench::gateway::{Gateway, Reloaded};
use crate::bench::pki::{Authority, Folder, Identity, Leaf};
use crate::bench::service::{Builder, Service};
use crate::bench::{WEB_ID, World, within};

mod busy;
mod idle;
mod many;
mod sessions;
mod terms;
mod upstreams;

/// The counter of connections that were closed.
pub const REVOKED: &str = "portcullis_connections_revoked_total";
/// Who loses its standing.
pub const THEIR_ID: &str = "spiffe://removed.example/web/a";
/// The serial number of the first of them; those of the others follow.
const SERIALS: u64 = 1_000;
/// How many others there may be.
pub const OTHERS: u64 = 40;
/// What is promised, from the change of a file to the last byte of a busy connection.
pub const PROMISED: Duration = Duration::from_secs(5);

/// How a client's standing is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The CA of its certificate is taken out of the bundle.
    RemovedCa,
    /// A CRL of its CA lists its certificate.
    Crl,
    /// The deny list names it.
    Denied,
}

impl How {
    pub const ALL: [Self; 3] = [Self::RemovedCa, Self::Crl, Self::Denied];

    /// The label of the closed connection.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::RemovedCa => "unknown_issuer",
            Self::Crl => "certificate_revoked",
            Self::Denied => "certificate_denied",
        }
    }

    /// Why a request is refused that comes all the same.
    pub const fn refusal(self) -> &'static str {
        match self {
            Self::RemovedCa => "certificate_untrusted",
            Self::Crl | Self::Denied => "certificate_revoked",
        }
    }
}

/// A gateway with two clients, of which one is to lose its standing.
pub struct Stage {
    pub how: How,
    pub world: World,
    pub orders: Service,
    pub gateway: Gateway,
    pub theirs: Identity,
    pub ours: Identity,
    removed: Authority,
}

impl Stage {
    pub async fn new(how: How) -> Self {
        Self::build(how, |_| {}, |service| service).await
    }

    pub async fn build(
        how: How,
        change: impl FnOnce(&mut Config),
        service: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let world = World::new();
        let removed = Authority::new("removed");
        let both = format!("{}{}", world.partners.pem(), removed.pem());
        world.folder.write("partners-ca.pem", both);
        let orders = service(world.orders()).start().await;
        let mut config = world.config();
        config.endpoints("orders", &[orders.address]);
        match how {
            How::RemovedCa => {}
            How::Crl => {
                let none = Crl::of(&[]).number(1).pem(&world.partners);
                world.folder.write("partners.crl", none);
                config.set("trust.partners.crl", "partners.crl");
            }
            How::Denied => {
                world.folder.write("deny.list", "# nobody yet\n");
                config.set("deny", "deny.list");
            }
        }
        change(&mut config);
        let gateway = world.gateway_with(&config).await;
        let authority = match how {
            How::RemovedCa => &removed,
            How::Crl | How::Denied => &world.partners,
        };
        let theirs = Leaf::client("theirs").spiffe(THEIR_ID).serial(SERIALS);
        let theirs = authority.issue(theirs);
        let ours = world.partners.issue(Leaf::client("ours").spiffe(WEB_ID));
        Self {
            how,
            world,
            orders,
            gateway,
            theirs,
            ours,
            removed,
        }
    }

    pub fn their_client(&self) -> Client {
        self.gateway.client(&self.theirs)
    }

    pub fn our_client(&self) -> Client {
        self.gateway.client(&self.ours)
    }

    /// One more certificate of those who lose their standing: fewer than [`OTHERS`].
    pub fn another_of_theirs(&self, number: u64) -> Identity {
        let authority = match self.how {
            How::RemovedCa => &self.removed,
            How::Crl | How::Denied => &self.world.partners,
        };
        let leaf = Leaf::client("another").spiffe(&other_id(number));
        authority.issue(leaf.serial(SERIALS + 1 + number))
    }

    /// Takes the standing away, and does not wait for the gateway. When it was done.
    pub fn revoke(&self) -> Instant {
        take_away(self.how, &self.world, &self.world.folder);
        Instant::now()
    }

    /// Takes the standing away and waits until the gateway has heard of it.
    pub async fn revoke_and_wait(&self) -> Instant {
        let mut at = Instant::now();
        let reloaded = self.gateway.reload_by(|| at = self.revoke()).await;
        assert!(matches!(reloaded, Reloaded::Applied(_)), "{reloaded:?}");
        at
    }

    /// How many connections were closed for the reason of this way.
    pub async fn closed(&self, count: f64) {
        let labels = [("listener", "edge"), ("reason", self.how.reason())];
        self.gateway
            .wait_for_metric(REVOKED, &labels, |now| now == count)
            .await;
    }
}

/// Waits until the gateway has said GOAWAY, without an error, and closed. The client asks for nothing,
/// and does not go by itself.
pub async fn sent_away(h2: &mut H2) {
    let ended = within("the end of the h2 connection", &mut h2.driver).await;
    // What it says to a socket that was closed meanwhile does not arrive.
    if let Err(error) = ended.expect("the driver") {
        assert!(error.is_io(), "a GOAWAY without an error: {error}");
    }
}

fn other_id(number: u64) -> String {
    format!("spiffe://removed.example/web/n{number}")
}

/// All of them, at once.
fn take_away(how: How, world: &World, folder: &Folder) {
    match how {
        How::RemovedCa => folder.write("partners-ca.pem", world.partners.pem()),
        How::Crl => {
            let serials: Vec<u64> = (SERIALS..=SERIALS + OTHERS).collect();
            let crl = Crl::of(&serials).number(2).pem(&world.partners);
            folder.write("partners.crl", crl)
        }
        How::Denied => {
            let others = (0..OTHERS).map(other_id);
            let lines: Vec<String> = others.chain([THEIR_ID.to_owned()]).collect();
            folder.write("deny.list", lines.join("\n"))
        }
    };
}
