//! `init`: what it makes of a cluster, and that the product and the API server take what it wrote.

use crate::support::cluster::Cluster;
use crate::support::tools::Prometheus;
use gradual_rollout::clock::Clock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

fn virtual_service(name: &str, weights: [u8; 2]) -> Value {
    let to =
        |subset: &str, weight: u8| json!({"destination": {"host": name, "subset": subset}, "weight": weight});
    let routes = json!([{"name": "main", "route": [to("v1", weights[0]), to("v2", weights[1])]}]);
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "apps", "labels": {"name": name}},
        "spec": {"hosts": [name], "http": routes}})
}

fn ingress(name: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let rule = json!({"host": format!("{name}.example.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": "apps", "labels": {"app": "terminal"}},
        "spec": {"ingressClassName": "nginx", "rules": [rule]}})
}

fn http_route() -> Value {
    let to = |name: &str, weight: u8| json!({"name": name, "port": 80, "weight": weight});
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": "apps"},
        "spec": {"rules": [{"name": "main", "backendRefs": [to("web-v1", 95), to("web-v2", 5)]}]}})
}

/// A cluster with these objects.
async fn with(objects: &[Value]) -> Cluster {
    let cluster = Cluster::start().await;
    cluster.store.namespace("apps");
    for object in objects {
        cluster.store.put(object.clone()).unwrap();
    }
    cluster
}

async fn init(cluster: &Cluster, words: &[&str]) -> (i32, String, String) {
    cluster.run(&[&["init"], words].concat(), &[]).await
}

