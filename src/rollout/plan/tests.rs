//! Checks as they are written, and every mistake with its path and remedy.

use super::*;
use crate::rollout::check::Bound;
use crate::rollout::spec::{Action, MetricName, Severity};
use serde_json::{Value, json};

fn spec(checks: &Value) -> GradualRolloutSpec {
    let arm = |v: &str| json!({"preset": "istio", "labels": {"destination_version": v}});
    let component = |name: &str| {
        json!({"name": name, "routers": [{"controllerSwitch": {"configMap": name}}],
               "arms": {"canary": arm("v2"), "control": arm("v1")}})
    };
    serde_json::from_value(json!({
        "components": [component("shop"), component("cart")],
        "steps": [{"weight": "5%", "hold": "1h"}],
        "checks": checks,
    }))
    .unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "called with json!(…)")]
fn plan(checks: Value) -> Plan {
    Plan::parse(&spec(&checks)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn set(plan: &Plan) -> &CheckSet {
    plan.check_set_at(&plan.components[0], Weight::from_percent(5).unwrap())
}

fn problems(check: &Value) -> Vec<String> {
    let problems = Plan::parse(&spec(&json!([check]))).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_word_the_four_defaults_decide_and_nothing_is_counted_apart() {
    let plan = plan(json!([]));
    let set = set(&plan);
    assert!(set.is_plain() && set.streams.is_empty());
    let names: Vec<_> = set.rules.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["errors", "p95", "available", "throughput"]);
}

#[test]
fn every_metric_reads_with_its_own_unit() {
    let plan = plan(json!([
        {"name": "conn", "metric": "connectionSuccess", "series": {"canary": {"envoy_cluster_name": "v2"}}},
        {"name": "tls", "metric": "tlsHandshake", "series": {"canary": {"pod": "~gw-.*"}}, "promote": {"min": "99.5%"}},
        {"name": "cpu", "metric": "cpu", "series": {"canary": {"container": "istio-proxy"}}, "promote": {"max": "200m"}, "rollback": {"max": "1.5"}},
        {"name": "mem", "metric": "memory", "series": {"canary": {"container": "istio-proxy"}}, "promote": {"max": "128Mi"}},
        {"name": "ready", "metric": "readiness", "deployment": "{{component}}-v2"},
        {"name": "cert", "metric": "certificateExpiry", "series": {"canary": {"name": "wildcard"}}, "rollback": {"min": "1d"}},
        {"name": "lag", "metric": "query", "query": {"canary": "max(lag{ns=\"{{namespace}}\"})", "control": "max(lag)"},
         "promote": {"max": 0.5, "maxIncrease": "10%"}, "rollback": {"max": "2.5"}},
    ]));
    let set = set(&plan);
    let shown: Vec<_> = set
        .checks
        .iter()
        .skip(4)
        .map(PlannedCheck::limits_shown)
        .collect();
    let pair = |p: &str, r: &str| (p.to_owned(), r.to_owned());
    assert_eq!(
        shown,
        [
            pair("min 99.9%", "min 99%"),
            pair("min 99.5%", "min 99%"),
            pair("max 200m", "max 1.5"),
            pair("max 128Mi", "none"),
            pair("min 100%", "min 50%"),
            pair("min 14d", "min 1d"),
            pair("max 0.5, maxIncrease 10%", "max 2.5"),
        ]
    );
    assert_eq!(set.rules.len(), 4, "none of them is judged on the arms' counts");
    assert_eq!(set.deciding_streams(), 2);
}

#[test]
fn a_wrong_unit_is_one_clear_error_that_names_the_field() {
    let latency = |max: &str| json!({"name": "p95", "promote": {"max": max}});
    let cpu = |max: &str| json!({"name": "x", "metric": "cpu", "series": {"canary": {"a": "b"}}, "promote": {"max": max}});
    let memory = |max: &str| json!({"name": "x", "metric": "memory", "series": {"canary": {"a": "b"}}, "promote": {"max": max}});
    let query = |max: &str| json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"max": max}});
    let expiry = json!({"name": "x", "metric": "certificateExpiry", "series": {"canary": {"a": "b"}}, "promote": {"min": "14"}});
    for (check, says) in [
        (
            latency("0.2s"),
            "spec.checks[0].promote.max: \"0.2s\" is a fraction, and times are written in whole numbers",
        ),
        (latency("150"), "spec.checks[0].promote.max: \"150\" is no time"),
        (
            latency("10%"),
            "spec.checks[0].promote.max: a latency limit is a time",
        ),
        (
            latency("150m"),
            "spec.checks[0].promote.max: \"150m\" is not between 1ms and 1h",
        ),
        (
            json!({"name": "errors", "rollback": {"max": "1"}}),
            "spec.checks[0].rollback.max: \"1\" is no percentage",
        ),
        (
            json!({"name": "errors", "rollback": {"max": "5s"}}),
            "spec.checks[0].rollback.max: \"5s\" is no percentage",
        ),
        (
            cpu("128Mi"),
            "spec.checks[0].promote.max: \"128Mi\" is not an amount of CPU",
        ),
        (
            memory("200m"),
            "spec.checks[0].promote.max: \"200m\" is not an amount of memory",
        ),
        (
            query("150ms"),
            "spec.checks[0].promote.max: \"150ms\" is not a plain number",
        ),
        (
            query("1%"),
            "spec.checks[0].promote.max: \"1%\" is not a plain number",
        ),
        (
            expiry,
            "spec.checks[0].promote.min: \"14\" is not a time with its unit",
        ),
    ] {
        let found = problems(&check);
        assert!(
            found.len() == 1 && found[0].starts_with(says),
            "{check}: {found:#?}"
        );
    }
}

