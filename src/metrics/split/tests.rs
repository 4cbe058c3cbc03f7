use super::*;
use crate::metrics::answer;
use crate::rollout::spec::{ArmMetrics, Arms, Preset, Traffic, Unit};

fn ask(preset: Preset) -> Ask {
    let metrics = (preset == Preset::GatewayApi).then(|| ArmMetrics {
        requests: "edge_requests_total".to_owned(),
        code: "code".to_owned(),
        buckets: Some("edge_seconds".to_owned()),
        unit: Some(Unit::Seconds),
        grpc_status: None,
        flags: None,
    });
    let canary = ArmSource {
        preset,
        labels: [("service".to_owned(), "shop".to_owned())].into(),
        latency_labels: BTreeMap::new(),
        metrics,
    };
    Ask {
        rollout: "ns/shop".to_owned(),
        component: "shop".to_owned(),
        arms: Arms {
            canary,
            control: None,
        },
        traffic: Traffic::Requests,
        wants_latency: true,
        wants_history: false,
    }
}

/// Part, labels, and a value or a whole histogram.
fn read(preset: Preset, series: &[(&str, &str, &str)]) -> Result<Snapshot, Unusable> {
    let one = |(part, labels, value): &(&str, &str, &str)| {
        let value = if value.starts_with('{') {
            format!(r#""histogram":[1.5,{value}]"#)
        } else {
            format!(r#""value":[1.5,"{value}"]"#)
        };
        format!(r#"{{"metric":{{"rollout_part":"0/canary/{part}","pod":"a"{labels}}},{value}}}"#)
    };
    let result: Vec<String> = series.iter().map(one).collect();
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
        result.join(",")
    );
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    split(&[&ask(preset)], at, &answer::read(200, body.as_bytes()).unwrap()).remove(0)
}

const SAMPLED: (&str, &str, &str) = ("sampled", "", "1790000000");
const OK: (&str, &str, &str) = ("requests", r#","code":"200""#, "7");

fn refused(preset: Preset, series: &[(&str, &str, &str)]) -> (Dark, String) {
    let unusable = read(preset, series).unwrap_err();
    assert!(unusable.why.starts_with("canary: "), "{}", unusable.why);
    (unusable.kind, unusable.why)
}

#[test]
fn a_pod_that_two_jobs_scrape_is_named_and_not_counted_twice() {
    let job = |name| ("sampled", name, "1790000000");
    let (kind, why) = refused(
        Preset::Traefik,
        &[job(r#","job":"pods""#), job(r#","job":"services""#), OK],
    );
    assert_eq!(kind, Dark::Partial);
    let wanted = r#"a is scraped by the jobs "pods" and "services", so every request would count twice"#;
    assert!(why.contains(wanted) && why.contains("label job"), "{why}");
    assert!(read(Preset::Traefik, &[job(r#","job":"pods""#), OK]).is_ok());
}

#[test]
fn bounds_in_two_spellings_are_one_bucket() {
    let bucket = |le, count| ("latency", le, count);
    let series = [
        SAMPLED,
        OK,
        bucket(r#","le":"+Inf""#, "7"),
        bucket(r#","le":"1""#, "2"),
        bucket(r#","le":"1.0""#, "3"),
    ];
    let snapshot = read(Preset::Traefik, &series).unwrap();
    let buckets: Vec<(f64, f64)> = snapshot.canary.pods["a"]
        .latency
        .values()
        .flatten()
        .map(|bucket| (bucket.le_ms, bucket.count))
        .collect();
    assert_eq!(buckets, [(1000.0, 5.0), (f64::INFINITY, 7.0)]);
}

#[test]
fn each_thing_that_is_no_answer_has_words_of_its_own() {
    let native = r#"{"count":"7","sum":"1","buckets":[[0,"0.5","1","7"]]}"#;
    let custom = r#"{"count":"7","sum":"1","buckets":[[0,"0.1","0.25","7"]]}"#;
    for (preset, series, kind, says) in [
        (
            Preset::Traefik,
            vec![SAMPLED, ("requests", "", "7")],
            Dark::Partial,
            "keep that label",
        ),
        (
            Preset::Traefik,
            vec![SAMPLED, ("requests", r#","code":"weird""#, "7")],
            Dark::Partial,
            "neither a status code nor a class",
        ),
        (
            Preset::Traefik,
            vec![SAMPLED, ("requests", r#","code":"200""#, native)],
            Dark::NotANumber,
            "is a histogram and no counter",
        ),
        (
            Preset::Traefik,
            vec![SAMPLED, OK, ("latency", "", "7")],
            Dark::NotANumber,
            "without a bound",
        ),
        (
            Preset::Traefik,
            vec![SAMPLED, OK, ("latency", r#","le":"NaN""#, "7")],
            Dark::NotANumber,
            "without a bound",
        ),
        (
            Preset::GatewayApi,
            vec![SAMPLED, OK, ("latency", "", "7")],
            Dark::NotANumber,
            "edge_seconds is no native histogram: name the buckets of a classic one (edge_seconds_bucket)",
        ),
        (
            Preset::GatewayApi,
            vec![SAMPLED, OK, ("latency", "", custom)],
            Dark::NotANumber,
            "with bounds of its own",
        ),
        (
            Preset::Traefik,
            vec![("sampled", "", "NaN"), OK],
            Dark::NotANumber,
            "that is no time",
        ),
        (
            Preset::Traefik,
            vec![OK],
            Dark::NotANumber,
            "without a sample time",
        ),
    ] {
        let (dark, why) = refused(preset, &series);
        assert_eq!(dark, kind, "{why}");
        assert!(why.contains(says), "{why}");
    }
    let good = read(Preset::GatewayApi, &[SAMPLED, OK, ("latency", "", native)]).unwrap();
    assert_eq!(
        good.canary.pods["a"]
            .latency
            .values()
            .map(Vec::len)
            .sum::<usize>(),
        18
    );
}
