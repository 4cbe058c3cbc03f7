//! What people are told about checks: by the program, against a real Prometheus with a past of its own.

mod beside;
mod missing;
mod streams;

use crate::support::tools::Prometheus;
use serde_json::Value;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

/// 2026-03-02T10:00:00Z.
const AT: i64 = 1_772_445_600;

/// Samples of an hour before [`AT`], of one series each, that rise by so much a second.
struct Record(String);

impl Record {
    fn rises(&mut self, series: &str, a_minute: i64, scrape: i64, until: i64) -> &mut Self {
        for at in (AT - 3600..=until).filter(|at| at % scrape == 0) {
            let count = (at - AT + 7200) * a_minute / 60;
            writeln!(self.0, "{series} {count} {at}").unwrap();
        }
        self
    }

    /// A gauge that says the same all the time.
    fn stands(&mut self, series: &str, value: i64) -> &mut Self {
        for at in (AT - 600..=AT).filter(|at| at % 15 == 0) {
            writeln!(self.0, "{series} {value} {at}").unwrap();
        }
        self
    }

    /// Both versions of an Istio service, with a histogram that has this name and these bounds.
    fn service(&mut self, name: &str, scrape: i64, histogram: &str, bounds: &[(&str, i64)]) -> &mut Self {
        for version in ["v1", "v2"] {
            let labels = format!(
                r#"pod="{name}-{version}",reporter="destination",destination_service_name="{name}",destination_version="{version}""#
            );
            let ended = format!(r#"{labels},response_code="200",response_flags="-",request_protocol="http""#);
            self.rises(&format!("istio_requests_total{{{ended}}}"), 600, scrape, AT);
            for (bound, share) in bounds {
                let series = format!(r#"{histogram}_bucket{{{ended},le="{bound}"}}"#);
                self.rises(&series, 6 * share, scrape, AT);
            }
        }
        self
    }

    async fn served(&self) -> Prometheus {
        Prometheus::with_record(&format!("{}# EOF\n", self.0)).await
    }
}

const MS: &str = "istio_request_duration_milliseconds";
const BOUNDS: &[(&str, i64)] = &[("50", 60), ("100", 96), ("250", 100), ("+Inf", 100)];

/// A rollout of this service with these checks and labels; what it is called is a file's name, too.
fn file(service: &str, labels: &str, checks: &str) -> String {
    format!(
        "apiVersion: rollout.sealos.io/v1alpha1\nkind: GradualRollout\n\
         metadata: {{name: {service}, namespace: sealos-system}}\n\
         spec:\n  components:\n  - name: {service}\n    routers:\n    - istio:\n        \
         virtualServices: [{{name: {service}}}]\n        canary: {{host: {service}, subset: v2}}\n        \
         control: {{host: {service}, subset: v1}}\n    arms:\n      \
         canary: {{preset: istio, labels: {{destination_service_name: {service}, destination_version: v2{labels}}}}}\n      \
         control: {{preset: istio, labels: {{destination_service_name: {service}, destination_version: v1}}}}\n  \
         steps: [{{weight: 5%, hold: 10m}}, {{weight: 25%, hold: 10m}}]\n  checks: [{checks}]\n"
    )
}

/// The program with a file on its standard input, against this Prometheus.
async fn run(words: &str, yaml: &str, url: &str, env: &[(&str, &str)]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rollout.yaml"), yaml).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"));
    program
        .args(words.split_whitespace())
        .args(["-f", "rollout.yaml", "--prometheus", url])
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || program.output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const TEST: &str = "checks test --at 2026-03-02T10:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_that_come_faster_than_we_look_are_not_called_too_few() {
    let mut record = Record(String::new());
    record.service("fast", 5, MS, BOUNDS);
    let prometheus = record.served().await;
    // Looks come every 10 s, samples every 5 s: four of these are 20 s.
    for (length, code) in [("25s", 0), ("15s", 3)] {
        let yaml = file("fast", "", &format!("{{name: errors, for: {length}}}"));
        let (found, out, err) = run(TEST, &yaml, &prometheus.url(), &[]).await;
        assert_eq!(found, code, "{out}{err}");
        let says = format!("for {length} is shorter than 4 scrapes of 5s: write at least 20s");
        assert_eq!(out.contains(&says), code == 3, "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_whose_samples_are_stamped_long_before_the_others_is_named() {
    let mut record = Record(String::new());
    record.service("fast", 15, MS, BOUNDS);
    let late = record.0.lines().map(|line| {
        let (sample, at) = line.rsplit_once(' ').unwrap();
        let at = at.parse::<i64>().unwrap() - if sample.contains("v1") { 120 } else { 0 };
        format!("{sample} {at}\n")
    });
    let prometheus = Record(late.collect()).served().await;
    let yaml = file("fast", "", "{name: errors}");
    let (code, out, err) = run(TEST, &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{out}{err}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "arms.control: its newest sample is stamped 120 s before canary's";
    assert!(out.contains(says), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn samples_stamped_after_our_now_are_told_and_not_taken_for_a_wrong_label() {
    let now = gradual_rollout::clock::Clock::System.now().as_second();
    // All samples of an hour, or only those of ten minutes that are still to come: then now has none at all.
    for (ahead, since) in [(200, -3600), (200, 1)] {
        let mut record = Record(String::new());
        record.service("fast", 15, MS, BOUNDS);
        let shifted = record.0.lines().filter_map(|line| {
            let (sample, at) = line.rsplit_once(' ').unwrap();
            let at = at.parse::<i64>().unwrap() - AT + ahead;
            (at >= since).then(|| format!("{sample} {}\n", now + at))
        });
        let record = Record(shifted.collect());
        let prometheus = record.served().await;
        let yaml = file("fast", "", "{name: errors}");
        let (code, out, err) = run("checks test", &yaml, &prometheus.url(), &[]).await;
        assert_eq!(code, 3, "{out}{err}");
        for arm in ["canary", "control"] {
            let says = format!("arms.{arm}: clocks disagree: its newest sample is stamped ");
            assert!(
                out.split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .contains(&says),
                "{out}"
            );
        }
        assert!(!out.contains("wrong label"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_counted_as_nan_are_named_with_their_exporter_and_errors_are_judged_all_the_same() {
    let mut record = Record(String::new());
    record.service("fast", 15, MS, BOUNDS);
    let odd = record.0.lines().map(|line| {
        let of_canary = line.starts_with(MS) && line.contains("v2") && line.contains("le=\"250\"");
        let (sample, at) = line.rsplit_once(' ').unwrap();
        match sample.rsplit_once(' ') {
            Some((series, _)) if of_canary => format!("{series} NaN {at}\n"),
            _ => format!("{line}\n"),
        }
    });
    let prometheus = Record(odd.collect()).served().await;
    let yaml = file("fast", "", "{name: errors}");
    let (code, out, err) = run(TEST, &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{out}{err}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = "missing arms.canary: istio_request_duration_milliseconds_bucket of fast-v2 is counted as NaN, which no counter can say";
    assert!(out.contains(named), "{out}");
    assert!(
        out.contains("errors: Pass") && out.contains("p95: Unknown"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_of_arms_that_cannot_be_read_are_shown_with_what_is_wrong() {
    let mut record = Record(String::new());
    for version in ["v1", "v2"] {
        let series = format!(
            "istio_requests_total{{reporter=\"destination\",destination_service_name=\"dumb\",destination_version=\"{version}\"}}"
        );
        record.rises(&series, 60, 15, AT);
    }
    let prometheus = record.served().await;
    let (code, out, _) = run(TEST, &file("dumb", "", ""), &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{out}");
    assert!(
        out.contains("the first step, for no requests could be counted"),
        "{out}"
    );
    for check in ["errors", "p95", "available"] {
        let line = out
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("check {check}")) || line.contains(check));
        assert!(
            line.is_some_and(|line| line.contains("Unknown")),
            "{check}\n{out}"
        );
    }
    assert!(
        out.lines().any(|line| line.trim_start().starts_with("missing")),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_without_the_metric_is_told_from_one_without_the_label() {
    let nothing = Prometheus::with_record("up 1 1772445600\n# EOF\n").await;
    let (code, out, _) = run(TEST, &file("shop", "", ""), &nothing.url(), &[]).await;
    assert_eq!(code, 3);
    assert!(
        out.contains("no scrape: Prometheus has no istio_requests_total at all"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_that_had_samples_today_is_not_told_that_its_labels_are_wrong() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    for version in ["v1", "v2"] {
        let series = format!(
            "istio_requests_total{{reporter=\"destination\",destination_service_name=\"gone\",destination_version=\"{version}\",response_code=\"200\"}}"
        );
        record.rises(&series, 60, 15, AT - 1800);
    }
    let prometheus = record.served().await;
    let (code, out, _) = run(TEST, &file("gone", "", ""), &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{out}");
    for (arm, version) in [("canary", "v2"), ("control", "v1")] {
        let says = format!(
            "arms.{arm}: no scrape: the newest sample of istio_requests_total{{reporter=\"destination\", \
             destination_service_name=\"gone\", destination_version=\"{version}\"}} is of 2026-03-02T09:30:00Z. Its pods"
        );
        assert!(out.contains(&says), "{says}\n{out}");
    }
    assert!(!out.contains("wrong label"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_too_short_for_a_limit_is_missing_something() {
    let mut record = Record(String::new());
    let prometheus = record.service("shop", 15, MS, BOUNDS).served().await;
    // 300,000 requests within a day, at a thousandth of the traffic.
    let limits = "{name: errors, promote: {max: 0.001%}, rollback: {max: 0.002%}}";
    let words = format!("{TEST} --weight 0.1%");
    let (code, out, _) = run(&words, &file("shop", "", limits), &prometheus.url(), &[]).await;
    let says = "check errors: too few requests to ever promote: 299569 within 24h";
    assert!(
        code == 3 && out.contains(says) && out.contains("pool it"),
        "{code} {out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_test_tells_programs_the_same_and_says_when_prometheus_is_away() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    let prometheus = record.served().await;
    let yaml = file("shop", "", "");
    let (code, out, err) = run(&format!("{TEST} -o json"), &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let shop = &told["components"][0];
    assert_eq!(
        (&told["usable"], &shop["weight"]),
        (&Value::Bool(true), &serde_json::json!(50.0))
    );
    assert_eq!(shop["scrapePeriod"], "15s");
    let check = |name: &str| {
        let checks = shop["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap().clone()
    };
    // 10 requests a second over the 5 minutes of `for`, give or take a slot of the look-back; none is an error.
    let errors = check("errors");
    assert_eq!(
        (&errors["verdict"], &errors["value"]),
        (&"Pass".into(), &"0%".into()),
        "{errors}"
    );
    let samples = errors["samples"].as_u64().unwrap();
    assert!((2_500..=3_300).contains(&samples), "{errors}");
    assert_eq!(
        (&errors["promote"], &errors["rollback"]),
        (&"≤ 0.1%".into(), &"≤ 1%".into())
    );
    // 96% took at most 100 ms, 60% at most 50 ms.
    assert_eq!(check("p95")["value"], "99ms", "{}", check("p95"));
    assert_eq!(shop["queries"].as_array().unwrap().len(), 6);

    let (code, _, err) = run(TEST, &yaml, "http://127.0.0.1:1", &[]).await;
    assert_eq!(code, 69, "{err}");
    assert!(
        err.contains("unable to read Prometheus: http://127.0.0.1:1: cannot connect"),
        "{err}"
    );
    let (code, _, err) = run(&format!("{TEST} -c shpo"), &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("did you mean \"shop\""), "{err}");
    let (code, _, err) = run(
        TEST,
        &yaml.replace("weight: 5%", "weight: 50%"),
        &prometheus.url(),
        &[],
    )
    .await;
    assert_eq!(code, 64, "a file that cannot be used: {err}");
    let (_, narrow, _) = run(
        TEST,
        &file("shop", ", zone: eu", ""),
        &prometheus.url(),
        &[("COLUMNS", "60")],
    )
    .await;
    let queries = |line: &&str| !line.starts_with("    sum") && !line.starts_with("    max");
    let widest = narrow
        .lines()
        .filter(queries)
        .map(|line| line.chars().count())
        .max()
        .unwrap();
    assert!(widest <= 60, "{narrow}");
}

const BACK: &str = "backtest --from 2026-03-02T09:00:00Z --to 2026-03-02T10:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_tells_programs_the_same_and_keeps_its_progress_to_itself() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    let prometheus = record.served().await;
    let yaml = file("shop", "", "");
    let (code, out, err) = run(&format!("{BACK} -o json"), &yaml, &prometheus.url(), &[]).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let shop = &told["components"][0];
    assert_eq!(shop["outcome"]["end"], "completed", "{shop:#}");
    let weights: Vec<f64> = shop["legs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leg| leg["weight"].as_f64().unwrap())
        .collect();
    assert_eq!(weights, [0.0, 5.0, 25.0]);
    // Every request from the first tick on, each once: 10 a second on either side until it was over.
    let requests = shop["record"]["canary"]["requests"].as_u64().unwrap();
    assert!((35_000..=36_000).contains(&requests), "{requests}");
    assert_eq!(shop["record"]["share"], 50.0);
    assert!(
        told["assumptions"][0].as_str().unwrap().contains("share"),
        "{told:#}"
    );
    assert!(
        err.contains("reading shop: 100%") && err.contains("moving limits"),
        "{err}"
    );
    let (code, out, _) = run(&format!("{BACK} --quick -o yaml"), &yaml, &prometheus.url(), &[]).await;
    let quick: Value = serde_saphyr::from_str(&out).unwrap();
    assert_eq!(
        (code, &quick["components"][0]["limits"]),
        (0, &serde_json::json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backtest_of_nothing_or_of_nonsense_is_refused_with_the_way_out() {
    let mut record = Record(String::new());
    record.service("shop", 15, MS, BOUNDS);
    let prometheus = record.served().await;
    let yaml = file("shop", "", "");
    let empty = "backtest --from 2026-01-02T09:00:00Z --to 2026-01-02T10:00:00Z";
    for (words, file, exit, says) in [
        (empty, yaml.clone(), 3, "nothing was recorded of shop"),
        (
            "backtest --from 2026-03-02T09:00:00Z --to 2026-03-02T09:00:00Z",
            yaml.clone(),
            64,
            "--to must be after --from",
        ),
        (
            "backtest --from 2020-03-02T09:00:00Z --to 2026-03-02T09:00:00Z --step 10s",
            yaml.clone(),
            64,
            "longer --step",
        ),
        (BACK, format!("{yaml}---\n{yaml}"), 64, "holds 2 rollouts"),
        (
            BACK,
            "kind: ConfigMap\napiVersion: v1\n".to_owned(),
            64,
            "holds no GradualRollout",
        ),
        (
            "backtest --from yesterday --to 2026-03-02T09:00:00Z",
            yaml.clone(),
            64,
            "yesterday",
        ),
    ] {
        let (code, out, err) = run(words, &file, &prometheus.url(), &[]).await;
        assert_eq!((code, out.as_str()), (exit, ""), "{words}\n{err}");
        assert!(err.contains(says), "{words}\n{err}");
    }
}