#[test]
fn what_belongs_to_another_metric_or_is_missing_is_named_with_the_remedy() {
    for (check, says) in [
        (
            json!({"name": "x"}),
            "spec.checks[0].metric: \"x\" overrides no check",
        ),
        (
            json!({"name": "x", "metric": "query", "promote": {"max": 1}}),
            "spec.checks[0].query: the metric query needs its PromQL",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up{a=\"{{weigth}}\"}"}, "promote": {"max": 1}}),
            "spec.checks[0].query.canary: there is no variable \"weigth\"; known are namespace",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}}),
            "spec.checks[0]: query has no limits by default",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"maxIncrease": "5%"}}),
            "spec.checks[0]: maxIncrease needs something to compare with",
        ),
        (
            json!({"name": "x", "metric": "cpu", "promote": {"max": "1"}}),
            "spec.checks[0].series: cpu needs its series",
        ),
        (
            json!({"name": "x", "metric": "readiness"}),
            "spec.checks[0].deployment: readiness is a Deployment's",
        ),
        (
            json!({"name": "x", "metric": "readiness", "deployment": "d", "promote": {"max": "1%"}}),
            "spec.checks[0].promote: readiness has a min",
        ),
        (
            json!({"name": "errors", "query": {"canary": "up"}}),
            "spec.checks[0].query: is for query, and this check's metric is errorRate",
        ),
        (
            json!({"name": "p95", "errors": {"codes": ["5xx"]}}),
            "spec.checks[0].errors: is for errorRate, availability",
        ),
        (
            json!({"name": "errors", "errors": {}}),
            "spec.checks[0].errors: names nothing",
        ),
        (
            json!({"name": "errors", "errors": {"codes": ["6xx"]}}),
            "spec.checks[0].errors.codes[0]: \"6xx\" is no code",
        ),
        (
            json!({"name": "errors", "errors": {"grpc": [17]}}),
            "spec.checks[0].errors.grpc[0]: 17 is no gRPC status",
        ),
        (
            json!({"name": "errors", "components": ["shopp"]}),
            "spec.checks[0].components[0]: no component is named \"shopp\"",
        ),
        (
            json!({"name": "errors", "baseline": "history", "errors": {"codes": ["5xx"]}}),
            "spec.checks[0].baseline: history is kept of errorRate and latency",
        ),
        (
            json!({"name": "available", "baseline": "history"}),
            "spec.checks[0].baseline: availability has no maxIncrease",
        ),
        (
            json!({"name": "available", "baseline": "99%"}),
            "spec.checks[0].baseline: availability has no maxIncrease",
        ),
        (
            json!({"name": "p95", "baseline": "0.2%"}),
            "spec.checks[0].baseline: a latency limit is a time",
        ),
        (
            json!({"name": "x", "metric": "connectionSuccess", "series": {"canary": {"a": "b"}}, "counters": {"failed": "f"}}),
            "spec.checks[0].counters: give either total",
        ),
        (
            json!({"name": "x", "metric": "tlsHandshake", "series": {"canary": {"a": "b"}}, "counters": {"total": "t{}", "failed": "f"}}),
            "spec.checks[0].counters.total: \"t{}\" is no metric's name",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"max": 2}, "rollback": {"max": 1}}),
            "spec.checks[0]: the promote limit must be the stricter one",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"max": 2}, "minRequests": 5}),
            "spec.checks[0].minRequests: query counts no requests",
        ),
    ] {
        let found = problems(&check);
        assert!(
            found.len() == 1 && found[0].starts_with(says),
            "{check}: {found:#?}"
        );
    }
}

