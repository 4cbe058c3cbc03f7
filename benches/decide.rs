//! How long the core takes to decide, per component and look; and to take in evidence.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gradual_rollout::rollout::decide::decide;
use gradual_rollout::rollout::evidence::{ERRORS, LogE, Pace};
use gradual_rollout::rollout::observation::{Mark, Observation, Routed, Routers, Seen};
use gradual_rollout::rollout::plan::Plan;
use gradual_rollout::rollout::reason::Reason;
use gradual_rollout::rollout::sample::{Arm, Counts, Histogram, Reading, Tick};
use gradual_rollout::rollout::spec::GradualRolloutSpec;
use gradual_rollout::rollout::status::GradualRolloutStatus;
use gradual_rollout::rollout::weight::Weight;
use jiff::Timestamp;
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const COMPONENTS: usize = 16;

fn plan() -> Plan {
    let components: Vec<_> = (0..COMPONENTS)
        .map(|n| {
            let arm = |version: &str| json!({"preset": "istio-gateway", "labels": {"destination_service_name": format!("app-{n}-{version}")}});
            json!({"name": format!("app-{n}"),
                   "routers": [{"controllerSwitch": {"configMap": format!("app-{n}")}}],
                   "arms": {"canary": arm("v2"), "control": arm("v1")}})
        })
        .collect();
    let spec = json!({"components": components, "steps": [
        {"weight": "10%", "hold": "365d"}, {"weight": "40%", "hold": "1d"}, {"weight": "70%", "hold": "1d"}]});
    let spec: GradualRolloutSpec = serde_json::from_value(spec).expect("the spec reads");
    Plan::parse(&spec).expect("the plan is sound")
}

fn arm(requests: u64) -> Arm {
    let bounds: Arc<[f64]> = [
        0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0,
    ]
    .into();
    let mut counts = vec![requests / 12; 12];
    counts.push(0);
    Arm::Seen(Counts {
        requests,
        errors: requests / 2000,
        latency: Some(Histogram {
            bounds_ms: bounds,
            counts,
        }),
    })
}

fn observe(plan: &Plan, weight: Weight, from: Timestamp, to: Timestamp) -> Observation {
    let mut observation = Observation {
        generation: 1,
        ..Observation::default()
    };
    for component in &plan.components {
        let stamp = Some(Mark {
            id: "x".into(),
            weight,
            reason: Some(Reason::Step),
        });
        let routed = Routed {
            object: "configmap ns/app".into(),
            lowest: weight,
            highest: weight,
            stamp,
            settled: true,
            manager: None,
            absent: false,
            joins: false,
        };
        let tick = Tick {
            from,
            to,
            canary: arm(240),
            control: arm(2400),
            usual_rate: None,
        };
        let seen = Seen {
            routers: Routers::Read(vec![routed]),
            reading: Some(Reading::Fresh(tick)),
            control_ready: Some(true),
            ..Seen::default()
        };
        observation.components.insert(component.name().to_owned(), seen);
    }
    observation
}

fn bench(c: &mut Criterion) {
    let plan = plan();
    let mut now: Timestamp = "2026-03-02T03:00:00Z".parse().expect("a time");
    let weight = Weight::from_percent(10).expect("a weight");
    let mut status = GradualRolloutStatus::default();
    for _ in 0..100 {
        let next = now + Duration::from_secs(10);
        status = decide(&plan, status, &observe(&plan, weight, now, next), next).next;
        now = next;
    }
    let next = now + Duration::from_secs(10);
    let observation = observe(&plan, weight, now, next);
    let mut group = c.benchmark_group("decide");
    group.throughput(Throughput::Elements(COMPONENTS as u64));
    group.bench_function("a look at 16 components that hold a step", |b| {
        b.iter_batched(
            || status.clone(),
            |status| black_box(decide(&plan, status, &observation, next)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// One tick's evidence against one line: at most 1 µs.
fn evidence(c: &mut Criterion) {
    let pace = Pace {
        phi: 1.3,
        start: 1.0 / 8640.0,
    };
    let mut group = c.benchmark_group("evidence");
    group.bench_function("a tick against an absolute line", |b| {
        let mut log_e = LogE::default();
        b.iter(|| {
            log_e.step_absolute(&ERRORS, black_box(pace), 0.01, black_box(3), black_box(240));
            black_box(log_e.log_e())
        });
    });
    group.bench_function("a tick against control", |b| {
        let mut log_e = LogE::default();
        b.iter(|| {
            log_e.step_relative(
                &ERRORS,
                black_box(pace),
                1.5,
                black_box(3),
                240,
                black_box(4.5),
                2400,
            );
            black_box(log_e.log_e())
        });
    });
    group.finish();
}

criterion_group!(benches, bench, evidence);
criterion_main!(benches);
