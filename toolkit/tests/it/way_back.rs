//! `migrate rollback`: what is looked at before anything is taken away, and what a dry run says of it.

use crate::apply::{GW, ING, VS, open, tenants};
use crate::objects::config_map;
use crate::rollback::{canary, full, rollout};
use crate::support::{migrate, migrate_by};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::apply::item::stamped;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A write that went over the wire: what was done, and on what.
type Write = (String, String);

/// Writes down what is written, dry runs aside.
fn writing(store: &Store) -> (kube::Client, Arc<Mutex<Vec<Write>>>) {
    let (inner, seen) = (store.client("default"), Arc::new(Mutex::new(Vec::new())));
    let told = seen.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, told) = (inner.clone(), told.clone());
        async move {
            let method = request.method().clone();
            let dry = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("dryRun"));
            if method == Method::GET || dry {
                return inner.send(request).await;
            }
            let path = request.uri().path().to_owned();
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let at = path.split_once("/namespaces/").unwrap().1.to_owned();
            let mut parts = at.split('/');
            let (namespace, plural) = (parts.next().unwrap(), parts.next().unwrap());
            let created: Value = serde_json::from_slice(&body).unwrap_or_default();
            let name = parts
                .next()
                .or_else(|| created["metadata"]["name"].as_str())
                .unwrap()
                .to_owned();
            let kind = match plural {
                "gradualrollouts" => "GradualRollout",
                "configmaps" => "ConfigMap",
                "ingresses" => "Ingress",
                "gateways" => "Gateway",
                "virtualservices" => "VirtualService",
                "destinationrules" => "DestinationRule",
                "authorizationpolicies" => "AuthorizationPolicy",
                "secrets" => "Secret",
                other => panic!("{other}"),
            };
            let action = match (&method, kind) {
                (&Method::PATCH, "VirtualService") => "note",
                (&Method::POST, "Ingress") => "come back",
                (&Method::PATCH, "Ingress") => "unmark",
                (&Method::PATCH | &Method::DELETE, "Gateway") => "close",
                (&Method::PATCH, "GradualRollout") => "back to 0",
                (&Method::PATCH, "ConfigMap") => "switch back",
                (&Method::DELETE, _) => "delete",
                other => panic!("{other:?} {path}"),
            };
            told.lock()
                .unwrap()
                .push((action.to_owned(), format!("{kind} {namespace}/{name}")));
            inner
                .send(Request::from_parts(head, Body::from(body.to_vec())))
                .await
        }
    });
    (kube::Client::new(service, "default"), seen)
}

/// Writes of one kind go side by side: which of them is the first says nothing.
fn ordered(writes: &[Write]) -> Vec<Vec<Write>> {
    let kind = |write: &Write| write.1.split(' ').next().unwrap().to_owned();
    let groups = writes.chunk_by(|a, b| a.0 == b.0 && kind(a) == kind(b));
    groups
        .map(|group| {
            let mut group = group.to_vec();
            group.sort();
            group
        })
        .collect()
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    let said = migrate(store, clock, &["backup", "--dir", &path]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    (dir, path)
}

/// A migration with something of everything: a share at nginx, a controller that was switched, an Ingress cleaned up.
async fn everything() -> (Store, Clock, TempDir, String) {
    let (store, clock) = full();
    rollout(&store);
    let (folder, dir) = backed_up(&store, &clock).await;
    let apply = [
        "apply",
        "--all",
        "--rollout",
        "sealos-system/batch",
        "--split",
        "istio-system/istio-ingressgateway:8081",
        "--unprobed",
        "--split-trusts-nginx",
    ];
    assert_eq!(migrate(&store, &clock, &apply).await.end.unwrap(), End::Done);
    store.put(canary("10")).unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let mut switched = config_map("sealos-system", "terminal-controller-config");
    switched["metadata"]["annotations"] =
        json!({"rollout.sealos.io/before-finish": "{\"data\": {\"networking_mode\": \"dual\"}}"});
    store.put(switched).unwrap();
    let mut record = config_map("sealos-system", "gradual-rollout-migration");
    record["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout"});
    store.put(record).unwrap();
    (store, clock, folder, dir)
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_lists_every_object_that_is_then_written_in_that_order_and_writes_none() {
    let (store, clock, _folder, dir) = everything().await;
    let words = ["rollback", "--all", "--dir", &dir];
    let (client, written) = writing(&store);
    let version = store.version();
    let shown = migrate_by(
        client,
        &clock,
        &[&["--json"], &words[..], &["--dry-run"]].concat(),
    )
    .await;
    println!("{}{}", shown.err, shown.out);
    assert_eq!(shown.end.unwrap(), End::Done);
    assert_eq!(store.version(), version);
    assert_eq!(*written.lock().unwrap(), []);
    let told: Value = serde_json::from_str(&shown.out).unwrap();
    let text = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
    let steps = told["steps"].as_array().unwrap();
    let planned: Vec<Write> = steps
        .iter()
        .map(|step| (text(step, "action"), text(step, "object")))
        .collect();
    let human = migrate(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    println!("{}{}", human.err, human.out);
    assert_eq!(human.out.lines().count(), planned.len());

    let (client, written) = writing(&store);
    let daemon = async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        store.delete(ING, "ns-a", "gr-shop-80-1234").unwrap();
    };
    let (said, ()) = tokio::join!(migrate_by(client, &clock, &words), daemon);
    println!("{}{}{:?}", said.err, said.out, said.end);
    assert_eq!(said.end.unwrap(), End::Done);
    let written = written.lock().unwrap().clone();
    assert_eq!(ordered(&planned), ordered(&written));
    // Something of each.
    for action in [
        "back to 0",
        "switch back",
        "note",
        "come back",
        "unmark",
        "close",
        "delete",
    ] {
        assert!(written.iter().any(|write| write.0 == action), "{action}");
    }
    assert_eq!(written.last().unwrap().1, "GradualRollout sealos-system/batch");
}

/// A host that this machine knows, beside one that nobody does, and the gateway where the first leads.
async fn leading() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    // No Ingress may have such a host, so what was written is given it.
    for object in [VS, GW].iter().flat_map(|kind| store.list(kind)) {
        let text = object.to_string().replace("shop.ns-a.example.com", "localhost");
        store
            .put(stamped(serde_json::from_str(&text).unwrap(), None))
            .unwrap();
    }
    store
        .put(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}}}),
        )
        .unwrap();
    (store, clock)
}

