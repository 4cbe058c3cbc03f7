//! `preflight`: what is found, what is not, and what people tick.

mod defects;
pub(crate) mod healthy;
mod inputs;
mod room;
mod shown;
mod snippets;
mod ticks;

use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::preflight::code;
use gradual_rollout_toolkit::trouble::End;
use healthy::healthy;
use serde_json::Value;

/// The findings as codes with their objects, sorted.
async fn found(store: &Store, clock: &Clock) -> (Vec<(String, String)>, Said) {
    let said = migrate(store, clock, &["--json", "preflight"]).await;
    let whole: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let mut codes: Vec<(String, String)> = whole["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let text = |field: &str| finding[field].as_str().unwrap().to_owned();
            (text("code"), text("object"))
        })
        .collect();
    codes.sort();
    (codes, said)
}

#[tokio::test]
async fn nothing_stands_in_the_way_of_a_healthy_cluster() {
    let (store, clock) = healthy();
    let said = migrate(&store, &clock, &["preflight"]).await;
    println!("{}", said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out
            .contains("nothing stands in the way: 0 blockers, 0 warnings"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn an_empty_cluster_is_refused_with_what_is_missing() {
    let (store, clock) = crate::support::cluster();
    let said = migrate(&store, &clock, &["preflight"]).await;
    println!("{}", said.out);
    assert_eq!(said.end.unwrap(), End::Refused);
    for code in [
        "ISTIO-KIND-MISSING",
        "GATEWAY-PODS-MISSING",
        "NGINX-MISSING",
        "CERT-MANAGER-MISSING",
    ] {
        assert!(said.out.contains(code), "{code}: {}", said.out);
    }
}

#[tokio::test]
async fn many_findings_of_a_code_are_counted_and_what_to_do_is_said_once() {
    let (store, clock) = healthy();
    for n in 0..8 {
        crate::kinds::put(
            &store,
            healthy::service("ns-ada", &format!("lb-{n}"), "LoadBalancer"),
        );
    }
    let said = migrate(&store, &clock, &["preflight"]).await;
    assert_eq!(
        said.out.matches("TENANT-LOAD-BALANCER").count(),
        5,
        "{}",
        said.out
    );
    assert!(
        said.out.contains("and 3 more; -o json has them all"),
        "{}",
        said.out
    );
    assert_eq!(
        said.out.matches("loadbalancer migrate").count(),
        1,
        "{}",
        said.out
    );
    assert_eq!(found(&store, &clock).await.0.len(), 8);
}

#[tokio::test]
async fn a_kind_that_may_not_be_seen_is_told_and_the_rest_is_looked_at() {
    let (store, clock) = healthy();
    let no = Failure::new(
        403,
        "Forbidden",
        "secrets is forbidden: User \"ada\" cannot list it",
    );
    store.inject(Fault::new(Action::Fail(no)).verb("list").resource("secrets"));
    let (codes, said) = found(&store, &clock).await;
    assert!(
        codes.contains(&("NOT-LOOKED-AT".to_owned(), "secrets".to_owned())),
        "{codes:?}"
    );
    // Secrets that were not seen are not missing.
    assert!(
        codes.iter().all(|(code, _)| code != "SECRET-MISSING"),
        "{codes:?}"
    );
    assert!(said.out.contains("cannot list it"));
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let item = whole["checklist"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["item"] == "certificates");
    assert_eq!(
        item.unwrap()["standing"],
        "warn",
        "what was not seen is not known to be well"
    );
}

#[tokio::test]
async fn rights_that_are_missing_are_named_by_verb_and_resource() {
    let (store, clock) = healthy();
    store.set_access(|spec| {
        spec.pointer("/resourceAttributes/verb").and_then(Value::as_str) != Some("delete")
    });
    let said = migrate(&store, &clock, &["--json", "preflight"]).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.out.contains("delete virtualservices.networking.istio.io"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("create virtualservices"), "{}", said.out);
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_no_finding() {
    let (store, clock) = healthy();
    let down = Failure::new(500, "InternalError", "etcd is down");
    store.inject(Fault::new(Action::Fail(down)).verb("list").resource("nodes"));
    let said = migrate(&store, &clock, &["preflight"]).await;
    let trouble = said.end.unwrap_err().to_string();
    assert!(
        trouble.contains("list nodes") && trouble.contains("etcd is down"),
        "{trouble}"
    );
}

#[test]
fn every_code_is_in_the_chapter_with_its_remedy_and_belongs_to_an_item() {
    let chapter = std::fs::read_to_string("../docs/migration-toolkit.md").unwrap();
    for code in code::ALL {
        let row = format!(
            "| {} | {} | {} | {} |",
            code.name,
            code.severity.word(),
            code.meaning,
            code.remedy
        );
        assert!(chapter.contains(&row), "the chapter lacks\n{row}");
        assert!(
            chapter.contains(&format!("| `{}` | machine |", code.item)),
            "{} belongs to {}, which the chapter does not list",
            code.name,
            code.item
        );
    }
}

#[tokio::test]
async fn a_class_that_is_named_finds_the_controller_that_has_it() {
    let (store, clock) = healthy();
    crate::kinds::put(
        &store,
        serde_json::json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "public"}, "spec": {"controller": "k8s.io/ingress-nginx"}}),
    );
    let said = migrate(&store, &clock, &["preflight", "--ingress-class", "public"]).await;
    assert!(!said.out.contains("NGINX-MISSING"), "{}", said.out);
    let said = migrate(&store, &clock, &["preflight", "--ingress-class", "nobodys"]).await;
    assert!(said.out.contains("NGINX-MISSING"), "{}", said.out);
}