#[test]
fn what_contradicts_itself_is_named_with_the_remedy() {
    for (check, says) in [
        (
            json!({"name": "x", "metric": "tlsHandshake", "series": {"canary": {"a": "b"}}, "counters": {"succeeded": "f", "failed": "f"}}),
            "spec.checks[0].counters.failed: is the very counter",
        ),
        (
            json!({"name": "errors", "errors": {"codes": []}}),
            "spec.checks[0].errors.codes: without a code",
        ),
        (
            json!({"name": "x", "metric": "readiness", "deployment": "A B", "promote": {"min": "90%"}}),
            "spec.checks[0].deployment: \"A B\" is no Deployment's name",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"max": "1", "min": "2"}}),
            "spec.checks[0].promote: its min is above its max",
        ),
        (
            json!({"name": "x", "metric": "query", "query": {"canary": "up"}, "promote": {"min": "5"}, "rollback": {"max": "4"}}),
            "spec.checks[0]: the promote limit must be the stricter one",
        ),
    ] {
        let found = problems(&check);
        assert!(
            found.len() == 1 && found[0].starts_with(says),
            "{check}: {found:#?}"
        );
    }
}

#[test]
fn what_a_check_may_do_decides_where_it_is_counted() {
    let plan = plan(json!([
        {"name": "errors", "action": "hold", "severity": "warning"},
        {"name": "p95", "dryRun": true},
        {"name": "strict", "metric": "errorRate", "action": "alert"},
        {"name": "available", "errors": {"codes": ["5xx", "499"]}},
        {"name": "gone", "metric": "errorRate", "errors": {"codes": ["5xx", "499"]}},
    ]));
    let set = set(&plan);
    let decides: Vec<_> = set.rules.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(decides, ["throughput"]);
    let streams: Vec<_> = set
        .streams
        .iter()
        .map(|s| (s.key.as_str(), s.class, s.rules.len()))
        .collect();
    assert_eq!(
        streams,
        [
            ("errors", Class::Holds, 1),
            ("p95", Class::Shows, 2),
            ("available", Class::Decides, 2)
        ]
    );
    let errors = set.check("errors").unwrap().effect;
    assert_eq!(
        (errors.action, errors.severity),
        (Action::Hold, Severity::Warning)
    );
}

#[test]
fn a_fixed_baseline_makes_relative_limits_absolute_and_the_stricter_one_counts() {
    let plan = plan(json!([
        {"name": "p95", "baseline": "120ms"},
        {"name": "errors", "baseline": "0.2%", "rollback": {"max": "1%", "maxIncrease": "100%"}},
    ]));
    let set = set(&plan);
    let p95 = set.rules.iter().find(|r| r.name == "p95").unwrap();
    assert_eq!(p95.promote.unwrap().max, Some("138ms".parse::<Bound>().unwrap()));
    assert_eq!(p95.rollback.unwrap().max, Some("180ms".parse::<Bound>().unwrap()));
    assert_eq!(p95.rollback.unwrap().max_increase, None);
    let errors = set.rules.iter().find(|r| r.name == "errors").unwrap();
    assert_eq!(
        errors.rollback.unwrap().max,
        Some("0.4%".parse::<Bound>().unwrap())
    );
}

#[test]
fn a_check_for_some_components_is_not_there_for_others() {
    let plan = plan(json!([
        {"name": "ready", "metric": "readiness", "deployment": "cart", "components": ["cart"]},
    ]));
    assert!(set(&plan).check("ready").is_none());
    let cart = plan.check_set_at(&plan.components[1], Weight::from_percent(5).unwrap());
    assert!(
        cart.check("ready")
            .is_some_and(|c| c.metric == MetricName::Readiness)
    );
}

