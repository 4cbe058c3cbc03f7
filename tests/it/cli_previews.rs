//! `header-route` and `mirror`: what they print, what they refuse, and what they never change.

use crate::cli_cluster::{Cluster, NAMESPACE};
use serde_json::Value;

fn routes(cluster: &Cluster) -> Value {
    let shop = cluster
        .store
        .get("virtualservices.networking.istio.io", NAMESPACE, "shop")
        .unwrap();
    shop["spec"]["http"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_the_rule_and_the_mirror_and_changes_nothing() {
    let cluster = Cluster::start().await;
    let before = routes(&cluster);
    let line = [
        "header-route",
        "add",
        "shop",
        "--header",
        "canary=true",
        "--dry-run",
    ];
    let (code, out, err) = cluster.run(&line).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("spec.http[0] (before route http[0]): (absent) → the rule gradual-rollout-shop-testers-0, all to the canary: header canary=true"),
        "{out}"
    );
    let (code, out, err) = cluster.run(&["mirror", "set", "10", "shop", "-d"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("(absent) → 10% copied to the canary"), "{out}");
    let (code, out, _) = cluster.run(&["mirror", "off", "shop", "-d"]).await;
    assert_eq!(code, 0);
    assert!(out.contains("nothing to change"), "{out}");
    let (code, out, _) = cluster
        .run(&["header-route", "remove", "shop", "--header", "canary=true", "-d"])
        .await;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("there is no such route for testers"), "{out}");
    assert_eq!(routes(&cluster), before);
    assert!(cluster.commands().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_nobody_would_judge_testers_and_nothing_is_left_behind() {
    let cluster = Cluster::start().await;
    for line in [
        &[
            "header-route",
            "add",
            "shop",
            "--cookie",
            "who=me",
            "--no-confirm",
        ][..],
        &["mirror", "set", "5", "shop", "--no-confirm"],
    ] {
        let (code, out, err) = cluster.run(line).await;
        assert_eq!(code, 3, "{out}{err}");
        assert!(out.contains("no daemon is alive"), "{out}");
    }
    assert!(cluster.commands().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_a_usage_error_with_the_remedy() {
    let cluster = Cluster::start().await;
    for (line, says) in [
        (&["header-route", "add", "shop"][..], "--header canary=true"),
        (
            &["header-route", "add", "shop", "--header", "canary"],
            "NAME=VALUE",
        ),
        (
            &["header-route", "add", "shop", "--header", "cookie=x"],
            "name it as `cookie`",
        ),
        (&["header-route", "add", "--header", "a=b"], "which component?"),
        (&["mirror", "set", "0", "shop"], "mirror off"),
        (&["mirror", "set", "101", "shop"], "between 0% and 100%"),
        (&["mirror", "on", "shop"], "unrecognized subcommand"),
    ] {
        let (code, out, err) = cluster.run(line).await;
        assert_eq!(code, 64, "{line:?}: {out}{err}");
        assert!(err.contains(says), "{line:?}: {err}");
    }
}
