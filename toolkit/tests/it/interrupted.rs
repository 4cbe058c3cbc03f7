//! An apply that is told to end says what it wrote, and the next one goes on.

use crate::apply::{VS, open, tenants};
use crate::support::{migrate, migrate_until};
use gradual_rollout_toolkit::trouble::End;
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn an_apply_that_is_told_to_end_says_what_it_wrote_and_the_next_one_goes_on() {
    let names: Vec<String> = (0..40).map(|n| format!("ns-{n}")).collect();
    let (store, clock) = tenants(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let stopped = || store.list(VS).len() >= 5;
    let words = ["--json", "apply", "--all", "--rate", "10"];
    let end = migrate_until(
        store.client("default"),
        &clock,
        &words,
        &stopped,
        &mut out,
        &mut err,
    )
    .await;
    let told: Value = serde_json::from_slice(&out).unwrap();
    println!("{told:#}");
    assert_eq!(end.unwrap(), End::Partly);
    let finding = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["code"] == "APPLY-INTERRUPTED")
        .unwrap();
    let written = store.list(VS).len();
    assert!((5..40).contains(&written), "{written}");
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{written} objects were written")),
        "{message}"
    );
    // Each object that was meant is listed, with what became of it.
    let results = told["results"].as_array().unwrap();
    let not = results
        .iter()
        .filter(|line| line["result"] == "notReached")
        .count();
    assert_eq!((results.len(), open(&store).len()), (81, 0));
    assert!(message.contains(&format!("{not} were not begun")), "{message}");
    let said = migrate(&store, &clock, &["apply", "--all", "--rate", "10000"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!((store.list(VS).len(), open(&store).len()), (40, 40));
    // Told before it began, it writes nothing.
    let first = store.list(VS).remove(0);
    let of = |field: &str| first["metadata"][field].as_str().unwrap();
    store.delete(VS, of("namespace"), of("name")).unwrap();
    let version = store.version();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["apply", "--all"];
    let end = migrate_until(
        store.client("default"),
        &clock,
        &words,
        &|| true,
        &mut out,
        &mut err,
    )
    .await;
    println!("{}", String::from_utf8_lossy(&err));
    assert_eq!((end.unwrap(), store.version()), (End::Partly, version));
}
