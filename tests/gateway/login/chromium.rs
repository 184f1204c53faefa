//! A real browser: Debian's Chromium without a window, driven over the DevTools protocol through a pipe.
//!
//! Its profile, its certificates (an NSS database, as on a user's machine) and its temporary files
//! are in folders of the test. Names lead to loopback or nowhere, so that nothing leaves the machine.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::bench::pki::{Authority, Folder, Identity};
use crate::bench::within;

/// The browser, until it is dropped.
pub struct Chromium {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
    heard: Arc<Heard>,
    next: AtomicU64,
    /// Ends when its last process has ended.
    over: mpsc::Receiver<()>,
    home: PathBuf,
    temporary: PathBuf,
}

/// What it said.
#[derive(Default)]
struct Heard {
    /// By tab, in order.
    events: Mutex<HashMap<String, Vec<Value>>>,
    results: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    changed: watch::Sender<()>,
}

/// A tab of it.
pub struct Tab<'b> {
    browser: &'b Chromium,
    session: String,
}

/// A page that has been loaded.
#[derive(Debug)]
pub struct Loaded {
    pub url: String,
    /// As its user reads it.
    pub text: String,
}

/// The machine of its user.
#[derive(Clone, Debug)]
pub struct Machine<'m> {
    pub folder: &'m Folder,
    /// Whom the user's machine trusts as servers.
    pub trusted: &'m [&'m Authority],
    /// The user's certificate, which is shown to whoever asks for one.
    pub identity: &'m Identity,
    /// Where a host with a port really is: all other names but `localhost` lead nowhere.
    pub hosts: &'m [(&'m str, u16)],
}

impl Chromium {
    /// Starts it with a profile that was never used.
    pub async fn start(machine: &Machine<'_>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let home = machine.folder.join(&format!("home-{number}"));
        // Sockets are made there, whose paths must be short.
        let temporary = format!("portcullis-{}-{number}", std::process::id());
        let temporary = std::env::temp_dir().join(temporary);
        std::fs::create_dir_all(&temporary).expect("a folder for its temporary files");
        lay_out(&home, machine);
        let mut child = spawn(&home, &temporary, machine.hosts);
        let heard = Arc::new(Heard::default());
        let over = heard.follow(child.stdout.take().expect("its stdout"));
        let browser = Self {
            stdin: Mutex::new(child.stdin.take()),
            child,
            heard,
            next: AtomicU64::new(1),
            over,
            home,
            temporary,
        };
        browser.ask("Browser.getVersion", json!({})).await;
        browser
    }

    /// A new tab, with nothing in it.
    pub async fn tab(&self) -> Tab<'_> {
        let made = self
            .ask("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let wish = json!({ "targetId": made["targetId"], "flatten": true });
        let attached = self.ask("Target.attachToTarget", wish).await;
        let session = attached["sessionId"].as_str().expect("a session");
        let tab = Tab {
            browser: self,
            session: session.to_owned(),
        };
        tab.ask("Page.enable", json!({})).await;
        tab
    }

    /// All cookies that it holds, of every host.
    pub async fn cookies(&self) -> Vec<Value> {
        let held = self.ask("Storage.getCookies", json!({})).await;
        held["cookies"].as_array().cloned().expect("cookies")
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.command(method, json!({ "params": params })).await
    }

