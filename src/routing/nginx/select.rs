//! What a component's selection comes down to: the upstreams to split, each with its closure, and canaries of ours
//! that no upstream wants any more.

use super::eligibility::Reader;
use super::finding::{Code, Finding};
use super::locations::{Key, Location, Upstream, class, is_canary, locations, names, rules};
use super::maker::{Maker, Whose};
use super::routes::Bound;
use super::{CANARY, listener, selection};
use crate::rollout::router_spec::IngressNginx;
use crate::routing::found::{Made, Sought};
use crate::routing::object::{ClaimKey, ObjectKind, ObjectRef, Part};
use crate::routing::seen::text;
use crate::routing::stamp::fnv1a;
use crate::routing::stock::Stock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// More upstreams than this in one component are refused: each is a request in a rollback.
const MOST: usize = 256;

/// An upstream, and everything that nginx splits with it.
#[derive(Clone, Debug)]
pub(in crate::routing) struct Split {
    pub(in crate::routing) upstream: Upstream,
    /// The class, and whether it stands in the field (or in the old annotation).
    pub(in crate::routing) class: Option<(bool, String)>,
    /// Every host and path of the upstream, chosen or not.
    pub(in crate::routing) places: Vec<Location>,
    /// Whether its canary was made before by this component: the alias is there, is none of another's, and is older
    /// than none of the Ingresses.
    pub(in crate::routing) known: bool,
    /// Whether the alias Service is there.
    pub(in crate::routing) has_alias: bool,
}

/// The name that an upstream's canary Ingress and alias Service have. It says nothing of the component: two that want
/// one upstream meet at one object, and nginx would use only one canary of it anyway.
pub(in crate::routing) fn name_of(upstream: &Upstream) -> String {
    let hash = fnv1a(format!("{}/{}:{}", upstream.namespace, upstream.service, upstream.port).as_bytes());
    let head: String = format!("{}-{}", upstream.service, upstream.port)
        .chars()
        .take(40)
        .collect();
    // Names of Services have no points, and names of Services that Ingresses carry may.
    let head = head.replace('.', "-");
    format!(
        "{CANARY}{}-{:08x}",
        head.trim_end_matches('-'),
        hash & 0xffff_ffff
    )
}

impl Split {
    /// The canary Ingress.
    pub(in crate::routing) fn object(&self) -> ObjectRef {
        object(&self.upstream)
    }
}

fn object(upstream: &Upstream) -> ObjectRef {
    ObjectRef {
        kind: ObjectKind::Ingress,
        namespace: upstream.namespace.clone(),
        name: name_of(upstream),
    }
}

/// What a selection comes down to.
#[derive(Debug, Default)]
pub(in crate::routing) struct Selected {
    pub(in crate::routing) splits: Vec<Split>,
    /// Canary Ingresses of this component that no upstream wants any more.
    pub(in crate::routing) strays: Vec<ObjectRef>,
    /// Every canary of an upstream that it chooses, whoever's it is, and those that nothing wants any more.
    pub(in crate::routing) sought: Vec<Sought>,
    pub(in crate::routing) findings: Vec<Finding>,
    /// Canaries that say they are another resource's, and of which nobody says that it claims them, as sentences.
    pub(in crate::routing) unclaimed: Vec<String>,
}

fn namespaces(spec: &IngressNginx, home: &str) -> Vec<String> {
    match &spec.ingresses.namespaces {
        Some(all) if !all.is_empty() => {
            let all: BTreeSet<&String> = all.iter().collect();
            all.into_iter().cloned().collect()
        }
        _ => vec![home.to_owned()],
    }
}

/// The lists that a selection looks through.
pub(in crate::routing) fn needs(spec: &IngressNginx, home: &str) -> BTreeSet<(ObjectKind, String)> {
    let mut needs = BTreeSet::new();
    for namespace in namespaces(spec, home) {
        for kind in [
            ObjectKind::Ingress,
            ObjectKind::Service,
            ObjectKind::VirtualService,
        ] {
            needs.insert((kind, namespace.clone()));
        }
    }
    for kind in [
        ObjectKind::Service,
        ObjectKind::VirtualService,
        ObjectKind::Gateway,
    ] {
        needs.insert((kind, spec.gateway.namespace.clone()));
    }
    if let Some((namespace, _)) = listener::named(&spec.gateway) {
        needs.insert((ObjectKind::Gateway, namespace.to_owned()));
    }
    needs
}

/// What no other component may write: the upstream's one canary.
pub(in crate::routing) fn claims_of(object: &ObjectRef) -> Vec<ClaimKey> {
    vec![ClaimKey {
        object: object.clone(),
        part: Part::Whole,
    }]
}

