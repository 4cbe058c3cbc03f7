//! Which Ingresses the controller serves, oldest first, and what their annotations ask for.

use super::book::Book;
use super::features;
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
    let mut ours: Vec<&Ingress> = Vec::new();
    for ingress in inventory.ingresses.values() {
        if let Some(code) = unserved(ingress, settings, book) {
            for (place, host, path) in places(ingress) {
                let result = result(place, &host, &path, Outcome::Dropped, vec![code]);
                book.path(ingress, place.order(), result);
            }
        } else {
            ours.push(ingress);
        }
    }
    ours.sort_by(|a, b| {
        let age = |ingress: &Ingress| ingress.meta.creation_timestamp.clone().unwrap_or_default();
        // Equal times: the name that sorts last wins, as in ingress-nginx.
        age(a).cmp(&age(b)).then_with(|| b.meta.key().cmp(&a.meta.key()))
    });
    ours.into_iter()
        .map(|ingress| {
            let (features, entries) = features::read(ingress, settings, &inventory.config_maps);
            let (mut refused, mut for_host) = (Vec::new(), Vec::new());
            for entry in entries {
                let code = entry.code;
                // These are the server's, not the location's: every Ingress of the host has them.
                let server = code == Code::AuthTls || entry.field.ends_with("/server-snippet]");
                if book.note(ingress, entry) {
                    refused.push(code);
                    for_host.extend(server.then_some(code));
                }
            }
            for codes in [&mut refused, &mut for_host] {
                codes.sort();
                codes.dedup();
            }
            let member = Member {
                ingress,
                features,
                refused,
                for_host,
            };
            structure(&member, book);
            member
        })
        .collect()
}

/// Why the controller does not serve an Ingress; none where it does.
fn unserved(ingress: &Ingress, settings: &Settings, book: &mut Book<'_>) -> Option<Code> {
    const LEGACY: &str = "kubernetes.io/ingress.class";
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
        (_, Some(class)) => (format!("metadata.annotations[{LEGACY}]"), class),
        (Some(class), None) => ("spec.ingressClassName".to_owned(), class),
        (None, None) => {
            if !settings.without_class {
                book.note(ingress, Entry::new(Code::NoClass, "spec.ingressClassName", ""));
            }
            return None;
        }
    };
    if *class == settings.class {
        return None;
    }
    let entry = Entry::new(Code::OtherClass, field, class.clone());
    book.note(ingress, entry.with(format!("{:?} is converted", settings.class)));
    Some(Code::OtherClass)
}

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
