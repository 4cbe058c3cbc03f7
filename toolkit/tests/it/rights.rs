//! The roles of deploy/migration-rbac.yaml: what the verbs send is granted, and nothing else is.

use crate::block::webhook::{BLOCK, old};
use crate::loadbalancer::{MINIO, RELEASE, minio, with_gateway};
use crate::objects::{custom, service};
use crate::preflight::healthy::{healthy, slice};
use crate::restore::{delete_all, filled};
use crate::rollback::{canary, full, rollout};
use crate::support::{Said, migrate_by};
use crate::tenant::isolation::{Ends, api_service, run_pods};
use crate::tenant::{CREATE, with_istio};
use crate::walkthrough;
use crate::wire::{Granted, Right, Wire, silent_about_rights};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The roles as they are deployed.
pub(crate) struct Roles {
    pub reader: Granted,
    pub writer: Granted,
    pub isolation: Granted,
}

pub(crate) fn roles() -> Roles {
    let text = include_str!("../../../deploy/migration-rbac.yaml");
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let by = |name: &str| {
        let role = all.iter().find(|role| role["metadata"]["name"] == name);
        Granted::by(role.unwrap_or_else(|| panic!("{name}")))
    };
    Roles {
        reader: by("gradual-rollout-migration-reader"),
        writer: by("gradual-rollout-migration-writer"),
        isolation: by("gradual-rollout-migration-isolation"),
    }
}

/// Somebody with both roles.
struct Migrator {
    wire: Wire,
    granted: Granted,
}

impl Migrator {
    async fn does(&self, store: &Store, clock: &Clock, words: &[&str]) -> Said {
        let client = self.wire.client(store, Some(self.granted.clone()));
        let said = migrate_by(client, clock, words).await;
        println!("{words:?}\n{}{}{:?}", said.out, said.err, said.end);
        for stream in [&said.out, &said.err] {
            assert!(!stream.contains("forbidden"), "{words:?}: {stream}");
        }
        said
    }

    /// The same, and it is done.
    async fn done(&self, store: &Store, clock: &Clock, words: &[&str]) {
        let end = self.does(store, clock, words).await.end;
        assert_eq!(end.unwrap(), End::Done, "{words:?}");
    }

