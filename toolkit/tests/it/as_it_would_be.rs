//! A dry run says what the run would do; and what is half there is called what it is.

use crate::apply::{ING, VS, marked, tenants};
use crate::objects::ingress;
use crate::rollback::full;
use crate::support::{Said, migrate};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_out_what_the_run_leaves_out_and_ends_as_it_does() {
    let (store, clock) = full();
    let mut plain = ingress("ns-a", "shop");
    plain["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
    store.put(plain.clone()).unwrap();
    let done = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    assert_eq!(done.end.unwrap(), End::Done);
    let mut guarded = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    guarded["metadata"]["annotations"]["nginx.ingress.kubernetes.io/whitelist-source-range"] =
        json!("10.0.0.0/8");
    store.put(guarded).unwrap();
    store.delete("secrets", "ns-a", "shop-tls").unwrap();
    let version = store.version();
    let words = ["-n", "ns-a", "apply"];
    let dry = migrate(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    show(&dry);
    assert_eq!(store.version(), version);
    let json = migrate(
        &store,
        &clock,
        &[&["--json"], &words[..], &["--dry-run"]].concat(),
    )
    .await;
    let route = store.list(VS).remove(0)["spec"].clone();
    let real = migrate(&store, &clock, &words).await;
    show(&real);
    assert_eq!(
        store.list(VS)[0]["spec"],
        route,
        "the route waits for its certificate"
    );
    for left in ["left out VirtualService", "left out Ingress ns-a/shop"] {
        assert_eq!(
            dry.err.matches(left).count(),
            real.err.matches(left).count(),
            "{left}"
        );
        assert_eq!(dry.err.matches(left).count(), 1, "{left}");
    }
    assert!(
        !dry.out.contains("update VirtualService") && !dry.out.contains("mark "),
        "{}",
        dry.out
    );
    assert_eq!(dry.end.unwrap(), real.end.unwrap());
    let told: Value = serde_json::from_str(&json.out).unwrap();
    let results = told["results"].as_array().unwrap().iter();
    let mut left = results.filter(|line| line["result"] == "leftOut");
    assert!(left.any(|line| line["object"].as_str().unwrap().starts_with("VirtualService")));
    // The list is what the Ingress asks for, and no leftover of one that it had.
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert!(said.err.contains("STATE-GUARD-AHEAD") && !said.err.contains("STATE-GUARD-STALE"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_hands_nothing_over_that_the_run_does_not() {
    let (store, clock) = tenants(&["ns-a"]);
    let text = include_str!("../../../deploy/crd.yaml");
    for document in text.split("\n---") {
        let crd: Value = serde_saphyr::from_str(document).unwrap();
        store.register_crd(&crd).unwrap();
    }
    store.namespace("sealos-system");
    crate::handing_over::listener(&store);
    let words = [
        "-n",
        "ns-a",
        "apply",
        "--rollout",
        "sealos-system/one",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--dry-run",
    ];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert!(said.err.contains("APPLY-NOT-PROBED") && !said.out.contains("hand over to"));
    assert!(said.err.contains("left out GradualRollout sealos-system/one"));
    let said = migrate(&store, &clock, &[&words[..], &["--unprobed"]].concat()).await;
    assert!(
        said.out.contains("hand over to GradualRollout sealos-system/one"),
        "{}",
        said.out
    );
    assert_eq!(said.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn what_no_gateway_has_open_yet_is_not_called_served() {
    let (store, clock) = tenants(&["ns-a"]);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    // As an apply leaves it that was killed before the Gateway.
    store
        .delete("gateways.networking.istio.io", "istio-system", "sealos-gateway")
        .unwrap();
    let bare = ingress("ns-a", "shop");
    store.put(bare).unwrap();
    assert!(!marked(&store, "ns-a", "shop"));
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert!(said.err.contains("STATE-CLOSED") && said.err.contains("STATE-UNMARKED"));
    assert!(said.err.contains("no Gateway has open yet") && !said.err.contains("the gateway serves it"));
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_by_a_rollback_has_no_mark_from_its_first_moment() {
    let (store, clock) = tenants(&["ns-a"]);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &path])
        .await
        .end
        .unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let words = ["rollback", "-n", "ns-a", "--dir", &path, "--settle", "60"];
    let going = migrate(&store, &clock, &words);
    // Killed while nginx is given time.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), going).await;
    assert!(ended.is_err() && !marked(&store, "ns-a", "shop"));
    let notes = store.get(ING, "ns-a", "shop").unwrap()["metadata"]["annotations"].clone();
    assert!(!notes.to_string().contains("sealos.io/"), "{notes}");
    let again = migrate(&store, &clock, &words).await;
    assert_eq!(again.end.unwrap(), End::Done);
    assert!(store.list(VS).is_empty());
}
