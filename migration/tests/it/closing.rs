//! What is refused is closed: nobody else on the host, no wildcard and no other spelling has its requests.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, convert_all, convert_objects, convert_with, service};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

const AUTH: (&str, &str) = ("auth-url", "http://auth/x");

fn guarded(host: &str, path: &str) -> Ingress {
    Ingress::new("a/guarded")
        .note(AUTH.0, AUTH.1)
        .path(host, "Prefix", path, "g")
}

fn answers(done: &Done, host: &str, wanted: &[(&str, &str)]) {
    for (path, answer) in wanted {
        assert_eq!(done.answer(&get(host, path)), *answer, "{host}{path}");
    }
}

#[test]
fn a_refused_host_is_closed_under_a_wildcard_and_the_catch_all() {
    let catch_all = Ingress::new("a/all").default("all");
    let wild = Ingress::new("a/wild").path("*.a.com", "Prefix", "/", "w");
    let done = convert_all(&[guarded("x.a.com", "/"), wild.clone()]);
    answers(&done, "x.a.com", &[("/", "503"), ("/y", "503")]);
    answers(&done, "y.a.com", &[("/", "w /")]);
    let done = convert_all(&[guarded("x.b.com", "/"), catch_all.clone()]);
    answers(&done, "x.b.com", &[("/", "503")]);
    // A Service that is missing closes too: the wildcard's is another one.
    let missing = Ingress::new("b/missing").path("x.a.com", "Prefix", "/", "no");
    let done = convert_objects(&[missing.0, wild.0, service("a/w")], &Options::default());
    answers(&done, "x.a.com", &[("/", "503")]);
    // A host without a dot cannot have a VirtualService of its own.
    let done = convert_all(&[guarded("localhost", "/"), catch_all]);
    let named = |vs: &&&Value| vs["spec"]["hosts"][0] == "localhost";
    assert_eq!(done.objects("VirtualService").iter().filter(named).count(), 0);
    answers(&done, "localhost", &[("/", "503")]);
    answers(&done, "other.com", &[("/", "all /")]);
}

#[test]
fn a_path_that_cannot_be_said_is_closed_by_something_wider() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/", "o");
    let done = convert_all(&[guarded("h.com", "/管理"), open.clone()]);
    let encoded = "/%E7%AE%A1%E7%90%86";
    answers(
        &done,
        "h.com",
        &[
            (encoded, "503"),
            (&encoded.to_lowercase(), "503"),
            ("/管理/x", "503"),
            ("/", "o /"),
        ],
    );
    assert!(done.told("guarded", "PATH-ENCODING"));
    let regex = |path: &str| guarded("h.com", path).note("use-regex", "true");
    for (path, closed) in [
        ("/admin(?!x)", "/admin"),
        ("/admin(?=/)/y", "/ADMIN/y"),
        ("/a|/b(?!x)", "/zz"),
        ("/a[|]/(?!x)", "/a"),
    ] {
        let done = convert_all(&[regex(path), open.clone()]);
        assert!(done.told("guarded", "PATH-PCRE"), "{path}");
        // Where everything is closed the host is not there at all.
        let answer = if closed.starts_with("/adm") || closed.starts_with("/ADM") {
            "503"
        } else {
            "none"
        };
        answers(&done, "h.com", &[(closed, answer)]);
    }
    let done = convert_all(&[regex("/admin(?!x)"), open.clone()]);
    answers(
        &done,
        "h.com",
        &[("/", "o /"), ("/other", "o /other"), ("/adminz", "503")],
    );
    for (target, code) in [("/x?y=$1", "REWRITE-TARGET"), ("/$http_x", "REWRITE-TARGET")] {
        let ingress = regex("/admin(.*)").note("rewrite-target", target);
        let done = convert_all(&[ingress, open.clone()]);
        assert!(done.told("guarded", code), "{target}");
        answers(&done, "h.com", &[("/admin", "503"), ("/", "o /")]);
    }
    let done = convert_all(&[regex("/admin(?<x>y)").note("rewrite-target", "/$1"), open.clone()]);
    answers(&done, "h.com", &[("/adminy", "503")]);
    let long = format!("/admin/{}", "(x|y)".repeat(300));
    let done = convert_all(&[regex(&long), open]);
    assert!(done.told("guarded", "REGEX-LONG"));
    answers(
        &done,
        "h.com",
        &[(&format!("/admin/{}", "x".repeat(300)), "503"), ("/", "o /")],
    );
}

#[test]
fn a_path_behind_one_that_closes_everything_is_refused_too() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/short", "o");
    let shut = guarded("h.com", "(?!x)/long-enough").note("use-regex", "true");
    let shut = shut.path("h.com", "Prefix", "/(?!x)/long-enough", "g");
    let done = convert_all(&[shut, open]);
    answers(&done, "h.com", &[("/short", "none")]);
    assert!(
        done.ingress("open").paths[0]
            .codes
            .iter()
            .any(|code| code.text() == "PATH-PCRE")
    );
    assert!(done.conversion.report.refused());
}

