//! A person at a real browser: what cookies, redirects, certificates and the rules against other sites
//! come to there, where no test plays the browser itself.

use serde_json::{Value, json};

use super::browser::{PENDING, SESSION};
use super::chromium::{Chromium, Loaded, Machine, Tab};
use super::{LOGINS, Stage};
use crate::bench::WEB_ID;
use crate::bench::client::HOST;
use crate::bench::gateway::Gateway;
use crate::bench::provider::{AUTHORIZATION, END_SESSION};
use crate::bench::service::{Received, Reply};

/// Another site, whose pages are an attacker's.
const EVIL: &str = "evil.example.org";

/// One browser, which takes a second to start, for all of these.
#[tokio::test]
async fn a_real_browser_logs_in_and_out_in_several_tabs_and_whatever_other_sites_do() {
    let mut stage = Stage::new().await;
    stage.orders.set_reply(page);
    for (name, host, path) in [("bye", HOST, "/bye"), ("evil", EVIL, "/evil")] {
        let open = json!({
            "match": { "host": host, "path": path },
            "clients": "any", "token": "none", "upstream": "orders",
        });
        stage.config.set(&format!("routes.{name}"), open);
    }
    let gateway = stage.gateway().await;
    let port = gateway.address("edge").port();
    let browser = Chromium::start(&Machine {
        folder: &stage.world.folder,
        trusted: &[&stage.world.edge_authority, &stage.provider.authority],
        identity: &stage.web,
        hosts: &[(HOST, port), (EVIL, port)],
    })
    .await;
    let desk = Desk {
        browser,
        gateway,
        stage,
    };
    desk.a_person_logs_in_with_a_certificate_reads_on_and_logs_out()
        .await;
    desk.a_login_may_be_refused().await;
    desk.two_tabs_log_in_at_once().await;
    desk.another_site_reads_writes_ends_and_begins_nothing()
        .await;
}

/// Where the person sits. Dropped in this order: the browser first.
struct Desk {
    browser: Chromium,
    gateway: Gateway,
    stage: Stage,
}

impl Desk {
    async fn a_person_logs_in_with_a_certificate_reads_on_and_logs_out(&self) {
        let tab = self.fresh(true).await;
        let form = tab.go(&url("/pages/7?a=b%2Fc")).await;
        tab.picture("form").await;
        let page = self.log_in(&tab, form).await;
        tab.picture("page").await;
        assert_eq!(page.url, url("/pages/7?a=b%2Fc"));
        assert!(page.text.contains("Orders of alice"), "{page:?}");
        let request = self.stage.orders.only_request();
        assert_eq!(request.header("x-client-identity"), Some(WEB_ID));
        assert_eq!(request.header("cookie"), None);

        let cookies = self.cookies().await;
        assert_eq!(names(&cookies), [SESSION, "app"]);
        let session = &cookies[0];
        let wanted = json!({
            "domain": HOST, "path": "/", "secure": true, "httpOnly": true, "sameSite": "Lax",
            "session": true,
        });
        for (name, value) in wanted.as_object().expect("an object") {
            assert_eq!(&session[name], value, "{session}");
        }

        // A script of the page neither reads the session nor puts another in its place.
        assert_eq!(tab.run("document.cookie").await, json!("app=1"));
        let all = "cookieStore.getAll().then((all) => all.map((one) => one.name).join())";
        assert_eq!(tab.run(all).await, json!("app"));
        for change in [
            format!("document.cookie = '{SESSION}=1evil; Path=/; Secure'"),
            format!("cookieStore.set('{SESSION}', '1evil').catch(() => 0)"),
            format!("cookieStore.delete('{SESSION}').catch(() => 0)"),
        ] {
            tab.run(&change).await;
        }
        assert_eq!(self.cookies().await[0]["value"], session["value"]);
        assert_eq!(tab.run(&status("/pages/8")).await, json!(200));

        let rounds = self.rounds();
        let again = tab.reload().await;
        assert_eq!((&again.url, &again.text), (&page.url, &page.text));
        assert_eq!(self.rounds(), rounds);

        // A browser that fetches in advance what its user may click on next logs nobody out.
        tab.go(&url("/pages/eager")).await;
        let fetched = |event: &Value| event["path"] == "/oauth/logout";
        let fetched = self.gateway.wait_for_event(fetched).await;
        assert_eq!(fetched["reason"], "logout_cross_site");
        let page = tab.reload().await;
        assert!(page.text.contains("Orders of alice"), "{page:?}");

        let question = tab.click("#leave").await;
        tab.picture("leaving").await;
        let end_session = self.stage.provider.url(END_SESSION);
        assert!(question.url.starts_with(&end_session), "{question:?}");
        let bye = tab.click("button[value=yes]").await;
        assert_eq!((bye.url, bye.text.as_str()), (url("/bye"), "Bye."));
        assert_eq!(names(&self.cookies().await), ["app"]);
        assert_eq!(tab.run(&status("/pages/8")).await, json!(401));
        tab.go(&url("/pages/7")).await;
        assert!(tab.has("input[name=login]").await, "the server asks again");
    }