#[test]
fn more_counts_of_their_own_than_a_status_holds_are_refused() {
    let pair = |n: u8| json!({"name": format!("c{n}"), "metric": "connectionSuccess", "series": {"canary": {"a": n.to_string()}}});
    let checks: Vec<Value> = (0..3).map(pair).collect();
    let problems = Plan::parse(&spec(&json!(checks))).unwrap_err();
    assert!(problems[0].message.contains("at most 2 fit"), "{problems:#?}");
}

#[test]
fn a_phase_overrides_a_gauge_by_name_and_keeps_its_query() {
    let mut spec = spec(&json!([
        {"name": "lag", "metric": "query", "query": {"canary": "max(lag)"}, "promote": {"max": 1}, "rollback": {"max": 5}},
    ]));
    let phase =
        json!([{"name": "all", "steps": spec.steps, "checks": [{"name": "lag", "rollback": {"max": 2}}]}]);
    spec.phases = serde_json::from_value(phase).unwrap();
    spec.steps = None;
    let plan = Plan::parse(&spec).unwrap();
    let (promote, rollback) = set(&plan).check("lag").unwrap().limits_shown();
    assert_eq!((promote.as_str(), rollback.as_str()), ("max 1", "max 2"));
}

#[test]
fn a_components_baseline_is_for_the_checks_that_can_follow_it_and_their_own_wins() {
    let mut spec = spec(&json!([
        {"name": "p99", "metric": "latency", "quantile": 0.99, "baseline": "concurrent"},
        {"name": "fixed", "metric": "errorRate", "baseline": "0.2%", "rollback": {"maxIncrease": "100%"}},
        {"name": "strict", "metric": "errorRate", "rollback": {"maxIncrease": "100%"}},
        {"name": "own", "metric": "errorRate", "errors": {"codes": ["499"]}},
    ]));
    spec.components[0].baseline = serde_json::from_value(json!("history")).unwrap();
    let plan = Plan::parse(&spec).unwrap();
    assert!(plan.components[0].wants_history() && !plan.components[1].wants_history());
    let by_history: Vec<&str> = set(&plan)
        .checks
        .iter()
        .filter(|c| c.rule.by_history)
        .map(|c| c.rule.name.as_str())
        .collect();
    assert_eq!(by_history, ["errors", "p95", "strict"]);
    spec.components[0].arms.as_mut().unwrap().control = None;
    let problems = Plan::parse(&spec).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .starts_with("spec.components[0].baseline: history is control's own"),
        "{problems:#?}"
    );
}

#[test]
fn a_component_with_a_probe_has_its_check_and_the_others_have_not() {
    let mut spec = spec(&json!([{"name": "probe", "rollback": {"min": "20%"}}]));
    spec.components[0].probe = serde_json::from_value(json!({"url": "http://shop-v2/healthz"})).unwrap();
    let plan = Plan::parse(&spec).unwrap();
    let probe = set(&plan).check("probe").unwrap();
    assert_eq!(probe.limits_shown(), ("min 99%".to_owned(), "min 20%".to_owned()));
    let cart = plan.check_set_at(&plan.components[1], Weight::from_percent(5).unwrap());
    assert!(cart.check("probe").is_none());
}

#[test]
fn every_mistake_in_a_probe_is_named() {
    for (probe, says) in [
        (json!({"url": "shop/healthz"}), "url: must begin with http://"),
        (json!({"url": "http:///x"}), "url: names no host"),
        (json!({"url": "http://a:b@shop/"}), "url: must not hold a user"),
        (json!({"url": "http://shop/ x"}), "url: holds a space"),
        (
            json!({"url": "http://shop/", "control": "ftp://old/"}),
            "control: must begin with",
        ),
        (
            json!({"url": "http://shop/", "control": "http://shop/"}),
            "control: is the canary's own",
        ),
        (
            json!({"url": "http://shop/", "interval": "1ms"}),
            "interval: must be between 1s",
        ),
        (
            json!({"url": "http://shop/", "timeout": "20s"}),
            "timeout: must be between",
        ),
        (
            json!({"url": "http://shop/", "expect": [42]}),
            "expect[0]: 42 is no HTTP status",
        ),
        (
            json!({"url": "http://shop/", "headers": {"Authorization": "x"}}),
            "headers.Authorization: may hold a secret",
        ),
        (
            json!({"url": "http://shop/", "headers": {"host": "x"}}),
            "headers.host: is made from the URL",
        ),
        (
            json!({"url": "http://shop/", "headers": {"a b": "x"}}),
            "headers.a b: is no header's name",
        ),
    ] {
        let mut spec = spec(&json!([]));
        spec.components[0].probe = serde_json::from_value(probe.clone()).unwrap();
        let problems = Plan::parse(&spec).unwrap_err();
        let found = problems[0].to_string();
        assert!(
            found.starts_with(&format!("spec.components[0].probe.{says}")),
            "{probe}: {problems:#?}"
        );
    }
    let found = problems(&json!({"name": "x", "metric": "probe"}));
    assert!(
        found[0].starts_with("spec.checks[0].metric: there is nothing to send"),
        "{found:?}"
    );
}

