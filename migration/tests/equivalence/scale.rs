//! How long five thousand Ingresses take, and how much memory. `make equivalence` asks it; prints.
//!
//! Each form is converted by a process of its own, which reads a file and writes document by document as the program
//! does: so its peak is that of the conversion, and not of what made the file.

use crate::given::{Ingress, service};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target, plan};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::istio::to_yaml;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What tells the second process its file, and what to write.
const FILE: &str = "GRADUAL_ROLLOUT_SCALE_FILE";
const TARGET: &str = "GRADUAL_ROLLOUT_SCALE_TARGET";

/// The figures that are promised.
const LONGEST: Duration = Duration::from_secs(2);
/// Of HTTPRoutes, which are half as much text again, nothing is promised but that they do not become slow.
const LONGEST_HTTP_ROUTES: Duration = Duration::from_secs(4);
const MOST_KILOBYTES: u64 = 200_000;

/// Time on processors, of all threads, where the kernel tells it (in hundredths): others may be at work here too.
fn processors() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = told.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis(10 * (ticks()? + ticks()?)))
}

/// The most memory that this process ever had, where the kernel tells it.
fn peak() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn five_thousand() -> Vec<Value> {
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
    objects
}

#[test]
#[ignore = "a measurement: make equivalence"]
fn five_thousand_ingresses_in_two_seconds_and_two_hundred_megabytes() {
    let objects = five_thousand();
    let list = serde_json::json!({"kind": "List", "items": objects}).to_string();
    for (form, text) in [("list.json", list), ("many.yaml", to_yaml(&objects).unwrap())] {
        let file = std::env::temp_dir().join(format!("scale-{}-{form}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        for target in ["istio", "gateway-api"] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "--nocapture", "scale::one_file"])
                .env(FILE, &file)
                .env(TARGET, target)
                .status();
            assert!(child.unwrap().success(), "{form} to {target}");
        }
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
#[ignore = "the second process of the measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn one_file() {
    let Some(file) = std::env::var_os(FILE).map(PathBuf::from) else {
        return;
    };
    let target = std::env::var(TARGET).unwrap();
    let options = Options {
        target: match target.as_str() {
            "istio" => Target::Istio,
            _ => Target::GatewayApi(GatewayApi::default()),
        },
        ..Options::default()
    };
    let (begun, at) = (Instant::now(), processors().unwrap_or_default());
    let name = file.display().to_string();
    let text = std::fs::read_to_string(&file).unwrap();
    let inventory = input::read(&[Source { name, text }]);
    let read = begun.elapsed();
    let plan = plan(&inventory, &options).unwrap();
    let converted = begun.elapsed();
    let written: usize = plan.objects.yaml().map(|document| document.unwrap().len()).sum();
    let whole = begun.elapsed();
    let spent = processors().unwrap_or_default().saturating_sub(at);
    println!(
        "{} to {target}: read {read:?}, converted {:?}, written {:?} ({written} bytes); on processors {spent:?}, {:?} kB at most",
        file.extension().unwrap().display(),
        converted.saturating_sub(read),
        whole.saturating_sub(converted),
        peak()
    );
    assert_eq!(plan.report.summary.refused, 0);
    assert_eq!(plan.broken, []);
    if cfg!(debug_assertions) {
        return;
    }
    let whole = if spent.is_zero() { whole } else { whole.min(spent) };
    let longest = if target == "istio" {
        LONGEST
    } else {
        LONGEST_HTTP_ROUTES
    };
    assert!(whole < longest, "{whole:?}");
    assert!(peak().is_none_or(|peak| peak < MOST_KILOBYTES), "{:?} kB", peak());
}
