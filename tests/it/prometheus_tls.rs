//! A real Prometheus that lets nobody in without a certificate.

use crate::support::tools::Prometheus;
use gradual_rollout::clock::Clock;
use gradual_rollout::metrics::{Ask, PrometheusSettings, PrometheusSource};
use gradual_rollout::rollout::sample::Dark;
use gradual_rollout::rollout::spec::{ArmSource, Arms, Preset, Traffic};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// An authority, and by it a server's and a client's certificate, in `folder`; false where there is no openssl.
fn certificates(folder: &Path) -> bool {
    let run = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let signed = |name: &str| {
        std::fs::write(
            folder.join(format!("{name}.ext")),
            "subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n",
        )
        .unwrap();
        run(&format!(
            "req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"
        )) && run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ))
    };
    run(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"
    )) && signed("server")
        && signed("client")
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

#[tokio::test]
async fn a_certificate_of_our_own_lets_us_in_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        println!("skipped: no openssl to make certificates with");
        return;
    }
    let file = |name: &str| folder.path().join(name);
    let web = serde_json::json!({"tls_server_config": {
        "cert_file": file("server.pem"), "key_file": file("server.key"),
        "client_ca_file": file("ca.pem"), "client_auth_type": "RequireAndVerifyClientCert",
    }});
    std::fs::write(file("web.yml"), web.to_string()).unwrap();
    let prometheus = Prometheus::launch_with(&[format!("--web.config.file={}", file("web.yml").display())]);
    let mut settings = PrometheusSettings::at([format!("https://{}", prometheus.address())]);
    settings.ca_file = Some(file("ca.pem"));
    let nameless = PrometheusSource::new(&settings).unwrap();
    settings.client_cert_file = Some(file("client.pem"));
    settings.client_key_file = Some(file("client.key"));
    let named = PrometheusSource::new(&settings).unwrap();
    settings.ca_file = None;
    let distrustful = PrometheusSource::new(&settings).unwrap();

    let mut answer = named.read(&ask(), Clock::System.now()).await;
    for _ in 0..300 {
        if answer.is_ok() {
            break;
        }
        // It is starting, and an address that refuses rests for seconds: ask by a client that has not failed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        settings.ca_file = Some(file("ca.pem"));
        let named = PrometheusSource::new(&settings).unwrap();
        answer = named.read(&ask(), Clock::System.now()).await;
    }
    assert!(answer.unwrap().canary.pods.is_empty());
    for stranger in [nameless, distrustful] {
        let blindness = stranger.read(&ask(), Clock::System.now()).await.unwrap_err();
        assert_eq!(blindness.kind, Dark::Down, "{}", blindness.message);
    }
}

#[test]
fn a_key_that_is_none_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let mut settings = PrometheusSettings::at(["https://prometheus"]);
    settings.client_cert_file = Some(certificate.clone());
    settings.client_key_file = Some(key.clone());
    let refused = |settings: &PrometheusSettings| PrometheusSource::new(settings).unwrap_err().to_string();
    assert!(
        refused(&settings).starts_with("prometheus.client_cert_file: "),
        "no file"
    );
    std::fs::write(&certificate, "no certificate").unwrap();
    std::fs::write(&key, "hunter2").unwrap();
    let message = refused(&settings);
    assert!(
        message.contains("PEM certificate and its private key"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
}
