//! A mirror of a route that somebody renamed.

use super::preview::{SHOP, preview, previewed, shop};
use super::*;
use crate::rollout::observation::Wanted;

fn renamed(object: &mut Value) {
    let http = object["spec"]["http"].as_array_mut().unwrap();
    let route = http
        .iter_mut()
        .find(|route| route.get("mirror").is_some())
        .unwrap();
    route["name"] = json!("zz");
}

fn rollback(object: &mut Value) {
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    let back = Stamp::new("01BACK", Weight::ZERO, "Breach").unwrap();
    let patch = target.write(object, &back, WriteMode::Normal).unwrap();
    serve(&patch, object).unwrap();
}

#[test]
fn our_mirror_goes_back_with_a_route_that_somebody_renamed() {
    let mut object = previewed();
    renamed(&mut object);
    rollback(&mut object);
    let mut expected = shop()["spec"].clone();
    expected["http"][1]["name"] = json!("zz");
    expected["http"][1]["route"][0]["weight"] = 100.into();
    expected["http"][1]["route"][1]["weight"] = 0.into();
    assert_eq!(object["spec"], expected);
}

#[test]
fn our_mirror_follows_a_route_that_somebody_renamed() {
    let mut object = previewed();
    renamed(&mut object);
    let patch = preview(SHOP, &object, &Wanted::AsSpecified).unwrap().unwrap();
    serve(&patch, &mut object).unwrap();
    let mirrors = object["spec"]["http"].as_array().unwrap().iter();
    assert_eq!(mirrors.filter(|route| route.get("mirror").is_some()).count(), 1);
    rollback(&mut object);
    assert!(!object["spec"].to_string().contains("mirror"), "{object:#}");
}

#[test]
fn a_mirror_of_another_share_on_a_renamed_route_is_theirs() {
    let mut object = previewed();
    renamed(&mut object);
    let http = object["spec"]["http"].as_array_mut().unwrap();
    let route = http.iter_mut().find(|route| route["name"] == "zz").unwrap();
    route["mirrorPercentage"] = json!({"value": 11});
    rollback(&mut object);
    assert!(
        object["spec"].to_string().contains("mirrorPercentage"),
        "{object:#}"
    );
}

#[test]
fn what_is_ours_goes_from_an_object_without_the_pair_whatever_still_leads_to_the_canary() {
    let component = component(SHOP);
    let target = &targets(&component, "apps")[0];
    for (subset, nowhere) in [("v1", true), ("v2", false)] {
        for is_renamed in [false, true] {
            let mut object = previewed();
            if is_renamed {
                renamed(&mut object);
            }
            let http = object["spec"]["http"].as_array_mut().unwrap();
            let route = http
                .iter_mut()
                .find(|route| route.get("mirror").is_some())
                .unwrap();
            route["route"] = json!([{"destination": {"host": "shop", "subset": subset}}]);
            let target = target.for_lowering(&object, &[]);
            assert_eq!(
                target.leads_nowhere(&object),
                nowhere,
                "what is ours keeps nothing up"
            );
            let (patch, after) = target.clear(&object).unwrap();
            serve(&patch, &mut object).unwrap();
            assert_eq!(object["spec"], after["spec"]);
            for ours in ["gradual-rollout", "mirror", "rollout.sealos.io/p."] {
                assert!(!object.to_string().contains(ours), "{ours}: {object:#}");
            }
            assert_eq!(target.leads_nowhere(&object), nowhere);
            assert_eq!(target.clear(&object), None, "once");
        }
    }
    let whole = previewed();
    let with_the_pair = target.for_lowering(&whole, &[]).clear(&whole);
    assert_eq!(with_the_pair, None, "there they go with the weight");
}
