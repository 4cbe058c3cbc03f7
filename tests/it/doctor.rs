//! `doctor` against a cluster over loopback, and against a real Prometheus.

use crate::cli_cluster::{Cluster, NAMESPACE};
use crate::support::tools::Prometheus;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// The findings as code and object, and the exit code.
async fn doctor(cluster: &Cluster, more: &[&str]) -> (i32, Vec<(String, String)>, Value) {
    let mut arguments = vec!["doctor", "-o", "json"];
    arguments.extend(more);
    let (code, out, err) = cluster.run(&arguments).await;
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let findings = told["findings"].as_array().unwrap().iter();
    let pairs = findings.map(|finding| (text(finding, "code"), text(finding, "object")));
    (code, pairs.collect(), told)
}

fn has(findings: &[(String, String)], code: &str) -> bool {
    findings.iter().any(|(found, _)| found == code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_lacks_is_named_with_its_namespace_and_nothing_else_is() {
    let cluster = Cluster::start().await;
    cluster.store.set_access(|spec| {
        let asked = |field: &str| spec["resourceAttributes"][field].as_str().unwrap_or_default();
        !(asked("resource") == "virtualservices" && asked("verb") == "patch")
    });
    let (code, findings, told) = doctor(&cluster, &[]).await;
    assert_eq!(code, 3, "{told}");
    let rights: Vec<_> = findings.iter().filter(|(code, _)| code == "D201").collect();
    assert_eq!(
        rights,
        [&("D201".to_owned(), format!("namespace {NAMESPACE}"))],
        "{told}"
    );
    let text = told.to_string();
    assert!(
        text.contains("may not patch virtualservices.networking.istio.io"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routed_object_is_missed_and_its_other_owner_is_named() {
    let cluster = Cluster::start().await;
    let (_, findings, told) = doctor(&cluster, &[]).await;
    assert!(!has(&findings, "D501") && !has(&findings, "D201"), "{told}");
    let key = "virtualservices.networking.istio.io";
    let mut shop = Value::clone(&cluster.store.get(key, NAMESPACE, "shop").unwrap());
    shop["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    cluster.store.put(shop).unwrap();
    let (_, findings, told) = doctor(&cluster, &[]).await;
    let owned = ("D503".to_owned(), format!("virtualservice {NAMESPACE}/shop"));
    assert!(findings.contains(&owned), "{told}");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/shop.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, text.replace("{name: shop}", "{name: shoq}")).unwrap();
    let (code, findings, told) = doctor(&cluster, &["-f", file.to_str().unwrap()]).await;
    let missed = ("D501".to_owned(), format!("virtualservice {NAMESPACE}/shoq"));
    assert!(code == 3 && findings.contains(&missed), "{told}");
    let (code, findings, told) = doctor(&cluster, &["-n", "elsewhere"]).await;
    assert_eq!((code, has(&findings, "D001")), (0, true), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_gives_no_answer_is_a_finding_and_none_at_all_is_another() {
    let cluster = Cluster::start().await;
    let (code, findings, told) = doctor(&cluster, &[]).await;
    assert_eq!((code, has(&findings, "D301")), (3, true), "{told}");
    let (code, findings, told) = doctor(&cluster, &["--prometheus", "http://127.0.0.1:1"]).await;
    assert_eq!((code, has(&findings, "D302")), (3, true), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_a_real_prometheus_has_under_another_label_is_told_with_what_there_is() {
    let cluster = Cluster::start().await;
    let now = gradual_rollout::clock::Clock::System.now().as_second();
    let mut record = String::from("# TYPE istio_requests counter\n");
    for back in (0..40).rev() {
        for version in ["v1", "v9"] {
            writeln!(
 record,
                "istio_requests_total{{reporter=\"destination\",destination_service_namespace=\"shop\",\
                 destination_service_name=\"shop\",destination_workload=\"shop-{version}\",destination_version=\"{version}\",\
                 response_code=\"200\"}} {} {}",
                1000 - back,
                now - back * 15
            )
            .unwrap();
        }
    }
    record.push_str("# EOF\n");
    let prometheus = Prometheus::with_record(&record).await;
    let (code, findings, told) = doctor(&cluster, &["--prometheus", &prometheus.url()]).await;
    assert_eq!(code, 3, "{told}");
    assert!(has(&findings, "D401") && !has(&findings, "D302"), "{told}");
    assert!(told.to_string().contains("v9"), "{told}");
}

#[test]
fn without_a_cluster_it_ends_with_69_and_explains_codes_all_the_same() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
            .args(arguments)
            .env_clear()
            .env("KUBECONFIG", "/nonexistent/kubeconfig")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    assert_eq!(run(&["doctor"]).0, 69);
    let (code, text) = run(&["doctor", "--explain", "d201"]);
    assert!(code == 0 && text.contains("deploy/rbac.yaml"), "{text}");
    let (code, text) = run(&["doctor", "--explain", "D2011"]);
    assert!(code == 64 && text.contains("did you mean D201?"), "{text}");
}

/// What a Prometheus has of the shop: both versions' counters and histograms, and the stamp of everything it scrapes.
struct Past {
    /// Seconds between samples.
    scrape: i64,
    /// The newest sample is so many seconds before now; negative: after.
    age: i64,
    /// What the counters say, by how many samples there were before.
    count: fn(i64) -> String,
}

const WELL: Past = Past {
    scrape: 15,
    age: 1,
    count: |n| (1000 + 20 * n).to_string(),
};

impl Past {
    async fn served(&self) -> Prometheus {
        let newest = gradual_rollout::clock::Clock::System.now().as_second() - self.age;
        let mut record = String::new();
        let mut series = |name: &str, count: &dyn Fn(i64) -> String| {
            for n in 0..=1800 / self.scrape {
                let at = newest - 1800 + n * self.scrape;
                writeln!(record, "{name} {} {at}", count(n)).unwrap();
            }
        };
        series("up{job=\"istio\"}", &|_| "1".to_owned());
        for version in ["v1", "v2"] {
            let labels = format!(
                "pod=\"{version}\",reporter=\"destination\",destination_service_name=\"shop\",\
                 destination_version=\"{version}\",response_code=\"200\""
            );
            series(&format!("istio_requests_total{{{labels}}}"), &self.count);
            for bound in ["50", "100", "250", "+Inf"] {
                let bucket = format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"{bound}\"}}");
                series(&bucket, &|n| (1000 + 20 * n).to_string());
            }
        }
        Prometheus::with_record(&format!("{record}# EOF\n")).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_scrapes_counters_and_buckets_that_cannot_be_judged_by_are_told_each_by_its_code() {
    let cluster = Cluster::start().await;
    let shop = include_str!("../../config/shop.yaml");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    let beyond = format!("{shop}  checks: [{{name: p95, promote: {{max: 5s}}, rollback: {{max: 9s}}}}]\n");
    let often = format!("{shop}  judge: {{interval: 10s}}\n");
    for (past, yaml, wanted, says) in [
        (WELL, shop, &[][..], ""),
        (
            Past { age: -90, ..WELL },
            shop,
            &["D303", "D402"][..],
            "clocks disagree",
        ),
        (
            Past { age: 900, ..WELL },
            shop,
            &["D304", "D401"][..],
            "is not scraped any more",
        ),
        (
            Past { scrape: 60, ..WELL },
            &often,
            &["D306"][..],
            "most looks find nothing new",
        ),
        (
            Past {
                count: |_| "NaN".to_owned(),
                ..WELL
            },
            shop,
            &["D402"][..],
            "NaN",
        ),
        (WELL, &beyond, &["D403"][..], "its largest bound is 250ms"),
    ] {
        std::fs::write(&file, yaml).unwrap();
        let prometheus = past.served().await;
        let arguments = ["--prometheus", &prometheus.url(), "-f", file.to_str().unwrap()];
        let (_, findings, told) = doctor(&cluster, &arguments).await;
        let codes: BTreeSet<&str> = findings.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, wanted.iter().copied().collect(), "{told}");
        assert!(told.to_string().contains(says), "{told}");
    }
}
