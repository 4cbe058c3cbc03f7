//! Snippets that the controller acts upon are nobody's to remove.

use super::found;
use super::healthy::{controller, healthy, ingress, settings};
use crate::kinds::put;
use serde_json::{Value, json};

fn release(tag: &str) -> Value {
    let mut object = controller(&["--configmap=ingress-nginx/settings"]);
    let image = format!("registry.k8s.io/ingress-nginx/controller:{tag}");
    object["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    object
}

#[tokio::test]
async fn a_snippet_that_an_old_controller_acts_upon_is_not_called_inert() {
    for (tag, said, inert) in [
        ("v1.5.1", json!({}), false),
        ("our-build", json!({}), false),
        ("v1.11.3", json!({}), true),
        ("v1.5.1", json!({"allow-snippet-annotations": "false"}), true),
    ] {
        let (store, clock) = healthy();
        put(&store, release(tag));
        put(&store, settings(said.clone()));
        let notes = json!({"configuration-snippet": "deny all;"});
        put(&store, ingress("ns-ada", "shop", "shop.a.com", notes, "shop"));
        let (codes, said_all) = found(&store, &clock).await;
        let told = codes.iter().any(|(code, _)| code == "SNIPPET-INERT");
        assert_eq!(told, inert, "{tag} {said}: {}", said_all.out);
    }
}
