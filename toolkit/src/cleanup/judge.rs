//! Whether an Ingress may go: every reason why not, by code.

use super::args::CleanupArgs;
use super::counter::Count;
use super::names::{self, Leads};
use crate::apply::select::shown;
use crate::cluster::{annotation, label};
use crate::finding::{Finding, Severity};
use crate::marks;
use crate::standing::{One, State};
use crate::trouble::Trouble;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Findings that a person may take the responsibility for.
pub const ACCEPTABLE: [&str; 7] = [
    "CLEANUP-SHADOWS",
    "CLEANUP-NOT-PROBED",
    "CLEANUP-COUNT-UNKNOWN",
    "CLEANUP-COUNTING",
    "CLEANUP-NAME-UNKNOWN",
    "CLEANUP-NAME-LEADS-TO-NGINX",
    "CLEANUP-OWNED",
];

/// What is known of an Ingress.
#[derive(Debug)]
pub struct Known<'a> {
    /// Where it stands.
    pub one: &'a One,
    /// As it is.
    pub ingress: &'a Value,
    /// What nginx counted, or why that is not known.
    pub count: Result<Count, &'a str>,
    /// Where its hosts lead.
    pub leads: &'a BTreeMap<String, Leads>,
    /// Whether the backup has it as it is; none where it does not have it at all.
    pub kept: Option<bool>,
    /// Ingresses whose paths nginx gives to it, and would not any more.
    pub shadows: Vec<String>,
    /// The routes of it that a rollback gives back.
    pub going_back: Vec<String>,
    /// What `validate` blocks of what serves it at the gateway.
    pub unwell: Vec<&'a Finding>,
}

/// Codes as typed.
pub fn accepted(args: &CleanupArgs) -> Result<Vec<String>, Trouble> {
    let mut all = Vec::new();
    for typed in &args.accept {
        let code = typed.to_ascii_uppercase();
        if !ACCEPTABLE.contains(&code.as_str()) {
            return Err(Trouble::Usage(format!(
                "--accept {typed:?}: what may be accepted is {}",
                ACCEPTABLE.join(", ")
            )));
        }
        all.push(code);
    }
    Ok(all)
}

/// Every reason why an Ingress has to stay.
pub fn reasons(known: &Known<'_>, args: &CleanupArgs, now: Timestamp) -> Vec<Finding> {
    let object = format!("Ingress {}/{}", known.one.key.0, known.one.key.1);
    let mut found = unwell(known, &object);
    let mut say = |code: &'static str, message: String, remedy: &str| {
        found.push(Finding {
            code,
            severity: Severity::Blocker,
            object: object.clone(),
            message,
            remedy: remedy.to_owned(),
        });
    };
    let soak = SignedDuration::from_hours(i64::from(args.soak));
    let time = |name: &str| annotation(known.ingress, name).and_then(|text| text.parse::<Timestamp>().ok());
    let since = time(marks::MIGRATED_AT);
    match since {
        None => say(
            "CLEANUP-SOAKING",
            "its mark does not say since when it is migrated".to_owned(),
            "migrate it anew",
        ),
        Some(since) if now.duration_since(since) < soak => say(
            "CLEANUP-SOAKING",
            format!("it is served by both since {since} only"),
            "come again when --soak is over",
        ),
        Some(_) => {}
    }
    match time(marks::PROBED_AT) {
        Some(probed) if since.is_some_and(|since| probed >= since) => {}
        Some(_) | None => say(
            "CLEANUP-NOT-PROBED",
            "requests to both were never answered alike since it was migrated".to_owned(),
            "run migrate probe, or accept it with --accept",
        ),
    }
    match &known.count {
        Err(why) => say(
            "CLEANUP-COUNT-UNKNOWN",
            format!("nginx does not tell its requests: {why}"),
            "have its metrics enabled, or accept it with --accept",
        ),
        Ok(count) if now.duration_since(count.since) < soak => say(
            "CLEANUP-COUNTING",
            format!(
                "since {} only it is known that nginx had no request for it ({} counted)",
                count.since, count.requests
            ),
            "come again when --soak is over; each request, and each start of nginx, begins it anew",
        ),
        Ok(_) => {}
    }
    for host in known.one.hosts.union(&names::of(known.ingress)) {
        match known.leads.get(host) {
            Some(Leads::Away) => {}
            Some(Leads::Nginx(ip)) => say(
                "CLEANUP-NAME-LEADS-TO-NGINX",
                format!("{host} leads to {ip}, which is nginx"),
                "move the name to the gateway first; where both have one address, accept it with --accept",
            ),
            Some(Leads::Unknown(why)) => say(
                "CLEANUP-NAME-UNKNOWN",
                format!("nobody knows where {host} leads: {why}"),
                "run this where names are known, or accept it with --accept",
            ),
            None => say(
                "CLEANUP-NAME-UNKNOWN",
                format!("{host} was not looked up"),
                "report this as a bug",
            ),
        }
    }
    match known.kept {
        Some(true) => {}
        Some(false) => say(
            "CLEANUP-NOT-KEPT",
            "it was changed since the backup".to_owned(),
            "take another backup, in a new folder",
        ),
        None => say(
            "CLEANUP-NOT-KEPT",
            "it is not in the backup".to_owned(),
            "take another backup, in a new folder",
        ),
    }
    found.extend(lasting(known, &object));
    found
}

