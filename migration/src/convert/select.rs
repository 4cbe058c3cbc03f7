//! Which Ingresses the controller serves, oldest first, and what their annotations ask for.

use super::age::{self, Moment};
use super::book::Book;
use super::features;
use super::names;
use super::servers::{Member, Place, host_of};
use super::settings::Settings;
use super::tls;
use crate::input::{Backend, Ingress, Inventory};
use crate::report::{Code, Entry, Outcome, PathResult};

/// Reads every Ingress. Those of other controllers are only reported.
pub(super) fn members<'a>(
    inventory: &'a Inventory,
    settings: &Settings,
    book: &mut Book<'_>,
) -> Vec<Member<'a>> {
    let mut ours: Vec<(&Ingress, Option<Code>)> = Vec::new();
    let read = inventory.ingresses.values().map(|ingress| (ingress, None));
    let ghosts = inventory
        .ghosts
        .iter()
        .map(|(code, ingress)| (ingress, Some(*code)));
    for (ingress, ghost) in read.chain(ghosts) {
        if let Some(code) = unserved(ingress, settings, book) {
            for (place, host, path) in places(ingress) {
                let result = result(place, &host, &path, Outcome::Dropped, vec![code]);
                book.path(ingress, place.order(), result);
            }
        } else {
            ours.push((ingress, ghost));
        }
    }
    ours.sort_by(|(a, _), (b, _)| {
        // Equal times: the name that sorts last wins, as in ingress-nginx.
        created(a)
            .cmp(&created(b))
            .then_with(|| b.meta.key().cmp(&a.meta.key()))
    });
    ours.into_iter()
        .map(|(ingress, ghost)| {
            let (features, entries) = features::read(ingress, settings, inventory);
            let (mut refused, mut for_host) = (Vec::new(), Vec::new());
            let strange = |field: &String| Entry::new(Code::UnknownField, field.clone(), "");
            for entry in entries.into_iter().chain(ingress.strangers.iter().map(strange)) {
                let code = entry.code;
                // These are the server's, not the location's: every Ingress of the host has them.
                let server = code == Code::AuthTls || entry.field.ends_with("/server-snippet]");
                if book.note(ingress, entry) {
                    refused.push(code);
                    for_host.extend(server.then_some(code));
                }
            }
            if !names::is_label(&ingress.meta.namespace) {
                let namespace = ingress.meta.namespace.clone();
                book.note(
                    ingress,
                    Entry::new(Code::NameInvalid, "metadata.namespace", namespace),
                );
                refused.push(Code::NameInvalid);
            }
            refused.extend(ghost);
            for codes in [&mut refused, &mut for_host] {
                codes.sort();
                codes.dedup();
            }
            let member = Member {
                ingress,
                features,
                refused,
                for_host,
                ghost: ghost.is_some(),
                unsure: created(ingress).is_none() || classless(ingress) && settings.without_class.is_none(),
            };
            structure(&member, book);
            member
        })
        .collect()
}

/// When an Ingress was created; `None` where that is not said, or cannot be read.
fn created(ingress: &Ingress) -> Option<Moment> {
    age::moment(ingress.meta.creation_timestamp.as_deref()?)
}

const LEGACY: &str = "kubernetes.io/ingress.class";

fn classless(ingress: &Ingress) -> bool {
    let legacy = ingress
        .meta
        .annotations
        .get(LEGACY)
        .is_some_and(|class| !class.is_empty());
    ingress.class.is_none() && !legacy
}

/// Why the controller does not serve an Ingress; none where it does.
pub(super) fn unserved(ingress: &Ingress, settings: &Settings, book: &mut Book<'_>) -> Option<Code> {
    if !settings.catch_all && ingress.default_backend.is_some() {
        book.note(
            ingress,
            Entry::new(Code::CatchAllDisabled, "spec.defaultBackend", ""),
        );
        return Some(Code::CatchAllDisabled);
    }
    if let Some(only) = settings
        .only_namespace
        .as_ref()
        .filter(|only| **only != ingress.meta.namespace)
    {
        book.note(
            ingress,
            Entry::new(Code::NotWatched, "metadata.namespace", only.clone()),
        );
        return Some(Code::NotWatched);
    }
    let legacy = ingress
        .meta
        .annotations
        .get(LEGACY)
        .filter(|class| !class.is_empty());
    let (field, class) = match (&ingress.class, legacy) {
        // The controller looks at the annotation only where there is no field.
        (Some(class), _) => ("spec.ingressClassName".to_owned(), class),
        (None, Some(class)) => (format!("metadata.annotations[{LEGACY}]"), class),
        (None, None) => {
            let code = match settings.without_class {
                Some(true) => return None,
                Some(false) => Code::ClassMissing,
                None => Code::NoClass,
            };
            book.note(ingress, Entry::new(code, "spec.ingressClassName", ""));
            return (code == Code::ClassMissing).then_some(code);
        }
    };
    // The annotation is held against the flag, the field against the names of classes.
    let ours = if ingress.class.is_some() {
        settings.classes.contains(class)
    } else {
        settings.legacy.contains(class)
    };
    if ours {
        return None;
    }
    let entry = Entry::new(Code::OtherClass, field, class.clone());
    book.note(ingress, entry.with(format!("{:?} is converted", settings.class)));
    Some(Code::OtherClass)
}

