//! How nginx chooses between an upstream and its alternative, as its sources say it: `mergeAlternativeBackends` of the
//! controller and `route_to_alternative_balancer` of its Lua. Shares no code with what is tested.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// What a client sends besides host and path.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    /// The upstream that its session cookie names.
    pub(super) cookie: Option<String>,
    /// Headers.
    pub(super) headers: BTreeMap<String, String>,
    /// Other cookies.
    pub(super) cookies: BTreeMap<String, String>,
}

/// When an alternative is taken.
#[derive(Clone, Debug, Default)]
struct Policy {
    weight: u64,
    total: u64,
    header: Option<String>,
    /// The header's value that chooses it; without one `always` and `never` do.
    value: Option<String>,
    cookie: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Upstream {
    /// Alternatives in the order in which they were merged; only the first is used.
    alternatives: Vec<String>,
    affinity: bool,
    /// Of an alternative.
    policy: Policy,
    empty: bool,
}

/// nginx as it is configured by Ingresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Nginx {
    locations: BTreeMap<(String, String, String), String>,
    upstreams: BTreeMap<String, Upstream>,
}

fn annotation<'j>(json: &'j Value, name: &str) -> Option<&'j str> {
    json["metadata"]["annotations"][format!("{PREFIX}{name}")].as_str()
}

/// `strconv.ParseBool`.
fn parse_bool(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&text)
}

fn rules(json: &Value) -> Vec<(String, String, String, String)> {
    let namespace = json["metadata"]["namespace"].as_str().unwrap();
    let mut all = Vec::new();
    for rule in json["spec"]["rules"].as_array().into_iter().flatten() {
        // As the controller does: a canary's rule without `http` would be a nil dereference.
        assert!(
            annotation(json, "canary").is_none() || rule["http"].is_object(),
            "the controller panics"
        );
        for path in rule["http"]["paths"].as_array().into_iter().flatten() {
            let service = &path["backend"]["service"];
            if !service.is_object() {
                // It makes no upstream of a resource: "only service backends are supported".
                continue;
            }
            let port = service["port"]["number"].as_u64().map_or_else(
                || service["port"]["name"].as_str().unwrap().to_owned(),
                |n| n.to_string(),
            );
            let kind = match path["pathType"].as_str() {
                Some("Exact") => "Exact",
                _ => "Prefix",
            };
            all.push((
                rule["host"].as_str().unwrap_or("_").to_owned(),
                path["path"].as_str().unwrap_or_default().to_owned(),
                kind.to_owned(),
                format!("{namespace}-{}-{port}", service["name"].as_str().unwrap()),
            ));
        }
    }
    all
}

impl Nginx {
    pub(super) fn of(objects: &[Value]) -> Self {
        let mut nginx = Self::default();
        let ingresses: Vec<&Value> = objects.iter().filter(|o| o["kind"] == "Ingress").collect();
        let (canaries, normal): (Vec<&Value>, Vec<&Value>) = ingresses
            .iter()
            .partition(|i| annotation(i, "canary").is_some_and(parse_bool));
        for json in normal {
            for (host, path, kind, upstream) in rules(json) {
                let path = if path.is_empty() { "/".to_owned() } else { path };
                let entry = nginx.upstreams.entry(upstream.clone()).or_default();
                entry.affinity |= annotation(json, "affinity") == Some("cookie");
                nginx.locations.entry((host, path, kind)).or_insert(upstream);
            }
        }
        let primaries: BTreeSet<String> = nginx.locations.values().cloned().collect();
        for json in canaries {
            let number = |name| annotation(json, name).map_or(0, |t| t.parse().unwrap());
            for (host, path, kind, alternative) in rules(json) {
                // The first Ingress that names a back end fixes its policy.
                nginx
                    .upstreams
                    .entry(alternative.clone())
                    .or_insert_with(|| Upstream {
                        policy: Policy {
                            weight: number("canary-weight"),
                            total: number("canary-weight-total"),
                            header: annotation(json, "canary-by-header").map(str::to_owned),
                            value: annotation(json, "canary-by-header-value").map(str::to_owned),
                            cookie: annotation(json, "canary-by-cookie").map(str::to_owned),
                        },
                        affinity: annotation(json, "affinity") == Some("cookie"),
                        ..Upstream::default()
                    });
                let Some(primary) = nginx.locations.get(&(host, path, kind)) else {
                    continue;
                };
                if primaries.contains(&alternative) {
                    continue;
                }
                let merged = nginx.upstreams.get_mut(primary).unwrap();
                if !merged.alternatives.contains(&alternative) {
                    merged.alternatives.push(alternative);
                }
            }
        }
        nginx
    }