    async fn command(&self, method: &str, mut message: Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, result) = oneshot::channel();
        self.heard
            .results
            .lock()
            .expect("results")
            .insert(id, sender);
        message["id"] = json!(id);
        message["method"] = json!(method);
        self.write(&message);
        let said = within(method, result).await;
        let said =
            said.unwrap_or_else(|_| panic!("Chromium ended; `scripts/tools test` installs it"));
        assert!(said.get("error").is_none(), "{method}: {said}");
        said["result"].clone()
    }

    /// Messages end with a NUL.
    fn write(&self, message: &Value) {
        let mut stdin = self.stdin.lock().expect("its stdin");
        if let Some(stdin) = stdin.as_mut() {
            // An end is seen where an answer is waited for.
            drop(write!(stdin, "{message}\0").and_then(|()| stdin.flush()));
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.write(&json!({ "id": 0, "method": "Browser.close" }));
        drop(self.stdin.lock().map(|mut stdin| stdin.take()));
        if self.over.recv_timeout(Duration::from_secs(5)) == Err(mpsc::RecvTimeoutError::Timeout) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.temporary));
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("Chromium's last lines:");
            let last = lines.iter().skip(lines.len().saturating_sub(20));
            last.for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl Tab<'_> {
    /// Takes all cookies from the browser.
    pub async fn forget(&self) {
        self.ask("Network.clearBrowserCookies", json!({})).await;
    }

    /// Types an address, and waits until the page at its end is loaded.
    pub async fn go(&self, url: &str) -> Loaded {
        let before = self.events().len();
        self.ask("Page.navigate", json!({ "url": url })).await;
        self.loaded_after(before).await
    }

    pub async fn reload(&self) -> Loaded {
        let before = self.events().len();
        self.ask("Page.reload", json!({})).await;
        self.loaded_after(before).await
    }

    /// Clicks on what a selector finds, and waits until the page that it leads to is loaded.
    pub async fn click(&self, selector: &str) -> Loaded {
        self.goes(&format!("document.querySelector({selector:?}).click()"))
            .await
    }

    /// Runs a script that leads to another page, and waits until that is loaded.
    pub async fn goes(&self, script: &str) -> Loaded {
        let before = self.events().len();
        self.run(script).await;
        self.loaded_after(before).await
    }

    /// Types into a field.
    pub async fn fill(&self, selector: &str, text: &str) {
        self.run(&format!("document.querySelector({selector:?}).focus()"))
            .await;
        self.ask("Input.insertText", json!({ "text": text })).await;
    }

    /// What a script of the page comes to, also one that waits.
    pub async fn run(&self, script: &str) -> Value {
        let wish = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let said = self.ask("Runtime.evaluate", wish).await;
        assert!(said.get("exceptionDetails").is_none(), "{script}: {said}");
        said["result"]["value"].clone()
    }

    /// Whether the page has this.
    pub async fn has(&self, selector: &str) -> bool {
        let script = format!("document.querySelector({selector:?}) !== null");
        self.run(&script).await == json!(true)
    }

    /// Takes a picture, for whoever works on these tests: `SCREENSHOTS=folder` says where to.
    pub async fn picture(&self, name: &str) {
        use base64::Engine as _;
        let Some(folder) = std::env::var_os("SCREENSHOTS") else {
            return;
        };
        let taken = self.ask("Page.captureScreenshot", json!({})).await;
        let taken = taken["data"].as_str().expect("a picture");
        let taken = base64::engine::general_purpose::STANDARD.decode(taken);
        let path = Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, taken.expect("base64")).expect("write a picture");
    }

    /// The next page that was loaded to its end after so many events.
    async fn loaded_after(&self, before: usize) -> Loaded {
        let mut changes = self.browser.heard.changed.subscribe();
        within("a page", async {
            while !is_loaded(&self.events()[before..]) {
                changes.changed().await.expect("Chromium lives");
            }
        })
        .await;
        let said = self
            .run("[location.href, document.body ? document.body.innerText : '']")
            .await;
        let text = |index: usize| said[index].as_str().unwrap_or_default().to_owned();
        Loaded {
            url: text(0),
            text: text(1),
        }
    }

    fn events(&self) -> Vec<Value> {
        let events = self.browser.heard.events.lock().expect("events");
        events.get(&self.session).cloned().unwrap_or_default()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let message = json!({ "params": params, "sessionId": self.session });
        self.browser.command(method, message).await
    }
}

/// Whether a page took the place of another, and is there with all that belongs to it.
fn is_loaded(events: &[Value]) -> bool {
    let new = events.iter().position(|event| {
        let frame = &event["params"]["frame"];
        event["method"] == "Page.frameNavigated" && frame.get("parentId").is_none()
    });
    let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
    new.is_some_and(|new| events[new..].iter().any(loaded))
}

