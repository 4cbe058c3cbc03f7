//! Whose word the admission policy makes true: as it is shipped everybody's, and narrowed in any way nobody's.

use crate::inbound::install_policy;
use crate::support::world::World;
use gradual_rollout::cluster::by_hand::ByHand;
use gradual_rollout::cluster::connect::Clients;
use serde_json::{Value, json};

const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";

/// Whether commands are guarded where one of the two is otherwise than it is shipped.
async fn guarded(kind: &str, change: impl FnOnce(&mut Value)) -> bool {
    let world = World::new();
    install_policy(&world);
    let found = world.store.list(kind);
    let mut object = (*found[0]).clone();
    change(&mut object);
    world.store.put(object).unwrap();
    let hand = ByHand::new(Clients::from_service(world.store.router()).fast);
    hand.commands_are_guarded().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_narrowed_in_any_way_makes_nobodys_name_true() {
    type Narrowing = (&'static str, fn(&mut Value));
    let narrowings: [Narrowing; 13] = [
        ("only what is made", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE"]);
        }),
        ("only what is changed", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["operations"] = json!(["UPDATE"]);
        }),
        ("one rollout", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["resourceNames"] = json!(["demo"]);
        }),
        ("another kind", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["resources"] = json!(["configmaps"]);
        }),
        ("another version", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["apiVersions"] = json!(["v9"]);
        }),
        ("what has no namespace", |spec| {
            spec["matchConstraints"]["resourceRules"][0]["scope"] = json!("Cluster");
        }),
        ("all but some", |spec| {
            let rule = spec["matchConstraints"]["resourceRules"][0].clone();
            spec["matchConstraints"]["excludeResourceRules"] = json!([rule]);
        }),
        ("some namespaces", |spec| {
            spec["matchConstraints"]["namespaceSelector"] = json!({"matchLabels": {"guarded": "yes"}});
        }),
        ("some objects", |spec| {
            spec["matchConstraints"]["objectSelector"] =
                json!({"matchExpressions": [{"key": "guarded", "operator": "Exists"}]});
        }),
        ("under a condition", |spec| {
            spec["matchConditions"] =
                json!([{"name": "some", "expression": "request.userInfo.username != 'eve'"}]);
        }),
        ("one verb is asked for no more", |spec| {
            let all = spec["validations"].as_array_mut().unwrap();
            all.retain(|v| !v["expression"].as_str().unwrap().contains("check('rollback')"));
        }),
        ("another verb is asked for", |spec| {
            let text = spec["validations"]
                .to_string()
                .replace("check('approve')", "check('pause')");
            spec["validations"] = serde_json::from_str(&text).unwrap();
        }),
        ("it sees no commands", |spec| {
            spec["variables"][2]["expression"] = json!("[]");
        }),
    ];
    for (what, narrow) in narrowings {
        assert!(
            !guarded(POLICIES, |policy| narrow(&mut policy["spec"])).await,
            "{what}"
        );
    }
    assert!(!guarded(BINDINGS, |b| b["spec"]["validationActions"] = json!(["Warn"])).await);
    let some = json!({"namespaceSelector": {"matchLabels": {"guarded": "yes"}}});
    assert!(!guarded(BINDINGS, |b| b["spec"]["matchResources"] = some).await);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_asks_for_more_or_is_filled_in_by_the_api_server_still_guards() {
    assert!(guarded(POLICIES, |_| {}).await);
    let whole = guarded(POLICIES, |policy| {
        let spec = &mut policy["spec"];
        spec["matchConstraints"]["matchPolicy"] = json!("Equivalent");
        spec["matchConstraints"]["namespaceSelector"] = json!({});
        spec["matchConstraints"]["objectSelector"] = json!({});
        spec["matchConstraints"]["resourceRules"][0]["scope"] = json!("*");
        spec["matchConstraints"]["resourceRules"][0]["operations"] = json!(["*"]);
        let more = json!({"expression": "object.metadata.name != 'never'", "message": "a rule of our own"});
        spec["validations"].as_array_mut().unwrap().push(more);
    });
    assert!(whole.await);
}
