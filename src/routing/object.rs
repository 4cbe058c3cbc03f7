//! Names of the objects that carry weights, and who may write which part of them.

use crate::rollout::router_spec::Destination;
use serde_json::{Map, Value};
use std::fmt;

/// The kinds of objects that carry weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Istio's VirtualService.
    VirtualService,
    /// The Gateway API's `HTTPRoute`.
    HttpRoute,
    /// The Gateway API's `GRPCRoute`.
    GrpcRoute,
    /// The Gateway API's `TLSRoute`.
    TlsRoute,
    /// The Gateway API's `TCPRoute`.
    TcpRoute,
    /// A ConfigMap.
    ConfigMap,
    /// A Deployment.
    Deployment,
    /// An Ingress.
    Ingress,
    /// A Service: read, and made once as an alias, never changed.
    Service,
    /// Istio's Gateway: read where it can be, never written.
    Gateway,
    /// What a hook answers: no object of the cluster, so it is neither watched nor addressed there.
    Hook,
    /// What a person confirmed; likewise.
    Manual,
}

impl ObjectKind {
    /// Every kind of the cluster's, for watches and access rules.
    pub const ALL: [Self; 10] = [
        Self::VirtualService,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::TcpRoute,
        Self::ConfigMap,
        Self::Deployment,
        Self::Ingress,
        Self::Service,
        Self::Gateway,
    ];

    /// Whether nobody watches it: it is no object of the cluster.
    pub const fn is_elsewhere(self) -> bool {
        matches!(self, Self::Hook | Self::Manual)
    }

    /// Whether nothing rests on it alone: where it cannot be seen, that is said and no more.
    pub const fn may_be_unseen(self) -> bool {
        matches!(self, Self::Gateway)
    }

    /// The kind as manifests write it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::VirtualService => "VirtualService",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::ConfigMap => "ConfigMap",
            Self::Deployment => "Deployment",
            Self::Ingress => "Ingress",
            Self::Service => "Service",
            Self::Gateway => "Gateway",
            Self::Hook => "Hook",
            Self::Manual => "Manual",
        }
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::VirtualService | Self::Gateway => "networking.istio.io",
            Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute | Self::TcpRoute => {
                "gateway.networking.k8s.io"
            }
            Self::ConfigMap | Self::Service => "",
            Self::Deployment => "apps",
            Self::Ingress => "networking.k8s.io",
            Self::Hook | Self::Manual => "rollout.sealos.io",
        }
    }

    /// The preferred version.
    pub const fn version(self) -> &'static str {
        "v1"
    }

    /// Versions under which the object has the shape read here, the preferred one first: Istio before 1.22 serves
    /// only the betas, and the routes of the Gateway API reached v1 one after the other.
    pub const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::VirtualService | Self::Gateway => &["v1", "v1beta1", "v1alpha3"],
            Self::HttpRoute => &["v1", "v1beta1"],
            Self::GrpcRoute | Self::TcpRoute => &["v1", "v1alpha2"],
            Self::TlsRoute => &["v1", "v1alpha3", "v1alpha2"],
            Self::ConfigMap
            | Self::Deployment
            | Self::Ingress
            | Self::Service
            | Self::Hook
            | Self::Manual => &["v1"],
        }
    }

    /// `group/version`, or the version alone in the core group.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// The name in URLs and access rules.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::VirtualService => "virtualservices",
            Self::HttpRoute => "httproutes",
            Self::GrpcRoute => "grpcroutes",
            Self::TlsRoute => "tlsroutes",
            Self::TcpRoute => "tcproutes",
            Self::ConfigMap => "configmaps",
            Self::Deployment => "deployments",
            Self::Ingress => "ingresses",
            Self::Service => "services",
            Self::Gateway => "gateways",
            Self::Hook => "hooks",
            Self::Manual => "manuals",
        }
    }

    /// Whether a set of managed fields holds a part of what says the weight. A field that is owned as a whole holds all
    /// of its parts.
    pub(super) fn weighs(self, fields: &Value) -> bool {
        let has = |[above, part]: [&str; 2]| {
            let above = fields.get(above);
            above.is_some_and(|above| is_whole(above) || above.get(part).is_some())
        };
        match self {
            Self::VirtualService => ["f:http", "f:tls", "f:tcp"]
                .iter()
                .any(|part| has(["f:spec", part])),
            Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute | Self::TcpRoute => has(["f:spec", "f:rules"]),
            // The variables, and the marks that restart pods.
            Self::Deployment => has(["f:spec", "f:template"]),
            Self::ConfigMap => {
                let keys = [
                    "f:networking_mode",
                    "f:istio_percentage",
                    "f:enable_istio_monitoring",
                ];
                keys.iter().any(|key| has(["f:data", key]))
            }
            // The weight of a canary Ingress is an annotation, under a prefix that may be another.
            Self::Ingress => {
                let annotations = fields.pointer("/f:metadata/f:annotations");
                let named = |map: &Map<String, Value>| map.keys().any(|key| key.contains("/canary"));
                annotations.is_some_and(|all| is_whole(all) || all.as_object().is_some_and(named))
            }
            Self::Service | Self::Gateway | Self::Hook | Self::Manual => fields.get("f:spec").is_some(),
        }
    }

    /// What to do where the API server does not know the kind; `None` for kinds that every server knows.
    pub const fn missing(self) -> Option<&'static str> {
        match self {
            Self::VirtualService => {
                Some("is Istio installed? (kubectl get crd virtualservices.networking.istio.io)")
            }
            Self::HttpRoute => {
                Some("install the Gateway API's CRDs (kubectl get crd httproutes.gateway.networking.k8s.io)")
            }
            Self::GrpcRoute => Some(
                "install the Gateway API's CRDs, 1.1 or newer (kubectl get crd grpcroutes.gateway.networking.k8s.io)",
            ),
            Self::TlsRoute => Some(
                "install the Gateway API's CRD tlsroutes.gateway.networking.k8s.io; older releases have it in the \
                 experimental channel alone",
            ),
            Self::TcpRoute => Some(
                "install the Gateway API's CRD tcproutes.gateway.networking.k8s.io; older releases have it in the \
                 experimental channel alone",
            ),
            Self::ConfigMap
            | Self::Deployment
            | Self::Ingress
            | Self::Service
            | Self::Gateway
            | Self::Hook
            | Self::Manual => None,
        }
    }
}

