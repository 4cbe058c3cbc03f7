use super::facts as explained;
use super::picture;
use crate::cli::find::example;
use crate::cli::manifest::{self, Manifest};
use crate::rollout::explain::Facts;
use crate::rollout::spec::GradualRollout;
use jiff::Timestamp;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-03-02T11:00:00Z".parse().unwrap()
}

/// A rollout whose component `shop` has this status over that of one that holds its first step.
fn rollout(over: &Value) -> GradualRollout {
    let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
    else {
        unreachable!()
    };
    let mut shop = json!({
        "name": "shop", "state": "Walking", "reason": "HoldingStep", "message": "holds 5% for 1d of judged time",
        "phase": "steps", "step": 1, "weight": {"asked": "5%", "written": "5%", "observed": "5%"},
        "since": "2026-03-02T08:00:00Z", "held": "2h", "nextCheckAt": "2026-03-02T11:00:10Z",
        "evidence": {"judged": "2h", "s": "2026-03-02T08:00:00Z", "j": "2026-03-02T08:01:20Z", "t": "2026-03-02T10:59:50Z"},
        "checks": [{
            "name": "errors", "verdict": "Hold", "value": "0.412%", "control": "0.038%", "samples": 2913, "evidence": 0.37,
            "message": "0.412% is over the promote limit of 0.1%",
        }],
    });
    for (field, value) in over.as_object().unwrap() {
        shop[field] = value.clone();
    }
    let status = json!({"observedGeneration": 1, "phase": "steps", "components": [shop]});
    rollout.status = Some(serde_json::from_value(status).unwrap());
    *rollout
}

fn facts(over: &Value) -> Facts {
    explained(&rollout(over), "default", "shop", None, now())
}

fn shown(facts: &Facts, width: Option<usize>) -> String {
    let mut out = Vec::new();
    picture::write(&mut out, facts, width, now()).unwrap();
    String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
}

fn waits(facts: &Facts) -> Vec<(String, Option<String>)> {
    let wait = |w: &crate::rollout::explain::Wait| (w.what.clone(), w.until.map(|at| at.to_string()));
    facts.waiting_for.iter().map(wait).collect()
}

#[test]
fn a_check_shows_both_values_both_limits_its_samples_and_its_evidence() {
    let text = shown(&facts(&json!({})), None);
    for line in [
        "  errors: Hold",
        "canary     0.412%, control 0.038%, 2913 requests",
        "limits     promote ≤ 0.1%; rollback ≤ 1%",
        "evidence   37% of what a rollback needs; each request counts 1/4: until more of control is known, bad requests are taken to \
         come in bursts",
        "says       0.412% is over the promote limit of 0.1%",
        "hold       2h of 1d done, 22h left",
        "counted until 2026-03-02T10:59:50Z (10s ago)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn bursts_of_controls_are_told_with_what_they_make_of_the_evidence_and_none_are_not() {
    let with = |errors: &str| {
        let noise = json!({"judged": "2h", "s": "2026-03-02T08:00:00Z", "j": "2026-03-02T08:01:20Z", "t": "2026-03-02T10:59:50Z",
                           "q": {"e": errors}});
        shown(&facts(&json!({"evidence": noise})), None)
    };
    let text = with("9 0 0 0 2000 12 15 30");
    assert!(
        text.contains("needs; each request counts 1/9: control's bad requests come in bursts"),
        "{text}"
    );
    let text = with("1.2 0 0 0 2000 12 15 30");
    assert!(!text.contains("bursts"), "{text}");
}

#[test]
fn nothing_is_wider_than_a_narrow_terminal() {
    let text = shown(
        &facts(&json!({"reason": "Blind", "message": "no fresh data ".repeat(20)})),
        Some(60),
    );
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 60, "{widest}\n{text}");
}

