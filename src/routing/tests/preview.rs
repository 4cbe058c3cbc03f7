//! Routes for testers and mirrors.

use super::*;
use crate::rollout::observation::Wanted;
use crate::rollout::preview::Preview;

pub(super) const SHOP: &str = "- istio:
    virtualServices: [{name: shop}]
    canary: {host: shop, subset: v2}
    control: {host: shop, subset: v1}
    testers: {headers: {team: web, canary: \"true\"}, cookie: {name: who, value: a.b}}
    mirror: 10%
";

pub(super) fn shop() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "apps", "uid": "9d6a", "resourceVersion": "4711",
            "annotations": {"meta.helm.sh/release-name": "shop"}},
        "spec": {
            "hosts": ["shop.example.com"], "gateways": ["istio-system/gateway"],
            "http": [
                {"name": "old-paths", "match": [{"uri": {"prefix": "/v0"}}], "redirect": {"uri": "/"}},
                {"match": [{"uri": {"prefix": "/api"}, "headers": {"x-tenant": {"regex": ".+"}}}, {"port": 80}],
                 "timeout": "7s", "retries": {"attempts": 2}, "rewrite": {"uri": "/"},
                 "corsPolicy": {"maxAge": "1h"}, "headers": {"request": {"set": {"a": "b"}}},
                 "route": [
                    {"destination": {"host": "shop", "subset": "v1"}, "weight": 95},
                    {"destination": {"host": "shop", "subset": "v2"}, "weight": 5,
                     "headers": {"response": {"set": {"x-arm": "canary"}}}}
                 ]},
                {"name": "fallback", "route": [{"destination": {"host": "maintenance"}}]}
            ]
        }
    })
}

pub(super) fn preview(
    routers: &str,
    object: &Value,
    wanted: &Wanted,
) -> Result<Option<ObjectPatch>, RoutingError> {
    let component = component(routers);
    let targets = targets(&component, "apps");
    targets[0].preview(object, wanted)
}

fn shown(routers: &str, object: &Value) -> crate::rollout::observation::Aside {
    let component = component(routers);
    targets(&component, "apps")[0]
        .read(object)
        .unwrap()
        .aside
        .unwrap()
}

/// The object with what the spec asks for beside the weights.
pub(super) fn previewed() -> Value {
    let mut object = shop();
    let patch = preview(SHOP, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    object
}

#[test]
fn a_rule_of_ours_stands_before_the_route_and_is_that_route_for_testers_alone() {
    let object = previewed();
    let http = object["spec"]["http"].as_array().unwrap();
    assert_eq!(http.len(), 4);
    let regex = r"^(.*;[ ]*)?who=a\.b([ ]*;.*)?$";
    let tenant = json!({"regex": ".+"});
    assert_eq!(
        http[1],
        json!({
            "name": "gradual-rollout-shop-testers-0",
            "match": [
                {"uri": {"prefix": "/api"}, "headers": {"x-tenant": tenant, "canary": {"exact": "true"}}},
                {"port": 80, "headers": {"canary": {"exact": "true"}}},
                {"uri": {"prefix": "/api"}, "headers": {"x-tenant": tenant, "team": {"exact": "web"}}},
                {"port": 80, "headers": {"team": {"exact": "web"}}},
                {"uri": {"prefix": "/api"}, "headers": {"x-tenant": tenant, "cookie": {"regex": regex}}},
                {"port": 80, "headers": {"cookie": {"regex": regex}}},
            ],
            "timeout": "7s", "retries": {"attempts": 2}, "rewrite": {"uri": "/"},
            "corsPolicy": {"maxAge": "1h"}, "headers": {"request": {"set": {"a": "b"}}},
            "route": [{"destination": {"host": "shop", "subset": "v2"},
                "headers": {"response": {"set": {"x-arm": "canary"}}}}]
        }),
        "no weight, no mirror, everything else as the route has it"
    );
    assert_eq!(
        http[2]["mirror"],
        json!({"host": "shop", "subset": "v2"}),
        "{http:#?}"
    );
    assert_eq!(http[2]["mirrorPercentage"], json!({"value": 10}));
    let aside = shown(SHOP, &object);
    assert_eq!(
        aside.written.as_deref(),
        Some("header canary=true, header team=web, cookie who=a.b, mirror 10%")
    );
    assert_eq!((aside.stale, aside.missing), (false, None));
    assert_eq!(
        preview(SHOP, &object, &Wanted::AsSpecified).unwrap(),
        None,
        "asked again, nothing is written"
    );
}

#[test]
fn the_patch_is_fenced_and_leaves_weights_and_stamp_alone() {
    let patch = preview(SHOP, &shop(), &Wanted::AsSpecified).unwrap().unwrap();
    let wire = wire(&patch);
    assert_eq!(
        wire[0],
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "4711"})
    );
    let paths: Vec<&str> = wire
        .as_array()
        .unwrap()
        .iter()
        .map(|op| op["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths[1..],
        [
            "/spec/http/1/mirror",
            "/spec/http/1/mirrorPercentage",
            "/spec/http/1",
            "/metadata/annotations/rollout.sealos.io~1p.shop"
        ]
    );
    let printed = printed(&patch);
    assert_eq!(
        printed[0],
        "spec.http[1].mirror (route http[1]): (absent) → 10% copied to the canary"
    );
    assert!(
        printed[1].starts_with("spec.http[1] (before route http[1]): (absent) → the rule gradual-rollout-shop-testers-0, all to the canary: header canary=true"),
        "{printed:?}"
    );
}