/// Looks through the stock.
pub(in crate::routing) fn select(spec: &IngressNginx, maker: &Maker, home: &str, stock: &Stock) -> Selected {
    let component = maker.component();
    let mut selected = Selected::default();
    let namespaces = namespaces(spec, home);
    let all: Vec<Arc<Value>> = namespaces
        .iter()
        .flat_map(|n| stock.list(ObjectKind::Ingress, n))
        .cloned()
        .collect();
    let chosen: Vec<&Arc<Value>> = all
        .iter()
        .filter(|i| !is_canary(spec, i) && is_chosen(spec, i))
        .collect();
    let found = &mut selected.findings;
    for name in spec.ingresses.names.iter().flatten() {
        if !chosen.iter().any(|i| names(i).1 == name) {
            found.push(selection::missing(&namespaces, name));
        }
    }
    let first_class = chosen.first().and_then(|i| class(i)).map(str::to_owned);
    // Another class is another nginx, unless both are known to be one controller's.
    let together = |i: &Value| stock.classes().together(first_class.as_deref(), class(i));
    let (mine, others): (Vec<&Arc<Value>>, Vec<&Arc<Value>>) =
        chosen.into_iter().partition(|i| together(i) == Some(true));
    for other in others {
        found.push(selection::other_class(other, first_class.as_deref()));
    }
    let served: Vec<Arc<Value>> = all
        .iter()
        .filter(|i| together(i) == Some(true))
        .cloned()
        .collect();
    let (made, lost) = locations(spec, &served);
    let is_mine = |i: &Arc<Value>| mine.iter().any(|m| Arc::ptr_eq(m, i));
    let wanted: BTreeSet<Upstream> = made
        .values()
        .filter(|l| is_mine(&l.ingress))
        .map(|l| l.upstream.clone())
        .collect();
    for (loser, winner) in lost.iter().filter(|(l, _)| is_mine(&l.ingress)) {
        found.push(selection::shadowed(loser, winner));
    }
    if wanted.is_empty() {
        found.push(selection::nothing(&namespaces));
    }
    if wanted.len() > MOST {
        found.push(selection::too_many(component, wanted.len(), MOST));
    }
    let mut places: BTreeMap<&Upstream, Vec<Location>> = BTreeMap::new();
    for location in made.values().filter(|l| wanted.contains(&l.upstream)) {
        if let Some(upstream) = wanted.get(&location.upstream) {
            places.entry(upstream).or_default().push(location.clone());
        }
    }
    let mut foreign = BTreeSet::new();
    for (upstream, places) in places {
        let sought = Candidate::new(upstream, maker, stock);
        selected.sought.extend(sought.sought());
        if let Some(whose) = sought.anothers() {
            foreign.insert(sought.object.clone());
            let finding = selection::split_by_another(&sought.object, &places, &whose, sought.canary);
            if sought.taken.is_none() {
                selected.unclaimed.push(finding.to_string());
            }
            selected.findings.push(finding);
        } else {
            selected.splits.push(split(upstream, places, maker, stock));
        }
    }
    let unclear: Vec<&Arc<Value>> = all
        .iter()
        .filter(|i| together(i).is_none() && !maker.made(i))
        .collect();
    let doubts = doubts(spec, &unclear, &selected.splits, first_class.as_deref());
    selected.findings.extend(doubts);
    let kept: BTreeSet<ObjectRef> = selected.splits.iter().map(Split::object).collect();
    let known: BTreeSet<ObjectRef> = selected.sought.iter().map(|s| s.key.object.clone()).collect();
    for (stray, made) in strays(&all, maker) {
        if kept.contains(&stray) || foreign.contains(&stray) {
            continue;
        }
        if !known.contains(&stray) {
            let of = |key| Sought { key, made };
            selected.sought.extend(claims_of(&stray).into_iter().map(of));
        }
        selected.strays.push(stray);
    }
    let mut listened = namespaces.clone();
    if !listened.contains(&spec.gateway.namespace) {
        listened.push(spec.gateway.namespace.clone());
    }
    let bound = Bound::new(stock, &listened, &spec.gateway);
    let reader = Reader::new(spec, maker, stock, &served, &all, bound);
    selected.findings.extend(reader.findings(&selected.splits));
    selected.findings.sort();
    selected.findings.dedup();
    // The gravest first.
    selected.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    accept(spec, component, &mut selected.findings);
    selected
}

/// What a person takes the responsibility for does not block.
fn accept(spec: &IngressNginx, component: &str, findings: &mut Vec<Finding>) {
    let accept: Vec<&str> = spec.accept.iter().flatten().map(String::as_str).collect();
    for finding in findings.iter_mut() {
        if accept.contains(&finding.code.text()) && finding.code.may_be_accepted() {
            finding.severity = super::Severity::Warning;
        }
    }
    for code in accept {
        if !Code::ALL.iter().any(|c| c.text() == code && c.may_be_accepted()) {
            findings.insert(0, selection::no_such_code(component, code));
        }
    }
}

