//! What a beat costs: `cargo test --lib batch_figures -- --ignored --nocapture`.

use super::{ask, fake, instant, services, store};
use crate::metrics::answer;
use crate::metrics::batch::plan::{Plan, divide};
use crate::metrics::batch::prepare::Shelf;
use crate::metrics::batch::route::route;
use tokio::time::Instant;

#[test]
#[ignore = "prints figures for docs/development.md"]
fn batch_figures() {
    for count in [1_000, 10_000] {
        let services = services(count);
        let asks: Vec<_> = services.iter().map(|service| ask(service)).collect();
        let mut shelf = Shelf::default();
        let ready: Vec<_> = asks.iter().map(|ask| shelf.ready(ask).unwrap()).collect();
        let began = Instant::now();
        let plans: Vec<Plan> = divide(ready, 1_000).into_iter().map(Plan::new).collect();
        let queries: Vec<String> = plans.iter().map(Plan::promql).collect();
        let planned = began.elapsed();
        let asked: usize = queries.iter().map(String::len).sum();
        let (mut answered, mut routed) = (0, std::time::Duration::ZERO);
        for (plan, query) in plans.iter().zip(&queries) {
            let names: Vec<String> = plan
                .asks
                .iter()
                .map(|ready| ready.ask.component.clone())
                .collect();
            let body = fake::evaluate(&store(&names), query);
            answered += body.len();
            let began = Instant::now();
            let series = answer::read(200, body.as_bytes()).unwrap();
            let snapshots = route(plan, instant(), series).snapshots;
            routed += began.elapsed();
            assert_eq!(snapshots.len(), plan.asks.len());
        }
        println!(
            "{count} asks: {} queries of {asked} bytes together, {answered} bytes of answers; planned in {planned:?}, read and routed in {routed:?}",
            queries.len()
        );
    }
}