    async fn restores(&self) {
        let (store, clock) = filled();
        for (version, kind) in [
            ("networking.istio.io/v1", "Gateway"),
            ("networking.istio.io/v1", "VirtualService"),
            ("security.istio.io/v1", "AuthorizationPolicy"),
            ("cert-manager.io/v1", "Certificate"),
        ] {
            store
                .put(custom(version, kind, "ns-a", "kept", json!({"hosts": ["a.com"]})))
                .unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("b").to_str().unwrap().to_owned();
        self.done(&store, &clock, &["backup", "--dir", &dir]).await;
        let kept = [
            "gateways.networking.istio.io",
            "virtualservices.networking.istio.io",
            "authorizationpolicies.security.istio.io",
            "certificates.cert-manager.io",
        ];
        delete_all(&store);
        for kind in kept {
            drop(store.delete(kind, "ns-a", "kept"));
        }
        self.done(&store, &clock, &["restore", "--dir", &dir]).await;
        // And once more, where everything is there and otherwise.
        let all = [
            "ingresses.networking.k8s.io",
            "services",
            "deployments.apps",
            "configmaps",
            "destinationrules.networking.istio.io",
            "resourcequotas",
        ];
        for kind in all.iter().chain(&kept) {
            for object in store.list(kind) {
                let mut object = Value::clone(&object);
                object["metadata"]["labels"] = json!({"other": "1"});
                store.put(object).unwrap();
            }
        }
        self.done(&store, &clock, &["restore", "--dir", &dir, "--overwrite"])
            .await;
    }

    async fn has_tenants(&self) {
        let (store, clock) = with_istio();
        let flags = [&CREATE[3..], &["--mesh"]].concat();
        self.done(&store, &clock, &[&CREATE[..3], &flags].concat()).await;
        store.put(service("ns-ada", "shop")).unwrap();
        store.put(slice("ns-ada", "shop")).unwrap();
        store.put(api_service()).unwrap();
        let words = [&["tenant", "check", "ada"][..], &flags, &["--request"]].concat();
        tokio::select! {
            () = self.done(&store, &clock, &words) => {}
            () = run_pods(store.clone(), Ends::With(0), Ends::With(1)) => unreachable!(),
        }
        self.done(&store, &clock, &["tenant", "delete", "ada", "--namespace-too"])
            .await;
    }

    async fn replaces_a_load_balancer(&self) {
        let (store, clock) = with_gateway();
        let mut balancer = minio();
        balancer["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
        store.put(balancer).unwrap();
        self.done(&store, &clock, &MINIO).await;
        self.done(&store, &clock, &[&MINIO[..], &RELEASE].concat()).await;
        let undo = [
            "-n",
            "ns-ada",
            "loadbalancer",
            "undo",
            "minio",
            "--accept",
            "UNDO-NAME-UNKNOWN",
        ];
        self.done(&store, &clock, &undo).await;
    }

    /// With guards, and handed over: what the walk-through's plain shops have not.
    async fn hands_over(&self) {
        let (store, clock) = full();
        rollout(&store);
        let apply = [
            "-n",
            "ns-a",
            "apply",
            "--rollout",
            "sealos-system/batch",
            "--split",
            "istio-system/istio-ingressgateway:8081",
            "--unprobed",
            "--split-trusts-nginx",
        ];
        self.done(&store, &clock, &apply).await;
        self.done(&store, &clock, &apply).await;
        store.put(canary("250")).unwrap();
        let late = self
            .does(&store, &clock, &["-n", "ns-a", "rollback", "--wait", "5"])
            .await;
        assert!(matches!(late.end, Err(Trouble::TimedOut(_))));
        store
            .delete("ingresses.networking.k8s.io", "ns-a", "gr-shop-80-1234")
            .unwrap();
        self.done(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    }

    /// What is changed while it is deleted is looked at again.
    async fn comes_late(&self) {
        let (store, clock) = full();
        self.done(&store, &clock, &["apply", "--all"]).await;
        let late = Failure::new(409, "Conflict", "the object has been modified");
        let rules = "destinationrules.networking.istio.io";
        store.inject(
            Fault::new(Action::Fail(late))
                .verb("delete")
                .resource(rules)
                .times(1),
        );
        self.done(&store, &clock, &["rollback", "--all"]).await;
    }

    async fn blocks_an_old_cluster(&self) {
        let (store, clock) = old();
        self.done(&store, &clock, &BLOCK).await;
        self.done(&store, &clock, &["unblock"]).await;
    }
}

/// Granted though nothing here sends it, and why.
fn exceptions() -> BTreeSet<Right> {
    BTreeSet::from([
        // The admission policy of the daemon's manifests asks for it when a rollout is told to go back; the store
        // evaluates no policies.
        Right::new("rollback", "gradualrollouts", "rollout.sealos.io"),
    ])
}

#[tokio::test(start_paused = true)]
async fn every_right_that_the_verbs_use_is_granted_and_no_other() {
    let roles = roles();
    let migrator = Migrator {
        wire: Wire::default(),
        granted: roles.reader.clone().and(&roles.writer).and(&roles.isolation),
    };
    migrator.restores().await;
    migrator.has_tenants().await;
    migrator.replaces_a_load_balancer().await;
    migrator.hands_over().await;
    migrator.comes_late().await;
    migrator.blocks_an_old_cluster().await;
    let mut used = migrator.wire.asked();
    used.extend(walkthrough::rights().await);
    let shown = |rights: &mut dyn Iterator<Item = &Right>| -> Vec<String> {
        rights.map(ToString::to_string).collect()
    };
    let missing = shown(&mut used.difference(&migrator.granted.0));
    assert_eq!(missing, [""; 0], "not granted");
    used.extend(exceptions());
    let idle = shown(&mut migrator.granted.0.difference(&used));
    assert_eq!(idle, [""; 0], "granted for nothing");
    let twice = shown(&mut roles.reader.0.intersection(&roles.writer.0));
    assert_eq!(
        twice, [""; 0],
        "in both roles: whoever writes has the reader's too"
    );
}

#[tokio::test(start_paused = true)]
async fn preflight_asks_for_the_rights_of_the_roles_and_for_no_others() {
    let roles = roles();
    let (store, clock) = healthy();
    let (wire, needed) = (Wire::default(), roles.reader.and(&roles.writer));
    wire.review(&store, Some(needed.clone()));
    let said = migrate_by(wire.client(&store, None), &clock, &["preflight"]).await;
    assert_eq!(wire.reviewed(), needed.0);
    assert!(!said.out.contains("RIGHT-MISSING"), "{}", said.out);
    // One of them less, a subresource, is missed.
    let less = Right::new("get", "pods/proxy", "");
    let mut lacking = needed;
    assert!(lacking.0.remove(&less));
    wire.review(&store, Some(lacking));
    let said = migrate_by(wire.client(&store, None), &clock, &["preflight"]).await;
    assert_eq!(said.out.matches("RIGHT-MISSING").count(), 1, "{}", said.out);
    assert!(said.out.contains("get pods/proxy"), "{}", said.out);
}

#[tokio::test]
async fn where_the_api_server_does_not_say_which_rights_there_are_that_is_told_and_the_rest_is_looked_at() {
    let (store, clock) = healthy();
    let codes = |said: &Said| -> Vec<String> {
        let whole: Value = serde_json::from_str(&said.out).unwrap();
        let findings = whole["findings"].as_array().unwrap();
        findings
            .iter()
            .map(|f| format!("{} {}", f["code"], f["object"]))
            .collect()
    };
    let words = ["--json", "preflight"];
    let known = codes(&migrate_by(Wire::default().client(&store, None), &clock, &words).await);
    let said = migrate_by(silent_about_rights(&store), &clock, &words).await;
    let mut found = codes(&said);
    let unknown = found
        .iter()
        .position(|f| f == "\"NOT-LOOKED-AT\" \"selfsubjectaccessreviews.authorization.k8s.io\"");
    found.remove(unknown.unwrap_or_else(|| panic!("{found:?}")));
    assert_eq!(found, known, "the rest as before");
    assert!(
        said.out
            .contains("it is forbidden to create selfsubjectaccessreviews"),
        "{}",
        said.out
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_may_read_alone_sees_everything() {
    let reader = roles().reader;
    for right in &reader.0 {
        assert!(["get", "list"].contains(&right.verb.as_str()), "{right}");
    }
    let (asked, said) = walkthrough::reads(reader.clone()).await;
    for said in &said {
        for unseen in ["forbidden", "NOT-LOOKED-AT", "VALIDATE-UNSEEN"] {
            assert!(!said.contains(unseen), "{said}");
        }
    }
    let idle: Vec<String> = reader.0.difference(&asked).map(ToString::to_string).collect();
    assert_eq!(idle, [""; 0], "granted for nothing");
}