impl Heard {
    fn follow(self: &Arc<Self>, output: impl Read + Send + 'static) -> mpsc::Receiver<()> {
        let heard = Arc::clone(self);
        let (ended, over) = mpsc::channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while let Ok(1..) = output.read_until(0, &mut message) {
                let end = message.strip_suffix(b"\0").unwrap_or(&message);
                if let Ok(said) = serde_json::from_slice(end) {
                    heard.take(said);
                }
                message.clear();
            }
            // Whoever waits for an answer waits in vain.
            heard.results.lock().expect("results").clear();
            drop(ended);
        });
        over
    }

    fn take(&self, said: Value) {
        if let Some(id) = said["id"].as_u64() {
            if let Some(waiting) = self.results.lock().expect("results").remove(&id) {
                drop(waiting.send(said));
            }
            return;
        }
        let session = said["sessionId"].as_str().unwrap_or_default().to_owned();
        let mut events = self.events.lock().expect("events");
        events.entry(session).or_default().push(said);
        drop(events);
        self.changed.send_replace(());
    }
}

/// Makes the user's home: the certificates, and a profile that knows which to show.
fn lay_out(home: &Path, machine: &Machine<'_>) {
    let profile = home.join("profile/Default");
    std::fs::create_dir_all(&profile).expect("a profile");
    // What a user is asked once, and what `AutoSelectCertificateForUrls` would say.
    let any = json!({ "*,*": { "setting": { "filters": [{}] } } });
    let preferences = json!({
        "profile": { "content_settings": { "exceptions": { "auto_select_certificate": any } } },
    });
    std::fs::write(profile.join("Preferences"), preferences.to_string()).expect("preferences");
    let store = home.join(".pki/nssdb");
    std::fs::create_dir_all(&store).expect("a folder for certificates");
    let store = format!("sql:{}", store.display());
    let path = |name: &str| home.join(name).display().to_string();
    run("certutil", &["-N", "-d", &store, "--empty-password"]);
    for (number, authority) in machine.trusted.iter().enumerate() {
        let name = format!("authority-{number}");
        std::fs::write(home.join(&name), authority.pem()).expect("an authority");
        let add = ["-A", "-d", &store, "-n", &name, "-t", "C,,", "-i"];
        run("certutil", &[&add[..], &[&path(&name)]].concat());
    }
    std::fs::write(home.join("user.pem"), &machine.identity.chain_pem).expect("a certificate");
    std::fs::write(home.join("user.key"), machine.identity.key_pem()).expect("a key");
    let (cert, key, both) = (path("user.pem"), path("user.key"), path("user.p12"));
    let pack = [
        "pkcs12", "-export", "-in", &cert, "-inkey", &key, "-out", &both,
    ];
    run("openssl", &[&pack[..], &["-passout", "pass:x"]].concat());
    run("pk12util", &["-i", &both, "-d", &store, "-W", "x"]);
}

fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}): `scripts/tools test` installs it")
    });
    assert!(ran.status.success(), "{program} {arguments:?}: {ran:?}");
}

/// Chromium reads messages at descriptor 3 and writes them at 4.
const WITH_PIPES: &str = r#"exec chromium "$@" 3<&0 4>&1 </dev/null 1>&2"#;

const SWITCHES: [&str; 17] = [
    "--headless",
    "--remote-debugging-pipe",
    // The root of a container may not make a sandbox, and these pages are the tests' own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--no-pings",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--password-store=basic",
];

fn spawn(home: &Path, temporary: &Path, hosts: &[(&str, u16)]) -> Child {
    let mut rules: Vec<String> = hosts
        .iter()
        .map(|(host, port)| format!("MAP {host}:443 127.0.0.1:{port}"))
        .collect();
    rules.push("MAP localhost 127.0.0.1".to_owned());
    rules.push("MAP * ~NOTFOUND , EXCLUDE 127.0.0.1".to_owned());
    let log = std::fs::File::create(home.join("log")).expect("a log");
    let spawned = Command::new("sh")
        .args(["-c", WITH_PIPES, "chromium"])
        .args(SWITCHES)
        .arg(format!(
            "--user-data-dir={}",
            home.join("profile").display()
        ))
        .arg(format!("--host-resolver-rules={}", rules.join(",")))
        .arg("about:blank")
        .env("HOME", home)
        .env("TMPDIR", temporary)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_CACHE_HOME")
        .env_remove("XDG_DATA_HOME")
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn();
    spawned.expect("a shell")
}
