//! How much an issuer is asked: once for all who ask about one token, and so many questions at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::{GOOD, Stage, good, new_token, says};
use crate::bench::client::{H2, read_h2};
use crate::bench::http1::Request;
use crate::bench::service::Step;
use crate::bench::within;

#[tokio::test]
async fn many_who_ask_about_one_token_at_a_time_are_one_question() {
    let stage = Stage::set().await;
    let gate = Arc::new(Notify::new());
    stage.reply(says(&good()).after(Step::Gate(Arc::clone(&gate))));
    let request = Request::get("/orders/7").bearer(&new_token());
    let (mut connections, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut h2 = stage.client().connect_h2().await;
        for _ in 0..50 {
            answers.push(h2.start(&request).await.expect("a stream").0);
        }
        connections.push(h2);
    }
    stage.issuer.wait_for_requests(1).await;
    gate.notify_one();
    for answer in answers {
        let answer = within("an answer", read_h2(answer)).await.expect("whole");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(stage.questions(), 1);
    assert_eq!(stage.counted("active").await, 1.0);
    let took = "portcullis_introspection_duration_seconds_count";
    let took = stage
        .gateway
        .metrics()
        .await
        .value(took, &[("issuer", "corp")]);
    assert_eq!(took, 1.0);
}

#[tokio::test]
async fn questions_about_different_tokens_are_so_many_at_a_time() {
    let (stage, gate) = held(3).await;
    let (mut one, mut two) = (
        Crowd::of(&stage, "one").await,
        Crowd::of(&stage, "two").await,
    );
    one.ask(15).await;
    two.ask(15).await;
    stage.issuer.wait_for_requests(3).await;
    let mut answers: FuturesUnordered<_> = one.answers.into_iter().chain(two.answers).collect();
    for answered in 0..30 {
        let asked = stage.questions();
        assert!(asked <= answered + 3, "{} at a time", asked - answered);
        gate.notify_one();
        assert_eq!(status(answers.next()).await, 200);
    }
    assert_eq!(stage.questions(), 30);
}

/// 16 for each that may be under way have a place, and one client half of them; who comes then is
/// told at once. Of those under way one client has half as well.
#[tokio::test]
async fn one_client_takes_neither_all_places_nor_all_turns() {
    let (stage, gate) = held(2).await;
    let mut greedy = Crowd::of(&stage, "greedy").await;
    greedy.ask(20).await;
    busy(&stage, 4.0).await;
    assert_eq!(stage.issuer.wait_for_requests(1).await.len(), 1);
    let mut other = Crowd::of(&stage, "other").await;
    other.ask(1).await;
    let asked = stage.issuer.wait_for_requests(2).await;
    let form = String::from_utf8_lossy(&asked[1].body).into_owned();
    assert!(form.contains("token=of-other-"), "{form}");
    other.ask(16).await;
    busy(&stage, 5.0).await;
    let mut third = Crowd::of(&stage, "third").await;
    third.ask(1).await;
    busy(&stage, 6.0).await;
    let all = [greedy.answers, other.answers, third.answers];
    let mut answers: FuturesUnordered<_> = all.into_iter().flatten().collect();
    let mut refused = 0;
    while !answers.is_empty() {
        gate.notify_one();
        refused += usize::from(status(answers.next()).await == 503);
    }
    assert_eq!((refused, stage.questions()), (6, 32));
    stage.say(&good());
    stage.hold("room again", &new_token(), GOOD).await;
}

/// So many questions at a time, each answered when the gate is notified.
async fn held(concurrency: u32) -> (Stage, Arc<Notify>) {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.concurrency", concurrency);
        config.set("issuers.corp.introspection.timeout", "20s");
    })
    .await;
    let gate = Arc::new(Notify::new());
    stage.reply(says(&good()).after(Step::Gate(Arc::clone(&gate))));
    (stage, gate)
}

async fn busy(stage: &Stage, count: f64) {
    let busy = [("issuer", "corp"), ("result", "busy")];
    let gateway = &stage.gateway;
    gateway
        .wait_for_metric(super::QUESTIONS, &busy, |busy| busy == count)
        .await;
}

/// One client that asks with many tokens at a time.
struct Crowd {
    name: &'static str,
    h2: H2,
    answers: Vec<BoxFuture>,
}

type BoxFuture = Pin<Box<dyn Future<Output = u16>>>;

impl Crowd {
    async fn of(stage: &Stage, name: &'static str) -> Self {
        let client = stage.gateway.client(&stage.partner(name));
        let (h2, answers) = (client.connect_h2().await, Vec::new());
        Self { name, h2, answers }
    }

    async fn ask(&mut self, times: usize) {
        for _ in 0..times {
            let token = format!("of-{}-{}", self.name, new_token());
            let request = Request::get("/orders/7").bearer(&token);
            let (answer, _) = self.h2.start(&request).await.expect("a stream");
            let answer = async { read_h2(answer).await.expect("whole").status };
            self.answers.push(Box::pin(answer));
        }
    }
}

async fn status(answer: impl Future<Output = Option<u16>>) -> u16 {
    within("an answer", answer).await.expect("one is left")
}

/// A turn is work at the issuer: whoever has waited for one has all the time that an answer may take.
#[tokio::test]
async fn who_has_waited_for_a_turn_has_all_the_time_of_a_question() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.concurrency", 1);
        config.set("issuers.corp.introspection.timeout", "3s");
    })
    .await;
    stage.reply(says(&good()).after(Step::Pause(Duration::from_millis(1_700))));
    let mut crowd = Crowd::of(&stage, "two").await;
    crowd.ask(2).await;
    for answer in crowd.answers {
        assert_eq!(within("an answer", answer).await, 200);
    }
    assert_eq!(stage.questions(), 2);
}

/// Nobody waits for a turn for longer than an answer may take, and the issuer hears nothing of it.
#[tokio::test]
async fn who_waits_for_a_turn_waits_so_long() {
    let stage = Stage::with(|config| {
        config.set("issuers.corp.introspection.concurrency", 1);
        config.set("issuers.corp.introspection.timeout", "300ms");
    })
    .await;
    stage.reply(says(&good()).after(Step::Pause(Duration::from_millis(250))));
    let mut crowd = Crowd::of(&stage, "many").await;
    crowd.ask(8).await;
    let mut busy = 0;
    for answer in crowd.answers {
        busy += usize::from(within("an answer", answer).await == 503);
    }
    assert!(busy >= 4, "{busy}");
    assert!(stage.questions() <= 4, "{}", stage.questions());
}

#[tokio::test]
async fn a_question_that_was_sent_goes_on_when_nobody_waits_for_the_answer() {
    let (stage, gate) = held(1).await;
    let token = new_token();
    let request = Request::get("/orders/7").bearer(&token);
    let mut h2 = stage.client().connect_h2().await;
    let begun = h2.start(&request).await.expect("a stream");
    stage.issuer.wait_for_requests(1).await;
    drop((begun, h2));
    gate.notify_one();
    let (status, reason) = stage.verdict(&token).await;
    assert_eq!((status, reason), (200, None), "it is known");
    assert_eq!(stage.questions(), 1);
}
