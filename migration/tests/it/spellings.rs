//! Paths whose spelling hides whose they are, and paths that no request has.

use crate::envoy::get;
use crate::given::{Done, Ingress, convert_all, convert_with};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use serde_json::Value;

const LIST: (&str, &str) = ("whitelist-source-range", "10.0.0.0/8");
const AUTH: (&str, &str) = ("auth-url", "http://auth/x");

fn guarded((name, value): (&str, &str), path: &str) -> Ingress {
    Ingress::new("a/guarded")
        .note(name, value)
        .path("h.com", "Prefix", path, "s")
}

fn open(kind: &str, path: &str) -> Ingress {
    Ingress::new("a/open").path("h.com", kind, path, "s")
}

fn answers(done: &Done, wanted: &[(&str, &str)]) {
    for (path, answer) in wanted {
        assert_eq!(done.answer(&get("h.com", path)), *answer, "{path}");
    }
}

/// Dot segments that lead out of `/pub`, in every way in which Envoy leaves them as they came.
const OUT: &[&str] = &[
    "/pub/..%2fsecret",
    "/pub/..%2Fsecret",
    "/pub/x%2f..%2f..%2fsecret",
    "/pub/..%2f",
    "/pub%2f../secret",
];

#[test]
fn no_dot_segment_leads_out_of_an_open_path_into_a_guarded_one() {
    for guard in [LIST, AUTH] {
        for outer in ["/", "/secret"] {
            let done = convert_all(&[guarded(guard, outer), open("Prefix", "/pub")]);
            for path in OUT {
                answers(&done, &[(path, "503")]);
            }
            answers(
                &done,
                &[
                    ("/pub/a%2fb", "s /pub/a%2fb"),
                    ("/pub/.well-known", "s /pub/.well-known"),
                    ("/pub/..x", "s /pub/..x"),
                ],
            );
            assert!(done.told("guarded", "PATH-SPELLING"), "{guard:?} {outer}");
        }
    }
}

#[test]
fn where_all_is_protected_alike_or_nothing_served_has_paths_below_it_no_spelling_is_closed() {
    let all = |ingresses: &[Ingress]| convert_all(ingresses).says("cannot be judged");
    assert!(!all(&[guarded(LIST, "/"), guarded(LIST, "/pub")]));
    assert!(!all(&[open("Prefix", "/"), open("Prefix", "/pub")]));
    assert!(!all(&[guarded(LIST, "/"), open("Exact", "/pub")]));
    assert!(all(&[guarded(LIST, "/"), open("Prefix", "/pub")]));
    // Another list protects otherwise.
    let other = Ingress::new("a/other")
        .note(LIST.0, "10.1.0.0/16")
        .path("h.com", "Prefix", "/pub", "s");
    assert!(all(&[guarded(LIST, "/"), other]));
}

#[test]
fn with_expressions_no_slash_that_nginx_takes_otherwise_opens_a_guarded_path() {
    let regex = |ingress: Ingress| ingress.note("use-regex", "true");
    let longer = "/admin/(.*)/public";
    let done = convert_all(&[
        regex(guarded(AUTH, "/admin")),
        regex(open("ImplementationSpecific", longer)),
    ]);
    answers(
        &done,
        &[
            ("/admin//public", "503"),
            ("/admin%2f/public", "503"),
            ("/admin/..%2fadmin/x/public", "503"),
            ("/admin/x/public", "s /admin/x/public"),
            ("/admin", "503"),
        ],
    );
    // Tried later than what is guarded, an expression opens no slash of it.
    let done = convert_all(&[
        regex(guarded(AUTH, "/admin")),
        regex(open("ImplementationSpecific", "/(.*)")),
    ]);
    answers(
        &done,
        &[("/x//y", "s /x//y"), ("//admin", "503"), ("/x/..%2fadmin", "503")],
    );
}

#[test]
fn through_http_routes_nothing_of_a_host_is_served_whose_spellings_cannot_be_closed() {
    let options = Options {
        target: Target::GatewayApi(GatewayApi::default()),
        ..Options::default()
    };
    for guard in [LIST, AUTH] {
        let done = convert_with(&[guarded(guard, "/"), open("Prefix", "/pub")], &[], &options);
        assert!(done.told("open", "GATEWAY-HOST-CLOSED"), "{guard:?}");
        assert!(!done.says("backendRefs"), "{guard:?}");
    }
}

#[test]
fn a_path_that_nginx_never_has_a_request_for_is_no_route_and_no_exemption() {
    for never in [
        "/admin//x",
        "//admin",
        "/admin/./x",
        "/admin/../x",
        "/admin/x/..",
        "/admin/.",
        "/admin//",
    ] {
        let ghostly = open("ImplementationSpecific", never);
        let root = Ingress::new("a/root").path("h.com", "Prefix", "/", "r");
        let done = convert_all(&[guarded(LIST, "/admin"), ghostly.clone(), root.clone()]);
        assert!(done.told("open", "PATH-NEVER"), "{never}");
        assert!(done.conversion.report.refused(), "{never}");
        let policies = done.objects("AuthorizationPolicy");
        let operation: &Value = &policies[0]["spec"]["rules"][0]["to"][0]["operation"];
        assert!(operation.get("notPaths").is_none(), "{never}: {operation}");
        assert!(!done.says(&format!("{never:?}")), "{never}");
        // What nginx does with such a request, Envoy does: it is that of the guarded path, or of the root.
        if never == "/admin//x" {
            answers(&done, &[(never, "s /admin//x")]);
        }
        let done = convert_all(&[guarded(AUTH, "/admin"), ghostly, root]);
        assert!(
            ["503", "r //admin"].contains(&done.answer(&get("h.com", never)).as_str()),
            "{never}"
        );
    }
    let regex = open("ImplementationSpecific", "/admin//x").note("use-regex", "true");
    let root = Ingress::new("a/root").path("h.com", "Prefix", "/", "r");
    let done = convert_all(&[guarded(AUTH, "/admin"), regex, root]);
    assert!(done.told("open", "PATH-NEVER") && !done.told("root", "BEHIND-REFUSED"));
    answers(&done, &[("/admin//x", "503"), ("/x", "r /x")]);
}