#[test]
fn what_is_waited_for_comes_with_its_time() {
    let holding = facts(&json!({}));
    let hold = (
        "22h more of judged time at this weight".to_owned(),
        Some("2026-03-03T09:00:00Z".to_owned()),
    );
    assert_eq!(waits(&holding), std::slice::from_ref(&hold));
    assert_eq!(
        holding.next.unwrap().not_before.unwrap().to_string(),
        "2026-03-03T09:00:00Z"
    );
    let settling = facts(&json!({"reason": "Settling", "since": "2026-03-02T10:59:00Z"}));
    let settled = (
        "data that is judged".to_owned(),
        Some("2026-03-02T11:00:20Z".to_owned()),
    );
    assert_eq!(waits(&settling), [settled, hold]);
    let back = facts(&json!({"state": "RolledBack", "reason": "Breach"}));
    assert_eq!(waits(&back), [("`retry`, or another plan".to_owned(), None)]);
    let back = facts(&json!({"state": "RolledBack", "reason": "Emergency"}));
    assert_eq!(waits(&back), [("`retry`, given by a person".to_owned(), None)]);
}

#[test]
fn what_is_going_back_and_is_not_back_is_not_said_to_wait_for_a_retry_alone() {
    let going = json!({
        "state": "RolledBack", "reason": "Breach",
        "message": "not written yet, going to 0%: patching VirtualService apps/shop: 403; why: errors",
        "weight": {"asked": "0%", "written": "60%", "observed": "60%"},
        "lowering": {"id": "01A", "weight": "0%", "reason": "Breach", "at": "2026-03-02T10:59:00Z"},
    });
    let facts = facts(&going);
    let nearest = &waits(&facts)[0].0;
    assert!(
        nearest.contains("back at 0%") && nearest.contains("they say 60% now"),
        "{nearest}"
    );
    let text = shown(&facts, None);
    assert!(
        text.contains("RollingBack, Breach; not back yet, going to 0%"),
        "{text}"
    );
    assert!(text.contains("403"), "{text}");
    let told = serde_json::to_value(&facts).unwrap();
    assert_eq!(
        (&told["goingTo"], &told["state"]),
        (&json!(0.0), &json!("RollingBack"))
    );
    let view = crate::cli::view::view(&rollout(&going), "shop");
    assert_eq!(view.waits_for(), Some("not back yet"));
    assert_eq!(serde_json::to_value(&view).unwrap()["state"], "RollingBack");
}

#[test]
fn in_a_freeze_of_everything_no_weight_is_said_to_rise_now() {
    let mut rollout = rollout(&json!({}));
    rollout.status.as_mut().unwrap().frozen = Some("frozen by ada until `unfreeze`: audit".into());
    let text = shown(&explained(&rollout, "default", "shop", None, now()), None);
    assert!(
        text.contains("open, but everything is frozen") && !text.contains("weights may rise now"),
        "{text}"
    );
}

#[test]
fn a_hold_is_waited_for_without_the_time_of_a_freeze() {
    let mut rollout = rollout(&json!({}));
    let schedule = json!({"freezes": [{"from": "2026-03-03T00:00:00Z", "to": "2026-03-04T00:00:00Z"}]});
    rollout.spec.schedule = serde_json::from_value(schedule).unwrap();
    let facts = explained(&rollout, "default", "shop", None, now());
    let until = "2026-03-04T09:00:00Z".to_owned();
    assert_eq!(waits(&facts)[0].1.as_ref(), Some(&until));
    assert_eq!(facts.next.unwrap().not_before.unwrap().to_string(), until);
}