#[test]
fn our_rule_is_no_second_pair_and_weights_go_on_being_written() {
    let mut object = previewed();
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    for weight in [percent(25), permille(333), Weight::FULL] {
        let patch = target
            .write(&object, &stamp("01J8", weight), WriteMode::Normal)
            .unwrap();
        serve(&patch, &mut object).unwrap();
        let seen = target.read(&object).unwrap();
        assert_eq!(seen.agreed(), Some(weight));
        let aside = seen.aside.unwrap();
        assert_eq!((aside.stale, aside.missing), (false, None), "at {weight}");
    }
    assert_eq!(object["spec"]["http"].as_array().unwrap().len(), 4);
}

#[test]
fn a_rollback_takes_everything_of_ours_with_it_in_the_same_write() {
    let object = previewed();
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let back = Stamp::new("01BACK", Weight::ZERO, "Breach").unwrap();
    let mut put_back = object.clone();
    serve(
        &target.write(&object, &back, WriteMode::Normal).unwrap(),
        &mut put_back,
    )
    .unwrap();
    let mut expected = shop();
    expected["spec"]["http"][1]["route"][0]["weight"] = 100.into();
    expected["spec"]["http"][1]["route"][1]["weight"] = 0.into();
    assert_eq!(put_back["spec"], expected["spec"]);
    assert_eq!(
        put_back["metadata"]["annotations"],
        json!({"meta.helm.sh/release-name": "shop", "rollout.sealos.io/w.shop": "01BACK 0% Breach"})
    );
    // A lowering that puts nothing back for good leaves testers alone.
    let lower = Stamp::new("01LOW", Weight::ZERO, "Manual").unwrap();
    let mut lowered = object.clone();
    serve(
        &target.write(&object, &lower, WriteMode::Normal).unwrap(),
        &mut lowered,
    )
    .unwrap();
    assert_eq!(lowered["spec"]["http"].as_array().unwrap().len(), 4);
}

#[test]
fn detached_nothing_of_ours_is_left() {
    let mut object = previewed();
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let raise = target
        .write(&object, &stamp("01J8", percent(5)), WriteMode::Normal)
        .unwrap();
    serve(&raise, &mut object).unwrap();
    serve(&target.detach(&object).unwrap(), &mut object).unwrap();
    object["metadata"]["resourceVersion"] = "4711".into();
    assert_eq!(object, shop());
    assert_eq!(target.detach(&object), None);
}

#[test]
fn what_somebody_took_away_is_told_and_not_written_again_until_asked_anew() {
    let mut object = previewed();
    object["spec"]["http"].as_array_mut().unwrap().remove(1);
    let told = shown(SHOP, &object).missing.unwrap();
    assert!(
        told.contains("took away our rule gradual-rollout-shop-testers-0"),
        "{told}"
    );
    assert_eq!(preview(SHOP, &object, &Wanted::AsSpecified).unwrap(), None);
    let anew = Wanted::Told {
        preview: Preview {
            headers: [("canary".to_owned(), "true".to_owned())].into(),
            ..Preview::default()
        },
        command: "01CMD".into(),
    };
    let patch = preview(SHOP, &object, &anew).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    let aside = shown(SHOP, &object);
    assert_eq!(aside.written.as_deref(), Some("header canary=true (01CMD)"));
    assert_eq!(aside.missing, None);
    assert_eq!(
        object["spec"]["http"][2].get("mirror"),
        None,
        "the mirror is not asked for any more"
    );

    let mut object = previewed();
    object["spec"]["http"][2]["mirrorPercentage"]["value"] = 50.into();
    assert!(
        shown(SHOP, &object)
            .missing
            .unwrap()
            .contains("our mirror of route http[2]")
    );
    let mut object = previewed();
    object["spec"]["http"][1]["timeout"] = "1s".into();
    assert!(shown(SHOP, &object).missing.unwrap().contains("changed our rule"));
    let mut object = previewed();
    object["spec"]["http"].as_array_mut().unwrap().swap(1, 2);
    assert!(shown(SHOP, &object).missing.unwrap().contains("moved behind"));
}