#[tokio::test(start_paused = true)]
async fn while_a_name_leads_to_the_gateway_its_host_stays_open_there() {
    let (store, clock) = leading().await;
    let shown = migrate(&store, &clock, &["rollback", "--all", "--dry-run"]).await;
    println!("{}{}", shown.err, shown.out);
    assert_eq!(shown.end.unwrap(), End::Partly);
    let said = migrate(&store, &clock, &["rollback", "--all"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Partly);
    for told in [
        "ROLLBACK-NAME-LEADS-TO-GATEWAY",
        "localhost (",
        "ROLLBACK-NAME-UNKNOWN",
        "shop.ns-b.example.com",
    ] {
        assert!(
            shown.err.contains(told) && said.err.contains(told),
            "{told}: {}",
            said.err
        );
    }
    // Nobody cleans up what goes back, and nobody loses an answer.
    assert!(!crate::apply::marked(&store, "ns-a", "shop"));
    assert_eq!((store.list(VS).len(), open(&store).len()), (2, 2));
    let again = migrate(&store, &clock, &["rollback", "--all"]).await;
    assert_eq!(again.end.unwrap(), End::Refused);
    // The one that leads nowhere does not wait for the other.
    let other = migrate(&store, &clock, &["-n", "ns-b", "rollback"]).await;
    assert_eq!(other.end.unwrap(), End::Done);
    assert_eq!(open(&store), ["ns-a/localhost"]);
    let words = ["rollback", "--all", "--accept", "ROLLBACK-NAME-LEADS-TO-GATEWAY"];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
    let typo = migrate(&store, &clock, &["rollback", "--all", "--accept", "ANYTHING"]).await;
    assert!(matches!(typo.end, Err(Trouble::Usage(_))));
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_gateway_that_no_service_tells_can_be_named() {
    let (store, clock) = leading().await;
    store.delete("services", "istio-system", "edge").unwrap();
    let words = ["rollback", "--all", "--dry-run"];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("--gateway-address"), "{}", said.err);
    let named = [&words[..], &["--gateway-address", "127.0.0.1,::1"]].concat();
    let said = migrate(&store, &clock, &named).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("localhost ("), "{}", said.err);
}

/// As the API server refuses what the block's policy denies.
fn denied() -> Fault {
    let why = "ingresses.networking.k8s.io \"shop\" is forbidden: ValidatingAdmissionPolicy \
               'gradual-rollout-block-ingress' with binding 'gradual-rollout-block-ingress' denied request";
    Fault::new(Action::Fail(Failure::new(422, "Invalid", why)))
        .verb("create")
        .resource(ING)
}

