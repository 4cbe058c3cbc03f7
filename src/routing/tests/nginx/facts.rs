//! The fifteen facts about the mechanism, each as what is written or refused because of it.

use super::model::Client;
use super::*;
use crate::routing::Code;
use proptest::prelude::*;

#[test]
fn fact_01_the_closure_is_every_host_and_path_of_the_upstream() {
    let mut cluster = Cluster::new();
    let mut leak = ingress("leak", "leak.example.com", "/x", "one");
    leak["metadata"]["labels"] = json!({});
    cluster.add(leak);
    assert_eq!(
        cluster.blockers(&shop("")),
        ["RouteMissing"],
        "the other host would be split too"
    );
    cluster.route("leak.example.com");
    assert!(cluster.blockers(&shop("")).is_empty());
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let nginx = cluster.nginx();
    assert_eq!(
        (
            nginx.share("one.example.com", "/"),
            nginx.share("leak.example.com", "/x")
        ),
        (50, 50)
    );
}

#[test]
fn fact_02_every_upstream_has_an_alias_of_its_own() {
    let mut cluster = Cluster::new();
    cluster.add(ingress("two", "two.example.com", "/", "two"));
    cluster.route("two.example.com");
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let backend = |i: &Value| i["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"].clone();
    let names: Vec<Value> = cluster.canaries().iter().map(|i| backend(i)).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1], "one weight would rule both");
}

#[test]
fn each_port_of_a_service_is_an_upstream_of_its_own_and_so_is_its_name() {
    let by = |name: &str, host: &str, port: Value| {
        let mut json = ingress(name, host, "/", "one");
        json["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = port;
        json
    };
    let mut cluster = Cluster::new();
    cluster.add(by("admin", "admin.example.com", json!({"number": 8080})));
    cluster.add(by("named", "named.example.com", json!({"name": "http"})));
    for host in ["admin.example.com", "named.example.com"] {
        cluster.route(host);
    }
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let backend =
        |i: &Value| i["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"].to_string();
    let aliases: std::collections::BTreeSet<String> = cluster.canaries().iter().map(|i| backend(i)).collect();
    assert_eq!(aliases.len(), 3, "{aliases:?}");
    // Another port, or another namespace's Service of the name, has no share that nobody chose.
    let mut cluster = Cluster::new();
    let mut admin = by("admin", "admin.example.com", json!({"number": 8080}));
    admin["metadata"]["labels"] = json!({});
    let mut elsewhere = ingress("elsewhere", "elsewhere.example.com", "/", "one");
    elsewhere["metadata"]["namespace"] = "others".into();
    elsewhere["metadata"]["labels"] = json!({});
    cluster.add(admin);
    cluster.add(elsewhere);
    assert!(
        cluster.blockers(&shop).is_empty(),
        "neither is of the closure, so neither needs a route"
    );
    cluster.split(&shop, percent(5));
    let nginx = cluster.nginx();
    let shares = ["one", "admin", "elsewhere"].map(|name| nginx.share(&format!("{name}.example.com"), "/"));
    assert_eq!(shares, [50, 0, 0]);
}

#[test]
fn one_name_in_two_namespaces_is_two_upstreams() {
    let mut cluster = Cluster::new();
    let mut two = ingress("two", "two.example.com", "/", "one");
    two["metadata"]["namespace"] = "others".into();
    cluster.add(two);
    cluster.route("two.example.com");
    let shop = component(
        "- ingressNginx:\n    ingresses: {matchLabels: {app: shop}, namespaces: [apps, others]}\n    gateway: {namespace: istio-system, service: gw, port: 8081, name: istio-system/split}\n",
    );
    let found = cluster.found(&shop);
    let objects: Vec<String> = found.targets.iter().map(|t| t.object().to_string()).collect();
    assert_eq!(objects.len(), 2, "{objects:?}");
    let name = |of: &str| of.rsplit('/').next().unwrap().to_owned();
    assert_ne!(
        name(&objects[0]),
        name(&objects[1]),
        "the name says the namespace, too: {objects:?}"
    );
}

#[test]
fn fact_03_an_alias_that_a_normal_ingress_uses_is_refused() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    let alias = cluster.found(&shop).targets[0].object().name.clone();
    let mut other = ingress("other", "other.example.com", "/", &alias);
    other["metadata"]["labels"] = json!({});
    cluster.add(other);
    assert_eq!(cluster.blockers(&shop), ["AliasIsPrimary"]);
    // By its default, too.
    let other = cluster.first("Ingress", "other");
    other["spec"] = json!({"ingressClassName": "nginx",
        "defaultBackend": {"service": {"name": alias, "port": {"number": 8081}}}});
    assert_eq!(cluster.blockers(&shop), ["AliasIsPrimary"]);
    let found = cluster.found(&shop).findings;
    let told = found.iter().find(|f| f.code == Code::AliasIsPrimary).unwrap();
    assert_eq!(told.field.as_deref(), Some("spec.defaultBackend"));
}