/// Whether managed fields own a field as a whole: then they say nothing of its parts.
fn is_whole(fields: &Value) -> bool {
    fields.as_object().is_some_and(Map::is_empty)
}

/// An object by name. Displays as `virtualservice ns/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.kind().to_lowercase();
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

/// The part of an object that one component alone may write. Compare claims by [`ClaimKey::overlaps`]: a route that
/// is found by its pair has no name to compare. Displays as `virtualservice ns/name http/primary`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey {
    /// The object.
    pub object: ObjectRef,
    /// Which part of it.
    pub part: Part,
}

/// A part of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// The annotation that a component of this name stamps: two resources may name a component alike.
    Stamp(String),
    /// A route of a VirtualService, or a rule of a Gateway API route.
    Route {
        /// `http`, `tls` or `tcp`; `rules` in the Gateway API.
        list: &'static str,
        /// Its name; `*` when it is found by its pair.
        route: String,
        /// The two destinations, as (host, subset, port); back ends as (group/kind/namespace/name, none, port).
        pair: [(String, Option<String>, Option<i32>); 2],
    },
}

impl ClaimKey {
    /// Whether two owners of these claims would write the same bytes. Two different pairs of one VirtualService do
    /// not overlap, unless both name the same route.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.object == other.object
            && match (&self.part, &other.part) {
                (Part::Stamp(a), Part::Stamp(b)) => a == b,
                (Part::Whole, Part::Whole | Part::Route { .. }) | (Part::Route { .. }, Part::Whole) => true,
                (Part::Stamp(_), Part::Whole | Part::Route { .. })
                | (Part::Whole | Part::Route { .. }, Part::Stamp(_)) => false,
                (
                    Part::Route { list, route, pair },
                    Part::Route {
                        list: other_list,
                        route: other_route,
                        pair: other_pair,
                    },
                ) => {
                    let unnamed = route == "*" || other_route == "*";
                    list == other_list
                        && (route == other_route && !unnamed || unnamed && share_one(pair, other_pair))
                }
            }
    }
}

pub(super) type Place = (String, Option<String>, Option<i32>);

fn share_one(a: &[Place], b: &[Place]) -> bool {
    a.iter().any(|(host, subset, port)| {
        b.iter().any(|(other_host, other_subset, other_port)| {
            let ports_differ = matches!((port, other_port), (Some(p), Some(q)) if p != q);
            host == other_host && subset == other_subset && !ports_differ
        })
    })
}

pub(super) fn place(destination: &Destination) -> Place {
    (
        destination.host.clone(),
        destination.subset.clone(),
        destination.port,
    )
}

impl fmt::Display for ClaimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Whole => write!(f, "{}", self.object),
            Part::Stamp(key) => write!(f, "{} annotation {key}", self.object),
            Part::Route { list, route, .. } => write!(f, "{} {list}/{route}", self.object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(route: &str, hosts: [(&str, Option<i32>); 2]) -> ClaimKey {
        ClaimKey {
            object: ObjectRef {
                kind: ObjectKind::VirtualService,
                namespace: "apps".into(),
                name: "shop".into(),
            },
            part: Part::Route {
                list: "http",
                route: route.into(),
                pair: hosts.map(|(host, port)| (host.into(), None, port)),
            },
        }
    }

    #[test]
    fn one_route_has_one_owner_whatever_the_pair() {
        let a = route("primary", [("a", None), ("b", None)]);
        let b = route("primary", [("c", None), ("d", None)]);
        assert!(a.overlaps(&b));
        assert!(!a.overlaps(&route("other", [("a", None), ("b", None)])));
    }

    #[test]
    fn a_route_found_by_its_pair_overlaps_whatever_shares_a_destination() {
        let unnamed = route("*", [("a", None), ("b", Some(80))]);
        assert!(unnamed.overlaps(&route("primary", [("b", None), ("c", None)])));
        assert!(unnamed.overlaps(&route("*", [("c", None), ("a", None)])));
        assert!(!unnamed.overlaps(&route("*", [("b", Some(81)), ("c", None)])));
    }

    #[test]
    fn objects_are_named_as_people_name_them() {
        assert_eq!(
            route("primary", [("a", None), ("b", None)]).to_string(),
            "virtualservice apps/shop http/primary"
        );
    }
}