#[tokio::test(start_paused = true)]
async fn a_block_that_would_keep_ingresses_out_is_named_before_anything_is_undone() {
    let (store, clock) = full();
    let (_folder, dir) = backed_up(&store, &clock).await;
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let block = ["block", "--class", "nginx", "--mode", "deny", "--skip-stages"];
    migrate(&store, &clock, &block).await.end.unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let number = store.inject(denied());
    let version = store.version();
    for more in [&["--dry-run"][..], &[]] {
        let words = [&["rollback", "--all", "--dir", &dir][..], more].concat();
        let said = migrate(&store, &clock, &words).await;
        println!("{}{}{:?}", said.err, said.out, said.end);
        let wanted = if more.is_empty() {
            End::Refused
        } else {
            End::Partly
        };
        assert_eq!(said.end.unwrap(), wanted);
        for told in [
            "ROLLBACK-BLOCKED",
            "ValidatingAdmissionPolicy gradual-rollout-block-ingress",
            "Ingress ns-a/shop",
            "gradual-rollout migrate block --mode warn",
            "migrate unblock",
        ] {
            assert!(said.err.contains(told), "{told}: {}", said.err);
        }
        assert_eq!(store.version(), version, "nothing is undone");
    }
    store.faults().lift(number);
    let words = ["rollback", "--all", "--dir", &dir];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert!(store.get(ING, "ns-a", "shop").is_some() && store.list(GW).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_cluster_would_not_take_back_for_another_reason_is_told_as_such() {
    let (store, clock) = full();
    let (_folder, dir) = backed_up(&store, &clock).await;
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let fail = |why: &str| {
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", why)))
            .verb("create")
            .resource(ING)
    };
    let number = store.inject(fail("exceeded quota: ingresses"));
    let version = store.version();
    let words = ["rollback", "--all", "--dir", &dir];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err.contains("ROLLBACK-NOT-TAKEN") && said.err.contains("exceeded quota"),
        "{}",
        said.err
    );
    assert_eq!(store.version(), version);
    store.faults().lift(number);
    // A webhook that takes no dry run says nothing about the write.
    store.inject(fail("admission webhook \"x\" does not support dry run").times(1));
    let block = ["block", "--class", "nginx", "--mode", "deny", "--skip-stages"];
    migrate(&store, &clock, &block).await.end.unwrap();
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("ROLLBACK-BLOCK-STANDS"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn where_an_ingress_does_not_come_back_nothing_is_closed_nor_deleted() {
    let (store, clock) = full();
    let (_folder, dir) = backed_up(&store, &clock).await;
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let fail = |why: &str| {
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", why)))
            .verb("create")
            .resource(ING)
    };
    // On a dry run nobody can tell, and in earnest it is refused.
    store.inject(fail("admission webhook \"x\" does not support dry run").times(1));
    let number = store.inject(fail("exceeded quota: ingresses"));
    let specs = || {
        let all = store.list(VS).into_iter().chain(store.list(GW));
        all.map(|object| object["spec"].clone()).collect::<Vec<_>>()
    };
    let before = specs();
    let words = ["rollback", "--all", "--dir", &dir];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}{:?}", said.err, said.out, said.end);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("ROLLBACK-HALTED") && said.err.contains("exceeded quota"),
        "{}",
        said.err
    );
    assert_eq!(specs(), before);
    assert!(
        crate::apply::marked(&store, "ns-b", "shop"),
        "no mark is taken off"
    );
    store.faults().lift(number);
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert!(store.get(ING, "ns-a", "shop").is_some() && store.list(GW).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_block_goes_with_everything_else_where_that_is_asked_and_before_what_it_would_refuse() {
    const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
    const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
    let (store, clock) = full();
    let (_folder, dir) = backed_up(&store, &clock).await;
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    let block = ["block", "--class", "nginx", "--mode", "deny", "--skip-stages"];
    migrate(&store, &clock, &block).await.end.unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let number = store.inject(denied());
    let words = ["rollback", "--all", "--dir", &dir, "--unblock"];
    let version = store.version();
    let shown = migrate(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    println!("{}{}", shown.err, shown.out);
    assert_eq!((shown.end.unwrap(), store.version()), (End::Done, version));
    let at = |what: &str| {
        shown
            .out
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {}", shown.out))
    };
    assert!(
        at("delete      ValidatingAdmissionPolicyBinding") < at("delete      ValidatingAdmissionPolicy ")
    );
    assert!(at("delete      ValidatingAdmissionPolicy ") < at("come back"));
    // A block that cannot be lifted would refuse what comes back.
    let stuck = store.inject(
        Fault::new(Action::Fail(Failure::new(
            403,
            "Forbidden",
            "no policies for you",
        )))
        .verb("delete")
        .resource(POLICIES),
    );
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("ROLLBACK-HALTED") && said.err.contains("no policies for you"),
        "{}",
        said.err
    );
    assert!(store.get(ING, "ns-a", "shop").is_none() && store.list(GW).len() == 1);
    store.faults().lift(stuck);
    // The block refuses as long as it is there.
    let lifted = async {
        let mut changes = store.subscribe(POLICIES);
        while let Ok(change) = changes.recv().await {
            if change.deleted {
                store.faults().lift(number);
                return;
            }
        }
    };
    let (said, ()) = tokio::join!(migrate(&store, &clock, &words), lifted);
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(store.list(POLICIES).is_empty() && store.list(BINDINGS).is_empty());
    assert!(store.get(ING, "ns-a", "shop").is_some() && store.list(GW).is_empty());
}