/// Labels by which GitOps tools know what is theirs.
const GITOPS: &[&str] = &[
    "argocd.argoproj.io/instance",
    "helm.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/name",
];

/// What is worth telling about rules and owners.
fn structure(member: &Member<'_>, book: &mut Book<'_>) {
    let ingress = member.ingress;
    if ingress.rules.is_empty() && ingress.default_backend.is_none() {
        book.note(ingress, Entry::new(Code::EmptyIngress, "spec", ""));
    }
    for (index, rule) in ingress.rules.iter().enumerate() {
        if rule.paths.as_ref().is_none_or(Vec::is_empty) {
            let host = rule.host.clone().unwrap_or_default();
            book.note(
                ingress,
                Entry::new(Code::RuleWithoutPaths, format!("spec.rules[{index}]"), host),
            );
        }
    }
    let managed = ingress.meta.labels.get("app.kubernetes.io/managed-by");
    if let Some(tool) = managed.filter(|tool| ["Helm", "argocd", "flux"].contains(&tool.as_str())) {
        let field = "metadata.labels[app.kubernetes.io/managed-by]";
        book.note(ingress, Entry::new(Code::ManagedElsewhere, field, tool.clone()));
    }
    for label in GITOPS {
        if let Some(value) = ingress.meta.labels.get(*label) {
            let field = format!("metadata.labels[{label}]");
            book.note(ingress, Entry::new(Code::ManagedElsewhere, field, value.clone()));
        }
    }
    for (index, owner) in ingress.meta.owner_references.iter().enumerate() {
        let value = format!("{} {}", owner.kind, owner.name);
        let field = format!("metadata.ownerReferences[{index}]");
        book.note(ingress, Entry::new(Code::ManagedElsewhere, field, value));
    }
    if !member.is_canary() {
        tls::unused(member, book);
    }
}

/// Every path of an Ingress, its default back end among them: place, host, path.
pub(super) fn places(ingress: &Ingress) -> Vec<(Place, String, String)> {
    let mut all = Vec::new();
    for (r, rule) in ingress.rules.iter().enumerate() {
        for (p, path) in rule.paths.iter().flatten().enumerate() {
            all.push((
                Place::Rule(r, p),
                host_of(rule.host.as_deref()),
                path.path.clone(),
            ));
        }
    }
    if ingress.default_backend.is_some() {
        all.push((Place::Default, "*".to_owned(), String::new()));
    }
    all
}

/// The result of a path that is in no object.
pub(super) fn result(place: Place, host: &str, path: &str, outcome: Outcome, codes: Vec<Code>) -> PathResult {
    PathResult {
        field: place.field(),
        host: host.to_owned(),
        path: path.to_owned(),
        outcome,
        virtual_service: None,
        codes,
    }
}

/// Gives every path that has no result yet one: default back ends that serve nothing, and what was forgotten.
pub(super) fn rest(members: &[Member<'_>], book: &mut Book<'_>) {
    for member in members {
        let ingress = member.ingress;
        for (place, host, path) in places(ingress) {
            if book.has_path(ingress, &place.field()) {
                continue;
            }
            let resource = matches!(
                ingress.default_backend,
                Some(Backend::Resource { .. } | Backend::None)
            );
            let (code, outcome) = match place {
                Place::Default if resource => (Code::ResourceBackend, Outcome::Refused),
                Place::Default => (Code::DefaultBackendUnused, Outcome::Dropped),
                Place::Rule(..) | Place::Root => (Code::CanaryUnmatched, Outcome::Dropped),
            };
            book.note(ingress, Entry::new(code, place.field(), path.clone()));
            book.path(
                ingress,
                place.order(),
                result(place, &host, &path, outcome, vec![code]),
            );
        }
    }
}
