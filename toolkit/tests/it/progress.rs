//! The bar of an apply: where it is drawn, that it fits, and that it ends where the run does.

use crate::apply::{VS, tenants};
use crate::support::{Said, migrate, migrate_on};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::Value;

const APPLY: [&str; 4] = ["apply", "--all", "--rate", "10000"];

fn many(count: usize) -> (Store, Clock) {
    let names: Vec<String> = (0..count).map(|n| format!("ns-{n}")).collect();
    tenants(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn on(columns: usize, store: &Store, clock: &Clock, words: &[&str]) -> Said {
    migrate_on(store.client("default"), clock, words, columns, &|| false).await
}

/// What was drawn in the place of the bar, one after the other.
fn drawn(said: &Said) -> Vec<&str> {
    let first = said
        .err
        .lines()
        .find(|line| line.contains('\r'))
        .unwrap_or_default();
    first.split('\r').skip(1).collect()
}

#[tokio::test(start_paused = true)]
async fn on_a_terminal_one_line_is_rewritten_until_all_is_done() {
    for columns in [200, 80, 40, 30] {
        let (store, clock) = many(40);
        let said = on(columns, &store, &clock, &APPLY).await;
        assert_eq!(said.end.as_ref().unwrap(), &End::Done);
        let lines = drawn(&said);
        // Forty routes, forty marks and a Gateway.
        assert_eq!(lines.len(), 81, "{columns}: {:?}", said.err);
        assert!(
            lines.iter().all(|line| line.len() < columns),
            "{columns}: {lines:?}"
        );
        for (done, line) in lines.iter().enumerate() {
            assert!(
                line.ends_with(&format!("{} of 81 objects", done + 1)),
                "{columns}: {line}"
            );
        }
        let last = lines.last().unwrap();
        assert!(
            !last.contains("[ ") && !last.contains(" ]"),
            "{columns}: it is full: {last}"
        );
        assert_eq!(last.contains("#]"), columns >= 30, "{columns}: {last}");
        assert_eq!(
            said.err.matches('\r').count(),
            81,
            "what comes after is no part of it"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_pipe_there_is_no_bar_and_in_json_none_of_it() {
    let (store, clock) = many(40);
    let piped = migrate(&store, &clock, &APPLY).await;
    assert!(
        !piped.err.contains('\r') && !piped.err.contains('#'),
        "{}",
        piped.err
    );
    assert!(
        !piped.err.contains("of 81 objects"),
        "few things are done before anybody reads it: {}",
        piped.err
    );
    let (store, clock) = many(60);
    let piped = migrate(&store, &clock, &APPLY).await;
    let told: Vec<&str> = piped
        .err
        .lines()
        .filter(|line| line.ends_with("of 121 objects"))
        .collect();
    assert_eq!((told.len(), *told.last().unwrap()), (10, "121 of 121 objects"));
    let (store, clock) = many(2);
    let said = on(80, &store, &clock, &[&["--json"], &APPLY[..]].concat()).await;
    serde_json::from_str::<Value>(&said.out).unwrap();
    assert!(said.err.contains("5 of 5 objects\n"), "{}", said.err);
    // Nothing is done by a dry run, however long it takes.
    let (store, clock) = many(2);
    let said = on(80, &store, &clock, &[&APPLY[..], &["--dry-run"]].concat()).await;
    assert!(!said.err.contains('\r'), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_is_left_out_is_counted_as_done_with_and_what_was_not_begun_is_not() {
    let (store, clock) = many(4);
    let refused = Action::Fail(Failure::new(500, "InternalError", "etcd is away"));
    store.inject(Fault::new(refused).verb("patch").resource(VS).times(1));
    let route = |store: &Store| store.list(VS).len();
    let said = on(80, &store, &clock, &APPLY).await;
    assert!(said.err.contains("9 of 9 objects\n"), "{}", said.err);
    assert!(route(&store) >= 3);
    let (store, clock) = many(40);
    let stopped = || store.list(VS).len() >= 5;
    let words = ["apply", "--all", "--rate", "10"];
    let said = migrate_on(store.client("default"), &clock, &words, 80, &stopped).await;
    assert_eq!(said.end.as_ref().unwrap(), &End::Partly);
    let lines = drawn(&said);
    let written = store.list(VS).len();
    let last = lines.last().unwrap();
    assert!(!last.contains("81 of 81") && last.contains(" ]"), "{last}");
    assert!(
        written < 40 && said.err.contains("APPLY-INTERRUPTED"),
        "{}",
        said.err
    );
    // What is said after it begins a line of its own.
    assert!(
        said.err.lines().any(|line| line.starts_with("blocker")),
        "{}",
        said.err
    );
}
