//! Whether a snippet is in force: by what the ConfigMap says, and where it says nothing by the release.

use crate::envoy::get;
use crate::given::{Done, Ingress, config, convert_with};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

fn controller(tag: &str) -> Value {
    let image = format!("registry.k8s.io/ingress-nginx/controller:{tag}");
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "in", "name": tag},
        "spec": {"template": {"spec": {"containers": [{"image": image,
            "args": ["/nginx-ingress-controller", "--watch-ingress-without-class"]}]}}}})
}

fn guarded(snippet: &str, more: &[Value]) -> Done {
    let guarded = Ingress::new("a/x")
        .note("configuration-snippet", snippet)
        .path("a.com", "Prefix", "/", "s");
    convert_with(&[guarded], more, &Options::default())
}

#[test]
fn a_snippet_that_an_old_controller_acts_upon_refuses_though_no_config_map_allows_it() {
    for (tags, said, code) in [
        (&["v1.5.1"][..], json!({}), "SNIPPET"),
        (
            &["v1.8.4"],
            json!({"allow-snippet-annotations": "maybe"}),
            "SNIPPET",
        ),
        (&["v1.9.0"], json!({}), "SNIPPET-INERT"),
        (&["v1.12.1@sha256:0"], json!({}), "SNIPPET-INERT"),
        (
            &["v1.12.1"],
            json!({"allow-snippet-annotations": "true"}),
            "SNIPPET",
        ),
        (
            &["v1.5.1"],
            json!({"allow-snippet-annotations": "False"}),
            "SNIPPET-INERT",
        ),
        // One of them may serve it.
        (&["v1.5.1", "v1.12.1"], json!({}), "SNIPPET"),
        (&["our-build"], json!({}), "SNIPPET"),
        (&[], json!({}), "SNIPPET"),
        (
            &[],
            json!({"allow-snippet-annotations": "false"}),
            "SNIPPET-INERT",
        ),
    ] {
        let mut more: Vec<Value> = tags.iter().map(|tag| controller(tag)).collect();
        more.push(config(said.clone()));
        let done = guarded("deny all;", &more);
        assert!(done.told("x", code), "{tags:?} {said}");
        let answer = done.answer(&get("a.com", "/"));
        let wanted = if code == "SNIPPET" { "none" } else { "s /" };
        assert_eq!(answer, wanted, "{tags:?} {said}");
    }
}

#[test]
fn a_snippet_whose_controller_is_not_known_says_how_to_make_it_known() {
    let done = guarded("deny all;", &[config(json!({}))]);
    let entries = &done.ingress("x").entries;
    let told = entries
        .iter()
        .find(|entry| entry.code.text() == "SNIPPET")
        .unwrap();
    assert!(told.detail.contains("before 1.9.0"), "{}", told.detail);
    assert!(told.remedy.contains("Deployment"), "{}", told.remedy);
}
