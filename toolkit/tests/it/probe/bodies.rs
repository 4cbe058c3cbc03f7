//! Bodies that do not arrive whole: a head alone is no answer.

use super::edge::{Arrived, Edge, Hands, Says, Sends};
use super::{ingress, plain, probe, with};
use crate::support::Said;
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;

/// One path's body as given, all else plain.
fn sending(body: Sends) -> impl Fn(&Arrived) -> Says + Send + Sync + 'static {
    move |arrived| {
        if arrived.https && arrived.target == "/foo/x/y" {
            plain(arrived).sending(body)
        } else {
            plain(arrived)
        }
    }
}

async fn bodies(nginx: Sends, istio: Sends) -> (Said, Store) {
    // Only what is migrated gets a mark.
    let mut migrated = ingress("ns-ada", "shop.a.com", &["/foo"], &[]);
    migrated["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
    let (store, clock) = with(vec![migrated]);
    let (nginx, istio) = (
        Edge::start(Hands::default(), sending(nginx)).await,
        Edge::start(Hands::default(), sending(istio)).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &["--timeout", "2"]).await;
    (said, store)
}

fn marked(store: &Store) -> bool {
    store.list("ingresses.networking.k8s.io")[0]
        .to_string()
        .contains("probed-at")
}

#[tokio::test]
async fn a_body_that_the_gateway_cuts_off_or_never_ends_is_a_blocker() {
    for (istio, told) in [
        (Sends::Cut, "istio: 200, its body cut off"),
        (Sends::Part, "istio: 200, its body not whole in time"),
    ] {
        let (said, store) = bodies(Sends::Whole, istio).await;
        assert_eq!(said.end.unwrap(), End::Refused);
        let line = format!("PROBE-CUT-OFF  shop.a.com: GET https://shop.a.com/foo/x/y: nginx: 200; {told}");
        assert!(said.out.contains(&line), "{}", said.out);
        assert!(!marked(&store));
    }
    // A stream that nginx holds open, and the gateway ends.
    let (said, _) = bodies(Sends::Part, Sends::Cut).await;
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(said.out.contains("PROBE-CUT-OFF  "), "{}", said.out);
}

#[tokio::test]
async fn a_body_that_ends_on_neither_side_is_told() {
    let (said, store) = bodies(Sends::Part, Sends::Part).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let line = "PROBE-CUT-OFF-BOTH  shop.a.com: GET https://shop.a.com/foo/x/y: nginx: 200, its body not whole in time;";
    assert!(said.out.contains(line), "{}", said.out);
    assert!(marked(&store));
}

#[tokio::test]
async fn a_body_longer_than_what_is_read_is_no_failure() {
    let (said, _) = bodies(Sends::Flood, Sends::Whole).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("alike: 0 blockers, 0 warnings"), "{}", said.out);
}