#[test]
fn fact_04_a_canary_of_somebody_else_is_refused() {
    let mut cluster = Cluster::new();
    let mut theirs = ingress("theirs", "one.example.com", "/", "next");
    theirs["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true", WEIGHT: "10"});
    cluster.add(theirs);
    assert_eq!(cluster.blockers(&shop("")), ["ForeignCanary"]);
}

#[test]
fn fact_05_weights_are_tenths_of_a_percent_of_a_total_of_1000() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, permille(1));
    assert_eq!(cluster.nginx().share("one.example.com", "/"), 1);
    let found = cluster.found(&shop);
    let canary = cluster.canaries()[0].clone();
    assert_eq!(found.targets[0].read(&canary).unwrap().weight, permille(1));
    let mut small = canary;
    small["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight-total"] = "10".into();
    small["metadata"]["annotations"][WEIGHT] = "10".into();
    assert_eq!(
        found.targets[0].read(&small).unwrap().weight,
        percent(10),
        "totals up to 100 count as 100"
    );
}

#[test]
fn fact_06_a_raise_changes_annotations_alone_so_nginx_does_not_reload() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let found = cluster.found(&shop);
    let canary = cluster.canaries()[0].clone();
    let patch = found.targets[0]
        .write(&canary, &stamp("01C", percent(10)), WriteMode::Normal)
        .unwrap();
    let writes: Vec<Value> = wire(&patch)
        .as_array()
        .unwrap()
        .iter()
        // The version is the fence.
        .filter(|o| o["op"] != "test" && o["path"] != "/metadata/resourceVersion")
        .map(|o| o["path"].clone())
        .collect();
    let weight = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight";
    assert!(writes.contains(&json!(weight)), "{writes:?}");
    assert!(
        writes
            .iter()
            .all(|path| path.as_str().unwrap().starts_with("/metadata/annotations/")),
        "{writes:?}"
    );
    let mut after = canary.clone();
    serve(&patch, &mut after).unwrap();
    assert_eq!(after["spec"], canary["spec"], "rules are what nginx reloads for");
    assert_eq!(after["metadata"]["annotations"][WEIGHT], "100");
}

