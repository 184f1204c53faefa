//! [`Child`]: the gateway, as a process of its own. Ended with the demo, however that ends.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::pki::read_text;

use super::{DemoError, GLANCE};

/// A debug build on a busy machine takes a second or two.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Lines of the log that are shown when something is wrong.
const LINES_SHOWN: usize = 20;

pub(super) struct Child {
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `portcullis run --config CONFIG` with its output in `log`.
    ///
    /// # Errors
    ///
    /// [`DemoError::System`].
    pub(super) fn start(config: &Path, log: &Path) -> Result<Self, DemoError> {
        let own = std::env::current_exe()
            .map_err(DemoError::system("the demo cannot find its own program"))?;
        let unwritable = "the gateway's log cannot be written";
        let out = File::create(log).map_err(DemoError::system(unwritable))?;
        let errors = out.try_clone().map_err(DemoError::system(unwritable))?;
        let process = Command::new(own)
            .arg("run")
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .map_err(DemoError::system("the gateway cannot be started"))?;
        Ok(Self {
            process,
            log: log.to_owned(),
        })
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    ///
    /// [`DemoError::Ended`] or [`DemoError::NotReady`], with what the gateway said.
    pub(super) async fn ready(&mut self, admin: SocketAddr) -> Result<(), DemoError> {
        let ready = async {
            while !is_ready(admin).await {
                sleep(GLANCE).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            error = self.ended() => Err(error),
            () = sleep(READY_WITHIN) => Err(DemoError::NotReady { said: self.said() }),
        }
    }

    /// Waits until the gateway ends by itself.
    pub(super) async fn ended(&mut self) -> DemoError {
        let status = self.exit().await;
        let said = self.said();
        match status {
            Ok(status) => DemoError::Ended { status, said },
            Err(error) => DemoError::System {
                what: "the gateway cannot be waited for",
                error,
            },
        }
    }

    /// Ends it. After Ctrl-C it has heard the signal as well, and ends by itself.
    pub(super) async fn stop(mut self) {
        match timeout(STOPPED_WITHIN, self.exit()).await {
            Ok(_ended) => {}
            Err(_still_runs) => drop(self),
        }
    }

    async fn exit(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            sleep(GLANCE).await;
        }
    }

    fn said(&self) -> String {
        let log = read_text(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let skipped = lines.len().saturating_sub(LINES_SHOWN);
        let last: Vec<_> = lines.into_iter().skip(skipped).collect();
        last.join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error says that it has ended already.
        match self.process.kill().and_then(|()| self.process.wait()) {
            Ok(_) | Err(_) => {}
        }
    }
}

async fn is_ready(admin: SocketAddr) -> bool {
    let asked = async {
        let mut socket = TcpStream::connect(admin).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut begin = [0; 12];
        socket.read_exact(&mut begin).await?;
        std::io::Result::Ok(begin == *b"HTTP/1.1 200")
    };
    matches!(timeout(ANSWER_WITHIN, asked).await, Ok(Ok(true)))
}
