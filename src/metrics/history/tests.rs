use super::*;
use crate::rollout::spec::{ArmSource, Arms, Preset, Traffic};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ask() -> Ask {
    Ask {
        rollout: "ns/shop".to_owned(),
        component: "shop".to_owned(),
        arms: Arms {
            canary: ArmSource {
                preset: Preset::Istio,
                latency_labels: std::collections::BTreeMap::new(),
                metrics: None,
                labels: [("destination_version".to_owned(), "v2".to_owned())].into(),
            },
            control: None,
        },
        traffic: Traffic::Requests,
        wants_latency: false,
        wants_history: false,
    }
}

#[test]
fn a_stretch_names_both_its_ends_in_whole_seconds() {
    let from = "2026-11-21T08:00:00.5Z".parse().unwrap();
    let to = "2026-11-21T08:00:31Z".parse().unwrap();
    let stretch = Stretch::new(from, to, Duration::from_secs(10)).unwrap();
    let instants: Vec<String> = stretch.instants().map(|at| at.to_string()).collect();
    assert_eq!(
        instants,
        [
            "2026-11-21T08:00:01Z",
            "2026-11-21T08:00:11Z",
            "2026-11-21T08:00:21Z",
            "2026-11-21T08:00:31Z"
        ]
    );
}

#[test]
fn what_cannot_be_asked_of_the_past_is_refused_with_the_remedy() {
    let refused = |from, to, millis| {
        let refused = Stretch::new(at(from), at(to), Duration::from_millis(millis)).unwrap_err();
        assert_eq!(refused.kind, Dark::Refused);
        refused.message
    };
    assert!(refused(0, 10, 0).contains("whole seconds"));
    assert!(refused(0, 10, 1_500).contains("whole seconds"));
    assert!(refused(10, 9, 1_000).contains("the end is before the beginning"));
    assert!(refused(0, 50_000, 1_000).contains("in parts"));
    assert_eq!(
        Stretch::new(at(0), at(49_999), Duration::from_secs(1))
            .unwrap()
            .points,
        MOST_INSTANTS
    );
}

#[test]
fn each_instant_has_what_was_said_at_it_and_nothing_of_its_neighbours() {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[
        {"metric":{"rollout_part":"0/canary/sampled","pod":"a"},"values":[[100,"99.5"],[110.0,"109.5"],[130,"129.5"]]},
        {"metric":{"rollout_part":"0/canary/requests","pod":"a","response_code":"200"},"values":[[100,"5"],[110,"7"],[130,"9"]]},
        {"metric":{"rollout_part":"0/canary/requests","pod":"a","response_code":"500"},"values":[[110,"1"],[130,"2"]]}]}}"#;
    let part = Stretch::new(at(90), at(130), Duration::from_secs(10)).unwrap();
    let answer = answer::read_range(200, body.as_bytes()).unwrap();
    let snapshots = snapshots(&ask(), part, answer).unwrap();
    let seen: Vec<(i64, Vec<f64>)> = snapshots
        .iter()
        .map(|snapshot| {
            let pods = snapshot.canary.pods.values();
            let counts = pods.flat_map(|pod| pod.requests.values().map(|counter| counter.count));
            (snapshot.at.as_second(), counts.collect())
        })
        .collect();
    assert_eq!(
        seen,
        [
            (90, vec![]),
            (100, vec![5.0]),
            (110, vec![7.0, 1.0]),
            (120, vec![]),
            (130, vec![9.0, 2.0])
        ]
    );
    assert_eq!(
        snapshots[4].canary.pods["a"].sampled_at.to_string(),
        "1970-01-01T00:02:09.5Z"
    );
}
