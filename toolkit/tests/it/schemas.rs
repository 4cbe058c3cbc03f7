//! What is written against the schemas and rules of Istio's own definitions, where those are at hand.

use crate::kinds::put;
use crate::preflight::healthy::{controller, secret};
use crate::support::{cluster, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file with the definitions: in the directory named by `GRADUAL_ROLLOUT_CRDS`, or beside the repository.
pub(crate) fn file() -> Option<PathBuf> {
    let name = "istio.yaml";
    let named = std::env::var_os("GRADUAL_ROLLOUT_CRDS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let file = named.clone().unwrap_or(beside).join(name);
    if file.is_file() {
        return Some(file);
    }
    assert!(
        named.is_none(),
        "GRADUAL_ROLLOUT_CRDS names a directory without {name}: {}",
        file.display()
    );
    // Past the harness, which shows nothing that a test says that passes.
    let mut terminal = std::io::stderr();
    writeln!(
        terminal,
        "skipped: no {name}; name its directory in GRADUAL_ROLLOUT_CRDS"
    )
    .unwrap();
    None
}

/// Serves Istio's own kinds.
fn serve(store: &Store, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    for document in text.split("\n---") {
        let definition: Value = serde_saphyr::from_str(document).unwrap();
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let wanted = [
            "gateways.",
            "virtualservices.",
            "destinationrules.",
            "authorizationpolicies.",
        ];
        if wanted.iter().any(|start| name.starts_with(start)) {
            store.register_crd(&definition).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_written_for_tenants_and_load_balancers_fits_istios_own_definitions() {
    let Some(file) = file() else { return };
    let (store, clock) = cluster();
    serve(&store, &file);
    put(&store, controller(&[]));
    put(
        &store,
        secret("certs", "ada", &["ada.a.com", "*.ada.a.com"], 2027),
    );
    put(
        &store,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "istio-system", "name": "edge"},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"istio": "ingressgateway"}, "ports": [
                {"name": "a", "port": 80}, {"name": "b", "port": 443}, {"name": "c", "port": 5432},
            ]},
        }),
    );
    let words = [
        "tenant",
        "create",
        "ada",
        "--domain",
        "a.com",
        "--certificate",
        "certs/ada",
        "--mesh",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.err);
    for (name, ranges, ports) in [
        (
            "s3",
            json!(["10.0.0.0/8"]),
            json!([{"name": "api", "port": 9000}, {"name": "tcp-pg", "port": 5432}]),
        ),
        (
            "tls",
            json!(null),
            json!([{"name": "https", "port": 8443}, {"name": "http", "port": 80}]),
        ),
    ] {
        let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns-ada", "name": name},
            "spec": {"type": "LoadBalancer", "ports": ports}});
        if !ranges.is_null() {
            service["spec"]["loadBalancerSourceRanges"] = ranges;
        }
        put(&store, service);
        let domain = format!("{name}.b.com");
        let words = [
            "-n",
            "ns-ada",
            "loadbalancer",
            "migrate",
            name,
            "--domain",
            &domain,
            "--certificate",
            "certs/ada",
        ];
        let said = migrate(&store, &clock, &words).await;
        assert_eq!(said.end.unwrap(), End::Done, "{name}: {}", said.err);
    }
    let written: Vec<Value> = [
        "gateways.networking.istio.io",
        "virtualservices.networking.istio.io",
    ]
    .iter()
    .flat_map(|kind| store.list(kind))
    .map(|object| (*object).clone())
    .collect();
    assert_eq!(written.len(), 3 + 4);
    assert_eq!(gradual_rollout_migration::rules::check(&written), []);
}