#[test]
fn a_lost_control_of_the_whole_host_closes_all_of_it_under_a_wildcard_too() {
    let guard = Ingress::new("a/guard")
        .note("auth-tls-secret", "a/ca")
        .path("h.a.com", "Prefix", "/a", "s");
    let other = Ingress::new("a/other").path("h.a.com", "Prefix", "/", "s");
    let wild = Ingress::new("a/wild").path("*.a.com", "Prefix", "/", "w");
    let done = convert_all(&[guard, other, wild]);
    answers(&done, "h.a.com", &[("/", "503"), ("/a", "503")]);
}

#[test]
fn other_spellings_of_a_closed_path_are_closed() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/", "o");
    let done = convert_all(&[guarded("h.com", "/admin"), open.clone()]);
    for path in [
        "/admin",
        "/admin/",
        "//admin",
        "//admin//x",
        "/admin%2Fx",
        "/%2fadmin",
        "/admin/x",
    ] {
        answers(&done, "h.com", &[(path, "503")]);
    }
    answers(
        &done,
        "h.com",
        &[("/administrator", "o /administrator"), ("//x", "o //x")],
    );
    let regex = guarded("h.com", "/admin/(.*)").note("use-regex", "true");
    let done = convert_all(&[regex, open]);
    answers(
        &done,
        "h.com",
        &[("//Admin//x", "503"), ("/admin/x", "503"), ("/x", "o /x")],
    );
}

#[test]
fn other_spellings_of_a_path_with_an_address_list_are_closed() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/", "o");
    let listed = Ingress::new("a/listed")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("h.com", "Prefix", "/admin", "l");
    let done = convert_all(&[listed, open]);
    answers(
        &done,
        "h.com",
        &[("/admin", "l /admin"), ("/admin//x", "l /admin//x"), ("/", "o /")],
    );
    answers(
        &done,
        "h.com",
        &[("//admin", "503"), ("//admin/x", "503"), ("/admin%2fx", "503")],
    );
    assert_eq!(done.objects("AuthorizationPolicy").len(), 1);
}

#[test]
fn a_refused_prefix_with_a_slash_closes_the_path_without_it() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/", "o");
    let done = convert_all(&[guarded("h.com", "/admin/"), open]);
    answers(
        &done,
        "h.com",
        &[("/admin", "503"), ("/admin/x", "503"), ("/", "o /")],
    );
}