#[test]
fn throughput_that_may_roll_back_looks_at_no_window_twice() {
    let throughput = |more: &Value| {
        let mut check = json!({"name": "throughput", "promote": {"min": "95%"}, "rollback": {"min": "80%"}, "window": "5m"});
        let fields = more.as_object().unwrap().clone();
        check.as_object_mut().unwrap().extend(fields);
        problems(&check)
    };
    let told = throughput(&json!({"for": "2m"}));
    assert!(
        told.len() == 1
            && told[0].starts_with("spec.checks[0].for: 2m is shorter than the window, 5m")
            && told[0].contains("write at least 5m"),
        "{told:?}"
    );
    assert_eq!(throughput(&json!({"for": "5m"})), [""; 0]);
    assert_eq!(throughput(&json!({"for": "2m", "action": "hold"})), [""; 0]);
}

#[test]
fn a_for_of_nothing_is_told_where_it_is_written_and_nowhere_else() {
    let told = problems(&json!({"name": "errors", "for": "0s"}));
    assert_eq!(told, ["spec.checks[0].for: must be between 1ms and 24h"]);
}

#[test]
fn arms_that_cannot_be_compared_are_refused_with_the_field_that_differs() {
    let two = |version: &str, labels: &[(&str, &str)]| {
        json!({"preset": "istio", "labels": {"destination_version": version},
               "latencyLabels": labels.iter().copied().collect::<BTreeMap<_, _>>()})
    };
    let told = |canary: Value, control: Value| {
        let mut spec = spec(&json!([]));
        spec.components[0].arms =
            Some(serde_json::from_value(json!({"canary": canary, "control": control})).unwrap());
        let problems = Plan::parse(&spec).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let no_streams = [("request_protocol", "!grpc")];
    assert_eq!(told(two("v2", &no_streams), two("v1", &no_streams)), [""; 0]);
    for (canary, control, says) in [
        (
            two("v2", &[]),
            two("v2", &[]),
            "arms.control.labels: both arms select the same series",
        ),
        (
            two("v2", &[]),
            json!({"preset": "ingress-nginx", "labels": {"canary": ""}}),
            "arms.control.preset: both arms must be seen from one vantage point",
        ),
        (
            two("v2", &no_streams),
            two("v1", &[]),
            "arms.control.latencyLabels: differs from the canary's",
        ),
    ] {
        let told = told(canary, control);
        assert!(told.len() == 1 && told[0].contains(says), "{told:?}");
    }
}

#[test]
fn a_split_gateway_without_its_namespace_is_named() {
    let spec = |name: &str| {
        json!({"components": [{"name": "edge", "routers": [{"ingressNginx": {
                "ingresses": {"names": ["edge"]},
                "gateway": {"namespace": "istio-system", "service": "gw", "port": 8081, "name": name}}}]}],
            "steps": [{"weight": "5%", "hold": "1h"}]})
    };
    let read = |name: &str| {
        let spec: GradualRolloutSpec = serde_json::from_value(spec(name)).unwrap();
        let problems = Plan::parse(&spec).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(read("istio-system/split"), Vec::<String>::new());
    for name in ["split", "/split", "a/b/c"] {
        let found = read(name);
        assert!(
            found
                .iter()
                .any(|p| p.contains("routers[0].ingressNginx.gateway.name")),
            "{name}: {found:?}"
        );
    }
}