/// What is not well of the Ingress, and of what serves it at the gateway.
fn unwell(known: &Known<'_>, object: &str) -> Vec<Finding> {
    let say = |message: String, remedy: &str| Finding {
        code: "CLEANUP-NOT-WELL",
        severity: Severity::Blocker,
        object: object.to_owned(),
        message,
        remedy: remedy.to_owned(),
    };
    let wrong: Vec<&str> = known.one.wrong.iter().map(|(code, _, _)| *code).collect();
    let mut found = Vec::new();
    if known.one.state != State::Migrated {
        let message = format!("the gateway does not serve it as it is: {}", wrong.join(", "));
        found.push(say(message, "see migrate validate"));
    }
    let blockers = known.unwell.iter();
    found.extend(
        blockers
            .filter(|blocker| !wrong.contains(&blocker.code))
            .map(|blocker| {
                let message = format!(
                    "what serves it at the gateway is not well: {}: {}: {}",
                    blocker.code, blocker.object, blocker.message
                );
                say(message, &blocker.remedy)
            }),
    );
    found
}

/// What stays a reason whatever time goes by.
fn lasting(known: &Known<'_>, object: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |code: &'static str, message: String, remedy: &str| {
        found.push(Finding {
            code,
            severity: Severity::Blocker,
            object: object.to_owned(),
            message,
            remedy: remedy.to_owned(),
        });
    };
    if !known.going_back.is_empty() {
        say(
            "CLEANUP-GOING-BACK",
            format!(
                "a rollback gives it back to nginx, as {} says: without it its hosts would have no way in",
                shown(&known.going_back)
            ),
            "end that rollback: ask for it again; or have it served by the gateway again: migrate apply, then probe",
        );
    }
    if !known.shadows.is_empty() {
        say(
            "CLEANUP-SHADOWS",
            format!(
                "nginx has it before {}, of the same host and path: without it nginx would serve that, with that one's guards, also after this one came back",
                shown(&known.shadows)
            ),
            "delete the other first, or accept it with --accept",
        );
    }
    if let Some(owner) = owner(known.ingress) {
        say(
            "CLEANUP-OWNED",
            format!("{owner} would write it again"),
            "take it out there first, or accept it with --accept",
        );
    }
    found
}

