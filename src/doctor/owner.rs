//! Who applies a routed object besides us, by the marks that such tools leave.

use super::Finding;
use super::code::{Code, D503, D504, D505, D506};
use crate::routing::{ObjectKind, ObjectRef};
use serde_json::Value;

/// The finding about the tool that applies an object, the one that puts weights back first; `None` when none does.
pub(crate) fn finding(object: &ObjectRef, json: &Value) -> Option<Finding> {
    let mark = |kind: &str, key: &str| {
        let found = json.pointer("/metadata")?.get(kind)?.get(key)?.as_str();
        found.map(str::to_owned)
    };
    let told = |code: &'static Code, message: String| Some(Finding::new(code, &object.to_string(), &message));
    let kustomize = "kustomize.toolkit.fluxcd.io/name";
    if let Some(name) = mark("labels", kustomize) {
        let says = |key: &str, words: &[&str]| {
            mark("annotations", key).is_some_and(|rule| words.contains(&rule.as_str()))
        };
        let left = says("kustomize.toolkit.fluxcd.io/ssa", &["IfNotPresent", "Ignore"])
            || says("kustomize.toolkit.fluxcd.io/reconcile", &["disabled"]);
        return if left {
            None
        } else {
            told(D503, format!("Flux applies it ({kustomize}: {name})"))
        };
    }
    // Another controller, which reads none of those annotations.
    let helm = "helm.toolkit.fluxcd.io/name";
    if let Some(name) = mark("labels", helm) {
        return Some(Finding {
            paste: undrifted(object.kind),
            ..Finding::new(
                D506,
                &object.to_string(),
                &format!("Flux' HelmRelease {name} applies it"),
            )
        });
    }
    let argo = mark("annotations", "argocd.argoproj.io/tracking-id")
        .or_else(|| mark("labels", "argocd.argoproj.io/instance"));
    let by_argo = argo.map_or_else(
        || {
            let manager = managers(json).find(|name| name.starts_with("argocd"))?;
            Some(format!("Argo CD wrote it (field manager {manager})"))
        },
        |name| {
            let application = name.split(':').next().unwrap_or_default();
            Some(format!("Argo CD's Application {application} applies it"))
        },
    );
    if let Some(message) = by_argo {
        return Some(Finding {
            paste: Some(ignored(object.kind)),
            ..Finding::new(D504, &object.to_string(), &message)
        });
    }
    let release = mark("annotations", "meta.helm.sh/release-name")?;
    told(D505, format!("the Helm release {release} installed it"))
}

/// What an Application has to leave alone of an object, as its `spec` says it.
fn ignored(kind: ObjectKind) -> String {
    let what: Vec<&str> = match kind {
        ObjectKind::VirtualService => vec![
            ".spec.http[]?.route[]?.weight",
            ".spec.tls[]?.route[]?.weight",
            ".spec.tcp[]?.route[]?.weight",
        ],
        ObjectKind::HttpRoute | ObjectKind::GrpcRoute | ObjectKind::TlsRoute | ObjectKind::TcpRoute => {
            vec![".spec.rules[]?.backendRefs[]?.weight"]
        }
        ObjectKind::ConfigMap => vec![
            ".data.networking_mode",
            ".data.istio_percentage",
            ".data.enable_istio_monitoring",
        ],
        ObjectKind::Deployment => vec![
            ".spec.template.spec.containers[]?.env",
            ".spec.template.metadata.annotations.\"rollout.sealos.io/restarted-for\"",
        ],
        ObjectKind::Ingress
        | ObjectKind::Service
        | ObjectKind::Gateway
        | ObjectKind::Hook
        | ObjectKind::Manual => Vec::new(),
    };
    let quoted: Vec<String> = what.iter().map(|path| format!("'{path}'")).collect();
    let group = match kind.group() {
        "" => String::new(),
        group => format!("group: {group}, "),
    };
    format!(
        "syncPolicy: {{syncOptions: [RespectIgnoreDifferences=true]}}\nignoreDifferences:\n- {{{group}kind: {}, jqPathExpressions: [{}]}}",
        kind.kind(),
        quoted.join(", ")
    )
}