#[test]
fn fact_07_a_rollback_deletes_because_a_cookie_outlives_a_weight() {
    let mut cluster = Cluster::new();
    cluster.annotate("one", "affinity", "cookie");
    assert_eq!(cluster.blockers(&shop("")), ["Affinity"]);
    let shop = shop("    accept: [Affinity]\n");
    assert!(cluster.blockers(&shop).is_empty(), "a person may take that");
    cluster.split(&shop, percent(5));
    let alias = cluster.canaries()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let sticky = Client {
        cookie: Some(format!("apps-{alias}-8081")),
        ..Client::default()
    };
    cluster.split(&shop, Weight::ZERO);
    let at_zero = cluster
        .nginx()
        .choose("one.example.com", "/", &sticky, 999)
        .unwrap();
    assert_eq!(at_zero, format!("apps-{alias}-8081"), "weight 0 keeps the client");
    let found = cluster.found(&shop);
    let canary = cluster.canaries()[0].clone();
    let write = found.targets[0]
        .lower(
            Some(&canary),
            &stamp("01D", Weight::ZERO),
            Weight::ZERO,
            WriteMode::Normal,
        )
        .unwrap();
    let Write::Delete {
        uid,
        resource_version,
    } = write
    else {
        panic!("{write:?}")
    };
    assert_eq!(uid, canary["metadata"]["uid"].as_str().unwrap());
    assert_eq!(
        resource_version,
        canary["metadata"]["resourceVersion"].as_str().unwrap()
    );
    cluster
        .objects
        .retain(|o| o["metadata"]["name"] != alias.as_str());
    assert_eq!(
        cluster
            .nginx()
            .choose("one.example.com", "/", &sticky, 1)
            .unwrap(),
        "apps-one-80"
    );
}

#[test]
fn fact_08_a_gateway_without_endpoints_falls_back_and_the_primary_is_what_guards_a_rollback() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, Weight::FULL);
    let alias = cluster.canaries()[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut nginx = cluster.nginx();
    assert_eq!(nginx.share("one.example.com", "/"), 1000);
    nginx.empty(&format!("apps-{alias}-8081"));
    assert_eq!(nginx.share("one.example.com", "/"), 0);
    nginx.empty("apps-one-80");
    assert_eq!(
        nginx.choose("one.example.com", "/", &Client::default(), 1),
        None,
        "503, whatever the canary is"
    );
    let found = cluster.found(&shop);
    assert_eq!(
        found.targets[0].control_services(),
        [("apps".to_owned(), "one".to_owned())]
    );
}

#[test]
fn fact_09_an_upstream_has_one_alternative_so_a_retry_has_no_other_side_to_go_to() {
    // Retries keep the chosen balancer. Whatever was written, there is one alternative, and its own back end alone
    // answers for it: the canary's error rate is its own.
    let mut cluster = Cluster::new();
    let mut second = ingress("second", "second.example.com", "/deep", "one");
    second["spec"]["rules"][0]["http"]["paths"].as_array_mut().unwrap().push(
        json!({"path": "/", "pathType": "Exact", "backend": {"service": {"name": "one", "port": {"number": 80}}}}),
    );
    cluster.add(second);
    cluster.route("second.example.com");
    let shop = shop("");
    for weight in [percent(5), percent(50), Weight::FULL, percent(10)] {
        cluster.split(&shop, weight);
        let nginx = cluster.nginx();
        let all = nginx.alternatives("one.example.com", "/");
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(nginx.alternatives("second.example.com", "/deep"), all);
        for canary in cluster.canaries() {
            let rules = canary["spec"]["rules"].as_array().unwrap();
            let paths = rules.iter().flat_map(|r| r["http"]["paths"].as_array().unwrap());
            let services: std::collections::BTreeSet<&str> = paths
                .map(|p| p["backend"]["service"]["name"].as_str().unwrap())
                .collect();
            assert_eq!(services.len(), 1, "{services:?}");
            assert!(
                !services.contains("one"),
                "the primary is no alternative of itself"
            );
        }
    }
}

#[test]
fn fact_10_host_path_and_type_are_copied_as_they_stand_and_an_empty_path_is_written_out() {
    let mut cluster = Cluster::new();
    let paths = &mut cluster.first("Ingress", "one")["spec"]["rules"][0]["http"]["paths"];
    let mut exact = paths[0].clone();
    exact["path"] = "/Exact/~x".into();
    exact["pathType"] = "Exact".into();
    let mut empty = paths[0].clone();
    empty["path"] = "".into();
    empty["pathType"] = "ImplementationSpecific".into();
    *paths = json!([exact, empty]);
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let made = &cluster.canaries()[0]["spec"]["rules"];
    assert_eq!(made[0]["host"], "one.example.com");
    let told = |i: usize| {
        (
            made[0]["http"]["paths"][i]["path"].clone(),
            made[0]["http"]["paths"][i]["pathType"].clone(),
        )
    };
    assert_eq!(told(0), (json!("/"), json!("ImplementationSpecific")));
    assert_eq!(told(1), (json!("/Exact/~x"), json!("Exact")));
    let nginx = cluster.nginx();
    assert_eq!(
        (
            nginx.share("one.example.com", "/"),
            nginx.share("one.example.com", "/Exact/~x")
        ),
        (50, 50)
    );
}

