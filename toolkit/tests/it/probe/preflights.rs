//! Guards that GETs meet and OPTIONS do not, asked for without any suite being named.

use super::edge::{Arrived, Edge, Hands, Says, says};
use super::suites::{is, shop, sides};
use super::{ingress, with};
use gradual_rollout_toolkit::trouble::End;

/// As nginx does: preflights from the origin are answered before anybody is asked, all else is kept out.
fn guarded(status: u16) -> impl Fn(&Arrived) -> Says + Clone + Send + Sync + 'static {
    move |arrived| {
        let preflight = arrived.method == "OPTIONS" && arrived.header("origin") == "https://b.com";
        if preflight {
            return says(204)
                .with("access-control-allow-origin", "https://b.com")
                .with("access-control-allow-methods", "GET");
        }
        says(status)
    }
}

/// Its guard keeps the questions out, and that is agreed with.
const ACCEPTED: &str = "routes --accept PROBE-NO-BACKEND";
const ORIGIN: (&str, &str) = ("cors-allow-origin", "https://b.com");
const LIST: (&str, &str) = ("whitelist-source-range", "10.0.0.0/8");

#[tokio::test]
async fn a_guard_that_options_do_not_meet_at_the_gateway_is_a_blocker_without_any_suite_being_named() {
    for (guard, status) in [(LIST, 403), (("auth-url", "https://auth.a.com"), 401)] {
        let cluster = || shop(&[("enable-cors", "true"), ORIGIN, guard]);
        let nginx = guarded(status);
        let alike = sides(cluster(), nginx.clone(), nginx.clone(), ACCEPTED).await;
        is(alike, End::Done, "alike: 0 blockers");
        let lost = {
            let nginx = nginx.clone();
            move |arrived: &Arrived| {
                let said = nginx(arrived);
                if arrived.method == "OPTIONS" && said.status != 204 {
                    says(200)
                } else {
                    said
                }
            }
        };
        let line = format!(
            "PROBE-OPEN  shop.a.com: OPTIONS https://shop.a.com/foo from https://foreign.invalid: nginx: {status}; \
             istio: 200 (and 1 more)"
        );
        is(sides(cluster(), nginx, lost, "routes").await, End::Refused, &line);
    }
}

#[tokio::test]
async fn a_preflight_that_the_gateway_guards_is_a_blocker_but_for_an_address_that_may_do_nothing_else_either()
{
    for (guard, status, end, code) in [
        (
            ("auth-url", "https://auth.a.com"),
            401,
            End::Refused,
            "PROBE-CORS",
        ),
        (LIST, 403, End::Done, "PROBE-PREFLIGHT"),
    ] {
        let cluster = shop(&[("enable-cors", "true"), ORIGIN, guard]);
        let line = format!(
            "{code}  shop.a.com: OPTIONS https://shop.a.com/foo from https://b.com: nginx: 204; istio: {status}"
        );
        let said = sides(cluster, guarded(status), move |_| says(status), ACCEPTED).await;
        is(said, end, &line);
    }
}

#[tokio::test]
async fn options_are_asked_for_each_path_with_a_guard_and_for_no_other() {
    for (annotations, wanted) in [
        (vec![("enable-cors", "true"), LIST], 6),
        (vec![("enable-cors", "true")], 0),
        (vec![LIST], 0),
    ] {
        let (store, clock) = with(vec![ingress(
            "ns-ada",
            "shop.a.com",
            &["/foo", "/bar"],
            &annotations,
        )]);
        let (nginx, istio) = (
            Edge::start(Hands::default(), guarded(403)).await,
            Edge::start(Hands::default(), guarded(403)).await,
        );
        super::probe(&store, &clock, &nginx, &istio, &[])
            .await
            .end
            .unwrap();
        let seen = istio.seen.lock().unwrap();
        let options: Vec<&str> = seen
            .iter()
            .filter(|one| one.method == "OPTIONS")
            .map(|one| one.target.as_str())
            .collect();
        assert_eq!(options.len(), wanted, "{annotations:?}: {options:?}");
        assert_eq!(options.contains(&"/bar"), wanted > 0);
    }
}
