//! What the cluster knows: resources with their status, what they come to, Events, routed objects.

use super::redact;
use super::{Bundle, Subject};
use crate::cli::connect::Reach;
use crate::cli::{direct, explain};
use crate::cluster::by_hand::Daemon;
use crate::routing::Home;
use crate::settings::Settings;
use jiff::Timestamp;
use std::fmt::Write as _;

/// Puts it in.
pub(super) async fn collect(
    cluster: &Reach,
    settings: &Settings,
    named: Option<&str>,
    subjects: Option<&[Subject]>,
    now: Timestamp,
    bundle: &mut Bundle,
) {
    let namespace = settings.namespace.as_str();
    let daemon = cluster
        .daemon_in(&settings.lease_namespaces(), &settings.lease.name, now)
        .await;
    let silent = match &daemon {
        Ok(Daemon::Alive { holder }) => {
            bundle.text(
                "daemon/lease.txt",
                "whether a daemon is alive",
                format!("alive: {holder}\n"),
            );
            None
        }
        Ok(Daemon::Silent { message }) => {
            bundle.text(
                "daemon/lease.txt",
                "whether a daemon is alive",
                format!("{message}\n"),
            );
            Some(format!("no daemon is alive: {message}"))
        }
        Err(error) => {
            bundle.lack(&format!("daemon/lease.txt: {error}"));
            Some(format!("unknown whether a daemon is alive: {error}"))
        }
    };
    for subject in subjects.into_iter().flatten() {
        let name = subject.name();
        match serde_json::to_value(&subject.rollout) {
            Ok(json) => bundle.yaml(
                &format!("rollouts/{name}.yaml"),
                "the resource with its status",
                &redact::object(json),
            ),
            Err(error) => bundle.lack(&format!("rollouts/{name}.yaml: {error}")),
        }
        bundle.text(
            &format!("rollouts/{name}.history.txt"),
            "what happened to each component and to each command, oldest first",
            history(subject),
        );
        for component in &subject.components {
            let what = "why the component is where it is: what `explain` says";
            match explain::text(&subject.rollout, namespace, component, silent.clone(), now) {
                Ok(text) => bundle.text(&format!("explain/{name}.{component}.txt"), what, text),
                Err(failure) => bundle.lack(&format!("explain/{name}.{component}.txt: {failure}")),
            }
            objects(cluster, namespace, subject, component, bundle).await;
        }
    }
    events(cluster, namespace, named, subjects, bundle).await;
}

async fn objects(cluster: &Reach, namespace: &str, subject: &Subject, component: &str, bundle: &mut Bundle) {
    let Some(component) = direct::component(&subject.rollout, component) else {
        bundle.lack(&format!(
            "objects of {component}: it is in the spec no more, so its routers are not known"
        ));
        return;
    };
    let (found, unlisted) = direct::objects(cluster, component, &Home::of(&subject.rollout, namespace)).await;
    for error in unlisted {
        bundle.lack(&format!("objects of {}: {error}", component.name));
    }
    for (object, read) in found {
        let path = format!("objects/{}.yaml", object.to_string().replace(['/', ' '], "."));
        match read {
            Ok(json) => bundle.yaml(
                &path,
                &format!("a routed object of {}", component.name),
                &redact::object(json),
            ),
            Err(error) => bundle.lack(&format!("{path}: {error}")),
        }
    }
}

async fn events(
    cluster: &Reach,
    namespace: &str,
    named: Option<&str>,
    subjects: Option<&[Subject]>,
    bundle: &mut Bundle,
) {
    match cluster.events(namespace).await {
        Ok(all) => {
            // Where it is not known which there are, all are told.
            let about = |event: &&crate::cluster::by_hand::Told| match subjects {
                Some(subjects) => subjects.iter().any(|s| s.name() == event.about),
                None => named.is_none_or(|name| name == event.about),
            };
            let mut text = String::new();
            for event in all.iter().filter(about) {
                // Writing to a string never fails.
                let _ = writeln!(
                    text,
                    "{} {} {} {} x{}: {}",
                    event.at, event.about, event.kind, event.reason, event.count, event.note
                );
            }
            bundle.text("events.txt", "Events about the resources, oldest first", text);
        }
        Err(error) => bundle.lack(&format!("events.txt: {error}")),
    }
}

fn history(subject: &Subject) -> String {
    let mut text = String::new();
    let Some(status) = &subject.rollout.status else {
        return "no daemon has written a status yet\n".to_owned();
    };
    // Writing to a string never fails.
    for command in &status.commands {
        let who = command.who.as_deref().unwrap_or("?");
        let _ = writeln!(
            text,
            "{} command {} {} by {who}: {:?}: {}",
            command.at, command.verb, command.id, command.result, command.message
        );
    }
    for name in &subject.components {
        let Some(c) = status.component(name) else { continue };
        for entry in &c.history {
            let _ = writeln!(
                text,
                "{} {name} {} → {} {}: {}",
                entry.at, entry.from, entry.to, entry.reason, entry.message
            );
        }
    }
    text
}
