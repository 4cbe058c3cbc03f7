//! CORS: what browsers make of both sides' answers.

use super::edge::{Arrived, Says, says};
use super::plain;
use super::suites::{is, shop, sides};
use gradual_rollout_toolkit::trouble::End;

fn cors(arrived: &Arrived, origin: &str, methods: &str, status: u16) -> Says {
    if arrived.method == "OPTIONS" && arrived.header("origin") == origin {
        return says(status)
            .with("access-control-allow-origin", origin)
            .with("access-control-allow-credentials", "true")
            .with("access-control-allow-methods", methods)
            .with("access-control-max-age", "1728000");
    }
    plain(arrived)
}

#[tokio::test]
async fn a_preflight_is_alike_if_browsers_act_alike() {
    let cluster = || shop(&[("enable-cors", "true"), ("cors-allow-origin", "https://*.b.com")]);
    let nginx = |arrived: &Arrived| cors(arrived, "https://probe.b.com", "GET, PUT", 204);
    // 200 or 204, and the order of methods, are nothing to a browser.
    let same = |arrived: &Arrived| cors(arrived, "https://probe.b.com", "PUT,GET", 200);
    is(sides(cluster(), nginx, same, "cors").await, End::Done, "alike");
    let fewer = |arrived: &Arrived| cors(arrived, "https://probe.b.com", "GET", 200);
    is(
        sides(cluster(), nginx, fewer, "cors").await,
        End::Refused,
        "methods get put",
    );
    let foreign = |arrived: &Arrived| match arrived.header("origin") {
        "https://foreign.invalid" => cors(arrived, "https://foreign.invalid", "GET", 204),
        _ => cors(arrived, "https://probe.b.com", "GET, PUT", 204),
    };
    let line = "OPTIONS https://shop.a.com/foo from https://foreign.invalid: nginx: the origin is not allowed; istio: origin https://foreign.invalid";
    is(sides(cluster(), nginx, foreign, "cors").await, End::Refused, line);
}

/// Answers whoever asks, with this origin, or with the asking one.
fn any(origin: Option<&'static str>, credentials: bool) -> impl Fn(&Arrived) -> Says + Send + Sync + 'static {
    move |arrived| {
        let asking = arrived.header("origin").to_owned();
        let mut answer = plain(arrived).with("access-control-allow-origin", origin.unwrap_or(&asking));
        if credentials {
            answer = answer.with("access-control-allow-credentials", "true");
        }
        if arrived.method == "OPTIONS" {
            answer = answer.with("access-control-allow-methods", "GET, PUT");
        }
        answer
    }
}

#[tokio::test]
async fn any_origin_as_nginx_allows_it_and_as_envoy_does_are_alike_but_where_credentials_become_of_use() {
    for switch in ["true", "True", "1"] {
        let cluster = || shop(&[("enable-cors", switch)]);
        let nginx = || any(Some("*"), true);
        let said = sides(cluster(), nginx(), any(None, false), "cors").await;
        assert!(said.out.contains("asked: cors 3"), "{switch}: {}", said.out);
        is(said, End::Done, "alike: 0 blockers");
        // To * a browser sends none, whatever nginx says of them; to its own name it does.
        let line = "PROBE-CORS  shop.a.com: OPTIONS https://shop.a.com/foo from https://probe.example: nginx: \
                    origin *, credentials true, passed";
        is(
            sides(cluster(), nginx(), any(None, true), "cors").await,
            End::Refused,
            line,
        );
        // Another name than the one that asks is of no use to it.
        let other = any(Some("https://other.example"), false);
        is(
            sides(cluster(), nginx(), other, "cors").await,
            End::Refused,
            "PROBE-CORS",
        );
    }
    let off = sides(shop(&[("enable-cors", "false")]), plain, plain, "cors").await;
    is(off, End::Done, "asked: cors 0");
}
