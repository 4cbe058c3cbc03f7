//! The part of the resource that says what sets a component's weights.

#![expect(
    unreachable_pub,
    reason = "the schema derive repeats the struct inside a function"
)]

pub use super::gateway_spec::{Backend, GatewayApi, RouteKind};
pub use super::hook_spec::{Hook, Manual};
use super::preview::Testers;
use super::weight::Weight;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What sets weights. Exactly one kind per entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = exactly_one)]
pub enum Router {
    /// Weights of routes in Istio VirtualServices.
    Istio(Istio),
    /// Weights of back ends in a route of the Gateway API.
    GatewayApi(GatewayApi),
    /// A controller that is told by ConfigMap and environment which networking to give new objects.
    ControllerSwitch(ControllerSwitch),
    /// Canary Ingresses of our own, by which ingress-nginx sends a share of its requests to an Istio gateway.
    IngressNginx(IngressNginx),
    /// Something outside the cluster that is told by requests: a load balancer, a DNS provider.
    Hook(Hook),
    /// Something that only a person can set.
    Manual(Manual),
}

/// Turns the `oneOf` of an externally tagged enum into plain properties and one rule: the API server's own
/// message for a failed `oneOf` names no field, and blames the wrong one.
pub(super) fn exactly_one(schema: &mut Schema) {
    let Some(Value::Array(arms)) = schema.remove("oneOf") else {
        return;
    };
    let mut properties = Map::new();
    for mut arm in arms {
        if let Some(Value::Object(fields)) = arm.get_mut("properties").map(Value::take) {
            properties.extend(fields);
        }
    }
    let names: Vec<String> = properties.keys().cloned().collect();
    let has: Vec<String> = names.iter().map(|name| format!("has(self.{name})")).collect();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{
            "rule": format!("[{}].filter(x, x).size() == 1", has.join(", ")),
            "message": format!("exactly one of {} must be set", names.join(", ")),
        }]),
    );
}

/// Weights of routes in Istio VirtualServices. Only the two named destinations' weights are edited; the pair keeps
/// its sum, third destinations keep their share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Istio {
    /// The VirtualServices that carry the pair.
    #[schemars(length(min = 1, max = 32))]
    pub virtual_services: Vec<VirtualServiceRoutes>,
    /// The new path.
    pub canary: Destination,
    /// The old path.
    pub control: Destination,
    /// Requests that go to the canary whatever its weight, for people who test it. `http` routes only. Each route
    /// that carries the pair gets a rule of ours before it, which goes when the component is finished, put back or
    /// detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testers: Option<Testers>,
    /// The share of the pair's requests that is copied to the canary as well; nobody waits for its answers to
    /// copies. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Weight>,
}

/// Which routes of a VirtualService carry the pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualServiceRoutes {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Which list the routes are in. Default http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<HttpKind>,
    /// Names of `http` routes. Without names (and for tls and tcp, whose routes have none) exactly one route may
    /// carry the pair; two are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub routes: Option<Vec<String>>,
}

/// Which list of a VirtualService.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum HttpKind {
    /// `spec.http`
    #[default]
    Http,
    /// `spec.tls`
    Tls,
    /// `spec.tcp`
    Tcp,
}

/// A destination as the VirtualService writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    /// The host, as written in the VirtualService.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// The subset, if the route names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub subset: Option<String>,
    /// The port number, if the route names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

/// A controller that is told which networking to give new objects. The percentage is a share of new objects, not
/// of requests: alone it moves no request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.deployment) || has(self.configMap)").message("name a deployment, a configMap or both"))]
#[x_kube(validation = Rule::new("!has(self.restart) || !self.restart || (has(self.deployment) && has(self.configMap))").message("restart needs the configMap that changes and the deployment whose pods read it"))]
pub struct ControllerSwitch {
    /// The Deployment whose container reads the environment. Its namespace is the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment: Option<String>,
    /// The container. Default `controller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// The ConfigMap with the keys `networking_mode`, `istio_percentage` and `enable_istio_monitoring`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub config_map: Option<String>,
    /// Which variables the Deployment's container reads. Default mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<DeploymentFlags>,
    /// The value of `ISTIO_GATEWAY`, such as `sealos-gateway.istio-system`, written above 0%. Left out: the variable
    /// is not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub gateway: Option<String>,
    /// The value of `VIRTUALSERVICE_MUTATING_ANNOTATIONS`, written above 0%. Left out: the variable is not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub mutating_annotations: Option<String>,
    /// The controller reads the `ConfigMap` only when it starts: leave the Deployment's environment alone, and restart
    /// its pods when the `ConfigMap` changes. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<bool>,
    /// The mode at 100%. Default dual, so that control can take everything back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_full: Option<AtFull>,
}