#[test]
fn a_closed_window_and_a_shut_gate_are_waited_for() {
    let mut rollout = rollout(&json!({"held": "1d", "reason": "OutsideWindow"}));
    let spec = json!([
        {"name": "steps", "steps": [{"weight": "5%", "hold": "1d"}]},
        {"name": "cutover", "requires": [{"approval": {}}], "steps": [{"weight": "25%", "hold": "1d"}]},
    ]);
    rollout.spec.steps = None;
    rollout.spec.phases = serde_json::from_value(spec).unwrap();
    let schedule = json!({"windows": [{"days": "Tue", "from": "10:00", "to": "18:00"}]});
    rollout.spec.schedule = serde_json::from_value(schedule).unwrap();
    let facts = explained(&rollout, "default", "shop", None, now());
    let whats: Vec<String> = waits(&facts)
        .into_iter()
        .map(|(what, until)| format!("{what} {until:?}"))
        .collect();
    assert_eq!(
        whats,
        [
            "phase cutover: the phases before it are done; the rollout is in steps None",
            "phase cutover: a person's `approve` None",
            "an open window Some(\"2026-03-03T10:00:00Z\")",
        ]
    );
}

#[test]
fn an_old_status_and_a_newer_spec_are_doubts() {
    let mut old = rollout(&json!({"nextCheckAt": "2026-03-02T10:30:00Z"}));
    old.metadata.generation = Some(2);
    let facts = explained(
        &old,
        "default",
        "shop",
        Some("no daemon is alive".to_owned()),
        now(),
    );
    assert_eq!(facts.doubts.len(), 3, "{:?}", facts.doubts);
    assert!(facts.doubts[2].contains("30m ago"), "{:?}", facts.doubts);
    assert!(
        facts.doubts[1].contains("generation 1, it is 2 now"),
        "{:?}",
        facts.doubts
    );
    assert_eq!(self::facts(&json!({})).doubts, [""; 0]);
}

#[test]
fn a_check_that_this_program_does_not_know_is_shown_with_all_it_says() {
    let checks = json!([{"name": "queue", "verdict": "Hold", "samples": 0, "message": "4 is over 3"}]);
    let mut facts = facts(&json!({"checks": checks}));
    facts.checks[0]["action"] = json!("alert");
    let text = shown(&facts, None);
    assert!(
        text.contains("queue: Hold") && text.contains("action alert"),
        "{text}"
    );
}

#[test]
fn before_any_daemon_looked_it_says_so() {
    let mut rollout = rollout(&json!({}));
    rollout.status = None;
    let facts = explained(&rollout, "default", "shop", None, now());
    assert!(shown(&facts, Some(60)).contains("no daemon has looked at it yet"));
}

#[test]
fn a_member_of_a_pool_shows_what_the_pool_comes_to_beside_its_own() {
    let mut rollout = rollout(&json!({}));
    let mut spec = serde_json::to_value(&rollout.spec).unwrap();
    spec["components"][0]["pool"] = json!("quiet");
    rollout.spec = serde_json::from_value(spec).unwrap();
    let lonely = shown(&explained(&rollout, "default", "shop", None, now()), None);
    assert!(
        lonely.contains("pool       quiet, with nobody else of it at this weight"),
        "{lonely}"
    );
    let mut status = serde_json::to_value(&rollout.status).unwrap();
    status["pools"] = json!([{"name": "quiet", "weight": "5%", "members": ["shop", "cart"], "checks": [{
        "name": "errors", "verdict": "Pass", "value": "0.021%", "samples": 9120, "evidence": 0.02,
        "message": "within its promote limit of 0.1%",
    }]}]);
    rollout.status = serde_json::from_value(status).unwrap();
    let facts = explained(&rollout, "default", "shop", None, now());
    let text = shown(&facts, None);
    assert!(
        text.contains("pool       quiet, the samples of 2 members: shop, cart"),
        "{text}"
    );
    let own = text.find("says       0.412% is over the promote limit").unwrap();
    let shared = "pool       Pass: 0.021%, 9120 requests, 2% of what a rollback of all needs; within its promote limit of 0.1%";
    assert!(text.find(shared).unwrap() > own, "{text}");
    assert_eq!(
        serde_json::to_value(&facts).unwrap()["pool"]["checks"][0]["samples"],
        9120
    );
}
