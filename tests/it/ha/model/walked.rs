//! The model, walked: as it is, and with one thing dropped that the protocol rests on.

use super::{FORGOTTEN, HONEST, Model, OUTLIVED, Rules, UNDECLARED};
use stateright::{Checker, HasDiscoveries};
use std::sync::Mutex;

fn model(rules: Rules, daemons: usize, top: u8, most: usize) -> Model {
    Model {
        rules,
        daemons,
        top,
        most,
        gets_there: Mutex::default(),
    }
}

#[test]
fn whoever_believes_to_lead_no_raise_outlives_a_rollback_and_nothing_exceeds_what_was_declared() {
    walk(1, 3, 3);
    walk(2, 2, 2);
}

#[test]
fn three_daemons_do_no_harm_either() {
    walk(3, 1, 2);
}

fn walk(daemons: usize, top: u8, most: usize) {
    let checker = stateright::Model::checker(model(HONEST, daemons, top, most))
        .threads(2)
        .spawn_bfs()
        .join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    eprintln!("{daemons} daemons, {top} steps, {most} requests under way: {states} states");
    assert!(states > 1000, "{states}");
}

fn finds(rules: Rules, harm: &'static str) {
    let checker = stateright::Model::checker(model(rules, 2, 2, 2))
        .finish_when(HasDiscoveries::AnyOf([harm].into()))
        .spawn_bfs()
        .join();
    let way = checker.discovery(harm).expect("no harm found").into_actions();
    let steps: Vec<String> = way.iter().map(|step| format!("{step:?}")).collect();
    eprintln!("{rules:?}\n{harm}:\n{}\n", steps.join("\n"));
    assert!(!steps.is_empty());
}

#[test]
fn without_the_version_in_the_raise_one_lands_after_a_rollback() {
    finds(
        Rules {
            fence: false,
            ..HONEST
        },
        OUTLIVED,
    );
}

#[test]
fn without_the_mark_of_a_rollback_at_0_a_raise_that_was_read_before_lands_after_it() {
    finds(
        Rules {
            mark_at_zero: false,
            ..HONEST
        },
        OUTLIVED,
    );
}

#[test]
fn without_declaring_first_more_is_written_than_was_declared() {
    finds(
        Rules {
            declare_first: false,
            ..HONEST
        },
        UNDECLARED,
    );
}

#[test]
fn without_the_version_in_the_status_a_rollback_is_forgotten() {
    finds(
        Rules {
            precondition: false,
            ..HONEST
        },
        FORGOTTEN,
    );
}

#[test]
fn without_reading_marks_a_successor_raises_what_was_just_put_back() {
    finds(
        Rules {
            reads_marks: false,
            ..HONEST
        },
        OUTLIVED,
    );
}
