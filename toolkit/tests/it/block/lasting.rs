//! A webhook whose certificate ends is not asked any more, which nobody would notice: it is told before.

use super::webhook::{BLOCK, old};
use crate::kinds::{ISTIO, serve as served};
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::block::serve;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::Value;
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpListener;

const CODE: &str = "VALIDATE-WEBHOOK-CERTIFICATE";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn validated(store: &Store, clock: &Clock) -> Said {
    let said = migrate(store, clock, &["validate"]).await;
    println!("{}{}{:?}", said.err, said.out, said.end);
    said
}

#[tokio::test(start_paused = true)]
async fn validate_tells_a_month_before_that_the_webhook_will_not_be_asked_any_more() {
    let (store, clock) = old();
    for kind in ISTIO {
        served(&store, kind);
    }
    assert_eq!(
        validated(&store, &clock).await.end.unwrap(),
        End::Done,
        "no block"
    );
    let same = [&BLOCK[..], &["--mode", "audit"]].concat();
    migrate(&store, &clock, &same).await.end.unwrap();
    let well = validated(&store, &clock).await;
    assert!(!well.err.contains(CODE), "{}", well.err);
    tokio::time::sleep(340 * DAY).await;
    let soon = validated(&store, &clock).await;
    assert!(
        soon.err.contains("warning  VALIDATE-WEBHOOK-CERTIFICATE"),
        "{}",
        soon.err
    );
    assert!(soon.err.contains("block --mode audit"), "{}", soon.err);
    assert_eq!(soon.end.unwrap(), End::Done);
    tokio::time::sleep(30 * DAY).await;
    let over = validated(&store, &clock).await;
    assert!(
        over.err.contains("blocker  VALIDATE-WEBHOOK-CERTIFICATE"),
        "{}",
        over.err
    );
    assert_eq!(over.end.unwrap(), End::Partly);
    // What it is told to do mends it.
    migrate(&store, &clock, &same).await.end.unwrap();
    let anew = validated(&store, &clock).await;
    assert_eq!((anew.end.unwrap(), anew.err.contains(CODE)), (End::Done, false));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_ours_is_made_anew_a_month_before_it_ends_and_no_sooner() {
    let (store, clock) = old();
    let same = [&BLOCK[..], &["--mode", "audit"]].concat();
    let secret = || {
        store
            .get("secrets", "sealos-system", "gradual-rollout-webhook-tls")
            .unwrap()["data"]
            .clone()
    };
    let trusted = || {
        let webhooks = store.list("validatingwebhookconfigurations.admissionregistration.k8s.io");
        webhooks[0]["webhooks"][0]["clientConfig"]["caBundle"].clone()
    };
    migrate(&store, &clock, &same).await.end.unwrap();
    let first = secret();
    tokio::time::sleep(334 * DAY).await;
    let version = store.version();
    let early = migrate(&store, &clock, &same).await;
    assert_eq!(
        (early.end.unwrap(), store.version()),
        (End::Done, version),
        "it has more than a month"
    );
    tokio::time::sleep(DAY).await;
    let said = migrate(&store, &clock, &same).await;
    println!("{}{}", said.err, said.out);
    let second = secret();
    assert_ne!(second["tls.crt"], first["tls.crt"]);
    assert_ne!(second["tls.key"], first["tls.key"], "nor is its key used on");
    assert_eq!(trusted(), second["ca.crt"], "the API server is told of it");
    // It lasts a year from then on, and the next one is made as this was.
    tokio::time::sleep(334 * DAY).await;
    migrate(&store, &clock, &same).await.end.unwrap();
    assert_eq!(secret(), second);
    tokio::time::sleep(DAY).await;
    migrate(&store, &clock, &same).await.end.unwrap();
    assert_ne!(secret(), second);
}

#[tokio::test(start_paused = true)]
async fn validate_tells_that_the_webhook_has_no_certificate_or_another_than_is_trusted() {
    let (store, clock) = old();
    for kind in ISTIO {
        served(&store, kind);
    }
    migrate(&store, &clock, &BLOCK).await.end.unwrap();
    let at = ("secrets", "sealos-system", "gradual-rollout-webhook-tls");
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut secret = Value::clone(&store.get(at.0, at.1, at.2).unwrap());
        change(&mut secret["data"]);
        store.put(secret).unwrap();
    };
    edit(&|data| data["ca.crt"] = data["tls.crt"].clone());
    let said = validated(&store, &clock).await;
    assert!(
        said.err.contains(CODE) && said.err.contains("trusts another"),
        "{}",
        said.err
    );
    edit(&|data| data["tls.crt"] = "bm9uc2Vuc2U=".into());
    assert_eq!(validated(&store, &clock).await.end.unwrap(), End::Partly);
    store.delete(at.0, at.1, at.2).unwrap();
    let said = validated(&store, &clock).await;
    assert!(said.err.contains("there is no Secret"), "{}", said.err);
    assert_eq!(said.end.unwrap(), End::Partly);
}

#[tokio::test(start_paused = true)]
async fn the_daemon_reads_a_block_that_is_made_while_it_runs_and_tells_once_a_day_that_its_certificate_ends()
{
    let (store, clock) = old();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, told) = (store.client("default"), Mutex::new(Vec::new()));
    let hear = |trouble: &Trouble| told.lock().unwrap().push(trouble.to_string());
    let heard = || told.lock().unwrap().len();
    let days = async {
        tokio::time::sleep(DAY).await;
        migrate(&store, &clock, &BLOCK).await.end.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(heard(), 0, "it lasts a year");
        // The certificate is of a year ago then; nobody has to wait for that.
        tokio::time::sleep(DAY).await;
    };
    let earlier = Mutex::new(jiff::SignedDuration::ZERO);
    let now = || clock.now() + *earlier.lock().unwrap();
    let late = async {
        days.await;
        *earlier.lock().unwrap() = jiff::SignedDuration::from_hours(340 * 24);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(heard(), 1);
        tokio::time::sleep(DAY).await;
        assert_eq!(heard(), 2, "once a day");
    };
    tokio::select! {
        () = late => {}
        () = serve(listener, &client, "sealos-system", std::future::pending(), &now, &hear) => unreachable!(),
    }
    let all = told.lock().unwrap();
    assert!(
        all[0].contains("certificate ends") && all[0].contains("block --mode audit"),
        "{}",
        all[0]
    );
}
