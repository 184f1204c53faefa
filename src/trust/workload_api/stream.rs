//! [`Stream`]: the answers of one agent on one connection, each in bounded time and size.
//!
//! gRPC is the business of `spiffe` and `tonic`; the bounds are ours. A message has 4 MiB at most
//! (tonic's own bound, which the client library leaves as it is).

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream as Messages, StreamExt as _};
use spiffe::transport::Endpoint;
use spiffe::{WorkloadApiClient, WorkloadApiError, X509Context};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint as Connector, Uri};

use super::AgentSocket;
use super::error::{AgentError, cut};

/// From the first byte to the first answer. An agent on this machine needs milliseconds.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Agents built on gRPC for Go close connections that ping more often than every 5 minutes.
const PING_EVERY: Duration = Duration::from_secs(330);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// Headers and trailers of an answer: a status and a sentence.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// What may be on its way before it is looked at: most answers are a few KiB.
const WINDOW_BYTES: u32 = 256 << 10;

/// The answers of an agent.
pub(super) struct Stream {
    messages: Pin<Box<dyn Messages<Item = Result<X509Context, WorkloadApiError>> + Send>>,
}

impl Stream {
    /// Connects, asks, and waits for the first answer.
    ///
    /// # Errors
    ///
    /// [`AgentError`], after [`FIRST_ANSWER`] at the latest.
    pub(super) async fn open(socket: &AgentSocket) -> Result<(Self, X509Context), AgentError> {
        let first = async {
            let client =
                WorkloadApiClient::new_with_channel(endpoint(socket)?, channel(socket).await?);
            let messages = client.stream_x509_contexts().await;
            let messages = messages.map_err(|error| AgentError::of(&error))?;
            let mut stream = Self {
                messages: Box::pin(messages),
            };
            let first = stream.next().await?;
            Ok((stream, first))
        };
        match timeout(FIRST_ANSWER, first).await {
            Ok(first) => first,
            Err(_elapsed) => Err(AgentError::Silent {
                waited: FIRST_ANSWER,
            }),
        }
    }

    /// The next answer. May wait for long: an agent answers when something changes.
    ///
    /// # Errors
    ///
    /// [`AgentError`]: the stream is over then.
    ///
    /// # Cancel safety
    ///
    /// Safe: an answer that came in part is kept for the next call.
    pub(super) async fn next(&mut self) -> Result<X509Context, AgentError> {
        match self.messages.next().await {
            Some(Ok(context)) => Ok(context),
            Some(Err(error)) => Err(AgentError::of(&error)),
            None => Err(AgentError::Ended),
        }
    }
}

fn endpoint(socket: &AgentSocket) -> Result<Endpoint, AgentError> {
    Endpoint::parse(&socket.to_string()).map_err(|error| AgentError::Unreachable {
        why: error.to_string(),
    })
}

async fn channel(socket: &AgentSocket) -> Result<Channel, AgentError> {
    let url = match socket {
        AgentSocket::Unix(path) => format!("unix://{}", path.display()),
        AgentSocket::Tcp(address) => format!("http://{address}"),
    };
    let connector = Connector::from_shared(url).map_err(|error| unreachable(&error))?;
    connector
        .origin(Uri::from_static("http://localhost"))
        .connect_timeout(FIRST_ANSWER)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect()
        .await
        .map_err(|error| unreachable(&error))
}

/// In the words of the system, which stand at the end of a library's chain of errors.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> AgentError {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    AgentError::Unreachable {
        why: cut(&deepest.to_string()),
    }
}
