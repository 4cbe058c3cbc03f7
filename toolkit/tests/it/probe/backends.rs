//! Which back end answered, as far as the answers tell.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::suites::is;
use super::{against, ingress, plain, probe, probed, with};
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;

/// The same answer, and nobody says whose it is.
fn silent(arrived: &Arrived) -> Says {
    let mut says = plain(arrived);
    says.headers.retain(|(name, _)| *name != "x-backend");
    says
}

#[tokio::test]
async fn a_back_end_that_only_one_side_names_is_another_one() {
    let silent_once = |arrived: &Arrived| {
        if arrived.target == "/foo/x/y" {
            silent(arrived)
        } else {
            plain(arrived)
        }
    };
    is(
        against(silent_once, &[]).await,
        End::Refused,
        "PROBE-BACKEND  shop.a.com: GET https://shop.a.com/foo/x/y: nginx: shop; istio: no back end named",
    );
    // Nothing is there for nginx, and an application says so at the gateway.
    let too_wide = |arrived: &Arrived| {
        if arrived.https && arrived.target == "/fooxyz" {
            plain(arrived).with("x-backend", "other")
        } else {
            plain(arrived)
        }
    };
    is(
        against(too_wide, &[]).await,
        End::Refused,
        "PROBE-BACKEND  shop.a.com: GET https://shop.a.com/fooxyz: nginx: no back end named; istio: other",
    );
    // By another header all of it is nobody's.
    is(
        against(silent_once, &["--backend-header", "x-served-by"]).await,
        End::Done,
        "PROBE-BACKEND-UNTOLD  shop.a.com",
    );
}

#[tokio::test]
async fn a_wrong_back_end_is_not_foreseen_as_the_path_is_spelled_otherwise_there() {
    // Envoy sends on /foo/x, nginx what it was asked for: the same back end reads either.
    let dots = |name: &'static str| {
        move |arrived: &Arrived| {
            if arrived.https && arrived.target == "/foo/y/../x" {
                says(200)
                    .with("x-backend", name)
                    .with("content-type", "text/plain")
            } else {
                plain(arrived)
            }
        }
    };
    let line = "PROBE-FORESEEN  shop.a.com: GET https://shop.a.com/foo/y/../x";
    is(against(dots("shop"), &[]).await, End::Done, line);
    let line = "PROBE-BACKEND  shop.a.com: GET https://shop.a.com/foo/y/../x: nginx: shop; istio: other";
    is(against(dots("other"), &[]).await, End::Refused, line);
}

#[tokio::test]
async fn where_no_answer_names_its_back_end_it_is_told_that_a_wrong_one_would_not_be_seen() {
    let hosts = ["one.a.com", "two.a.com", "shop.a.com"];
    let all = || {
        let migrated = hosts.map(|host| {
            let mut one = ingress("ns-ada", host, &["/"], &[]);
            one["metadata"]["labels"] = json!({"sealos.io/migrated-to-istio": "true"});
            one
        });
        with(migrated.into())
    };
    let naming = |names: bool| {
        move |arrived: &Arrived| match arrived.host.as_str() {
            "shop.a.com" if names => says(200).with("x-backend", "shop"),
            _ => says(200),
        }
    };
    let run = async |names: bool, more: &[&str]| {
        let (store, clock) = all();
        let (nginx, istio) = (
            Edge::start(Hands::default(), naming(names)).await,
            Edge::start(Hands::default(), naming(names)).await,
        );
        let said = probe(&store, &clock, &nginx, &istio, more).await;
        (said, probed(&store))
    };
    let (said, _) = run(true, &[]).await;
    for (host, told) in [("one.a.com", true), ("two.a.com", true), ("shop.a.com", false)] {
        let line = format!("PROBE-BACKEND-UNTOLD  {host}: ");
        assert_eq!(said.out.contains(&line), told, "{}", said.out);
    }
    // One line for all where all are silent. It is a warning: who cannot make them tell still gets the mark.
    let (said, marked) = run(false, &[]).await;
    assert_eq!(
        said.out.matches("PROBE-BACKEND-UNTOLD").count(),
        1,
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("answers of back ends of 3 hosts: nginx: no x-backend"),
        "{}",
        said.out
    );
    is(said, End::Done, "PROBE-BACKEND-UNTOLD  all hosts: ");
    assert!(marked);
    let (said, marked) = run(false, &["--strict"]).await;
    is(said, End::Refused, "PROBE-BACKEND-UNTOLD");
    println!("{marked}");
}
