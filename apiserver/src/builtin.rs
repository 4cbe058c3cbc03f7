//! The built-in resources: a table, with schemas from the Kubernetes API types.

use super::cells::{count, data, deployment_ready, event_columns, join, pod_ready, ports};
use super::column::Column;
use super::resource::{Registry, Resource, Source};
use super::schema::METADATA;
use k8s_openapi::api::{
    admissionregistration, apps, coordination, core, discovery, events, networking, rbac,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::sync::OnceLock;

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the API of its own"
)]
struct Row {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    all: bool,
    namespaced: bool,
    status: bool,
    generations: bool,
    unconditional: bool,
    create_on_update: bool,
    selectable: &'static [&'static str],
    columns: Vec<Column>,
    schema: fn() -> Value,
}

impl Row {
    fn new(group: &'static str, plural: &'static str, kind: &'static str, schema: fn() -> Value) -> Self {
        Self {
            group,
            plural,
            kind,
            short: &[],
            all: false,
            namespaced: true,
            status: false,
            generations: false,
            unconditional: true,
            create_on_update: false,
            selectable: &[],
            columns: vec![Column::age()],
            schema,
        }
    }
}

/// Serves every built-in resource.
pub(super) fn register(registry: &mut Registry) {
    add(registry, rows());
}

/// Serves what [`super::rbac`] reads.
pub(super) fn register_rbac(registry: &mut Registry) {
    const GROUP: &str = super::rbac::GROUP;
    let cluster = |row: Row| Row {
        namespaced: false,
        ..row
    };
    add(
        registry,
        vec![
            Row::new(
                "",
                "serviceaccounts",
                "ServiceAccount",
                schema::<core::v1::ServiceAccount>,
            ),
            Row::new(GROUP, "roles", "Role", schema::<rbac::v1::Role>),
            Row::new(
                GROUP,
                "rolebindings",
                "RoleBinding",
                schema::<rbac::v1::RoleBinding>,
            ),
            cluster(Row::new(
                GROUP,
                "clusterroles",
                "ClusterRole",
                schema::<rbac::v1::ClusterRole>,
            )),
            cluster(Row::new(
                GROUP,
                "clusterrolebindings",
                "ClusterRoleBinding",
                schema::<rbac::v1::ClusterRoleBinding>,
            )),
        ],
    );
}