/// Who would write an Ingress again.
fn owner(ingress: &Value) -> Option<String> {
    let owners = ingress
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    for owner in owners.into_iter().flatten() {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            return Some(format!("the controller of {} {}", text("kind"), text("name")));
        }
    }
    if label(ingress, "app.kubernetes.io/managed-by") == Some("Helm") {
        let release = annotation(ingress, "meta.helm.sh/release-name").unwrap_or_default();
        return Some(format!("Helm (release {release:?})"));
    }
    if annotation(ingress, "argocd.argoproj.io/tracking-id").is_some()
        || label(ingress, "argocd.argoproj.io/instance").is_some()
    {
        return Some("Argo CD".to_owned());
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    flux.iter()
        .any(|name| label(ingress, name).is_some())
        .then(|| "Flux".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: CleanupArgs,
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn codes(change: impl FnOnce(&mut Value, &mut One, &mut Option<bool>)) -> Vec<&'static str> {
        let mut ingress = json!({"metadata": {"annotations": {
            marks::MIGRATED_AT: "2026-01-05T02:00:00Z", marks::PROBED_AT: "2026-01-05T03:00:00Z"}}});
        let mut one = One {
            key: ("ns-a".into(), "shop".into()),
            state: State::Migrated,
            hosts: BTreeSet::from(["a.com".to_owned()]),
            wrong: Vec::new(),
            together: BTreeSet::new(),
            back: String::new(),
        };
        let mut kept = Some(true);
        change(&mut ingress, &mut one, &mut kept);
        let count = Count {
            requests: 7,
            since: at("2026-01-05T02:30:00Z"),
            pods: "p".into(),
        };
        let leads = BTreeMap::from([
            ("a.com".to_owned(), Leads::Away),
            ("n.com".to_owned(), Leads::Nginx([1, 1, 1, 1].into())),
        ]);
        let known = Known {
            one: &one,
            ingress: &ingress,
            count: Ok(count),
            leads: &leads,
            kept,
            shadows: Vec::new(),
            going_back: Vec::new(),
            unwell: Vec::new(),
        };
        let args = Typed::try_parse_from(["x", "--dir", "d"]).unwrap().args;
        let found = reasons(&known, &args, at("2026-01-06T02:30:00Z"));
        found.iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn only_what_passes_every_test_may_go() {
        assert_eq!(codes(|_, _, _| {}), Vec::<&str>::new());
        assert_eq!(
            codes(|_, one, _| one.state = State::Changed),
            ["CLEANUP-NOT-WELL"]
        );
        let notes = |ingress: &mut Value, name: &str, text: &str| {
            ingress["metadata"]["annotations"][name] = json!(text);
        };
        assert_eq!(
            codes(|i, _, _| notes(i, marks::PROBED_AT, "2026-01-05T01:00:00Z")),
            ["CLEANUP-NOT-PROBED"]
        );
        assert_eq!(
            codes(|i, _, _| notes(i, marks::MIGRATED_AT, "2026-01-05T02:30:01Z")),
            ["CLEANUP-SOAKING"]
        );
        assert_eq!(
            codes(|_, one, _| {
                one.hosts.insert("n.com".into());
            }),
            ["CLEANUP-NAME-LEADS-TO-NGINX"]
        );
        assert_eq!(codes(|_, _, kept| *kept = Some(false)), ["CLEANUP-NOT-KEPT"]);
        assert_eq!(codes(|_, _, kept| *kept = None), ["CLEANUP-NOT-KEPT"]);
        for owned in [
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
            json!({"labels": {"argocd.argoproj.io/instance": "x"}}),
            json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}),
            json!({"ownerReferences": [{"kind": "Terminal", "name": "x", "controller": true}]}),
        ] {
            let found = codes(|ingress, _, _| {
                for (name, value) in owned.as_object().unwrap() {
                    ingress["metadata"][name] = value.clone();
                }
            });
            assert_eq!(found, ["CLEANUP-OWNED"], "{owned}");
        }
    }

    #[test]
    fn what_would_lose_an_ingress_for_good_cannot_be_accepted() {
        let parse = |code: &str| {
            let args = Typed::try_parse_from(["x", "--dir", "d", "--accept", code])
                .unwrap()
                .args;
            accepted(&args)
        };
        assert!(parse("cleanup-counting").is_ok());
        for code in ["CLEANUP-NOT-KEPT", "CLEANUP-NOT-WELL", "X"] {
            assert!(parse(code).is_err());
        }
    }
}