    async fn a_login_may_be_refused(&self) {
        let tab = self.fresh(true).await;
        tab.go(&url("/pages/7")).await;
        let refused = tab.click("a[href$='/abort']").await;
        tab.picture("denied").await;
        let text = "The login was refused.\n\n403 Forbidden\nRequest ";
        assert!(refused.text.starts_with(text), "{refused:?}");
        assert!(self.cookies().await.is_empty());
    }

    async fn two_tabs_log_in_at_once(&self) {
        let (one, two) = (self.fresh(true).await, self.browser.tab().await);
        let (first, second) = (url("/pages/one"), url("/pages/two"));
        let (at_one, at_two) = tokio::join!(one.go(&first), two.go(&second));
        let cookies = self.cookies().await;
        let names_of_both = names(&cookies);
        let under_way = names_of_both
            .iter()
            .filter(|name| name.starts_with(PENDING));
        assert_eq!(under_way.count(), 2, "{names_of_both:?}");
        let labels = [("login", "staff"), ("result", "completed")];
        let before = self.gateway.metrics().await.value(LOGINS, &labels);
        assert_eq!(self.log_in(&two, at_two).await.url, second);
        assert_eq!(self.log_in(&one, at_one).await.url, first);
        assert_eq!(names(&self.cookies().await), [SESSION, "app"]);
        for tab in [&one, &two] {
            assert!(tab.reload().await.text.contains("Orders of alice"));
        }
        let after = self.gateway.metrics().await.value(LOGINS, &labels);
        assert_eq!(after - before, 2.0);
    }

