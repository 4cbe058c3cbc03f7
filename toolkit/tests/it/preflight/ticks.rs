//! The items that people tick.

use super::healthy;
use crate::support::migrate;
use gradual_rollout_apiserver::{Action, Failure, Fault};
use gradual_rollout_toolkit::trouble::{End, Trouble};

#[tokio::test]
async fn a_tick_is_kept_with_name_and_date_and_raises_the_score() {
    let (store, clock) = healthy();
    let score = |out: &str| -> u32 {
        let whole: serde_json::Value = serde_json::from_str(out).unwrap();
        u32::try_from(whole["score"].as_u64().unwrap()).unwrap()
    };
    let before = score(&migrate(&store, &clock, &["--json", "preflight"]).await.out);
    let words = [
        "preflight",
        "--tick",
        "rollback",
        "--by",
        "Ada",
        "--note",
        "on staging",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .contains("ticked by Ada, in ConfigMap sealos-system/gradual-rollout-checklist"),
        "{}",
        said.out
    );
    assert!(score(&migrate(&store, &clock, &["--json", "preflight"]).await.out) > before);
    let said = migrate(&store, &clock, &["preflight", "--checklist"]).await;
    println!("{}", said.out);
    assert!(said.out.contains("[x] rollback"), "{}", said.out);
    assert!(said.out.contains("(Ada, 2026-01-05: on staging)"), "{}", said.out);
    assert!(said.out.contains("[ ] backup"), "{}", said.out);
    let said = migrate(&store, &clock, &["preflight", "--untick", "rollback"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(
        score(&migrate(&store, &clock, &["--json", "preflight"]).await.out),
        before
    );
}

#[tokio::test]
async fn ticks_of_two_people_at_once_are_both_kept() {
    let (store, clock) = healthy();
    let one = ["preflight", "--tick", "team", "--by", "Ada"];
    migrate(&store, &clock, &one).await.end.unwrap();
    // The first write of the second is refused as if the first had come in between.
    let late = Failure::new(409, "Conflict", "the object has been modified");
    store.inject(
        Fault::new(Action::Fail(late))
            .verb("patch")
            .resource("configmaps")
            .times(1),
    );
    let other = ["preflight", "--tick", "dns", "--by", "Bob"];
    assert_eq!(migrate(&store, &clock, &other).await.end.unwrap(), End::Done);
    let kept = store
        .get("configmaps", "sealos-system", "gradual-rollout-checklist")
        .unwrap();
    assert!(kept["data"]["team"].as_str().unwrap().contains("Ada"));
    assert!(kept["data"]["dns"].as_str().unwrap().contains("Bob"));
}

#[tokio::test]
async fn what_a_machine_checks_or_nobody_knows_cannot_be_ticked() {
    let (store, clock) = healthy();
    for (item, why) in [
        ("istio", "looks at it itself"),
        ("rolback", "there is no such item"),
    ] {
        let said = migrate(&store, &clock, &["preflight", "--tick", item, "--by", "Ada"]).await;
        let Err(Trouble::Usage(says)) = said.end else {
            panic!("{:?}", said.end);
        };
        assert!(says.contains(why) && says.contains("rollback"), "{says}");
    }
    assert!(
        store
            .get("configmaps", "sealos-system", "gradual-rollout-checklist")
            .is_none()
    );
}

#[tokio::test]
async fn a_score_below_what_is_required_is_refused() {
    let (store, clock) = healthy();
    let end = |score: &'static str| {
        let (store, clock) = (&store, &clock);
        async move {
            migrate(store, clock, &["preflight", "--require", score])
                .await
                .end
                .unwrap()
        }
    };
    assert_eq!(end("50").await, End::Done);
    assert_eq!(end("90").await, End::Refused);
}