/// Ingresses that lead to one of the upstreams, or are a canary of one, and of which nobody knows which nginx serves
/// them.
fn doubts(
    spec: &IngressNginx,
    unclear: &[&Arc<Value>],
    splits: &[Split],
    first_class: Option<&str>,
) -> Vec<Finding> {
    if unclear.is_empty() {
        return Vec::new();
    }
    let upstreams: BTreeSet<&Upstream> = splits.iter().map(|s| &s.upstream).collect();
    let places = splits.iter().flat_map(|s| &s.places);
    let keys: BTreeSet<Key> = places.map(Location::key).collect();
    let doubt = |json: &&Arc<Value>| {
        let canary = is_canary(spec, json);
        let touching = rules(json).into_iter().find(|l| {
            if canary {
                keys.contains(&l.key())
            } else {
                upstreams.contains(&l.upstream)
            }
        })?;
        Some(selection::class_unknown(json, &touching, first_class))
    };
    unclear.iter().filter_map(doubt).collect()
}

fn is_chosen(spec: &IngressNginx, ingress: &Value) -> bool {
    let chosen = &spec.ingresses;
    let (_, name) = names(ingress);
    let labels = ingress.pointer("/metadata/labels");
    let has =
        |key: &String, value: &String| labels.and_then(|l| l.get(key)?.as_str()) == Some(value.as_str());
    chosen
        .names
        .as_ref()
        .is_some_and(|all| all.iter().any(|n| n == name))
        || chosen
            .match_labels
            .as_ref()
            .is_some_and(|all| !all.is_empty() && all.iter().all(|(k, v)| has(k, v)))
}

/// The canaries that a component made, and how that is known.
fn strays(all: &[Arc<Value>], maker: &Maker) -> Vec<(ObjectRef, Made)> {
    let made = all.iter().filter(|i| maker.made(i));
    made.map(|json| {
        let (namespace, name) = names(json);
        let object = ObjectRef {
            kind: ObjectKind::Ingress,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let made = match maker.whose(json) {
            Whose::Ours => Made::Canary,
            Whose::OursByName | Whose::LetGo | Whose::Unsaid | Whose::Anothers(_) | Whose::Strangers => {
                Made::Traces
            }
        };
        (object, made)
    })
    .collect()
}

/// An upstream that is chosen, and what stands at its canary's name.
struct Candidate<'a> {
    object: ObjectRef,
    canary: Option<&'a Value>,
    whose: Option<Whose>,
    has_alias: bool,
    taken: Option<&'a str>,
}

impl<'a> Candidate<'a> {
    fn new(upstream: &Upstream, maker: &Maker, stock: &'a Stock) -> Self {
        let object = object(upstream);
        let find = |kind| stock.find(kind, &object.namespace, &object.name);
        let canary = find(ObjectKind::Ingress).map(|json| &**json);
        let alias = find(ObjectKind::Service);
        let whose = canary.map(|json| match (maker.whose(json), alias) {
            // A tool took off what it said of its resource; its alias still tells.
            (Whose::OursByName, Some(alias)) => maker.of_another_resource(alias).unwrap_or(Whose::OursByName),
            (whose, _) => whose,
        });
        Self {
            canary,
            whose,
            has_alias: alias.is_some_and(|json| maker.made_alias(json)),
            taken: stock.taken(&object),
            object,
        }
    }

    /// Whose it is, if another's: by what stands there, or by what another resource claims.
    fn anothers(&self) -> Option<String> {
        match (&self.whose, self.taken) {
            (Some(Whose::Anothers(who)), taken) => {
                Some(taken.map_or_else(|| format!("it is split by {who}"), str::to_owned))
            }
            // What this component made stays watched over by it.
            (Some(Whose::Ours), _) => None,
            (_, taken) => taken.map(str::to_owned),
        }
    }

    fn sought(&self) -> impl Iterator<Item = Sought> {
        let made = match &self.whose {
            Some(Whose::Ours) => Made::Canary,
            // Its alias still says whose it is.
            Some(Whose::Unsaid) if self.has_alias => Made::Canary,
            Some(Whose::LetGo | Whose::Unsaid) => Made::Kept,
            Some(Whose::OursByName) => Made::Traces,
            None if self.has_alias => Made::Traces,
            Some(Whose::Anothers(_) | Whose::Strangers) | None => Made::Nothing,
        };
        let claims = claims_of(&self.object).into_iter();
        claims.map(move |key| Sought { key, made })
    }
}

fn split(upstream: &Upstream, places: Vec<Location>, maker: &Maker, stock: &Stock) -> Split {
    let alias = stock.find(ObjectKind::Service, &upstream.namespace, &name_of(upstream));
    let born = |json: &Value| {
        text(json, "/metadata/creationTimestamp")
            .unwrap_or_default()
            .to_owned()
    };
    // An upstream that went and came back is a new one.
    let oldest = places.iter().map(|p| born(&p.ingress)).min().unwrap_or_default();
    Split {
        upstream: upstream.clone(),
        class: places.first().and_then(|p| {
            let in_field = text(&p.ingress, "/spec/ingressClassName").is_some();
            class(&p.ingress).map(|name| (in_field, name.to_owned()))
        }),
        places,
        known: alias.is_some_and(|alias| born(alias) >= oldest && !maker.is_alias_of_another(alias)),
        has_alias: alias.is_some(),
    }
}
