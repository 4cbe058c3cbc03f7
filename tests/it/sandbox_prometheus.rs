//! The shipped daemon over the sandbox's cluster, judged by a real Prometheus that scrapes the sandbox's `/metrics`.

use gradual_rollout::sandbox::story::Story;
use gradual_rollout::sandbox::{Options, PrometheusError, play_for_real};

#[test]
fn a_canary_that_a_real_prometheus_sees_failing_goes_back_to_zero() {
    let story = Story::in_seconds();
    let report = match play_for_real(&story, &Options::default(), Box::new(std::io::sink())) {
        Err(error) if matches!(error.downcast_ref(), Some(PrometheusError::Missing)) => {
            println!("skipped: {error}");
            return;
        }
        told => told.unwrap(),
    };
    assert!(report.reached, "{:#?}\n{}", report.missing, report.line());
    let [frontend] = &report.components[..] else {
        panic!("one component, not {}", report.line());
    };
    assert_eq!(
        (frontend.reason.as_str(), frontend.weight.to_bits()),
        ("Breach", 0)
    );
    let took = frontend.breach_to_zero_ms.unwrap();
    // The samples that show a breach are at most a scrape and a look old: seconds, on a machine under load too.
    assert!((0..20_000).contains(&took), "{took} ms");
}
