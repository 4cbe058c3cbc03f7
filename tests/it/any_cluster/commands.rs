//! What people say: by `kubectl annotate`, and by the program.

use super::objects::rollout;
use super::scene::on_cluster;
use gradual_rollout::clock::Clock;
use gradual_rollout::rollout::reason::State;
use gradual_rollout::rollout::status::CommandResult;
use serde_json::{Value, json};

/// The keys of the commands that wait on a rollout.
fn waiting(object: &Value) -> Vec<String> {
    let annotations = object["metadata"]["annotations"].as_object();
    annotations
        .into_iter()
        .flat_map(|a| a.keys())
        .filter(|k| k.contains("/command."))
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_annotated_wish_is_done_once_answered_and_removed() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%", "50%"]).await;
        scene.start("daemon-1").await;
        scene.until_weight("shop", 30).await;
        let wish = json!({"components": ["shop"], "reason": "test", "who": "ada"});
        let id = scene.say("rollback", &wish).await;
        scene.until_weight("shop", 0).await;
        scene
            .until("answered and removed", async |s| {
                s.status().await.commands.iter().any(|c| c.id == id) && waiting(&s.object().await).is_empty()
            })
            .await;
        let commands = scene.status().await.commands;
        let outcome = commands.iter().find(|c| c.id == id).unwrap();
        assert_eq!(outcome.result, CommandResult::Accepted);
        let who = outcome.who.as_deref().unwrap_or_default();
        assert!(who.starts_with("ada ("), "{who}");
        scene
            .say("retry", &json!({"components": ["shop"], "who": "ada"}))
            .await;
        scene.until_weight("shop", 5).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_classic_command_sets_a_weight_and_waits_until_it_is_read_back() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%", "30%"]).await;
        let paused = json!({"spec": {"steps": [{"weight": "5%", "hold": "1h"}]}});
        scene
            .admin
            .merge(&scene.rollouts("demo"), &paused)
            .await
            .ok("a long hold");
        scene.start("daemon-1").await;
        scene.until_weight("shop", 5).await;
        let (code, out, err) = scene
            .run(&[
                "--percentage",
                "10",
                "--component",
                "shop",
                "--no-confirm",
                "--force",
            ])
            .await;
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(scene.weight("shop").await, 10);
        let (code, out, err) = scene.run(&["status", "-o", "json"]).await;
        assert_eq!(code, 0, "{err}");
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["daemon"]["alive"], true, "{out}");
        let shop = &value["rollouts"][0]["components"][0];
        assert_eq!(
            (&shop["component"], &shop["weight"]),
            (&json!("shop"), &json!(10.0)),
            "{out}"
        );
        let (code, out, err) = scene.run(&["rollback", "shop", "--no-confirm"]).await;
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(scene.weight("shop").await, 0);
        assert_eq!(scene.component("shop").await.state, State::RolledBack);
        assert!(waiting(&scene.object().await).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_and_nothing_is_left_behind() {
    on_cluster(async |scene| {
        scene.bring(&["shop"], &["5%"]).await;
        let raise = |name| ["-p", "10", "-c", name, "--no-confirm"];
        let (code, out, err) = scene.run(&raise("shop")).await;
        assert_eq!(code, 3, "no daemon is alive: {out}{err}");
        assert!(out.contains("no daemon is alive"), "{out}{err}");
        let paused = json!({"spec": {"paused": true}});
        scene
            .admin
            .merge(&scene.rollouts("demo"), &paused)
            .await
            .ok("pausing");
        scene.start("daemon-1").await;
        scene
            .until("seen", async |s| s.component("shop").await.since.is_some())
            .await;
        let (code, out, err) = scene.run(&raise("shop")).await;
        assert_eq!(code, 3, "it is paused: {out}{err}");
        let (code, _, err) = scene.run(&raise("terminal")).await;
        assert_eq!(code, 3, "there is none: {err}");
        assert!(err.contains("kind: GradualRollout"), "{err}");
        assert_eq!(scene.weight("shop").await, 0);
        assert!(waiting(&scene.object().await).is_empty());
    })
    .await;
}

/// Plays the daemon, so that the rollback surely comes while the program waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_while_a_raise_is_waited_for_has_an_exit_code_of_its_own() {
    on_cluster(async |scene| {
        scene.create(&rollout(&scene.ns, "demo", &["shop"], &["5%"])).await;
        let now = format!("{:.6}", Clock::System.now());
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "gradual-rollout"},
            "spec": {"holderIdentity": "test", "leaseDurationSeconds": 3600, "renewTime": now},
        });
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", scene.ns);
        scene.admin.post(&leases, &lease).await.ok("a Lease");
        let weight = json!({"asked": "5%", "written": "5%", "observed": "5%"});
        let shop = |state: &str| {
            json!({"name": "shop", "state": state, "reason": "Breach", "message": "it broke", "weight": weight})
        };
        let status = scene.rollouts("demo/status");
        let body = json!({"status": {"components": [shop("Walking")]}});
        scene.admin.merge(&status, &body).await.ok("a status");
        let program = super::scene::finish(
            scene
                .program(&["-p", "10", "-c", "shop", "--no-confirm"])
                .await,
        );
        let daemon = async {
            let key = super::cluster::until(
                "the command is given",
                async || waiting(&scene.object().await).pop(),
                async || format!("{:#}", scene.object().await),
            )
            .await;
            let id = key.rsplit('.').next().unwrap();
            let done = json!({"id": id, "verb": "set", "at": now, "result": "Accepted", "message": "shop: going to 10%"});
            let body = json!({"status": {"components": [shop("RolledBack")], "commands": [done]}});
            scene.admin.merge(&status, &body).await.ok("an answer");
        };
        let ((code, out, err), ()) = tokio::join!(program, daemon);
        assert_eq!(code, 2, "{out}{err}");
        assert!(out.contains("it broke"), "{out}{err}");
    })
    .await;
}