fn add(registry: &mut Registry, rows: Vec<Row>) {
    for row in rows {
        // Events are stored once, in the core form, and served by both groups.
        let stored = if row.group == "events.k8s.io" {
            ""
        } else {
            row.group
        };
        registry.add(Resource {
            group: row.group.to_owned(),
            version: "v1".to_owned(),
            plural: row.plural.to_owned(),
            singular: row.kind.to_lowercase(),
            kind: row.kind.to_owned(),
            list_kind: format!("{}List", row.kind),
            short_names: row.short.iter().map(|s| (*s).to_owned()).collect(),
            categories: if row.all {
                vec!["all".to_owned()]
            } else {
                Vec::new()
            },
            namespaced: row.namespaced,
            status: row.status,
            scale: row.plural == "deployments",
            custom: false,
            unconditional: row.unconditional,
            create_on_update: row.create_on_update,
            generations: row.generations,
            selectable: row.selectable.iter().map(|s| (*s).to_owned()).collect(),
            columns: row.columns,
            stored_group: stored.to_owned(),
            stored_version: "v1".to_owned(),
            source: Source::Made(row.schema),
            compiled: OnceLock::new(),
        });
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    const CORE_EVENT: &[&str] = &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ];
    vec![
        Row {
            short: &["ns"],
            namespaced: false,
            status: true,
            selectable: &["status.phase"],
            columns: vec![Column::path("Status", "string", ".status.phase"), Column::age()],
            ..Row::new("", "namespaces", "Namespace", schema::<core::v1::Namespace>)
        },
        Row {
            short: &["cm"],
            columns: vec![Column::made("Data", data), Column::age()],
            ..Row::new("", "configmaps", "ConfigMap", schema::<core::v1::ConfigMap>)
        },
        Row {
            columns: vec![
                Column::path("Type", "string", ".type"),
                Column::made("Data", data),
                Column::age(),
            ],
            selectable: &["type"],
            ..Row::new("", "secrets", "Secret", schema::<core::v1::Secret>)
        },
        Row {
            short: &["ing"],
            status: true,
            generations: true,
            columns: vec![
                Column::path("Class", "string", ".spec.ingressClassName"),
                Column::path("Hosts", "string", ".spec.rules[*].host"),
                Column::age(),
            ],
            ..Row::new(
                "networking.k8s.io",
                "ingresses",
                "Ingress",
                schema::<networking::v1::Ingress>,
            )
        },
        Row {
            short: &["svc"],
            all: true,
            status: true,
            columns: vec![
                Column::path("Type", "string", ".spec.type"),
                Column::path("Cluster-IP", "string", ".spec.clusterIP"),
                Column::made("External-IP", |_, _| json!("<none>")),
                Column::made("Port(s)", ports),
                Column::age(),
            ],
            ..Row::new("", "services", "Service", schema::<core::v1::Service>)
        },
        Row {
            short: &["po"],
            all: true,
            status: true,
            generations: true,
            selectable: &["status.phase", "spec.nodeName"],
            columns: vec![
                Column::made("Ready", pod_ready),
                Column::path("Status", "string", ".status.phase"),
                Column::made("Restarts", |_, _| json!(0)),
                Column::age(),
            ],
            ..Row::new("", "pods", "Pod", schema::<core::v1::Pod>)
        },
        Row {
            short: &["ev"],
            create_on_update: true,
            selectable: CORE_EVENT,
            columns: event_columns(),
            ..Row::new("", "events", "Event", schema::<core::v1::Event>)
        },
        Row {
            short: &["ev"],
            create_on_update: true,
            selectable: CORE_EVENT,
            columns: event_columns(),
            ..Row::new("events.k8s.io", "events", "Event", schema::<events::v1::Event>)
        },
        Row {
            short: &["deploy"],
            all: true,
            status: true,
            generations: true,
            columns: vec![
                Column::made("Ready", deployment_ready),
                Column::made("Up-to-date", |d, _| count(d, "/status/updatedReplicas")),
                Column::made("Available", |d, _| count(d, "/status/availableReplicas")),
                Column::age(),
            ],
            ..Row::new(
                "apps",
                "deployments",
                "Deployment",
                schema::<apps::v1::Deployment>,
            )
        },
        Row {
            short: &["ds"],
            all: true,
            status: true,
            generations: true,
            columns: vec![
                Column::made("Desired", |d, _| count(d, "/status/desiredNumberScheduled")),
                Column::made("Ready", |d, _| count(d, "/status/numberReady")),
                Column::age(),
            ],
            ..Row::new("apps", "daemonsets", "DaemonSet", schema::<apps::v1::DaemonSet>)
        },
        Row {
            short: &["no"],
            namespaced: false,
            status: true,
            selectable: &["spec.unschedulable"],
            columns: vec![
                Column::path("Version", "string", ".status.nodeInfo.kubeletVersion"),
                Column::age(),
            ],
            ..Row::new("", "nodes", "Node", schema::<core::v1::Node>)
        },
        Row {
            short: &["quota"],
            status: true,
            ..Row::new(
                "",
                "resourcequotas",
                "ResourceQuota",
                schema::<core::v1::ResourceQuota>,
            )
        },
        Row {
            namespaced: false,
            generations: true,
            columns: vec![
                Column::path("Controller", "string", ".spec.controller"),
                Column::age(),
            ],
            ..Row::new(
                "networking.k8s.io",
                "ingressclasses",
                "IngressClass",
                schema::<networking::v1::IngressClass>,
            )
        },
        Row {
            short: &["netpol"],
            generations: true,
            ..Row::new(
                "networking.k8s.io",
                "networkpolicies",
                "NetworkPolicy",
                schema::<networking::v1::NetworkPolicy>,
            )
        },
        Row {
            namespaced: false,
            status: true,
            generations: true,
            ..Row::new(
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
                "ValidatingAdmissionPolicy",
                schema::<admissionregistration::v1::ValidatingAdmissionPolicy>,
            )
        },
        Row {
            namespaced: false,
            generations: true,
            columns: vec![
                Column::path("PolicyName", "string", ".spec.policyName"),
                Column::age(),
            ],
            ..Row::new(
                "admissionregistration.k8s.io",
                "validatingadmissionpolicybindings",
                "ValidatingAdmissionPolicyBinding",
                schema::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>,
            )
        },
        Row {
            namespaced: false,
            generations: true,
            ..Row::new(
                "admissionregistration.k8s.io",
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
                schema::<admissionregistration::v1::ValidatingWebhookConfiguration>,
            )
        },
        Row {
            generations: true,
            columns: vec![
                Column::path("AddressType", "string", ".addressType"),
                Column::made("Ports", |s, _| join(s, "/ports", "/port")),
                Column::made("Endpoints", |s, _| join(s, "/endpoints", "/addresses/0")),
                Column::age(),
            ],
            ..Row::new(
                "discovery.k8s.io",
                "endpointslices",
                "EndpointSlice",
                schema::<discovery::v1::EndpointSlice>,
            )
        },
        Row {
            unconditional: false,
            create_on_update: true,
            columns: vec![
                Column::path("Holder", "string", ".spec.holderIdentity"),
                Column::age(),
            ],
            ..Row::new(
                "coordination.k8s.io",
                "leases",
                "Lease",
                schema::<coordination::v1::Lease>,
            )
        },
        Row {
            short: &["crd", "crds"],
            namespaced: false,
            status: true,
            generations: true,
            unconditional: false,
            columns: vec![Column::path(
                "Created At",
                "string",
                ".metadata.creationTimestamp",
            )],
            ..Row::new(
                "apiextensions.k8s.io",
                "customresourcedefinitions",
                "CustomResourceDefinition",
                open,
            )
        },
    ]
}