/// What a `HelmRelease` has to leave alone, as its `spec` says it.
fn undrifted(kind: ObjectKind) -> Option<String> {
    let paths = match kind {
        ObjectKind::VirtualService => "/spec/http, /spec/tls, /spec/tcp",
        ObjectKind::HttpRoute | ObjectKind::GrpcRoute | ObjectKind::TlsRoute | ObjectKind::TcpRoute => {
            "/spec/rules"
        }
        ObjectKind::ConfigMap => {
            "/data/networking_mode, /data/istio_percentage, /data/enable_istio_monitoring"
        }
        ObjectKind::Deployment => "/spec/template/spec/containers",
        ObjectKind::Ingress
        | ObjectKind::Service
        | ObjectKind::Gateway
        | ObjectKind::Hook
        | ObjectKind::Manual => return None,
    };
    Some(format!(
        "driftDetection:\n  ignore:\n  - {{paths: [{paths}], target: {{kind: {}}}}}",
        kind.kind()
    ))
}

fn managers(json: &Value) -> impl Iterator<Item = &str> {
    let entries = json.pointer("/metadata/managedFields").and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    entries.filter_map(|entry| entry.get("manager")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::ObjectKind;
    use serde_json::json;

    fn code(metadata: &Value) -> Option<&'static str> {
        let object = ObjectRef {
            kind: ObjectKind::VirtualService,
            namespace: "apps".into(),
            name: "shop".into(),
        };
        finding(&object, &json!({"metadata": metadata})).map(|finding| finding.code.name)
    }

    #[test]
    fn what_argo_cd_has_to_leave_alone_is_yaml_that_names_the_kind_and_its_weights() {
        for kind in [
            ObjectKind::VirtualService,
            ObjectKind::HttpRoute,
            ObjectKind::ConfigMap,
            ObjectKind::Deployment,
        ] {
            let spec: Value = serde_saphyr::from_str(&ignored(kind)).unwrap();
            let rule = &spec["ignoreDifferences"][0];
            assert_eq!(rule["kind"], kind.kind());
            assert_eq!(rule["group"].as_str().unwrap_or_default(), kind.group());
            let paths = rule["jqPathExpressions"].as_array().unwrap();
            assert!(
                paths.iter().all(|path| path.as_str().unwrap().starts_with('.')),
                "{paths:?}"
            );
            assert_eq!(
                spec["syncPolicy"]["syncOptions"][0],
                "RespectIgnoreDifferences=true"
            );
        }
    }

    #[test]
    fn the_tool_that_applies_an_object_is_known_by_its_marks() {
        assert_eq!(code(&json!({})), None);
        let flux = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
        assert_eq!(code(&json!({"labels": flux})), Some("D503"));
        let once = json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"});
        assert_eq!(code(&json!({"labels": flux, "annotations": once})), None);
        let off = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
        assert_eq!(code(&json!({"labels": flux, "annotations": off})), None);
        let release = json!({"helm.toolkit.fluxcd.io/name": "shop"});
        assert_eq!(code(&json!({"labels": release})), Some("D506"));
        assert_eq!(
            code(&json!({"labels": release, "annotations": once})),
            Some("D506"),
            "that annotation is another controller's"
        );
        let rule: Value = serde_saphyr::from_str(&undrifted(ObjectKind::VirtualService).unwrap()).unwrap();
        assert_eq!(
            rule["driftDetection"]["ignore"][0]["target"]["kind"],
            "VirtualService"
        );
        let argo =
            json!({"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/VirtualService:apps/shop"});
        assert_eq!(code(&json!({"annotations": argo})), Some("D504"));
        let fields = json!([{"manager": "argocd-controller"}]);
        assert_eq!(code(&json!({"managedFields": fields})), Some("D504"));
        let helm = json!({"meta.helm.sh/release-name": "shop"});
        assert_eq!(code(&json!({"annotations": helm})), Some("D505"));
    }
}
