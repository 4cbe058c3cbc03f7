//! From a batch each ask gets what it would get alone.

use super::fake::{Stored, evaluate, sidecars};
use super::{ask, instant, labels};
use crate::metrics::answer;
use crate::metrics::ask::Ask;
use crate::metrics::batch::plan::{Plan, divide};
use crate::metrics::batch::prepare::Shelf;
use crate::metrics::batch::route::route;
use crate::metrics::query;
use crate::metrics::snapshot::Snapshot;
use crate::metrics::split::split;
use crate::rollout::spec::{ArmSource, Preset, Traffic};
use proptest::prelude::*;

fn alone(store: &[Stored], ask: &Ask) -> Snapshot {
    let body = evaluate(store, &query::render(&[ask]).unwrap());
    let series = answer::read(200, body.as_bytes()).unwrap();
    split(&[ask], instant(), &series).remove(0).unwrap()
}

fn together(store: &[Stored], asks: &[Ask], most: usize) -> Vec<(Ask, Snapshot)> {
    let mut shelf = Shelf::default();
    let mut ready: Vec<_> = asks.iter().map(|ask| shelf.ready(ask).unwrap()).collect();
    ready.sort_by_key(|ready| ready.key.clone());
    ready.dedup_by_key(|ready| ready.key.clone());
    let mut all = Vec::new();
    for asks in divide(ready, most) {
        let plan = Plan::new(asks);
        let body = evaluate(store, &plan.promql());
        let series = answer::read(200, body.as_bytes()).unwrap();
        let routed = route(&plan, instant(), series);
        for (ready, snapshot) in plan.asks.iter().zip(routed.snapshots) {
            all.push((ready.ask.clone(), snapshot.unwrap()));
        }
    }
    all
}

fn service() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("ab".to_owned()),
        Just("a.b".to_owned()),
        Just("a|b".to_owned()),
        Just("c-(1)".to_owned()),
        Just(String::new()),
    ]
}

fn matcher() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => service(),
        1 => prop_oneof![
            Just("~a.*"), Just("~a|b"), Just("~..+"), Just("~-?"), Just("~(?i)AB?"), Just("!a"), Just("!"),
            Just("!~a.*"), Just("~a\\.b"), Just("~[a-c]+"), Just("~\\w+"),
        ].prop_map(str::to_owned),
    ]
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let arm = || (matcher(), prop::option::of(matcher()), any::<bool>());
    (arm(), prop::option::of(arm()), any::<bool>(), any::<bool>()).prop_map(
        |(canary, control, wants_latency, long_lived)| {
            let source = |(service, version, gateway): (String, Option<String>, bool)| {
                let mut labels = labels(&[("destination_service_name", &service)]);
                labels.extend(version.map(|version| ("destination_version".to_owned(), version)));
                let preset = if gateway {
                    Preset::IstioGateway
                } else {
                    Preset::Istio
                };
                ArmSource {
                    preset,
                    labels,
                    latency_labels: std::collections::BTreeMap::new(),
                    metrics: None,
                }
            };
            let mut ask = ask("any");
            ask.arms.canary = source(canary);
            ask.arms.control = control.map(source);
            ask.wants_latency = wants_latency;
            if long_lived {
                ask.traffic = Traffic::LongLived;
            }
            ask
        },
    )
}

fn any_store() -> impl Strategy<Value = Vec<Stored>> {
    let one = (service(), service(), 1..3_usize, 0..1_000_u32, any::<bool>());
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let mut store = Vec::new();
        for (service, version, pods, requests, gateway) in all {
            let mut more = sidecars(&service, &version, pods, f64::from(requests) * 4.0);
            for stored in &mut more {
                stored.labels.retain(|_, value| !value.is_empty());
                if gateway {
                    stored.labels.insert("reporter".to_owned(), "source".to_owned());
                }
            }
            store.extend(more);
        }
        store
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_ask_gets_from_a_batch_what_it_would_get_alone(
        store in any_store(),
        asks in prop::collection::vec(any_ask(), 1..12),
        most in 1..12_usize,
    ) {
        for (ask, snapshot) in together(&store, &asks, most) {
            prop_assert_eq!(snapshot, alone(&store, &ask), "{:?}", ask.arms);
        }
    }
}

#[test]
fn the_usual_rates_of_both_arms_are_asked_for_in_the_same_query() {
    let mut shelf = Shelf::default();
    let mut full = ask("full");
    full.wants_history = true;
    let asks = [ask("shop"), full].map(|ask| shelf.ready(&ask).unwrap());
    let promql = Plan::new(asks.to_vec()).promql();
    let usual = promql
        .split("\nor ")
        .filter(|part| part.contains("offset"))
        .collect::<Vec<_>>();
    assert_eq!(
        usual.len(),
        2,
        "a day and a week ago, both arms at once: {promql}"
    );
    for part in usual {
        assert!(
            part.contains(r#"destination_service_name="full""#),
            "only for who wants it: {part}"
        );
        assert!(
            part.contains("sum by (destination_service_name, destination_version) (rate("),
            "{part}"
        );
    }
}

#[test]
fn like_asks_share_a_query_until_it_is_as_long_as_can_be_sent() {
    let mut shelf = Shelf::default();
    let ready: Vec<_> = (0..3_000)
        .map(|number| shelf.ready(&ask(&format!("{number:0>200}"))).unwrap())
        .collect();
    let queries = divide(ready, 1_000);
    assert_eq!(queries.iter().map(Vec::len).sum::<usize>(), 3_000);
    for asks in queries {
        let length = Plan::new(asks).promql().len();
        assert!(length < 1 << 20, "{length} bytes");
    }
}