    async fn another_site_reads_writes_ends_and_begins_nothing(&self) {
        let tab = self.fresh(false).await;
        assert_eq!(tab.go(&url("/pages/1")).await.url, url("/pages/1"));
        let (before, rounds) = (self.cookies().await, self.rounds());
        let served = self.stage.orders.requests().len();

        let evil = format!("https://{EVIL}/evil");
        for (what, said) in [
            ("#write", "A login is required."),
            ("#leave", "Please log out from a page of this site."),
            ("#end", "Please log out from a page of this site."),
        ] {
            tab.go(&evil).await;
            let refused = tab.click(what).await;
            tab.picture(&what[1..]).await;
            assert!(refused.text.contains(said), "{what}: {refused:?}");
        }
        // Nor behind its user's back.
        tab.go(&evil).await;
        for path in ["/pages/1", "/oauth/logout", "/oauth/logout/done"] {
            let blind = "{ mode: 'no-cors', credentials: 'include' }";
            let ask = format!(
                "fetch('{}', {blind}).then((answer) => answer.type)",
                url(path)
            );
            assert_eq!(tab.run(&ask).await, json!("opaque"), "{path}");
        }
        let frame = format!(
            "new Promise((done) => {{
                const frame = document.createElement('iframe');
                frame.onload = () => done(true);
                frame.src = '{}';
                document.body.append(frame);
            }})",
            url("/pages/1")
        );
        assert_eq!(tab.run(&frame).await, json!(true));
        let requests = self.stage.orders.requests();
        let ours = requests[served..]
            .iter()
            .filter(|one| one.target.starts_with("/pages"));
        assert_eq!(ours.count(), 0, "nothing of this came to a page of ours");

        // Somebody who has logged in as himself sends others to the end of it.
        self.stage.provider.user("mallory", json!({})).await;
        let at_callback = |url: &str| url.contains("/oauth/callback");
        let mut mallory = self.stage.browser(&self.gateway);
        let end = mallory.go_until("/pages/1", at_callback).await.url;
        let asked = self.rounds();
        tab.go(&evil).await;
        let refused = tab.goes(&format!("location.href = {end:?}")).await;
        tab.picture("callback").await;
        assert!(refused.text.contains("Please begin again."), "{refused:?}");

        // A link is a link: the person is who he was, and was asked nothing.
        tab.go(&evil).await;
        let read = tab.click("#read").await;
        assert!(read.text.contains("Orders of alice"), "{read:?}");
        assert_eq!(self.cookies().await, before);
        assert_eq!(
            (asked - rounds, self.rounds() - asked),
            (1, 0),
            "mallory's alone"
        );
    }

    /// A tab of somebody who was never here; the provider's pages ask him, or not.
    async fn fresh(&self, forms: bool) -> Tab<'_> {
        self.stage.provider.forms(forms).await;
        let tab = self.browser.tab().await;
        tab.forget().await;
        tab
    }

    /// Fills in the provider's pages until it sends the browser back.
    async fn log_in(&self, tab: &Tab<'_>, mut at: Loaded) -> Loaded {
        let issuer = &self.stage.provider.issuer;
        assert!(at.url.starts_with(issuer), "{at:?}");
        for _ in 0..3 {
            if tab.has("input[name=login]").await {
                tab.fill("input[name=login]", "alice").await;
                tab.fill("input[name=password]", "secret").await;
            }
            at = tab.click("button[type=submit]").await;
            if !at.url.starts_with(issuer) {
                return at;
            }
        }
        panic!("the provider goes on asking: {at:?}");
    }

    /// How often a browser was sent to the provider.
    fn rounds(&self) -> usize {
        self.stage.provider.requests(AUTHORIZATION).len()
    }

    /// The browser's cookies of the gateway's host, by name.
    async fn cookies(&self) -> Vec<Value> {
        let mut all = self.browser.cookies().await;
        all.retain(|cookie| {
            cookie["domain"]
                .as_str()
                .is_some_and(|of| of.contains(HOST))
        });
        all.sort_by_key(|cookie| cookie["name"].to_string());
        all
    }
}

fn names(cookies: &[Value]) -> Vec<&str> {
    let all = cookies.iter();
    all.filter_map(|cookie| cookie["name"].as_str()).collect()
}

/// What the service shows.
fn page(request: &Received) -> Reply {
    let user = request.header("x-token-subject").unwrap_or("nobody");
    let links =
        format!("<h1>Orders of {user}</h1><a id=leave href='/oauth/logout?to=/bye'>Log out</a>");
    let body = match request.target.as_str() {
        "/bye" => "Bye.".to_owned(),
        "/pages/eager" => {
            let rules = json!({ "prefetch": [{ "urls": ["/oauth/logout"], "eagerness": "immediate" }] });
            format!("{links}<script type=speculationrules>{rules}</script>")
        }
        "/evil" => format!(
            "<a id=read href='https://{HOST}/pages/1'>Read</a>
             <a id=leave href='https://{HOST}/oauth/logout'>Leave</a>
             <form method=post action='https://{HOST}/pages/1'><button id=write>Write</button></form>
             <form method=post action='https://{HOST}/oauth/logout'><button id=end>End</button></form>"
        ),
        _ => links,
    };
    let fields = [
        ("Content-Type", "text/html"),
        ("Set-Cookie", "app=1; Path=/"),
    ];
    let body = format!("<!DOCTYPE html><title>Shop</title>{body}");
    Reply::new(200, &fields, body)
}

/// A script that asks for a page of its own host.
fn status(path: &str) -> String {
    format!("fetch('{path}').then((answer) => answer.status)")
}

fn url(path: &str) -> String {
    format!("https://{HOST}{path}")
}