    /// What the log and the label `canary` say of a request: the alternative that it went to. A request that went to
    /// the primary has an empty one, or `-`, as metrics and logs spell that.
    pub(super) fn labels(&self, host: &str, path: &str, draw: u64) -> Vec<String> {
        let to = self.choose(host, path, &Client::default(), draw).unwrap();
        let primaries: BTreeSet<&String> = self.locations.values().collect();
        if primaries.contains(&to) {
            vec![String::new(), "-".to_owned()]
        } else {
            vec![to]
        }
    }

    /// Alternatives of the upstream behind a host and path.
    pub(super) fn alternatives(&self, host: &str, path: &str) -> Vec<String> {
        let mut places = self.locations.iter();
        let of = places.find(|((h, p, _), _)| h == host && p == path).unwrap().1;
        self.upstreams[of].alternatives.clone()
    }

    /// From now on an upstream has no endpoints.
    pub(super) fn empty(&mut self, upstream: &str) {
        self.upstreams.get_mut(upstream).unwrap().empty = true;
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (&(String, String, String), &String)> {
        self.locations.iter()
    }

    /// Whom a request goes to; `draw` is what `math.random(total)` gives, from 1.
    pub(super) fn choose(&self, host: &str, path: &str, client: &Client, draw: u64) -> Option<String> {
        let place = self
            .locations
            .iter()
            .find(|((h, p, _), _)| h == host && p == path)?;
        let primary = place.1;
        let upstream = &self.upstreams[primary];
        if upstream.empty {
            return None;
        }
        match upstream.alternatives.first() {
            Some(alternative) if self.goes(upstream, primary, alternative, client, draw) => {
                Some(alternative.clone())
            }
            _ => Some(primary.clone()),
        }
    }

    fn goes(
        &self,
        upstream: &Upstream,
        primary: &str,
        alternative: &str,
        client: &Client,
        draw: u64,
    ) -> bool {
        let other = &self.upstreams[alternative];
        if other.empty {
            return false;
        }
        if upstream.affinity && client.cookie.as_deref() == Some(primary) {
            return false;
        }
        if (upstream.affinity || other.affinity) && client.cookie.as_deref() == Some(alternative) {
            return true;
        }
        let policy = &other.policy;
        let sent = |name: &Option<String>, all: &BTreeMap<String, String>| {
            let value = all.get(name.as_ref()?)?;
            Some(value.clone())
        };
        match (sent(&policy.header, &client.headers), &policy.value) {
            (Some(value), Some(wanted)) if value == *wanted => return true,
            (Some(value), None) if value == "always" => return true,
            (Some(value), None) if value == "never" => return false,
            _ => {}
        }
        match sent(&policy.cookie, &client.cookies).as_deref() {
            Some("always") => return true,
            Some("never") => return false,
            _ => {}
        }
        let total = if policy.total > 100 { policy.total } else { 100 };
        (draw - 1) % total < policy.weight
    }

    /// The share, in permille, of a host and path that goes to some alternative.
    pub(super) fn share(&self, host: &str, path: &str) -> usize {
        let nobody = Client::default();
        let to = |draw| self.choose(host, path, &nobody, draw);
        let own = self
            .locations
            .iter()
            .find(|((h, p, _), _)| h == host && p == path)
            .unwrap()
            .1;
        (1..=1000).filter(|draw| to(*draw).as_ref() != Some(own)).count()
    }
}