/// The files of a folder, by name; none where there is no folder.
fn files(cluster: &Cluster, folder: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(cluster.folder.path().join(folder)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_valid_and_the_api_server_takes_it() {
    let objects = [
        virtual_service("shop", [95, 5]),
        virtual_service("cart.example.com", [100, 0]),
        http_route(),
        ingress("a", "term"),
        ingress("b", "term"),
        ingress("c", "other"),
    ];
    let cluster = with(&objects).await;
    for (from, components) in [
        ("--from-virtualservice", 2),
        ("--from-httproute", 1),
        ("--from-ingress", 2),
    ] {
        let (code, out, err) = init(
            &cluster,
            &[from, "-n", "apps", "-o", from.trim_start_matches('-')],
        )
        .await;
        assert_eq!(code, 0, "{from}: {err}");
        let written = files(&cluster, from.trim_start_matches('-'));
        assert_eq!(written.len(), 1, "{written:?}");
        assert_eq!(
            out.trim(),
            format!("{}/apps.apps-1.yaml", from.trim_start_matches('-'))
        );
        let (code, out, err) = cluster
            .run(&["validate", written[0].to_str().unwrap()], &[])
            .await;
        assert_eq!(code, 0, "{from}: {out}{err}");
        let rollout: Value = serde_saphyr::from_str(&std::fs::read_to_string(&written[0]).unwrap()).unwrap();
        assert_eq!(
            rollout["spec"]["components"].as_array().unwrap().len(),
            components
        );
        let stored = cluster.store.put(rollout.clone());
        let stored = stored.unwrap_or_else(|refusal| panic!("{from}: {refusal:?}"));
        assert_eq!(
            stored["spec"], rollout["spec"],
            "{from}: the schema drops nothing of it"
        );
        cluster
            .store
            .delete("gradualrollouts.rollout.sealos.io", "apps", "apps-1")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_is_left_to_its_owner_the_next_time() {
    let cluster = with(&[virtual_service("shop", [95, 5])]).await;
    let (_, out, _) = init(&cluster, &["--from-virtualservice", "-n", "apps"]).await;
    cluster.store.put(serde_saphyr::from_str(&out).unwrap()).unwrap();
    let (code, out, err) = init(&cluster, &["--from-virtualservice", "-n", "apps"]).await;
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(
        err.contains("component shop of the GradualRollout apps/apps-1"),
        "{err}"
    );
    assert!(
        err.contains("in the namespace apps") && err.contains("nothing was written"),
        "{err}"
    );
    cluster.store.put(virtual_service("cart", [95, 5])).unwrap();
    let (code, out, err) = init(&cluster, &["--from-virtualservice", "cart", "-n", "apps"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("name: apps-2\n"),
        "a name that is not there yet: {out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_cluster_gives_the_same_bytes_and_nothing_that_is_there_is_written_over() {
    let objects = ["a", "b", "c"].map(|name| virtual_service(name, [95, 5]));
    let cluster = with(&objects).await;
    let words = ["--from-virtualservice", "-n", "apps", "--per-resource", "2"];
    let (_, all, _) = init(&cluster, &words).await;
    assert_eq!(all.matches("\nkind: GradualRollout\n").count(), 2, "{all}");
    let (code, _, err) = init(&cluster, &[&words[..], &["-o", "plans"]].concat()).await;
    assert_eq!(code, 0, "{err}");
    let texts: Vec<String> = files(&cluster, "plans")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(texts.join("---\n"), all);
    std::fs::write(cluster.folder.path().join("plans/apps.apps-2.yaml"), "mine").unwrap();
    std::fs::remove_file(cluster.folder.path().join("plans/apps.apps-1.yaml")).unwrap();
    let (code, out, err) = init(&cluster, &[&words[..], &["-o", "plans"]].concat()).await;
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(
        err.contains("plans/apps.apps-2.yaml") && err.contains("--force"),
        "{err}"
    );
    assert_eq!(files(&cluster, "plans").len(), 1, "nothing is half written");
    let (code, _, err) = init(&cluster, &[&words[..], &["-o", "plans", "--force"]].concat()).await;
    assert_eq!(code, 0, "{err}");
    assert_eq!(files(&cluster, "plans").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_nothing_is_written() {
    let cluster = with(&[virtual_service("shop", [95, 5])]).await;
    for (words, wanted, says) in [
        (&["--from-virtualservice", "shp"][..], 3, "did you mean \"shop\"?"),
        (
            &["--from-virtualservice", "-l", "name=other"],
            3,
            "with the labels name=other",
        ),
        (&["--from-httproute"], 3, "none at all"),
        (&["--from-virtualservice", "--per-resource", "0"], 64, "1..=64"),
        (&["--from-virtualservice", "--per-resource", "65"], 64, "1..=64"),
        (
            &["--from-virtualservice", "--pool-below", "fast"],
            64,
            "0.5rps or 30rpm",
        ),
        (
            &["--from-virtualservice", "--pool-below", "1rps"],
            64,
            "which Prometheus?",
        ),
        (
            &["--from-virtualservice", "--from-ingress"],
            64,
            "cannot be used with",
        ),
        (
            &["--from-ingress", "--gateway", "nowhere"],
            64,
            "NAMESPACE/SERVICE:PORT",
        ),
        (
            &["--from-virtualservice", "--gateway", "a/b:1"],
            64,
            "--from-ingress",
        ),
        (&["--from-virtualservice", "-A"], 64, "leave out -n"),
        (&[], 64, "--from-ingress"),
        (
            &[
                "--from-virtualservice",
                "--pool-below",
                "1rps",
                "--prometheus",
                "http://127.0.0.1:1",
            ],
            69,
            "unable to read Prometheus",
        ),
    ] {
        let line = [words, &["-n", "apps", "-o", "plans"]].concat();
        let (code, out, err) = init(&cluster, &line).await;
        assert_eq!((code, out.as_str()), (wanted, ""), "{line:?}: {err}");
        assert!(err.contains(says), "{line:?}: {err}");
        assert!(!cluster.folder.path().join("plans").exists(), "{line:?}");
    }
}

/// The last ten minutes of Services with so many requests per minute.
fn traffic(services: &[(&str, u64)]) -> String {
    let now = u64::try_from(Clock::System.now().as_second()).unwrap();
    let mut text = String::new();
    for (service, per_minute) in services {
        for version in ["v1", "v2"] {
            for scrape in 0..40 {
                let (at, count) = (now - 600 + scrape * 15, 1000 + scrape * per_minute / 8);
                writeln!(
                    text,
                    "istio_requests_total{{reporter=\"destination\",destination_service_name=\"{service}\",destination_service_namespace=\"apps\",destination_version=\"{version}\",pod=\"{service}-{version}\",instance=\"i\",response_code=\"200\"}} {count} {at}"
                )
                .unwrap();
            }
        }
    }
    text + "# EOF\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quiet_share_a_pool_and_what_has_no_series_is_told_and_not_pooled() {
    let objects = ["busy", "calm", "dark"].map(|name| virtual_service(name, [95, 5]));
    let cluster = with(&objects).await;
    let prometheus = Prometheus::with_record(&traffic(&[("busy", 240), ("calm", 16)])).await;
    let url = prometheus.url();
    let words = [
        "--from-virtualservice",
        "-n",
        "apps",
        "--pool-below",
        "1rps",
        "--prometheus",
        &url,
    ];
    let (code, out, err) = init(&cluster, &words).await;
    assert_eq!(code, 0, "{err}");
    let rollout: Value = serde_saphyr::from_str(&out).unwrap();
    let pooled: Vec<(&str, Option<&str>)> = rollout["spec"]["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["pool"].as_str()))
        .collect();
    assert_eq!(
        pooled,
        [("busy", None), ("calm", Some("quiet")), ("dark", None)],
        "{out}"
    );
    let flat = out.replace("\n  # ", " ");
    // 16 requests a minute; how much of the last minute is in reach depends on the moment.
    assert!(flat.contains("Quiet: 0.2"), "{out}");
    assert!(flat.contains(" rps now, fewer than 1 rps"), "{out}");
    assert_eq!(
        flat.matches("Not pooled: Prometheus has no series of it").count(),
        1,
        "{out}"
    );
    cluster.store.put(rollout).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selector_that_means_nothing_is_refused_and_named() {
    let cluster = with(&[virtual_service("shop", [95, 5])]).await;
    for wrong in [
        "a=b=c",
        "a==b=c",
        "=b",
        "a in b",
        "a=b,,c=d",
        "a b",
        "a/b/c=d",
        "a=b c",
        "!",
        "a notin ()x",
    ] {
        let (code, out, err) = init(&cluster, &["--from-virtualservice", "-n", "apps", "-l", wrong]).await;
        assert_eq!((code, out.as_str()), (64, ""), "{wrong}: {err}");
        assert!(err.contains(wrong) && err.contains("app=shop"), "{wrong}: {err}");
    }
    for right in [
        "name=shop",
        "name==shop",
        "name!=cart",
        "name",
        "!tier",
        "name in (shop, cart)",
        "name notin (cart),name=shop",
        "tier!=x, name",
    ] {
        let (code, _, err) = init(&cluster, &["--from-virtualservice", "-n", "apps", "-l", right]).await;
        assert_eq!(code, 0, "{right}: {err}");
    }
}