impl ControllerSwitch {
    /// What is wrong with it in itself, which a file that no API server has seen may well have: the field, and what
    /// to do.
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let both = self.deployment.is_some() && self.config_map.is_some();
        let switches = self.flags == Some(DeploymentFlags::Switches);
        let webhook = self.flags == Some(DeploymentFlags::Webhook);
        if self.deployment.is_none() && self.config_map.is_none() {
            Some(("controllerSwitch", "name a deployment, a configMap or both"))
        } else if self.restart == Some(true) && !both {
            Some((
                "controllerSwitch.restart",
                "needs the configMap that changes and the deployment whose pods read it",
            ))
        } else if self.restart == Some(true) && self.flags.is_some() {
            Some((
                "controllerSwitch.flags",
                "the environment is left alone where restart is true: take out one of the two",
            ))
        } else if self.gateway.is_some() && !switches {
            Some(("controllerSwitch.gateway", "goes with flags: switches"))
        } else if self.mutating_annotations.is_some() && !webhook {
            Some(("controllerSwitch.mutatingAnnotations", "goes with flags: webhook"))
        } else {
            None
        }
    }
}

impl SplitGateway {
    /// What is wrong with it in itself: the field, and what to do.
    pub fn mistake(&self) -> Option<(&'static str, &'static str)> {
        let name = self.name.as_ref()?;
        let parts: Vec<&str> = name.split('/').collect();
        let whole = parts.len() == 2 && parts.iter().all(|part| !part.is_empty());
        (!whole).then_some((
            "ingressNginx.gateway.name",
            "is the Gateway's namespace and name, like istio-system/split: a name alone means another one in each namespace",
        ))
    }
}

/// Which variables a controller's container reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeploymentFlags {
    /// `NETWORKING_MODE`, `ISTIO_PERCENTAGE`, `ENABLE_ISTIO_MONITORING`.
    #[default]
    Mode,
    /// `USE_ISTIO_NETWORKING`, `USE_INGRESS_NETWORKING`, `ISTIO_ENABLED`, besides `ISTIO_PERCENTAGE`, and
    /// `ISTIO_GATEWAY` where `gateway` is given.
    Switches,
    /// An admission webhook's `ENABLE_ISTIO_WEBHOOKS`, besides `ISTIO_PERCENTAGE`, and
    /// `VIRTUALSERVICE_MUTATING_ANNOTATIONS` where `mutatingAnnotations` is given.
    Webhook,
}

/// The controller's mode at 100%.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AtFull {
    /// Both kinds of networking stay.
    #[default]
    Dual,
    /// Istio alone: control can then take nothing back.
    Istio,
}

/// A share of ingress-nginx's requests goes to the split listener of an Istio gateway. The unit is nginx's upstream
/// (namespace, Service, port): for each that the chosen Ingresses use, one canary Ingress and one alias Service are
/// made beside them. A rollback deletes the canary Ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressNginx {
    /// The Ingresses whose upstreams are split.
    pub ingresses: Ingresses,
    /// Where the canary's share goes.
    pub gateway: SplitGateway,
    /// What nginx's annotations begin with, where the controller's `--annotations-prefix` says otherwise. Default
    /// nginx.ingress.kubernetes.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub annotations_prefix: Option<String>,
    /// Codes of findings that a person takes the responsibility for; see `gradual-rollout routes check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub accept: Option<Vec<String>>,
}

/// Which Ingresses. Those that are canaries themselves are never chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.matchLabels) != has(self.names)").message("give either matchLabels or names"))]
pub struct Ingresses {
    /// Labels that they all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels_schema")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub names: Option<Vec<String>>,
    /// Their namespaces. Default: the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub namespaces: Option<Vec<String>>,
}

/// The listener of an Istio gateway that takes the canary's share: one of its own, that redirects nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SplitGateway {
    /// The namespace of the gateway's Service.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The gateway's Service.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// The Service's port for the split listener.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The Istio Gateway that listens there, as VirtualServices name it: `namespace/name`. Without it every
    /// VirtualService that is bound to some gateway counts as a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 3, max = 317),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub name: Option<String>,
    /// Whether the split listener speaks TLS to every host: needed where nginx speaks TLS to its back ends. Default
    /// false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
    /// The cluster's DNS domain. Default cluster.local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 120))]
    pub cluster_domain: Option<String>,
}

fn labels_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}
