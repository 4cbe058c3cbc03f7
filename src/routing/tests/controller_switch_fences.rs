//! A write of the controller switch loses to whatever moved since its read.

use super::controller_switch::{SWITCH, config_map, deployment, read, with, write};
use super::*;

#[test]
fn once_stamped_a_deployment_is_fenced_by_its_stamp_and_a_moving_status_does_not_matter() {
    let mut object = deployment(&json!([]));
    let first = write(SWITCH, 1, &object, percent(5)).unwrap();
    assert_eq!(
        wire(&first)[0]["path"],
        "/metadata/resourceVersion",
        "nothing else proves that there was no stamp"
    );
    serve(&first, &mut object).unwrap();

    let read_early = object.clone();
    let raise = with(SWITCH, 1, |t| {
        t.write(&read_early, &stamp("01UP", percent(10)), WriteMode::Normal)
    })
    .unwrap();
    let rollback = with(SWITCH, 1, |t| {
        t.write(&read_early, &stamp("01BACK", Weight::ZERO), WriteMode::Normal)
    })
    .unwrap();
    assert!(!wire(&raise).to_string().contains("resourceVersion"));
    assert!(wire(&raise).to_string().contains(r#""path":"/metadata/uid""#));
    // Meanwhile pods come and go.
    object["status"]["availableReplicas"] = 1.into();
    object["metadata"]["resourceVersion"] = "555".into();
    let mut raised_first = object.clone();
    assert_eq!(serve(&raise, &mut raised_first), Ok(()));
    serve(&rollback, &mut object).unwrap();
    assert_eq!(serve(&raise, &mut object), Err(422));
    assert_eq!(read(SWITCH, 1, &object).unwrap().agreed(), Some(Weight::ZERO));
}

#[test]
fn a_namesake_created_since_is_not_written() {
    let mut object = deployment(&json!([]));
    serve(&write(SWITCH, 1, &object, percent(5)).unwrap(), &mut object).unwrap();
    let raise = write(SWITCH, 1, &object, percent(10)).unwrap();
    object["metadata"]["uid"] = "u-2".into();
    assert_eq!(serve(&raise, &mut object), Err(422));
}

#[test]
fn whatever_moved_in_the_container_since_the_read_refuses_the_write() {
    let env =
        json!([{"name": "ISTIO_PERCENTAGE", "value": "5"}, {"name": "NETWORKING_MODE", "value": "dual"}]);
    let mut object = deployment(&env);
    serve(&write(SWITCH, 1, &object, percent(5)).unwrap(), &mut object).unwrap();
    object["spec"]["template"]["spec"]["containers"][1]["env"]
        .as_array_mut()
        .unwrap()
        .pop();
    let patch = write(SWITCH, 1, &object, percent(10)).unwrap();
    let containers = "/spec/template/spec/containers";
    let moved = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut moved = object.clone();
        change(moved.pointer_mut(containers).unwrap().as_array_mut().unwrap());
        serve(&patch, &mut moved)
    };
    assert_eq!(moved(&|_| ()), Ok(()));
    assert_eq!(
        moved(&|list| list[0] = json!({"name": "sidecar", "image": "proxy:2"})),
        Ok(()),
        "not ours"
    );
    let added = json!({"name": "ENABLE_ISTIO_MONITORING", "value": "true"});
    assert_eq!(
        moved(&|list| list[1]["env"].as_array_mut().unwrap().push(added.clone())),
        Err(422)
    );
    assert_eq!(
        moved(&|list| list[1]["env"].as_array_mut().unwrap().reverse()),
        Err(422)
    );
    assert_eq!(moved(&|list| list[1]["env"][0]["value"] = "1".into()), Err(422));
    assert_eq!(moved(&|list| list[1]["name"] = "other".into()), Err(422));
}

#[test]
fn a_percentage_that_somebody_changed_since_the_read_is_not_overwritten() {
    let mut object = deployment(&json!([]));
    serve(&write(SWITCH, 1, &object, percent(5)).unwrap(), &mut object).unwrap();
    let raise = write(SWITCH, 1, &object, percent(10)).unwrap();
    object["spec"]["template"]["spec"]["containers"][1]["env"][1]["value"] = "1".into();
    assert_eq!(serve(&raise, &mut object), Err(422));

    let mut object = config_map(&json!({}));
    serve(&write(SWITCH, 0, &object, percent(5)).unwrap(), &mut object).unwrap();
    let raise = write(SWITCH, 0, &object, percent(10)).unwrap();
    object["metadata"]["resourceVersion"] = "77".into();
    assert_eq!(serve(&raise, &mut object), Err(409));
}

#[test]
fn a_raise_of_a_switch_read_before_a_rollback_never_lands_after_it() {
    for stamped in [false, true] {
        for (index, mut object) in [(0, config_map(&json!({}))), (1, deployment(&json!([])))] {
            if stamped {
                serve(&write(SWITCH, index, &object, percent(5)).unwrap(), &mut object).unwrap();
            }
            let write = |id, weight| {
                with(SWITCH, index, |t| {
                    t.write(&object, &stamp(id, weight), WriteMode::Normal)
                })
                .unwrap()
            };
            let (raise, rollback) = (write("01UP", percent(10)), write("01BACK", Weight::ZERO));
            serve(&rollback, &mut object).unwrap();
            assert!(serve(&raise, &mut object).is_err(), "{index}, stamped {stamped}");
            assert_eq!(read(SWITCH, index, &object).unwrap().agreed(), Some(Weight::ZERO));
        }
    }
}

#[test]
fn a_rollback_that_changes_no_value_still_keeps_out_an_older_raise() {
    let mut object = deployment(&json!([]));
    serve(&write(SWITCH, 1, &object, Weight::ZERO).unwrap(), &mut object).unwrap();
    let raise = write(SWITCH, 1, &object, percent(10)).unwrap();
    let rollback = with(SWITCH, 1, |t| {
        t.write(&object, &stamp("01BACK", Weight::ZERO), WriteMode::Normal)
    })
    .unwrap();
    assert_eq!(rollback.changes.len(), 1, "the stamp alone");
    serve(&rollback, &mut object).unwrap();
    assert_eq!(serve(&raise, &mut object), Err(422));
}
