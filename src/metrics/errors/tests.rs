use super::*;
use crate::rollout::spec::Preset;

fn labels<'a>(pairs: &[(&'a str, &'a str)]) -> Labels<'a> {
    pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()
}

fn judged(preset: Preset, pairs: &[(&str, &str)]) -> Option<bool> {
    ErrorRule::default().judge(preset.facts(), &labels(pairs))
}

fn istio(code: &str, flags: &str) -> Option<bool> {
    judged(
        Preset::Istio,
        &[("response_code", code), ("response_flags", flags)],
    )
}

#[test]
fn a_5xx_no_response_and_the_proxys_own_answers_are_errors() {
    for (code, flags) in [
        ("500", "-"),
        ("503", "UH"),
        ("404", "NR"),
        ("0", "-"),
        ("0", "UF,URX"),
        ("0", "DC,UC"),
        ("200", "UC"),
    ] {
        assert_eq!(istio(code, flags), Some(true), "{code} {flags}");
    }
}

#[test]
fn what_the_client_did_is_no_error() {
    for (code, flags) in [
        ("200", "-"),
        ("404", "-"),
        ("499", "-"),
        ("429", "RL"),
        ("0", "DC"),
        ("101", "UC"),
    ] {
        assert_eq!(istio(code, flags), Some(false), "{code} {flags}");
    }
}

#[test]
fn grpc_fails_inside_a_200() {
    let grpc = |protocol, status| {
        let said = [
            ("response_code", "200"),
            ("response_flags", "-"),
            ("request_protocol", protocol),
            ("grpc_response_status", status),
        ];
        judged(Preset::Istio, &said)
    };
    let linkerd = |status| {
        judged(
            Preset::Linkerd,
            &[("status_code", "200"), ("grpc_status", status)],
        )
    };
    for status in ["2", "4", "8", "12", "13", "14", "15"] {
        assert_eq!(grpc("grpc", status), Some(true), "{status}");
        assert_eq!(linkerd(status), Some(true), "{status}");
    }
    for status in ["0", "1", "3", "5", "6", "7", "9", "10", "11", "16", "", "unknown"] {
        assert_eq!(grpc("grpc", status), Some(false), "{status}");
        assert_eq!(linkerd(status), Some(false), "{status}");
    }
    assert_eq!(grpc("http", "14"), Some(false));
    assert_eq!(
        grpc("grpc", "Unavailable"),
        None,
        "a status that is no number tells nothing"
    );
}

#[test]
fn traefik_writes_grpc_statuses_where_others_write_codes() {
    let said = |protocol, code| judged(Preset::Traefik, &[("protocol", protocol), ("code", code)]);
    assert_eq!(said("grpc", "0"), Some(false), "OK, and not a missing response");
    assert_eq!(said("grpc", "14"), Some(true));
    assert_eq!(said("grpc-web", "5"), Some(false));
    assert_eq!(said("grpc", "503"), Some(true), "older ones write the code");
    assert_eq!(said("http", "0"), Some(true));
    assert_eq!(said("websocket", "0"), Some(false), "handed over");
    assert_eq!(said("websocket", "502"), Some(true));
    assert_eq!(said("http", "499"), Some(false));
    assert_eq!(said("http", "14"), None);
}

#[test]
fn linkerd_leaves_out_the_code_of_what_was_never_answered() {
    let failed = [("classification", "failure"), ("error", "connect")];
    assert_eq!(judged(Preset::Linkerd, &failed), Some(true));
    assert_eq!(judged(Preset::Linkerd, &[("classification", "success")]), None);
    assert_eq!(judged(Preset::Linkerd, &[]), None);
}

#[test]
fn nginx_says_codes_or_classes() {
    for (status, error) in [
        ("200", false),
        ("4xx", false),
        ("499", false),
        ("5xx", true),
        ("502", true),
        ("-", true),
    ] {
        let said = judged(Preset::IngressNginx, &[("status", status)]);
        assert_eq!(said, Some(error), "{status}");
    }
}

#[test]
fn a_series_that_does_not_say_how_it_ended_is_not_taken_for_a_success() {
    assert_eq!(judged(Preset::IngressNginx, &[]), None);
    assert_eq!(istio("unknown", "-"), None);
    assert_eq!(istio("", "UC"), None);
    assert_eq!(judged(Preset::Envoy, &[("envoy_response_code", "20")]), None);
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_check_may_replace_any_part_of_the_rule_and_keeps_the_others() {
    let with = |codes: &[&str]| ErrorRule::new(Some(&texts(codes)), None, None).unwrap();
    let said = |rule: &ErrorRule, code, flags| {
        let said = [("response_code", code), ("response_flags", flags)];
        rule.judge(Preset::Istio.facts(), &labels(&said))
    };
    let rule = with(&["502", "49x"]);
    assert_eq!(said(&rule, "502", "-"), Some(true));
    assert_eq!(said(&rule, "503", "-"), Some(false));
    assert_eq!(said(&rule, "499", "-"), Some(true));
    assert_eq!(said(&rule, "0", "-"), Some(false));
    assert_eq!(said(&rule, "404", "NR"), Some(true), "flags are the default's");
    let rule = ErrorRule::new(None, Some(&[5]), Some(&texts(&["DC"]))).unwrap();
    assert_eq!(said(&rule, "0", "DC"), Some(true));
    assert_eq!(said(&rule, "404", "NR"), Some(false));
    assert_eq!(said(&rule, "500", "-"), Some(true));
}

#[test]
fn a_rule_on_single_codes_cannot_be_asked_of_an_exporter_that_reports_classes() {
    let rule = ErrorRule::new(Some(&texts(&["502"])), None, None).unwrap();
    let nginx = |status| rule.judge(Preset::IngressNginx.facts(), &labels(&[("status", status)]));
    assert_eq!(nginx("5xx"), None);
    assert_eq!(nginx("4xx"), Some(false));
}

#[test]
fn what_is_no_code_status_or_flag_is_refused_with_its_place() {
    let codes = |text: &str| ErrorRule::new(Some(&texts(&["5xx", text])), None, None).unwrap_err();
    for text in ["", "5", "5xxx", "x00", "abc", "600 ", "-", "000"] {
        let error = codes(text).to_string();
        assert!(
            error.starts_with("codes[1]: ") && error.contains("like 5xx"),
            "{error}"
        );
    }
    assert!(codes("101").to_string().contains("never an error"));
    let error = ErrorRule::new(None, Some(&[2, 17]), None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "grpc[1]: 17 is no gRPC status: write a number from 0 to 16"
    );
    let error = ErrorRule::new(None, None, Some(&texts(&["U H"]))).unwrap_err();
    assert_eq!((error.field, error.index), ("flags", 0));
}

#[test]
fn the_default_reads_as_it_is_documented() {
    assert_eq!(
        ErrorRule::default().to_string(),
        "codes 5xx, 0; gRPC 2, 4, 8, 12, 13, 14, 15; flags NR, UC, UF, UH, URX"
    );
}
