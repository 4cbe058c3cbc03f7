//! What a cluster has of what is written.

use crate::apply::gateway::Host;
use crate::cluster::{self, Cluster, Kind, meta};
use crate::marks;
use crate::trouble::Trouble;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was made of Ingresses, in the order of writing.
pub const MADE: [Kind; 4] = [
    cluster::DESTINATION_RULE,
    cluster::AUTHORIZATION_POLICY,
    cluster::VIRTUAL_SERVICE,
    cluster::GATEWAY,
];

/// Objects by kind, namespace and name.
#[derive(Debug, Default)]
pub struct Live {
    objects: BTreeMap<Kind, BTreeMap<Host, Value>>,
}

impl Live {
    /// Reads all of Istio's objects, and the Secrets of the gateway's namespace.
    pub async fn read(cluster: &Cluster, gateway_namespace: &str) -> Result<Self, Trouble> {
        let mut live = Self::default();
        for kind in MADE {
            let all = cluster.all(&kind, None).await?;
            live.insert(kind, all);
        }
        let secrets = cluster.all(&cluster::SECRET, Some(gateway_namespace)).await?;
        live.insert(cluster::SECRET, secrets);
        Ok(live)
    }

    fn insert(&mut self, kind: Kind, all: Vec<Value>) {
        let keyed = all.into_iter().map(|object| {
            (
                (
                    meta(&object, "namespace").to_owned(),
                    meta(&object, "name").to_owned(),
                ),
                object,
            )
        });
        self.objects.insert(kind, keyed.collect());
    }

    /// One object.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects
            .get(kind)?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All of a kind.
    pub fn all(&self, kind: &Kind) -> impl Iterator<Item = &Value> {
        self.objects.get(kind).into_iter().flat_map(BTreeMap::values)
    }

    /// All of a kind that this program made.
    pub fn ours(&self, kind: &Kind) -> impl Iterator<Item = &Value> {
        self.all(kind).filter(|object| marks::ours(object))
    }

    /// Hosts that a `VirtualService` of this program serves, behind its namespace.
    pub fn served(&self) -> BTreeSet<Host> {
        self.ours(&cluster::VIRTUAL_SERVICE).flat_map(named).collect()
    }

    /// Which `VirtualServices` have each host at some gateway, by namespace and name.
    pub fn at_gateways(&self) -> BTreeMap<String, BTreeSet<Host>> {
        let mut having: BTreeMap<String, BTreeSet<Host>> = BTreeMap::new();
        for object in self
            .all(&cluster::VIRTUAL_SERVICE)
            .filter(|object| at_gateway(object))
        {
            let key = (
                meta(object, "namespace").to_owned(),
                meta(object, "name").to_owned(),
            );
            for host in hosts(object) {
                having.entry(host).or_default().insert(key.clone());
            }
        }
        having
    }
}

/// The hosts of a `VirtualService`.
pub fn hosts(virtual_service: &Value) -> BTreeSet<String> {
    texts(virtual_service, "/spec/hosts")
        .map(str::to_ascii_lowercase)
        .collect()
}

/// The hosts of a `VirtualService`, behind its namespace.
pub fn named(virtual_service: &Value) -> impl Iterator<Item = Host> {
    let namespace = meta(virtual_service, "namespace").to_owned();
    let all = hosts(virtual_service).into_iter();
    all.map(move |host| (namespace.clone(), host))
}

/// Texts of a list.
pub fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a `VirtualService` is for more than the mesh.
pub fn at_gateway(virtual_service: &Value) -> bool {
    texts(virtual_service, "/spec/gateways").any(|gateway| gateway != "mesh")
}
