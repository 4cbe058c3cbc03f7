//! How long five thousand Ingresses take. Run with --release and --ignored; prints.

use crate::given::{Ingress, service};
use gradual_rollout_migration::convert::{Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::istio::to_yaml;
use std::time::{Duration, Instant};

/// Time on processors, of all threads, where the kernel tells it (in hundredths): others may be at work here too.
fn processors() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = told.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

#[test]
#[ignore = "a measurement: cargo test --release -p gradual-rollout-migration -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn five_thousand_ingresses_in_two_seconds() {
    let mut objects = Vec::new();
    for n in 0..5000 {
        let namespace = format!("ns-{}", n / 10);
        let host = format!("app-{n}.cloud.example.com");
        let ingress = Ingress::new(&format!("{namespace}/app-{n}"))
            .note("backend-protocol", if n % 7 == 0 { "WS" } else { "HTTP" })
            .note("ssl-redirect", "true")
            .note("enable-cors", "true")
            .tls(&["*.cloud.example.com"], "wildcard")
            .path(&host, "Prefix", "/", "web")
            .path(&host, "Prefix", "/api", "web");
        objects.push(ingress.0);
        if n % 10 == 0 {
            objects.push(service(&format!("{namespace}/web")));
        }
    }
    for (form, text) in [
        (
            "JSON list",
            serde_json::json!({"kind": "List", "items": objects}).to_string(),
        ),
        ("YAML", to_yaml(&objects).unwrap()),
    ] {
        let (begun, at) = (Instant::now(), processors().unwrap_or_default());
        let inventory = input::read(&[Source {
            name: "big".to_owned(),
            text,
        }]);
        let read = begun.elapsed();
        let conversion = convert(&inventory, &Options::default()).unwrap();
        let converted = begun.elapsed();
        let yaml = to_yaml(&conversion.objects).unwrap();
        let whole = begun.elapsed();
        println!(
            "{form}: read {read:?}, converted {:?}, written {:?}, {} bytes",
            converted.saturating_sub(read),
            whole.saturating_sub(converted),
            yaml.len()
        );
        let spent = processors().unwrap_or_default().saturating_sub(at);
        println!("  on processors {spent:?}");
        assert_eq!(conversion.report.summary.refused, 0);
        let whole = if spent.is_zero() { whole } else { whole.min(spent) };
        assert!(
            cfg!(debug_assertions) || whole < Duration::from_secs(2),
            "{whole:?}"
        );
    }
}