#[test]
fn fact_11_no_rule_without_http_and_no_default_backend_is_ever_written() {
    let mut cluster = Cluster::new();
    let one = cluster.first("Ingress", "one");
    one["spec"]["rules"]
        .as_array_mut()
        .unwrap()
        .push(json!({"host": "bare.example.com"}));
    one["spec"]["defaultBackend"] = json!({"service": {"name": "one", "port": {"number": 80}}});
    cluster.route("bare.example.com");
    assert_eq!(
        cluster.blockers(&shop("")),
        ["DefaultBackend"],
        "no canary can name that"
    );
    let shop = shop("    accept: [DefaultBackend]\n");
    cluster.split(&shop, percent(5));
    let made = cluster.canaries()[0];
    assert!(made["spec"].get("defaultBackend").is_none());
    assert!(
        made["spec"]["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["http"]["paths"].is_array())
    );
}

#[test]
fn a_back_end_that_is_no_service_is_in_nobodys_way_and_in_no_canary() {
    let bucket = json!({"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "static"}});
    let mut cluster = Cluster::new();
    let one = cluster.first("Ingress", "one");
    one["spec"]["rules"][0]["http"]["paths"]
        .as_array_mut()
        .unwrap()
        .push(json!({"path": "/static", "pathType": "Prefix", "backend": bucket}));
    one["spec"]["defaultBackend"] = bucket;
    let shop = shop("");
    assert!(
        cluster.blockers(&shop).is_empty(),
        "{:?}",
        cluster.blockers(&shop)
    );
    cluster.split(&shop, percent(5));
    let paths: Vec<Value> = cluster.canaries()[0]["spec"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rule| rule["http"]["paths"].as_array().unwrap())
        .map(|entry| entry["path"].clone())
        .collect();
    assert_eq!(paths, ["/"], "what has no Service has no canary");
    assert_eq!(cluster.nginx().share("one.example.com", "/"), 50);
}

#[test]
fn fact_12_a_canary_carries_no_annotation_that_nginx_would_ignore() {
    let mut cluster = Cluster::new();
    cluster.annotate("one", "proxy-read-timeout", "600");
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let annotations = cluster.canaries()[0]["metadata"]["annotations"]
        .as_object()
        .unwrap()
        .clone();
    let names: Vec<&str> = annotations
        .keys()
        .map(|k| k.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "canary",
            "canary-weight",
            "canary-weight-total",
            "rollout",
            "w.shop"
        ]
    );
}

#[test]
fn fact_13_the_canary_lives_beside_the_primary_not_in_the_gateways_namespace() {
    let shop = shop("");
    let mut cluster = Cluster::new();
    assert_eq!(cluster.found(&shop).targets[0].object().namespace, "apps");
    cluster.split(&shop, percent(5));
    let name = cluster.canaries()[0]["metadata"]["name"].clone();
    let made = cluster.objects.iter().filter(|o| o["metadata"]["name"] == name);
    let places: Vec<(&Value, &Value)> = made.map(|o| (&o["kind"], &o["metadata"]["namespace"])).collect();
    assert_eq!(places.len(), 2, "the canary and its alias: {places:?}");
    assert!(
        places.iter().all(|(_, namespace)| *namespace == "apps"),
        "{places:?}"
    );
}

#[test]
fn fact_14_the_alias_is_a_name_of_the_gateways_service_with_its_port_spelled_out() {
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(5));
    let alias = cluster.canaries()[0]["metadata"]["name"].clone();
    let service = cluster.first("Service", alias.as_str().unwrap());
    assert_eq!(service["spec"]["type"], "ExternalName");
    assert_eq!(
        service["spec"]["externalName"],
        "gw.istio-system.svc.cluster.local"
    );
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8081);
    service["spec"]["externalName"] = "elsewhere.example.com".into();
    assert_eq!(cluster.blockers(&shop), ["AliasDiffers"]);
}

