//! Who does not answer keeps nobody else's traffic up: the list, a resource, a routed object, a Lease, a daemon.

use super::{Cluster, NAMESPACE, NOW, ROLLOUTS, SERVICES, busy, fleet, forbidden, reported, weight};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, write_kubeconfig};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Traffic that a daemon could put back is back after 3 s, that of nobody's at once. A busy machine takes longer, and what
/// waits for somebody who does not answer takes longer than this.
const SOON: Duration = Duration::from_secs(8);

fn ill() -> Action {
    Action::Fail(Failure::new(503, "ServiceUnavailable", "the store is away"))
}

/// Runs it: all of these have to be back soon. Then what hung answers again, and it is waited for the end of the run.
async fn soon(cluster: &Cluster, names: &[&str], more: &[&str], hangs: Option<u64>) -> (i32, Value, String) {
    let mut changes = cluster.store.subscribe(SERVICES);
    let began = Instant::now();
    let back = async {
        let all = async {
            while names.iter().any(|name| weight(cluster, name) > 0) {
                // Too many at once are told as lost; what counts is what there is.
                drop(changes.recv().await);
            }
        };
        let up = timeout(SOON, all).await.is_err();
        let up: Vec<&&str> = names.iter().filter(|n| up && weight(cluster, n) > 0).collect();
        assert!(up.is_empty(), "{} of {} are up: {up:?}", up.len(), names.len());
        if let Some(fault) = hangs {
            cluster.store.faults().lift(fault);
        }
        began.elapsed()
    };
    // Who is still up then is told by that, and not by the default's three minutes.
    let arguments = [&["--timeout", "30s"], more].concat();
    let (ended, took) = tokio::join!(reported(cluster, &arguments), back);
    eprintln!("{} were back after {took:?}", names.len());
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_refused_or_not_answered_is_asked_for_again() {
    for (action, times) in [(busy(), 3), (ill(), 3), (Action::Hang, 1)] {
        let cluster = Cluster::start().await;
        let place = format!("{action:?}");
        cluster
            .store
            .inject(Fault::new(action).verb("list").resource(ROLLOUTS).times(times));
        let (code, report, out) = reported(&cluster, &[]).await;
        assert_eq!((code, cluster.shop().0), (0, 0), "{place}: {out}");
        assert!(out.contains("asking again for up to 180s"), "{place}: {out}");
        assert_eq!(report["components"][0]["result"], "doneDirectly", "{place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_is_named_goes_back_although_the_list_hangs() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .inject(Fault::new(Action::Hang).verb("list").resource(ROLLOUTS));
    let (code, _, out) = soon(&cluster, &["shop"], &["--rollout", "shop"], None).await;
    assert_eq!(code, 0, "{out}");
    let nobody = [&NOW[..], &["--rollout", "shopp"]].concat();
    let (code, _, err) = cluster.run(&nobody).await;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("sealos-system/shopp does not exist"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_never_answered_is_given_up_in_time_and_what_to_do_is_said() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .inject(Fault::new(busy()).verb("list").resource(ROLLOUTS));
    let (code, out, err) = cluster.run(&[&NOW[..], &["--timeout", "1s"]].concat()).await;
    assert_eq!((code, cluster.shop().0), (69, 40), "{out}{err}");
    for says in [
        "listing the rollouts of sealos-system",
        "again for 1s",
        "load balancer",
    ] {
        assert!(err.contains(says), "{says}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_was_asked_for_is_written_also_where_nothing_could_be_done() {
    let cluster = Cluster::start().await;
    let whole = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    for (way, code, says) in [
        ("no cluster", 69, "unable to reach the cluster"),
        ("no right", 3, "not allowed while listing the rollouts"),
        ("no such component", 3, "nothing"),
    ] {
        cluster.store.faults().clear();
        std::fs::write(cluster.kubeconfig(), &whole).unwrap();
        let mut more = vec!["--timeout", "1s"];
        match way {
            "no cluster" => write_kubeconfig(&cluster.kubeconfig(), "127.0.0.1:9".parse().unwrap()).unwrap(),
            "no right" => drop(
                cluster
                    .store
                    .inject(Fault::new(forbidden()).verb("list").resource(ROLLOUTS)),
            ),
            _ => more.extend(["--component", "nothing"]),
        }
        let (exit, report, out) = reported(&cluster, &more).await;
        assert_eq!((exit, &report["exit"]), (code, &json!(code)), "{way}: {out}");
        assert!(
            report["error"].as_str().unwrap().contains(says),
            "{way}: {report:#}"
        );
        for nothing in ["components", "before", "after"] {
            assert_eq!(report[nothing], json!([]), "{way}: {report:#}");
        }
        assert_eq!(report["mode"], "ingress", "{way}");
        std::fs::remove_file(cluster.folder.path().join("report.json")).unwrap();
    }
    assert_eq!(cluster.shop().0, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_routed_object_that_hangs_keeps_no_other_up_whether_a_daemon_lives_or_not() {
    for (alive, n) in [(true, 130), (false, 6)] {
        let cluster = Cluster::start().await;
        fleet(&cluster, n);
        if alive {
            cluster.lease();
        }
        let hangs = Fault::new(Action::Hang)
            .verb("patch")
            .resource(SERVICES)
            .name("c0");
        let hangs = cluster.store.inject(hangs);
        let names: Vec<String> = (1..n).map(|n| format!("c{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (code, report, out) = soon(&cluster, &names, &[], Some(hangs)).await;
        assert_eq!((code, weight(&cluster, "c0")), (0, 0), "{out}");
        let said = report["components"].as_array().unwrap();
        let told: Vec<&str> = said.iter().map(|c| c["component"].as_str().unwrap()).collect();
        assert_eq!(told.first(), Some(&"c0"), "as the resources have them");
        assert_eq!(told.len(), n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_cannot_be_read_any_more_goes_back_by_what_was_read_before() {
    for action in [ill(), Action::Hang] {
        let cluster = Cluster::start().await;
        cluster.lease();
        let gone = cluster
            .store
            .inject(Fault::new(action).verb("get").resource(ROLLOUTS));
        let (code, report, out) = soon(&cluster, &["shop"], &[], Some(gone)).await;
        assert_eq!(code, 0, "{out}");
        assert_eq!(report["components"][0]["result"], "doneDirectly", "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_cannot_be_written_goes_back_and_keeps_no_other_up() {
    let cluster = Cluster::start().await;
    fleet(&cluster, 130);
    cluster.lease();
    let hangs = Fault::new(Action::Hang)
        .verb("patch")
        .resource(ROLLOUTS)
        .name("fleet-0");
    let hangs = cluster.store.inject(hangs);
    let (code, _, out) = soon(&cluster, &["c0", "c63", "c64", "c129"], &[], Some(hangs)).await;
    assert_eq!(code, 0, "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_lease_is_fresh_and_that_does_nothing_is_waited_for_no_longer_than_3_s() {
    let cluster = Cluster::start().await;
    cluster.lease();
    let (code, report, out) = soon(&cluster, &["shop"], &[], None).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("a daemon is alive: it has 3s"), "{out}");
    let took = report["putBackInMs"].as_u64().unwrap();
    assert!(took >= 3000, "it was given its time: {took} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_about_which_nobody_answers_is_not_waited_for() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .inject(Fault::new(Action::Hang).resource("leases.coordination.k8s.io"));
    let (code, report, out) = soon(&cluster, &["shop"], &[], None).await;
    assert_eq!(code, 0, "{out}");
    let daemon = report["daemon"].as_str().unwrap();
    assert!(daemon.contains("not waited for"), "{daemon}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_answered_in_time_is_told_as_that() {
    let cluster = Cluster::start().await;
    cluster
        .store
        .inject(Fault::new(busy()).verb("patch").resource(SERVICES));
    let (code, report, out) = reported(&cluster, &["--timeout", "1s"]).await;
    assert_eq!((code, cluster.shop().0), (75, 40), "{out}");
    let shop = &report["components"][0];
    assert_eq!(shop["result"], "timedOut", "{shop}");
    let said = shop["message"].as_str().unwrap();
    assert!(
        said.contains("too many requests") && said.contains("load balancer"),
        "{said}"
    );
}

/// The same mistake would be as bad where somebody takes one component back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_rollback_too_goes_back_from_here_when_its_resource_cannot_be_read() {
    let cluster = Cluster::start().await;
    cluster.lease();
    cluster
        .store
        .inject(Fault::new(ill()).verb("get").resource(ROLLOUTS));
    let (code, out, err) = cluster
        .run(&["rollback", "shop", "--no-confirm", "--timeout", "40s"])
        .await;
    assert_eq!((code, cluster.shop().0), (0, 0), "{out}{err}");
    assert!(out.contains("shop could not be read"), "{out}");
    let rollout = cluster.store.get(ROLLOUTS, NAMESPACE, "shop").unwrap();
    let annotations = rollout.pointer("/metadata/annotations").unwrap().to_string();
    assert!(annotations.contains("command.rollback."), "{annotations}");
}
