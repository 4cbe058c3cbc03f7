//! Whether a back end of an Ingress answered, or its guard alone, and what of it is marked.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::suites::{is, sides};
use super::{against, ingress, plain, probe, with};
use gradual_rollout_apiserver::Store;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const LIST: (&str, &str) = ("whitelist-source-range", "10.0.0.0/8");
const PROBED: &str = "rollout.sealos.io/probed-at";
const EDGE: &str = "rollout.sealos.io/edge-probed-at";

/// A migrated Ingress with a name of its own.
fn migrated(name: &str, host: &str, path: &str, annotations: &[(&str, &str)]) -> Value {
    let mut one = ingress("ns-ada", host, &[path], annotations);
    one["metadata"]["name"] = name.into();
    one["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
    one
}

fn mark(store: &Store, name: &str, of: &str) -> bool {
    let one = store.get("ingresses.networking.k8s.io", "ns-ada", name).unwrap();
    one["metadata"]["annotations"][of].is_string()
}

/// Whoever asks for /admin is kept out, as who is not on its list.
fn kept_out(arrived: &Arrived) -> Says {
    if arrived.target.starts_with("/admin") {
        return says(403);
    }
    plain(arrived)
}

#[tokio::test]
async fn an_ingress_of_which_only_its_guard_answered_is_told_by_name_and_not_marked_unless_that_is_agreed_with()
 {
    let (store, clock) = with(vec![
        migrated("admin", "shop.a.com", "/admin", &[LIST]),
        migrated("tools", "shop.a.com", "/admin-tools", &[LIST]),
        migrated("shop", "shop.a.com", "/foo", &[]),
    ]);
    let (nginx, istio) = (
        Edge::start(Hands::default(), kept_out).await,
        Edge::start(Hands::default(), kept_out).await,
    );
    let said = probe(&store, &clock, &nginx, &istio, &["--suite", "routes,edge"]).await;
    for name in ["admin", "tools"] {
        let line = format!("(Ingress ns-ada/{name}; its guard answers by itself): nginx: 403; istio: 403");
        assert!(said.out.contains(&line), "{}", said.out);
        // Nothing is known to be wrong, so the edge has its mark.
        assert!(!mark(&store, name, PROBED) && mark(&store, name, EDGE), "{name}");
    }
    assert!(mark(&store, "shop", PROBED), "a back end of it answered");
    assert!(!said.out.contains("PROBE-BACKEND-UNTOLD"), "{}", said.out);
    is(said, End::Refused, "2 blockers");
    let agreed = ["--accept", "probe-no-backend"];
    let said = probe(&store, &clock, &nginx, &istio, &agreed).await;
    is(said, End::Done, "0 blockers, 2 warnings");
    assert!(mark(&store, "admin", PROBED) && mark(&store, "tools", PROBED));
    // A run from elsewhere sees nothing, and takes nothing off.
    let said = probe(&store, &clock, &nginx, &istio, &[]).await;
    is(said, End::Refused, "2 blockers");
    assert!(mark(&store, "admin", PROBED));
}

#[tokio::test]
async fn a_back_end_behind_a_guard_that_lets_in_is_one_and_a_page_to_sign_in_at_is_none() {
    for (guard, answer, answered) in [
        (LIST, 200, true),
        (("auth-url", "https://auth.a.com"), 401, false),
        (("auth-signin", "https://auth.a.com"), 302, false),
    ] {
        let auth = [("auth-url", "https://auth.a.com"), guard];
        let notes = if guard == LIST { &auth[1..] } else { &auth[..] };
        let (store, clock) = with(vec![migrated("one", "shop.a.com", "/foo", notes)]);
        let same = move |arrived: &Arrived| {
            if arrived.https {
                let location = if answer == 302 { "https://auth.a.com/" } else { "" };
                return says(answer).with("location", location);
            }
            plain(arrived)
        };
        let (nginx, istio) = (
            Edge::start(Hands::default(), same).await,
            Edge::start(Hands::default(), same).await,
        );
        let said = probe(&store, &clock, &nginx, &istio, &[]).await;
        assert_eq!(mark(&store, "one", PROBED), answered, "{answer}: {}", said.out);
        assert_eq!(said.end.unwrap() == End::Done, answered, "{answer}: {}", said.out);
    }
}

#[tokio::test]
async fn a_no_on_both_sides_is_a_back_ends_only_where_one_of_them_shows_that_it_was_asked() {
    for (header, answered) in [
        (("x-backend", "shop"), true),
        (("x-envoy-upstream-service-time", "3"), true),
        (("server", "envoy"), false),
    ] {
        let no = move |arrived: &Arrived| {
            if arrived.https {
                return says(401).with(header.0, header.1);
            }
            plain(arrived)
        };
        let cluster = with(vec![migrated("one", "shop.a.com", "/foo", &[])]);
        let said = sides(cluster, no, no, "routes").await;
        assert_eq!(
            said.end.unwrap() == End::Done,
            answered,
            "{header:?}: {}",
            said.out
        );
        assert_eq!(!said.out.contains("PROBE-NO-BACKEND  "), answered, "{}", said.out);
    }
}

#[tokio::test]
async fn what_is_dead_is_not_agreed_with_and_no_other_code_can_be() {
    let dead = |arrived: &Arrived| if arrived.https { says(503) } else { plain(arrived) };
    let cluster = || with(vec![migrated("one", "shop.a.com", "/foo", &[])]);
    let said = sides(cluster(), dead, dead, "routes --accept PROBE-NO-BACKEND").await;
    is(said, End::Refused, "PROBE-NO-BACKEND  shop.a.com");
    let said = sides(cluster(), plain, plain, "routes --accept PROBE-STATUS").await;
    let told = format!("{:?}", said.end);
    assert!(
        told.contains("what may be accepted is PROBE-NO-BACKEND"),
        "{told}"
    );
}

#[tokio::test]
async fn a_preflight_that_the_gateways_list_keeps_out_is_one_finding_and_no_blocker_whichever_suites_meet_it()
{
    let notes = [
        ("enable-cors", "true"),
        ("cors-allow-origin", "https://b.com"),
        LIST,
    ];
    let (store, clock) = with(vec![migrated("one", "shop.a.com", "/foo", &notes)]);
    // nginx writes what it says of origins on whatever it answers.
    let ours = |arrived: &Arrived| {
        let status = if arrived.method == "OPTIONS" && !arrived.header("origin").is_empty() {
            204
        } else {
            403
        };
        let answer = says(status).with("access-control-allow-methods", "GET");
        if arrived.header("origin") == "https://b.com" {
            answer.with("access-control-allow-origin", "https://b.com")
        } else {
            says(403)
        }
    };
    let (nginx, istio) = (
        Edge::start(Hands::default(), ours).await,
        Edge::start(Hands::default(), |_: &Arrived| says(403)).await,
    );
    let words = ["--suite", "routes,cors,guards", "--accept", "PROBE-NO-BACKEND"];
    let said = probe(&store, &clock, &nginx, &istio, &words).await;
    assert!(!said.out.contains("PROBE-CORS"), "{}", said.out);
    assert_eq!(said.out.matches("PROBE-PREFLIGHT  ").count(), 1, "{}", said.out);
    assert!(mark(&store, "one", PROBED), "{}", said.out);
    let whole = probe(
        &store,
        &clock,
        &nginx,
        &istio,
        &[&words[..], &["--json"]].concat(),
    )
    .await;
    let whole: Value = serde_json::from_str(&whole.out).unwrap();
    let questions: Vec<&str> = whole["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["code"] == "PROBE-PREFLIGHT")
        .map(|one| one["question"].as_str().unwrap())
        .collect();
    assert_eq!(
        questions,
        [
            "OPTIONS https://shop.a.com/foo from https://b.com",
            "GET https://shop.a.com/foo from https://b.com"
        ],
        "each is told once"
    );
    is(said, End::Done, "0 blockers");
    // Where no list is to blame, browsers do lose it.
    let cluster = with(vec![migrated("one", "shop.a.com", "/foo", &notes[..2])]);
    let said = sides(cluster, ours, |_: &Arrived| says(403), "cors").await;
    is(said, End::Refused, "PROBE-CORS");
}

#[tokio::test]
async fn a_spelling_foresees_what_one_back_end_may_say_of_it_and_nothing_that_the_gateway_does() {
    let spelled = |status: u16, header: &'static str, value: &'static str| {
        move |arrived: &Arrived| {
            let mut says = plain(arrived);
            if arrived.https && arrived.target == "/foo/y/../x" {
                says.status = status;
                says.headers.retain(|(name, _)| *name != header);
                if !value.is_empty() {
                    says = says.with(header, value);
                }
            }
            says
        }
    };
    let asked = "shop.a.com: GET https://shop.a.com/foo/y/../x";
    // It may not know one of two spellings.
    let said = against(spelled(404, "x-none", ""), &[]).await;
    is(said, End::Done, &format!("PROBE-FORESEEN  {asked}"));
    for status in [204, 302, 500, 503] {
        let said = against(spelled(status, "x-none", ""), &[]).await;
        is(said, End::Refused, &format!("PROBE-STATUS  {asked}"));
    }
    let said = against(spelled(200, "content-type", "text/plain"), &[]).await;
    is(said, End::Done, &format!("PROBE-FORESEEN  {asked}"));
    let said = against(spelled(200, "strict-transport-security", "max-age=1"), &[]).await;
    is(said, End::Done, &format!("PROBE-HEADER  {asked}"));
}