#[test]
fn fact_15_the_two_arms_are_told_apart_by_nginxs_own_label() {
    // The primary's `ingress` and `service` stay on both; only `canary` differs, and it names our alias' upstream.
    // The arms of the example count each request once, whichever way nginx spells that there is no alternative.
    let example = include_str!("../../../../config/ingress-nginx.yaml");
    let example: Value = serde_saphyr::from_str(example).unwrap();
    let arms = &example["spec"]["components"][0]["arms"];
    let counts = |arm: &str, label: &str| {
        let wanted = arms[arm]["labels"]["canary"].as_str().unwrap();
        wanted.strip_prefix('~').map_or(wanted == label, |pattern| {
            regex::Regex::new(&format!("^(?:{pattern})$"))
                .unwrap()
                .is_match(label)
        })
    };
    let mut cluster = Cluster::new();
    let shop = shop("");
    cluster.split(&shop, percent(50));
    let alias = cluster.canaries()[0]["metadata"]["name"].as_str().unwrap();
    let alternative = format!("apps-{alias}-8081");
    let nginx = cluster.nginx();
    for draw in [1, 500, 501, 1000] {
        for label in nginx.labels("one.example.com", "/", draw) {
            assert_eq!(draw <= 500, label == alternative, "{label:?}");
            assert_eq!(counts("canary", &label), draw <= 500, "{label:?}");
            assert_eq!(counts("control", &label), draw > 500, "{label:?}");
        }
    }
}

proptest! {
    /// Whatever shares an upstream gets the weight; whatever does not gets none of it.
    #[test]
    fn every_place_of_the_closure_has_the_weight_and_no_other(
        tenants in proptest::collection::vec((0..4_u8, 0..3_u8, 0..3_u8, any::<bool>()), 1..8),
        thousandths in 0..=1000_u16,
    ) {
        let mut cluster = Cluster::new();
        for (n, (host, path, service, chosen)) in tenants.iter().enumerate() {
            let host = format!("h{host}.example.com");
            let mut json = ingress(&format!("t{n}"), &host, &format!("/p{path}"), &format!("s{service}"));
            if !chosen {
                json["metadata"]["labels"] = json!({});
            }
            json["metadata"]["creationTimestamp"] = format!("2026-01-0{}T00:00:00Z", n + 1).into();
            cluster.add(json);
            cluster.route(&host);
        }
        let shop = shop("");
        prop_assert!(cluster.blockers(&shop).is_empty());
        let weight = permille(thousandths);
        cluster.split(&shop, weight);
        let nginx = cluster.nginx();
        // The model's own view of who is chosen: locations whose upstream some chosen Ingress really serves.
        let mut wanted = std::collections::BTreeSet::new();
        let mut made = std::collections::BTreeSet::new();
        for json in &cluster.objects {
            if json["kind"] != "Ingress" || json["metadata"]["annotations"].get(WEIGHT).is_some() {
                continue;
            }
            let path = &json["spec"]["rules"][0]["http"]["paths"][0];
            let place = (json["spec"]["rules"][0]["host"].to_string(), path["path"].to_string());
            if made.insert(place) && json["metadata"]["labels"]["app"] == "shop" {
                wanted.insert(format!("apps-{}-80", path["backend"]["service"]["name"].as_str().unwrap()));
            }
        }
        for ((host, path, _), upstream) in nginx.places() {
            let expected = if wanted.contains(upstream) { usize::from(thousandths) } else { 0 };
            prop_assert_eq!(nginx.share(host, path), expected, "{}{} of {}", host, path, upstream);
        }
    }
}
