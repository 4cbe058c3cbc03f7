//! An API server that is asked too much, fails, loses answers, or says nothing.

use crate::apply::{ING, VS, marked, open, tenants};
use crate::support::{Said, cluster, migrate, migrate_by};
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const APPLY: [&str; 2] = ["apply", "--all"];

fn busy(after: Option<u32>) -> Failure {
    Failure {
        retry_after: after,
        ..Failure::new(429, "TooManyRequests", "slow down")
    }
}

fn show(said: &Said) {
    println!("{}{}{:?}", said.err, said.out, said.end);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_too_much_is_asked_again_when_it_says_so_and_the_batch_goes_on() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    store.inject(Fault::new(Action::Fail(busy(Some(3)))).verb("patch").times(7));
    store.inject(Fault::new(Action::Fail(busy(None))).verb("create").times(1));
    let began = Instant::now();
    let said = migrate(&store, &clock, &APPLY).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(marked(&store, "ns-a", "shop") && marked(&store, "ns-b", "shop"));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(
        said.err.contains("the API server is asked too much: "),
        "{}",
        said.err
    );
    assert!(!said.err.contains("failed"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_too_much_for_ever_is_not_waited_for_for_ever() {
    let (store, clock) = tenants(&["ns-a"]);
    store.inject(Fault::new(Action::Fail(busy(Some(7)))).verb("patch").resource(VS));
    let began = Instant::now();
    let said = migrate(&store, &clock, &APPLY).await;
    show(&said);
    assert_ne!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("slow down; asked "), "{}", said.err);
    assert!(
        began.elapsed() < Duration::from_secs(150),
        "{:?}",
        began.elapsed()
    );
    assert!(!marked(&store, "ns-a", "shop") && open(&store).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_asked_again_and_is_no_failure() {
    let lost = || Action::FailAfter(Failure::new(500, "InternalError", "etcd is away"));
    for (verb, resource) in [
        ("patch", Some(VS)),
        ("patch", None),
        ("create", None),
        ("patch", Some(ING)),
    ] {
        let (store, clock) = tenants(&["ns-a"]);
        let mut fault = Fault::new(lost()).verb(verb).times(1);
        if let Some(resource) = resource {
            fault = fault.resource(resource);
        }
        store.inject(fault);
        let said = migrate(&store, &clock, &APPLY).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done, "{verb} {resource:?}");
        assert!(marked(&store, "ns-a", "shop"));
        // The same again, over what is there; and back.
        store.inject(Fault::new(lost()).times(1).verb("patch"));
        store.inject(Fault::new(lost()).times(1).verb("delete"));
        let said = migrate(&store, &clock, &["rollback", "--all"]).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done);
        assert!(!marked(&store, "ns-a", "shop") && store.list(VS).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_to_the_end_says_that_it_may_have_been_written() {
    let (store, clock) = tenants(&["ns-a"]);
    let lost = Action::FailAfter(Failure::new(503, "ServiceUnavailable", "it begins anew"));
    store.inject(Fault::new(lost).verb("patch").resource(VS));
    let said = migrate(&store, &clock, &APPLY).await;
    show(&said);
    assert_ne!(said.end.unwrap(), End::Done);
    let line = "it begins anew; asked 5 times; an answer was lost, so it may have been written all the same";
    assert!(said.err.contains(line), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_told_and_not_waited_for_for_ever() {
    let (store, clock) = tenants(&["ns-a"]);
    store.inject(Fault::new(Action::Hang).verb("patch").resource(VS).times(1));
    let said = migrate(&store, &clock, &APPLY).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    let line =
        "waiting for the API server: PATCH /apis/networking.istio.io/v1/namespaces/ns-a/virtualservices/";
    assert!(said.err.contains(line), "{}", said.err);
    let (store, clock) = cluster();
    store.inject(Fault::new(Action::Hang).verb("list"));
    let said = migrate(&store, &clock, &["preflight"]).await;
    show(&said);
    let Err(Trouble::Unreachable(why)) = said.end else {
        panic!("{:?}", said.end)
    };
    assert!(why.contains("no answer within 65 s"), "{why}");
    assert!(
        said.err.contains("waiting for the API server: GET "),
        "{}",
        said.err
    );
}

/// A client whose connection breaks at some of its requests, before or after they are done.
fn breaking(store: &Store, at: impl Fn(&Request<Body>, usize) -> bool + Send + Sync + 'static) -> Client {
    let (inner, count, at) = (
        store.client("default"),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(at),
    );
    let service = tower::service_fn(move |request: Request<Body>| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (inner, breaks) = (inner.clone(), at(&request, number));
        async move {
            let answer: Response<Body> = inner.send(request).await?;
            if breaks {
                return Err(kube::Error::Service("connection reset by peer".into()));
            }
            Ok::<_, kube::Error>(answer)
        }
    });
    Client::new(service, "default")
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_no_failure_but_a_cluster_that_is_not_there_is_at_once() {
    let (store, clock) = tenants(&["ns-a"]);
    let client = breaking(&store, |request, number| {
        request.method() != "GET" && number % 2 == 0
    });
    let said = migrate_by(client, &clock, &APPLY).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    let began = Instant::now();
    let said = migrate_by(breaking(&store, |_, _| true), &clock, &APPLY).await;
    assert!(matches!(said.end, Err(Trouble::Unreachable(_))), "{:?}", said.end);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_not_well_and_refuses_nothing() {
    let (store, clock) = cluster();
    let down = Failure::new(500, "InternalError", "etcd is down");
    store.inject(Fault::new(Action::Fail(down)).verb("list").resource("nodes"));
    let said = migrate(&store, &clock, &["preflight"]).await;
    show(&said);
    let Err(Trouble::Unreachable(why)) = said.end else {
        panic!("{:?}", said.end)
    };
    assert!(why.contains("etcd is down; asked 5 times"), "{why}");
}
