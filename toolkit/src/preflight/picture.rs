//! Everything that preflight looks at, read once.

use super::certificate::Certificate;
use super::rights::{self, Rights};
use crate::see::{self, Kind, Listed, kinds};
use crate::trouble::Trouble;
use jiff::Timestamp;
use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// What a cluster looks like to a check.
pub(crate) struct Picture {
    /// Major and minor version of the API server.
    pub version: (u32, u32),
    /// When it was looked at.
    pub now: Timestamp,
    lists: BTreeMap<&'static str, Listed>,
    /// The Secrets that may hold a certificate, and what is in them; none where they may not be seen.
    pub secrets: Option<BTreeMap<Key, Result<Certificate, String>>>,
    /// Rights that the migration needs and whoever asks does not have.
    pub rights: Rights,
}

/// DestinationRule, which is only asked for to see whether it is served.
const RULE: Kind = Kind::new("networking.istio.io", "v1", "DestinationRule", "destinationrules");

/// What is listed everywhere.
const ALL: &[Kind] = &[
    kinds::NAMESPACE,
    kinds::NODE,
    kinds::POD,
    kinds::SERVICE,
    kinds::SECRET,
    kinds::CONFIG_MAP,
    kinds::QUOTA,
    kinds::DEPLOYMENT,
    kinds::DAEMON_SET,
    kinds::SLICE,
    kinds::INGRESS,
    kinds::CLASS,
    kinds::GATEWAY,
    kinds::VIRTUAL_SERVICE,
    RULE,
    kinds::AUTHORIZATION,
    kinds::CERTIFICATE,
    kinds::ISSUER,
    kinds::CLUSTER_ISSUER,
    kinds::POLICY,
    kinds::WEBHOOK,
];

impl Picture {
    /// Looks at the whole cluster. Only an API server that does not answer is a failure.
    pub(crate) async fn take(client: &Client, now: Timestamp) -> Result<Self, Trouble> {
        let mut whole = Self::only(client, now, ALL).await?;
        whole.rights = rights::rights(client).await?;
        Ok(whole)
    }

    /// Looks at some kinds.
    pub(crate) async fn only(
        client: &Client,
        now: Timestamp,
        wanted_kinds: &[Kind],
    ) -> Result<Self, Trouble> {
        let version = client
            .apiserver_version()
            .await
            .map_err(|error| Trouble::kube("ask the API server for its version", &error))?;
        let lists = futures::future::try_join_all(wanted_kinds.iter().map(|kind| async {
            let found =
                see::list_only(client, *kind, None, &wanted(*kind), |object| keep(*kind, object)).await;
            found.map(|found| (kind.kind, found))
        }))
        .await?;
        let mut lists: BTreeMap<&'static str, Listed> = lists.into_iter().collect();
        let secrets = match lists.get("Secret") {
            Some(Listed::Here(secrets)) => Some(
                secrets
                    .iter()
                    .map(|secret| (key(secret), Certificate::of(secret)))
                    .collect(),
            ),
            _ => None,
        };
        if let Some(Listed::Here(secrets)) = lists.get_mut("Secret") {
            secrets.iter_mut().for_each(hide);
        }
        Ok(Self {
            version: (number(&version.major), number(&version.minor)),
            now,
            lists,
            secrets,
            rights: Rights::default(),
        })
    }

    /// A cluster of which only the version is known.
    #[cfg(test)]
    pub(crate) fn blank(version: (u32, u32)) -> Self {
        Self {
            version,
            now: Timestamp::UNIX_EPOCH,
            lists: BTreeMap::new(),
            secrets: None,
            rights: Rights::default(),
        }
    }

    /// The objects of a kind, or none.
    pub(crate) fn of(&self, kind: &str) -> &[Value] {
        self.lists.get(kind).map_or(&[], Listed::objects)
    }

    /// Whether the cluster knows a kind; true as well where it may not be seen.
    pub(crate) fn serves(&self, kind: &str) -> bool {
        !matches!(self.lists.get(kind), None | Some(Listed::NotServed))
    }

    /// Whether the objects of a kind could be seen.
    pub(crate) fn sees(&self, kind: &str) -> bool {
        matches!(self.lists.get(kind), Some(Listed::Here(_)))
    }

    /// What could not be looked at: the resource, and what the API server said.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = (String, &str)> {
        ALL.iter().filter_map(|kind| match self.lists.get(kind.kind) {
            Some(Listed::Forbidden(said)) => Some((kind.resource(), said.as_str())),
            Some(Listed::Here(_) | Listed::NotServed) | None => None,
        })
    }

    /// One object.
    pub(crate) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.of(kind)
            .iter()
            .find(|object| see::namespace(object) == namespace && see::name(object) == name)
    }

    /// Workloads: Deployments and `DaemonSets`.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Value> {
        self.of("Deployment").iter().chain(self.of("DaemonSet"))
    }
}

/// Namespace and name.
pub(crate) fn key(object: &Value) -> Key {
    (see::namespace(object).to_owned(), see::name(object).to_owned())
}

/// `27+` is 27.
fn number(text: &str) -> u32 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// Releases of Helm and tokens are large, many, and hold no certificate; pods that have ended use nothing.
fn wanted(kind: Kind) -> ListParams {
    match kind.kind {
        "Secret" => {
            ListParams::default().fields("type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token")
        }
        "Pod" => ListParams::default().fields("status.phase!=Succeeded,status.phase!=Failed"),
        _ => ListParams::default(),
    }
}

/// What is kept of an object: of pods, of which there may be tens of thousands, only what they ask of a node.
fn keep(kind: Kind, object: Value) -> Option<Value> {
    match kind.kind {
        "Pod" => {
            let requests: Vec<Value> = see::items(&object, "/spec/containers")
                .filter_map(|container| container.pointer("/resources/requests").cloned())
                .collect();
            let node = object.pointer("/spec/nodeName")?;
            Some(json!({"node": node, "requests": requests}))
        }
        "ConfigMap" if ["kube-root-ca.crt", "istio-ca-root-cert"].contains(&see::name(&object)) => None,
        _ => Some(object),
    }
}

/// Takes a Secret's values away; which keys have one is all that is needed from here on.
fn hide(secret: &mut Value) {
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        for value in data.values_mut() {
            if value.as_str().is_some_and(|text| !text.is_empty()) {
                *value = json!("eA==");
            }
        }
    }
}
