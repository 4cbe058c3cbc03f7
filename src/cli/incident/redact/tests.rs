//! Both ways: what is secret goes in whatever form, and what is none stays.

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn no_secret_of_a_routed_object_gets_out_and_what_is_ours_is_shown() {
    let deployment = json!({
        "kind": "Deployment",
        "metadata": {"name": "d", "managedFields": [{}], "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "hunter2", "rollout.sealos.io/w.d": "01A 5% Step"}},
        "spec": {"template": {"spec": {"containers": [{"name": "controller", "image": "i", "env": [
            {"name": "ISTIO_PERCENTAGE", "value": "5"}, {"name": "DB", "value": "hunter2"},
            {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}}},
    });
    let shown = object(deployment);
    let text = shown.to_string();
    assert!(
        !text.contains("hunter2") && !text.contains("managedFields"),
        "{text}"
    );
    assert!(
        text.contains("01A 5% Step") && text.contains("secretKeyRef"),
        "{text}"
    );
    let env = &shown["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0]["value"], "5");
    let map = object(json!({"kind": "ConfigMap", "data": {"istio_percentage": "5", "dsn": "hunter2"}}));
    assert_eq!(map["data"], json!({"istio_percentage": "5", "dsn": GONE}));
    let rollout = object(
        json!({"spec": {"hook": {"url": "https://me:hunter2@lb/x?token=hunter2"},
        "probe": {"headers": {"Authorization": "Bearer hunter2", "Host": "shop"}}}}),
    );
    assert!(!rollout.to_string().contains("hunter2"), "{rollout}");
    assert_eq!(rollout["spec"]["probe"]["headers"]["Host"], "shop");
    assert_eq!(rollout["spec"]["hook"]["url"], "https://lb/x?[redacted]");
}

#[test]
fn a_secret_goes_whatever_form_it_has_and_what_is_none_stays() {
    for leaks in [
        json!({"match": [{"headers": {"x-api-key": {"exact": "LEAK"}}}]}),
        json!({"metadata": {"annotations": {"db-url": "postgres://u:LEAK@db/x?sslpassword=LEAK"}}}),
        json!({"metadata": {"annotations": {"see": "ask https://u:LEAK@host/x, or http://h/y?key=LEAK for it"}}}),
        json!({"metadata": {"annotations": {"json": r#"{"password":"LEAK"}"#}}}),
        json!({"metadata": {"annotations": {"gate": r#"{"client_secret":"LEAK"}"#}}}),
        json!({"metadata": {"annotations": {"run": "DB_PASSWORD=LEAK"}}}),
        json!({"args": ["--password=LEAK", "--token", "LEAK", "-v"]}),
        json!({"args": ["postgres://a:LEAK@h/d"]}),
        json!({"command": ["sh", "-c", "export TOKEN=LEAK"]}),
        json!({"headers": [{"name": "Authorization", "value": {"exact": "LEAK"}}]}),
        json!({"credentials": {"user": "LEAK", "pin": 1234, "more": ["LEAK"]}}),
    ] {
        let shown = object(leaks.clone()).to_string();
        assert!(
            !shown.contains("LEAK") && !shown.contains("1234"),
            "{leaks}\n{shown}"
        );
    }
    let kept = json!({"args": ["--level=info", "-v", "http://shop:8080/x"], "secretName": "s",
        "annotations": {"a": "{\"b\": [1]}", "rollout.sealos.io/w.d": "01A 5% Step"}});
    assert_eq!(object(kept.clone()), kept);
}

/// A secret in one of the forms in which it may stand in a text.
fn in_words() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "password",
        "DB_PASSWORD",
        "x-api-key",
        "api_key",
        "clientSecret",
        "auth-token",
    ]);
    let form = 0..10_usize;
    (name, form, "[a-z ]{0,12}", "[a-z ]{0,12}").prop_map(|(name, form, before, after)| {
        let secret = match form {
            0 => format!("{name}=LEAK"),
            1 => format!("--{name}=LEAK"),
            2 => format!("--{name} LEAK"),
            3 => format!("{name}: LEAK"),
            4 => format!("{name}=\"a LEAK\""),
            5 => format!("{{\"{name}\": \"LEAK\"}}"),
            6 => format!("{{\\\"{name}\\\":\\\"LEAK\\\"}}"),
            7 => "postgres://u:LE/AK@db:5432/x".replace("LE/AK", "LEAK/LEAK"),
            8 => "https://h/x?q=LEAK#LEAK".to_owned(),
            _ => "u:LEAK@tcp(db:3306)/x".to_owned(),
        };
        format!("{before} {secret} {after}")
    })
}

/// Values of any form with such a text somewhere in them, or anything under a name that secrets have.
fn nests() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        in_words().prop_map(Value::from),
        Just(json!({"x-api-key": "LEAK"})),
        Just(json!({"name": "TOKEN", "value": "LEAK"})),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            inner.clone().prop_map(|v| json!({"spec": v, "kept": "KEPT"})),
            inner
                .clone()
                .prop_map(|v| json!({"cookie": {"LEAKS": v, "exact": ["LEAK", {"b": "LEAK"}]}})),
            inner.prop_map(|v| Value::from(v.to_string())),
        ]
    })
}

fn values(json: &Value) -> Vec<String> {
    match json {
        Value::Object(fields) => fields.values().flat_map(values).collect(),
        Value::Array(items) => items.iter().flat_map(values).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![json.to_string()],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_nest_of_values_and_texts_lets_a_secret_out(nest in nests()) {
        let shown = object(json!({"spec": nest, "kept": "KEPT"}));
        for value in values(&shown) {
            let own = value.replace("LEAKS", "");
            prop_assert!(!own.contains("LEAK"), "{value}");
        }
        prop_assert_eq!(&shown["kept"], "KEPT");
    }

    #[test]
    fn no_line_of_a_log_lets_a_secret_out(line in in_words()) {
        let shown = without_secrets(&line);
        prop_assert!(!shown.contains("LEAK"), "{shown}");
    }
}

/// Secrets as people and programs write them, each with LEAK in what has to go.
const WRITTEN: [&str; 46] = [
    "-----BEGIN PRIVATE KEY-----\nLEAK\nLEAK==\n-----END PRIVATE KEY-----",
    "{\"tls.key\": \"-----BEGIN RSA PRIVATE KEY-----\\nLEAK\\n-----END RSA PRIVATE KEY-----\\n\"}",
    "key: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  LEAK\n  -----END OPENSSH PRIVATE KEY-----",
    "https://hooks.slack.com/services/T0/B0/LEAK",
    "see hooks.slack.com/services/T0/B0/LEAK for it",
    "{\"url\":\"https:\\/\\/hooks.slack.com\\/services\\/T0\\/B0\\/LEAK\"}",
    "https://oapi.dingtalk.com/robot/send?access_token=LEAK",
    "https://qyapi.weixin.qq.com:443/cgi-bin/webhook/send/LEAK",
    "https://acme.webhook.office.com/webhookb2/LEAK@LEAK/IncomingWebhook/LEAK",
    "https://prod-1.westeurope.logic.azure.com/workflows/LEAK/triggers/manual",
    "https://discord.com/api/webhooks/1/LEAK",
    "https://api.telegram.org/bot12:LEAK/sendMessage",
    "https://open.feishu.cn/open-apis/bot/v2/hook/LEAK",
    "https://chat.example.com/hooks/LEAK",
    "https://ops.example.com/in/LEAKq8XvT2mZpR41bWnY7c/x",
    "https://ops.example.com/in/LEAK-4f9aab3c77de4f9aab3c77de4f9a",
    "curl -u bob:LEAK https://x",
    "curl -ubob:LEAK https://x",
    "curl --user bob:LEAK https://x",
    "curl --user=bob:LEAK https://x",
    "mysql -u root -p LEAK",
    "mysql -uroot -pLEAK",
    "mysqldump -h db -pleak-LEAK",
    "sshpass -p LEAK ssh x",
    "login --password LEAK",
    "login --password=LEAK",
    "login -password LEAK",
    "Authorization: Basic LEAK",
    "curl -H 'Authorization: Basic LEAK' https://x",
    "sent Bearer LEAK and got 401",
    "token LEAK",
    "I cannot log in, token LEAK, please help",
    "my password is LEAK",
    "the password for admin is: LEAK",
    "password was \"LEAK\".",
    "Password -> LEAK",
    "our secret = LEAK",
    "credentials: LEAK",
    "pw LEAK does not work",
    "the api-key LEAK is refused",
    "the old token is expired, the new token is LEAK",
    "密码是LEAK",
    "密码：LEAK，登录失败",
    "令牌 LEAK",
    "aws s3 --secret-key LEAK",
    "export GITHUB_TOKEN=LEAK",
];

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, n| bits << 8 | u32::from(*three.get(n).unwrap_or(&0)));
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n)) as usize & 63];
            out.push(if n <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn what_people_and_programs_write_lets_no_secret_out_wherever_it_stands() {
    for text in WRITTEN {
        let coded = base64(text);
        let twice = base64(&coded);
        let nested = json!({"metadata": {"annotations": {"x/note": text, "x/b64": coded,
            "rollout.sealos.io/command.complaint.01A": json!({"who": "eve", "text": text}).to_string()}}});
        for (form, shown) in [
            ("as a text", without_secrets(text)),
            ("as a page", page(&format!("before\n{text}\nafter"))),
            ("in an object", object(nested.clone()).to_string()),
            (
                "as JSON",
                page(&json!({"rollouts": [{"status": {"complaints": [{"text": text}]}}]}).to_string()),
            ),
            (
                "in a log",
                page(&format!(
                    "2026-03-02T09:00:00Z {}",
                    json!({"level": "info", "message": text})
                )),
            ),
            (
                "as the text of JSON in a text",
                without_secrets(&json!({"text": text}).to_string()),
            ),
        ] {
            assert!(!shown.contains("LEAK"), "{form}: {text}\n{shown}");
        }
        for (form, shown, coded) in [
            ("encoded", without_secrets(&format!("x {coded} y")), &coded),
            (
                "encoded without padding",
                without_secrets(&format!("x={}", coded.trim_end_matches('='))),
                &coded,
            ),
            ("encoded twice", without_secrets(&format!("\"{twice}\"")), &twice),
            ("encoded in an object", object(nested.clone()).to_string(), &coded),
        ] {
            let coded = coded.trim_end_matches('=');
            assert!(
                !shown.contains(&coded[coded.len() / 2..]),
                "{form}: {text}\n{shown}"
            );
        }
    }
}

#[test]
fn a_user_with_a_password_goes_encoded_too_and_so_does_what_is_drawn_at_random() {
    for secret in [
        base64("bob:hunter2"),
        base64("password:s3cr3tQ"),
        base64("hunter2!"),
        base64(r#"{"auths":{"r":{"password":"x"}}}"#),
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
            .to_owned(),
    ] {
        let shown = without_secrets(&format!("see {secret} there"));
        let shown = shown
            .strip_prefix("see ")
            .unwrap()
            .strip_suffix(" there")
            .unwrap();
        let left = shown.replace(GONE, "");
        assert!(left.len() <= 5, "{secret}: {shown}");
    }
}

#[test]
fn names_and_weights_and_ids_and_queries_and_times_stay_as_they_are() {
    for text in [
        "shop: 5% → 25% Step: 25% is next, held for 20s",
        "2026-11-30T22:15:15.248105055Z command pause 1796076911615403 by eve (claimed, by Python-urllib): Accepted: cart: \
         paused: nothing rises, every lowering still happens",
        "set 01M8Q8DK4GC13K54330F391J5X by eve; rollback 01m8q8ehq3rm0wegtfzwfb1rsk; given 1796076934211646208",
        "x5u/GradualRollout/pay-in-01M8Q8DK4GC13K54330F391J5X-canary",
        "digest: 466b1bba3441740b 3dd399ad-533e-40ac-866f-32cce8301d95",
        "image ghcr.io/labring/terminal@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "sum by (le) (increase(istio_request_duration_milliseconds_bucket{destination_version=\"v2\",reporter=~\"a|b\"}[30s] @ \
         1772452800 offset 1m)) / 0.95",
        "histogram_quantile(0.95, sum(rate(http_server_requests_seconds_bucket{status!~\"5..\",uri=\"/api/v1/x\"}[1m])))",
        "gradual_rollout_component_weight{namespace=\"apps\",rollout=\"one\",component=\"terminal-frontend\"} 0.25",
        "virtualservice apps/terminal-frontend-canary: route 1 to terminal.apps.svc.cluster.local:8080 has 25",
        "pod gradual-rollout-7d9f8b6c5d-x2x7z in sealos-system; holder gradual-rollout-7d9f8b6c5d-x2x7z_01M8Q8DK4GC13K54330F391J5X",
        "https://prometheus.monitoring.svc:9090/api/v1/query_range answers 503",
        "http://127.0.0.1:8080/api/v1/namespaces/sealos-system/pods/gradual-rollout-7d9f8b6c5d-x2x7z/log answers 404",
        "POST http://gradual-rollout:8080/hooks/alertmanager and /hooks/complaint",
        "https://10.0.0.1:6443/apis/rollout.sealos.io/v1alpha1/namespaces/ns-abc123def/gradualrollouts/one",
        "emergency-rollback --mode dual --percentage 10 --reason \"P95\" -p 10 -c cart --force",
        "gradual-rollout set 30% terminal --timeout 8s -n apps",
        "set -percent 20 -pretty -paths=/a,/b",
        "kubectl -n apps get gradualrollouts.rollout.sealos.io one -o yaml",
        "the token is expired: a new one is needed",
        "password is wrong, the secret was not found, no token is given",
        "unable to read the Secret apps/tls: forbidden",
        "not allowed while listing the Events of apps: events.events.k8s.io is forbidden: User \"system:serviceaccount:a:b\" cannot \
         list resource \"events\" in API group \"events.k8s.io\" in the namespace \"apps\"",
        "NotAchievable x1: pay: 50% (43.029% to 56.971%) of 1280 requests, not the 5% that is asked for: look for session affinity",
        "VIRTUALSERVICE_MUTATING_ANNOTATIONS EnableIstioMonitoring terminalFrontendCanaryDeployment2 networking_mode",
        "who: eve (claimed, by gradual-rollout-cli), lease 15s, resourceVersion 5100, generation 7",
        "w.shop: 01M8Q8DK4GC13K54330F391J5X 25% Step",
        "登录失败 5% terminal",
        "look for session affinity, a header or cookie route, another route to the same hosts, or arms that select other series",
        "daemons may not read the Secret `ada-tls-cert`; a token, reviewed, and the right to the verb",
    ] {
        assert_eq!(without_secrets(text), text);
        assert_eq!(page(&format!("{text}\n{text}")), format!("{text}\n{text}"));
        let json = json!({"metadata": {"annotations": {"x/note": text}}, "status": {"message": text}});
        assert_eq!(object(json.clone()), json);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_of_any_kind_stay_and_words_with_a_colon_go_once_encoded(
        millis in 1_700_000_000_000_u64..2_000_000_000_000, random in any::<u128>(), hash in any::<u64>(),
        user in "[a-z]{3,8}", word in "[a-zA-Z0-9!@#$%^&*]{6,24}", // Of letters that no name of a secret is made of.
        name in "[b-h]{3,10}(-[b-h]{3,10}){0,3}",
    ) {
        let id = ulid::Ulid::from_parts(millis, random);
        let told = format!("{name}: 5% → 25% by set {id} ({hash:016x}), {}/{name}-{id}", id.to_string().to_lowercase());
        prop_assert_eq!(without_secrets(&told), told);
        let coded = base64(&format!("{user}:{word}"));
        let shown = without_secrets(&format!("it sent {coded} there"));
        // By chance it ends like a name of a secret, and then what stands behind it goes, too.
        prop_assert!(shown.starts_with(&format!("it sent {GONE}")), "{shown}");
    }
}

/// A text in a text of JSON in base64, and so on: it begins so that it looks like nothing that is drawn at random.
fn nested(text: &str, levels: usize) -> String {
    let mut text = text.to_owned();
    for _ in 0..levels {
        // Nobody pads by chance what comes to words: none of it is padded.
        let begin = 3070 + (3 - text.len() % 3) % 3;
        text = base64(&format!("[\"{} {text}\"]", "U".repeat(begin)));
    }
    text
}

/// How many bytes are looked through for the page of a text.
fn work(text: &str) -> (usize, String) {
    text::READ.set(0);
    let shown = page(text);
    (text::READ.get(), shown)
}

#[test]
fn what_is_encoded_over_and_over_is_read_no_more_than_three_times_and_left_out_with_a_sentence() {
    let fill = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
    let plain = "nothing of note stands here, said so ";
    let small = format!("{} ", base64("so said he now, then?").trim_end_matches('='));
    let mut unread = 0;
    for bytes in [30_000, 120_000] {
        for (name, text) in [
            ("plain", fill(plain, bytes)),
            ("once", nested(&fill(plain, bytes), 1)),
            ("twice", nested(&fill(plain, bytes), 2)),
            ("thrice", nested(&fill(plain, bytes), 3)),
            ("eight times", nested(&fill(plain, bytes), 8)),
            ("words in it", nested(&fill(&small, bytes), 2)),
            ("parts", nested(&fill(&small.replace(' ', "/"), bytes), 2)),
            ("one line each", fill(&format!("{}\n", nested(plain, 3)), bytes)),
        ] {
            let (read, shown) = work(&text);
            let lines = text.lines().count();
            assert!(
                read <= 4 * text.len() + 4096 * lines,
                "{name}: {read} of {}",
                text.len()
            );
            let says = shown.contains("[redacted: too much is encoded in this text to read it]");
            unread += usize::from(says);
            assert!(
                !says || !shown.contains("VVVVVVVV"),
                "{name} stays though nobody read it"
            );
        }
    }
    assert!(unread > 0, "none of them is too much");
    let (_, shown) = work(&format!("before {}", nested(plain, 1)));
    assert!(shown.contains("VVVVVVVV"), "what is read and no secret stays");
}

#[test]
fn hosts_of_chats_in_each_others_paths_are_looked_through_once() {
    for text in ["slack.com/".repeat(60_000), "xslack.com/".repeat(60_000)] {
        // Of one that were looked through to its end for each host in it there would be 18 GB.
        let shown = page(&text);
        assert_eq!(shown == text, text.starts_with('x'), "{}", shown.len());
    }
}