#[test]
fn ingresses_that_cannot_be_read_close_what_they_name() {
    let open = Ingress::new("a/open").day(2).path("h.com", "Prefix", "/", "o");
    let mut old = guarded("h.com", "/admin").day(1);
    old.0["apiVersion"] = "networking.k8s.io/v1beta1".into();
    old.0["spec"]["rules"][0]["http"]["paths"][0]["backend"] = json!({"serviceName": "g", "servicePort": 80});
    let rest = [open.0.clone(), service("a/o")];
    let convert = |more: &[Value]| convert_objects(&[more, &rest].concat(), &Options::default());
    let done = convert(&[old.0.clone()]);
    answers(&done, "h.com", &[("/admin", "503"), ("/", "o /")]);
    // Of two that say different things either may be right.
    let (one, other) = (guarded("h.com", "/admin"), guarded("h.com", "/other"));
    let done = convert(&[one.0, other.0, service("a/g")]);
    answers(
        &done,
        "h.com",
        &[("/admin", "503"), ("/other", "503"), ("/", "o /")],
    );
    let mut broken = guarded("h.com", "/admin");
    broken.0["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Odd".into();
    let done = convert(&[broken.0]);
    answers(&done, "h.com", &[("/admin", "503"), ("/", "o /")]);
    // Its place in the report is among what could not be read.
    assert_eq!(done.conversion.report.ingresses.len(), 1);
    assert!(!done.says("unread"));
    // Another controller's is of no concern.
    old.0["spec"]["ingressClassName"] = "haproxy".into();
    answers(&convert(&[old.0]), "h.com", &[("/admin", "o /admin")]);
}

#[test]
fn duplicates_of_unknown_age_are_refused_where_one_protects() {
    let open = Ingress::new("a/open").path("h.com", "Prefix", "/admin", "o");
    let root = Ingress::new("a/root").path("h.com", "Prefix", "/", "r");
    for guard in [
        guarded("h.com", "/admin"),
        Ingress::new("a/guarded")
            .note("whitelist-source-range", "10.0.0.0/8")
            .path("h.com", "Prefix", "/admin", "g"),
    ] {
        let done = convert_all(&[guard.clone(), open.clone(), root.clone()]);
        answers(&done, "h.com", &[("/admin", "503"), ("/", "r /")]);
        for name in ["guarded", "open"] {
            assert!(done.told(name, "PATH-AGE"), "{name}");
        }
        // Known ages decide.
        let done = convert_all(&[guard.day(2), open.clone().day(1), root.clone()]);
        answers(&done, "h.com", &[("/admin", "o /admin")]);
    }
    // As expressions an exact path and a prefix of the same text are one.
    let exact = Ingress::new("a/guarded")
        .note(AUTH.0, AUTH.1)
        .note("use-regex", "true")
        .path("h.com", "Exact", "/admin", "g");
    let done = convert_all(&[exact, open.clone(), root.clone()]);
    answers(&done, "h.com", &[("/admin", "503"), ("/", "r /")]);
    assert!(done.told("open", "PATH-AGE"));
    let same = Ingress::new("a/same").path("h.com", "Prefix", "/admin", "s");
    let done = convert_all(&[same, open]);
    answers(&done, "h.com", &[("/admin", "s /admin")]);
}

#[test]
fn an_ingress_without_class_takes_nothing_from_one_that_is_served() {
    let mut old = Ingress::new("a/old")
        .day(1)
        .path("h.com", "Prefix", "/admin", "o");
    old.0["spec"].as_object_mut().unwrap().remove("ingressClassName");
    let new = guarded("h.com", "/admin").day(2);
    let flags = |flag: &str| Options {
        controller_flags: vec![flag.to_owned()],
        ..Options::default()
    };
    let done = convert_with(&[old.clone(), new.clone()], &[], &flags("ingress-class=nginx"));
    assert!(done.told("old", "CLASS-MISSING") && done.told("guarded", "AUTH-URL"));
    answers(&done, "h.com", &[("/admin", "none")]);
    // Where the flags are not known neither is sure.
    let done = convert_all(&[old.clone(), new]);
    answers(&done, "h.com", &[("/admin", "none")]);
    assert!(done.told("old", "PATH-AGE"));
    let done = convert_with(&[old], &[], &flags("watch-ingress-without-class"));
    answers(&done, "h.com", &[("/admin", "o /admin")]);
}

#[test]
fn a_catch_all_that_the_controller_does_not_serve_is_not_written() {
    let all = Ingress::new("a/all").default("all");
    let options = Options {
        controller_flags: vec!["--disable-catch-all".to_owned()],
        ..Options::default()
    };
    let done = convert_with(&[all], &[], &options);
    assert!(done.conversion.objects.is_empty() && done.told("all", "CATCH-ALL-DISABLED"));
}

#[test]
fn a_canary_does_not_open_a_service_that_is_protected_elsewhere() {
    let open = Ingress::new("a/open").path("m.com", "Prefix", "/", "o");
    let canary = Ingress::new("a/canary")
        .note("canary", "true")
        .note("canary-weight", "30")
        .path("m.com", "Prefix", "/", "g");
    let done = convert_all(&[open.clone(), guarded("p.com", "/"), canary.clone()]);
    assert!(done.told("canary", "CANARY-PRIMARY") && !done.says("g.a.svc"));
    answers(&done, "m.com", &[("/", "o /")]);
    let done = convert_all(&[open, canary]);
    assert!(done.says("g.a.svc"));
}

#[test]
fn a_passthrough_host_that_is_refused_is_closed_too() {
    let options = Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..accepting(&[])
    };
    let through = guarded("x.a.com", "/").note("ssl-passthrough", "true");
    let wild = Ingress::new("a/wild")
        .tls(&["*.a.com"], "t")
        .path("*.a.com", "Prefix", "/", "w");
    let done = convert_with(&[through, wild], &[], &options);
    assert_eq!(done.answer(&get("x.a.com", "/").https()), "503");
    assert_eq!(done.answer(&get("x.a.com", "/")), "503");
}

#[test]
fn the_www_name_of_a_refused_host_is_not_the_wildcards() {
    let wild = Ingress::new("a/w").path("*.a.com", "Prefix", "/", "w");
    let own = Ingress::new("a/x")
        .note("from-to-www-redirect", "true")
        .path("x.a.com", "Prefix", "/", "x");
    let catch_all = Ingress::new("a/all").default("all");
    let of = |more: &Ingress, wide: &Ingress| convert_all(&[wide.clone(), more.clone()]);
    let refused = own.clone().note("auth-type", "basic");
    for wide in [&wild, &catch_all] {
        let deep = get("www.x.a.com", "/");
        assert_eq!(of(&own, wide).answer(&deep), "308 http://x.a.com/");
        let done = of(&refused, wide);
        assert_eq!(done.answer(&deep), "503");
        assert_eq!(done.answer(&get("x.a.com", "/")), "503");
    }
    // Without anybody who would have it, it is not written.
    assert!(convert_all(&[refused]).conversion.objects.is_empty());
}
