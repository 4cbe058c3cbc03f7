//! What the Gateway API cannot say.

use super::{Case, canary, noted, plain};
use crate::given::{Done, Ingress, convert_with};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};

fn options(regular_expressions: bool) -> Options {
    Options {
        target: Target::GatewayApi(GatewayApi {
            regular_expressions,
            ..GatewayApi::default()
        }),
        ..Options::default()
    }
}

fn all(ingresses: &[Ingress]) -> Done {
    convert_with(ingresses, &[], &options(false))
}

fn by(notes: &[(&str, &str)]) -> Done {
    all(&[noted(notes)])
}

pub(super) fn cases() -> Vec<Case> {
    let passing = Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..options(false)
    };
    let closed = Ingress::new("a/y")
        .note("auth-type", "basic")
        .path("a.com", "Prefix", "/admin", "s");
    let many = (0..65).fold(Ingress::new("a/x"), |ingress, number| {
        let host = format!("h{number}.a.com");
        ingress
            .tls(&[&host], &format!("t{number}"))
            .path(&host, "Prefix", "/", "s")
    });
    let cookie = canary(&[("canary-by-cookie", "beta")]);
    vec![
        ("GATEWAY-REGEX", by(&[("use-regex", "true")])),
        (
            "GATEWAY-REGEX-ORDER",
            convert_with(&[noted(&[("use-regex", "true")])], &[], &options(true)),
        ),
        (
            "GATEWAY-REWRITE",
            by(&[("permanent-redirect", "https://h.org/x?y=1")]),
        ),
        (
            "GATEWAY-PATH",
            all(&[Ingress::new("a/x").path("a.com", "Prefix", "/a//b", "s")]),
        ),
        (
            "GATEWAY-ADDRESS-LIST",
            by(&[("whitelist-source-range", "10.0.0.0/8")]),
        ),
        ("GATEWAY-BACKEND", by(&[("backend-protocol", "HTTPS")])),
        ("GATEWAY-BALANCING", by(&[("affinity", "cookie")])),
        ("GATEWAY-BALANCING", by(&[("proxy-next-upstream", "off")])),
        (
            "GATEWAY-PASSTHROUGH",
            convert_with(&[noted(&[("ssl-passthrough", "true")])], &[], &passing),
        ),
        (
            "GATEWAY-WILDCARD",
            all(&[Ingress::new("a/x").path("*.a.com", "Prefix", "/", "s")]),
        ),
        ("GATEWAY-HOST-CLOSED", all(&[plain(), closed])),
        (
            "GATEWAY-CORS",
            by(&[("enable-cors", "true"), ("cors-allow-origin", "https://*.b.org")]),
        ),
        ("GATEWAY-CANARY", all(&[plain(), cookie])),
        ("GATEWAY-STATUS", all(&[Ingress::new("a/x").default("s")])),
        ("GATEWAY-LISTENERS", all(&[many])),
    ]
}