/// For the recursive type of definitions; [`super::crd`] looks at them itself.
fn open() -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({"type": "object", "required": ["spec"], "properties": {"spec": any, "status": any}})
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut raw = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(properties) = raw.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("metadata".to_owned(), METADATA.clone());
    }
    if let Some(required) = raw.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|r| r != "metadata");
    }
    name_lists(&mut raw);
    if let Some(replicas) = raw
        .pointer_mut("/properties/spec/properties/replicas")
        .and_then(Value::as_object_mut)
    {
        replicas.insert("default".to_owned(), json!(1));
    }
    raw
}

/// The API types carry no list kinds: these are the fields that Kubernetes merges, and their keys.
fn name_lists(schema: &mut Value) {
    const KEYS: [(&str, &str); 13] = [
        ("containers", "name"),
        ("initContainers", "name"),
        ("ephemeralContainers", "name"),
        ("env", "name"),
        ("volumes", "name"),
        ("volumeMounts", "mountPath"),
        ("volumeDevices", "devicePath"),
        ("imagePullSecrets", "name"),
        ("conditions", "type"),
        ("hostAliases", "ip"),
        ("topologySpreadConstraints", "topologyKey"),
        ("resourceClaims", "name"),
        ("schedulingGates", "name"),
    ];
    for (name, field) in schema
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        let has = |item: &str| {
            field
                .pointer("/items/properties")
                .is_some_and(|p| p.get(item).is_some())
        };
        let keys: Option<(&str, Vec<&str>)> = if let Some((_, key)) = KEYS.iter().find(|(n, _)| n == name) {
            Some((key, vec![key]))
        } else if name == "ports" && has("containerPort") {
            Some(("containerPort", vec!["containerPort", "protocol"]))
        } else if name == "ports" && has("targetPort") {
            Some(("port", vec!["port", "protocol"]))
        } else {
            None
        };
        if let (Some((merge, keys)), Some(field)) = (keys, field.as_object_mut())
            && field.contains_key("items")
        {
            field.insert("x-kubernetes-patch-merge-key".to_owned(), json!(merge));
            field.insert("x-kubernetes-patch-strategy".to_owned(), json!("merge"));
            field.insert("x-kubernetes-list-type".to_owned(), json!("map"));
            field.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
            if keys.contains(&"protocol")
                && let Some(protocol) = field
                    .get_mut("items")
                    .and_then(|i| i.pointer_mut("/properties/protocol"))
                    .and_then(Value::as_object_mut)
            {
                protocol.insert("default".to_owned(), json!("TCP"));
            }
        }
        if name == "selector"
            && let Some(field) = field.as_object_mut()
        {
            field.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        name_lists(field);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(key).filter(|b| b.is_object()) {
            name_lists(below);
        }
    }
}
