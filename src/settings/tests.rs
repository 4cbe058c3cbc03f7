use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, text).unwrap();
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Settings::load(Some(&path), environment, &Flags::default())
}

#[test]
fn nothing_given_is_the_defaults_and_listens_on_loopback_only() {
    let settings = load("", &[]).unwrap();
    assert_eq!(settings.namespace, "sealos-system");
    assert!(settings.listen.ip().is_loopback());
    assert_eq!(settings.prometheus, None);
    assert_eq!(settings.lease.name, "gradual-rollout");
}

#[test]
fn the_annotated_file_changes_nothing_and_all_of_it_is_understood() {
    let text = include_str!("../../config/gradual-rollout.toml");
    assert_eq!(load(text, &[]).unwrap(), load("", &[]).unwrap());
    // The examples too: take the comment signs off what is a key.
    let key = |line: &str| {
        line.starts_with("# [") || line.split_once(" = ").is_some_and(|(k, _)| !k[2..].contains(' '))
    };
    let lines = text.lines().map(|line| {
        if line.starts_with("# ") && key(line) {
            &line[2..]
        } else {
            line
        }
    });
    let all: Vec<&str> = lines
        .filter(|line| !line.starts_with("username") && !line.starts_with("password"))
        .collect();
    let settings = load(&all.join("\n"), &[]).unwrap();
    let prometheus = settings.prometheus.expect("the example names one");
    assert_eq!(prometheus.headers.0.len(), 1);
    assert!(prometheus.ca_file.is_some() && prometheus.bearer_token_file.is_some());
    assert!(prometheus.client_certificate.is_some());
    assert!(settings.lease.identity.is_some());
    assert!(settings.freeze.is_some_and(|freeze| freeze.until.is_some()));
    assert_eq!(
        (settings.limits.concurrent, settings.limits.groups.len()),
        (Some(10), 1)
    );
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let text =
        "namespace = \"a\"\nlisten = \"0.0.0.0:9000\"\n[prometheus]\nendpoints = [\"http://one:9090\"]\n";
    let environment = [
        ("GRADUAL_ROLLOUT__NAMESPACE", "b"),
        (
            "GRADUAL_ROLLOUT__PROMETHEUS__ENDPOINTS",
            "http://two:9090,http://three:9090",
        ),
        ("GRADUAL_ROLLOUT__PROMETHEUS__TIMEOUT", "2s"),
        ("GRADUAL_ROLLOUT_CONFIG", "another program's business"),
    ];
    let settings = load(text, &environment).unwrap();
    assert_eq!(settings.namespace, "b");
    assert_eq!(settings.listen.port(), 9000);
    let prometheus = settings.prometheus.unwrap();
    assert_eq!(prometheus.endpoints, ["http://two:9090", "http://three:9090"]);
    assert_eq!(prometheus.timeout, Duration::from_secs(2));
    let flags = Flags {
        namespace: Some("c".into()),
        log_level: Some("debug"),
        shards: Some(3),
    };
    let settings = Settings::load(None, [], &flags).unwrap();
    assert_eq!(
        (settings.namespace.as_str(), settings.log.level.as_str()),
        ("c", "debug")
    );
    assert_eq!(settings.lease.shards, 3);
}

#[test]
fn a_key_that_is_not_known_is_refused_by_name_and_file() {
    let error = load("[prometheus]\nurl = \"http://x\"\n", &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("settings.toml") && error.contains("prometheus.url"),
        "{error}"
    );
    assert!(error.contains("unknown field"), "{error}");
    let error = load("", &[("GRADUAL_ROLLOUT__LISTN", "x")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("environment") && error.contains("listn"),
        "{error}"
    );
}

#[test]
fn values_that_cannot_be_used_are_refused_with_the_remedy() {
    for (text, says) in [
        ("listen = \"8080\"", "listen"),
        ("namespace = \"Sealos\"", "namespace"),
        ("[prometheus]", "prometheus.endpoints"),
        ("[prometheus]\nendpoints = [\"prometheus:9090\"]", "http://"),
        (
            "[prometheus]\nendpoints = [\"http://me:secret@prometheus\"]",
            "password_file",
        ),
        (
            "[prometheus]\nendpoints = [\"http://p\"]\nusername = \"me\"",
            "go together",
        ),
        (
            "[prometheus]\nendpoints = [\"https://p\"]\nclient_cert_file = \"/c\"",
            "prometheus.client_key_file",
        ),
        (
            "[prometheus]\nendpoints = [\"http://p\"]\ntimeout = \"1h\"",
            "between",
        ),
        ("drain = 20", "drain"),
        ("[log]\nformat = \"xml\"", "log.format"),
        (
            "[log]\nlevel = \"loud\"",
            "write off, error, warn, info, debug, trace",
        ),
        ("[log]\nlevel = \"info,kube=loud\"", "log.level"),
        ("[log]\nlevel = \"\"", "log.level"),
        ("namespace =", "settings.toml"),
        ("[freeze]", "freeze.reason"),
        ("[freeze]\nreason = \"x\"\nuntil = \"tomorrow\"", "freeze.until"),
        ("[limits]\nconcurrent = 0", "limits.concurrent"),
        ("[limits.groups]\nEdge = 1", "limits.groups"),
        ("[limits.groups]\nedge = 0", "limits.groups"),
    ] {
        let error = load(text, &[]).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    for level in ["WARN", "off", "info,kube=debug", "[span{a=1}]=trace"] {
        assert!(is_filter(level), "{level}");
    }
    let missing = Settings::load(Some(Path::new("/no/such.toml")), [], &Flags::default()).unwrap_err();
    assert!(missing.to_string().contains("/no/such.toml"));
}

#[test]
fn a_file_that_is_too_long_to_be_settings_is_refused() {
    let long = format!("namespace = \"a\"\n# {}\n", "x".repeat(1 << 20));
    let error = load(&long, &[]).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}

#[test]
fn a_key_that_is_a_place_in_a_list_makes_no_list() {
    for key in ["\"watch[4000000000]\"", "\"a[0]\"", "\"\\u001b[2J\"", "\"\""] {
        let error = load(&format!("{key} = 1\n"), &[]).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
    let environment = [("GRADUAL_ROLLOUT__WATCH[4000000000]", "x")];
    assert!(load("", &environment).is_err());
}

#[test]
fn the_values_of_headers_are_not_shown() {
    let text = "[prometheus]\nendpoints = [\"http://p:9090\"]\n[prometheus.headers]\nAuthorization = \"Bearer hunter2\"\n";
    let settings = load(text, &[]).unwrap();
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("Authorization") && !shown.contains("hunter2"),
        "{shown}"
    );
}