#[test]
fn a_mirror_that_somebody_changed_is_theirs_and_stays_at_the_end() {
    let mut object = previewed();
    object["spec"]["http"][2]["mirrorPercentage"]["value"] = 50.into();
    let patch = preview(SHOP, &object, &Wanted::Nothing).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"]["http"].as_array().unwrap().len(), 3);
    assert_eq!(
        object["spec"]["http"][1]["mirrorPercentage"],
        json!({"value": 50})
    );
}

#[test]
fn our_rule_follows_the_route_that_it_is_a_copy_of() {
    let mut object = previewed();
    object["spec"]["http"][2]["timeout"] = "9s".into();
    assert!(shown(SHOP, &object).stale);
    let patch = preview(SHOP, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"]["http"][1]["timeout"], "9s");
    assert_eq!(object["spec"]["http"].as_array().unwrap().len(), 4);
    assert!(!shown(SHOP, &object).stale);
}

#[test]
fn another_share_replaces_our_mirror_and_settles() {
    let mut object = previewed();
    let more = SHOP.replace("mirror: 10%", "mirror: 2.5%");
    let patch = preview(&more, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(
        object["spec"]["http"][2]["mirrorPercentage"],
        json!({"value": 2.5})
    );
    let aside = shown(&more, &object);
    assert_eq!((aside.stale, aside.missing), (false, None));
    assert_eq!(preview(&more, &object, &Wanted::AsSpecified).unwrap(), None);
}

#[test]
fn a_mirror_of_the_users_is_never_touched() {
    for field in ["mirror", "mirrors", "mirrorPercentage", "mirrorPercent"] {
        let mut object = shop();
        object["spec"]["http"][1][field] = json!({"host": "shadow"});
        let error = preview(SHOP, &object, &Wanted::AsSpecified).unwrap_err();
        assert_eq!(error.category(), "CannotPreview", "{field}");
        assert!(
            error.to_string().contains(&format!(
                "route http[1] can have no testers or mirror of ours as asked: it has a `{field}` of its own"
            )),
            "{error}"
        );
    }
    // Testers alone go together with it, and their requests are mirrored like all others.
    let mut object = shop();
    object["spec"]["http"][1]["mirror"] = json!({"host": "shadow"});
    let testers = SHOP.replace("    mirror: 10%\n", "");
    let patch = preview(&testers, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"]["http"][1]["mirror"], json!({"host": "shadow"}));
}

#[test]
fn a_route_that_matches_by_the_testers_header_itself_is_refused() {
    for field in ["headers", "withoutHeaders"] {
        let mut object = shop();
        object["spec"]["http"][1]["match"][1][field] = json!({"Canary": {"exact": "x"}});
        let error = preview(SHOP, &object, &Wanted::AsSpecified).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("it matches by the header canary itself"),
            "{error}"
        );
    }
}

#[test]
fn testers_are_refused_where_a_route_before_takes_what_they_send_and_told_when_one_comes() {
    let away = json!({"match": [{"headers": {"canary": {"exact": "true"}}}], "route": [{"destination": {"host": "v0"}}]});
    let mut object = shop();
    object["spec"]["http"]
        .as_array_mut()
        .unwrap()
        .insert(0, away.clone());
    let error = preview(SHOP, &object, &Wanted::AsSpecified)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("route http[0] stands before route") && error.contains("put it behind"),
        "{error}"
    );
    // One that asks for more leaves something.
    object["spec"]["http"][0]["match"][0]["uri"] = json!({"exact": "/only"});
    let patch = preview(SHOP, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    object["spec"]["http"][0]["match"][0]
        .as_object_mut()
        .unwrap()
        .remove("uri");
    let told = shown(SHOP, &object).missing.unwrap();
    assert!(
        told.contains("route http[0]") && told.contains("takes what testers send"),
        "{told}"
    );
}

#[test]
fn a_route_without_matches_is_shadowed_by_the_condition_alone() {
    let mut object = shop();
    object["spec"]["http"][1].as_object_mut().unwrap().remove("match");
    let patch = preview(SHOP, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(
        object["spec"]["http"][1]["match"][0],
        json!({"headers": {"canary": {"exact": "true"}}})
    );
    assert_eq!(object["spec"]["http"][1]["match"].as_array().unwrap().len(), 3);
}

#[test]
fn several_listed_routes_are_shadowed_each_whatever_their_order() {
    let routers = SHOP.replace("{name: shop}", "{name: shop, routes: [b, a]}");
    let mut object = shop();
    let pair = object["spec"]["http"][1]["route"].clone();
    object["spec"]["http"] = json!([
        {"name": "b", "match": [{"port": 1}], "route": pair},
        {"name": "between", "match": [{"port": 3}], "route": [{"destination": {"host": "x"}}]},
        {"name": "a", "match": [{"port": 2}], "route": pair},
    ]);
    let before = object.clone();
    let patch = preview(&routers, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    let names: Vec<&str> = object["spec"]["http"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "gradual-rollout-shop-testers-1",
            "b",
            "between",
            "gradual-rollout-shop-testers-0",
            "a"
        ]
    );
    assert_eq!(object["spec"]["http"][0]["match"][0]["port"], 1);
    assert_eq!(shown(&routers, &object).missing, None);
    let patch = preview(&routers, &object, &Wanted::Nothing).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"], before["spec"]);
}

#[test]
fn only_the_rules_of_this_component_are_ours() {
    let mut object = shop();
    let foreign = [
        "gradual-rollout-shop-testers-0-testers-0",
        "gradual-rollout-shop-testers-",
        "gradual-rollout-shop-testers-x",
        "gradual-rollout-shopping-testers-0",
        "gradual-rollout-shop",
    ];
    for name in foreign {
        let rule = json!({"name": name, "route": [{"destination": {"host": "x"}}]});
        object["spec"]["http"].as_array_mut().unwrap().insert(0, rule);
    }
    assert_eq!(shown(SHOP, &object).written, None);
    assert_eq!(preview(SHOP, &object, &Wanted::Nothing).unwrap(), None);
    // One of ours that nothing remembers is ours all the same, and goes.
    let rule = json!({"name": "gradual-rollout-shop-testers-7", "route": [{"destination": {"host": "x"}}]});
    let before = object.clone();
    object["spec"]["http"].as_array_mut().unwrap().insert(2, rule);
    assert_eq!(shown(SHOP, &object).written.as_deref(), Some("?"));
    let patch = preview(SHOP, &object, &Wanted::Nothing).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(object["spec"], before["spec"]);
}

#[test]
fn tls_and_tcp_have_no_testers_and_say_so() {
    let of = |word| SHOP.lines().find(|line| line.contains(word)).unwrap();
    for (list, without) in [
        ("tls", "mirror"),
        ("tls", "testers"),
        ("tcp", "mirror"),
        ("tcp", "testers"),
    ] {
        let http = SHOP.replace(of(without), "");
        let component = component(&http.replace("{name: shop}", &format!("{{name: shop, kind: {list}}}")));
        let told = targets(&component, "apps")[0].check(&[])[0].to_string();
        assert!(told.contains("testers and mirror take http routes"), "{told}");
    }
    let bad = SHOP.replace("canary: \"true\"", "Canary: \"true\"");
    let component = component(&bad);
    let errors = targets(&component, "apps")[0].check(&[]);
    assert!(
        errors[0].to_string().contains("\"Canary\" is no name"),
        "{errors:?}"
    );
}

#[test]
fn a_users_cookie_route_is_reported_as_sticky() {
    let mut object = shop();
    let sticky = json!({"name": "stay", "match": [{"headers": {"cookie": {"regex": ".*arm=canary.*"}}}],
        "route": [{"destination": {"host": "shop", "subset": "v2"}}]});
    object["spec"]["http"].as_array_mut().unwrap().insert(0, sticky);
    assert_eq!(
        shown(SHOP, &object).sticky.as_deref(),
        Some("route \"stay\" keeps requests with a cookie on one arm: weights move only new sessions")
    );
    assert_eq!(
        shown(SHOP, &previewed()).sticky,
        None,
        "our own cookie route is no session"
    );
}

#[test]
fn a_raise_read_before_testers_were_written_loses_its_race() {
    let mut object = shop();
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let raise = target
        .write(&object, &stamp("01J8", percent(50)), WriteMode::Normal)
        .unwrap();
    let testers = target.preview(&object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&testers, &mut object).unwrap();
    assert!(serve(&raise, &mut object).is_err());
}

#[test]
fn a_root_that_only_delegates_names_the_delegate_to_write() {
    let mut object = shop();
    object["spec"]["http"] = json!([
        {"name": "shop", "match": [{"uri": {"prefix": "/shop"}}], "delegate": {"name": "shop-routes", "namespace": "shop"}},
        {"name": "rest", "delegate": {"name": "rest"}}
    ]);
    let component_unnamed = component(SHOP);
    let error = targets(&component_unnamed, "apps")[0].read(&object).unwrap_err();
    assert_eq!(error.category(), "Delegates");
    assert_eq!(
        error.to_string(),
        "virtualservice apps/shop: route \"shop\", \"rest\" only delegates; name the delegate shop/shop-routes, apps/rest \
         in `virtualServices`, its weights are written there"
    );
    let named = component(&SHOP.replace("{name: shop}", "{name: shop, routes: [shop]}"));
    let error = targets(&named, "apps")[0].read(&object).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("name the delegate shop/shop-routes in"),
        "{error}"
    );
}

#[test]
fn a_delegate_is_written_like_any_other() {
    let mut object = shop();
    let spec = object["spec"].as_object_mut().unwrap();
    spec.remove("hosts");
    spec.remove("gateways");
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let patch = target
        .write(&object, &stamp("01J8", percent(10)), WriteMode::Normal)
        .unwrap();
    serve(&patch, &mut object).unwrap();
    assert_eq!(target.read(&object).unwrap().agreed(), Some(percent(10)));
    assert!(target.preview(&object, &Wanted::AsSpecified).unwrap().is_some());
}

/// As the daemon lowers.
fn lowered(object: &mut Value, weight: Weight, reason: &str) {
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let stamp = Stamp::new("01G", weight, reason).unwrap();
    let Write::Patch(patch) = target
        .lower(Some(object), &stamp, weight, WriteMode::Normal)
        .unwrap()
    else {
        unreachable!()
    };
    serve(&target.journalled(object, patch), object).unwrap();
}

fn choosers(object: &Value) -> Option<String> {
    let component = component(SHOP);
    targets(&component, "apps")[0].read(object).unwrap().choosers
}

#[test]
fn a_rule_of_our_name_that_nobody_asked_for_is_told_and_every_lowering_takes_it_off() {
    let rogue = json!({"name": "gradual-rollout-shop-testers-7", "match": [{"uri": {"prefix": "/"}}],
        "route": [{"destination": {"host": "shop", "subset": "v2"}}]});
    for mut object in [shop(), previewed()] {
        assert_eq!(choosers(&object), None);
        let before = object["spec"]["http"].clone();
        object["spec"]["http"]
            .as_array_mut()
            .unwrap()
            .insert(0, rogue.clone());
        assert_eq!(
            choosers(&object).as_deref(),
            Some("the rule gradual-rollout-shop-testers-7")
        );
        lowered(&mut object, percent(5), "DriftReverted");
        assert_eq!(object["spec"]["http"], before, "ours and theirs stay");
        assert_eq!(choosers(&object), None);
    }
}

#[test]
fn a_rule_of_ours_that_somebody_opened_to_everybody_is_taken_off() {
    let by_tenant = json!([{"uri": {"prefix": "/api"}, "headers": {"x-tenant": {"regex": ".+"}}}]);
    let by_any = json!([{"headers": {"canary": {"regex": ".*"}}}]);
    for opened in [
        json!(null),
        json!([]),
        json!([{"uri": {"prefix": "/"}}]),
        by_tenant,
        by_any,
        json!([{"headers": {"cookie": {"regex": ".*"}}}]),
    ] {
        let mut object = previewed();
        object["spec"]["http"][1]["match"] = opened.clone();
        assert!(choosers(&object).unwrap().contains("testers-0"), "{opened}");
        assert!(shown(SHOP, &object).missing.unwrap().contains("changed our rule"));
        lowered(&mut object, percent(5), "DriftReverted");
        assert_eq!(object["spec"]["http"].as_array().unwrap().len(), 3, "{opened}");
        assert_eq!(choosers(&object), None);
    }
    let mut object = previewed();
    object["spec"]["http"][1]["timeout"] = json!("9s");
    assert_eq!(
        choosers(&object),
        None,
        "changed, and for testers still: it is theirs, and stays"
    );
    let mut object = previewed();
    object["spec"]["http"][1]["name"] = json!("gradual-rollout-shop-other-testers-0");
    assert_eq!(choosers(&object), None, "another component's");
}
