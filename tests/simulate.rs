//! The judge held to its promises by simulation, in full: `make simulate`. With `UPDATE=1` what was found goes into
//! `docs/judging.md`; `GRADUAL_ROLLOUT_SEED` repeats a day's run.
//!
//! The core imports no other room, so this crate compiles it and nothing else, optimised. Plain `cargo test` leaves
//! it out: a short form runs with the integration tests.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a mirror of the core, not a second place to lint it; and helpers of tests say what went wrong by panicking"
)]

#[path = "../src/rollout/mod.rs"]
pub mod rollout;
#[path = "simulate/mod.rs"]
mod simulate;

use simulate::draw::real;
use simulate::figures::Figure;
use simulate::pool::{MEMBERS, RPS, pools};
use simulate::promises::{FALSE_ROLLBACK, allowed, fast, healthy, published, seconds, when};
use simulate::promotion::{Climb, QUIET, climbs};
use simulate::report::{Axis, Curve, between, plot, table};
use simulate::table::{JUDGES, Row};
use simulate::trial::{Blunders, Case};

/// Attempts per kind of traffic, and ticks of each of their twelve steps: a day in all.
const ATTEMPTS: u64 = 2000;
const HOLD: u64 = 720;
/// Pools of ten members.
const POOLS: u64 = 200;
/// Runs of each fault, and of each row of the table.
const FAULTS: u64 = 1000;
const RUNS: u64 = 1000;
/// Days of healthy canaries at 5%.
const DAYS: u64 = 100;

#[test]
fn the_published_table_is_found_again() {
    let seed = begin();
    let (rows, wrong) = published(seed, RUNS);
    publish(
        "simulated table",
        &format!(
            "{}\n{RUNS} runs of each row, seed {seed}.\n",
            published_table(&rows)
        ),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_are_found_as_fast_as_promised() {
    let seed = begin();
    let (faults, wrong) = fast(seed, FAULTS, 1.0);
    publish(
        "simulated faults",
        &format!(
            "{}\n{FAULTS} runs of each, seed {seed}.\n",
            figures_table(&faults)
        ),
    );
    draw("faults", &faults_plot(&faults));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn healthy_canaries_stay_as_often_as_promised() {
    let seed = begin();
    let (attempts, wrong) = healthy(seed, ATTEMPTS, HOLD);
    publish(
        "simulated healthy",
        &format!("{}Seed {seed}.\n", healthy_table(&attempts)),
    );
    draw("healthy", &healthy_plot(&attempts));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_healthy_canary_may_rise_as_soon_as_there_are_requests_enough() {
    let seed = begin();
    let (climbs, wrong) = climbs(seed, &QUIET, DAYS);
    publish(
        "simulated promotion",
        &format!(
            "{}\n{DAYS} days of each, seed {seed}.\n",
            promotion_table(&climbs)
        ),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn healthy_members_of_pools_stay_as_often_as_promised() {
    let seed = begin();
    let (found, wrong) = pools(seed, POOLS, HOLD);
    let line = vec![
        format!("{MEMBERS} members, everything at once"),
        format!("{RPS} each"),
        format!("{} of {}", found.alone, POOLS * MEMBERS),
        format!("{} of {POOLS}", found.whole),
        format!("{:.2}%", found.share()),
    ];
    let head = [
        "a healthy pool, 12 steps in 24 h",
        "requests/s",
        "members by their own",
        "pools as a whole",
        "share of members",
    ];
    publish(
        "simulated pools",
        &format!("{}\nSeed {seed}.\n", table(&head, &[line])),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

fn begin() -> u64 {
    let seed = simulate::seed();
    println!("seed {seed}; GRADUAL_ROLLOUT_SEED={seed} repeats this run");
    seed
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Prints what was found, and puts it into the page on request.
fn publish(name: &str, text: &str) {
    println!("\n{text}");
    if is_update() {
        let file = format!("{DOCS}/judging.md");
        let page = std::fs::read_to_string(&file).unwrap();
        let page = between(&page, name, text).unwrap_or_else(|| panic!("{file} has no marks for {name:?}"));
        std::fs::write(file, page).unwrap();
    }
}

fn draw(name: &str, svg: &str) {
    if is_update() {
        std::fs::create_dir_all(format!("{DOCS}/judging")).unwrap();
        std::fs::write(format!("{DOCS}/judging/{name}.svg"), svg).unwrap();
    }
}

fn published_table(rows: &[(Row, [(f64, f64); 5])]) -> String {
    let cell = |(share, seconds): (f64, f64)| {
        if seconds.is_finite() && share > 99.0 {
            format!("{share:.0}% at {seconds:.0} s")
        } else {
            format!("{share:.1}%")
        }
    };
    let head: Vec<&str> = ["an hour at 5%"].into_iter().chain(JUDGES).collect();
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|(row, cells)| [row.name.to_owned()].into_iter().chain(cells.map(cell)).collect())
        .collect();
    table(&head, &lines)
}

fn promotion_table(climbs: &[Climb]) -> String {
    let line = |climb: &Climb| {
        let time = |q: f64| {
            let seconds = simulate::trial::quantile(&climb.seconds, q);
            if seconds.is_infinite() {
                "not within 24 h".to_owned()
            } else if seconds < 3600.0 {
                format!("{:.0} min", seconds / 60.0)
            } else {
                format!("{:.1} h", seconds / 3600.0)
            }
        };
        vec![
            format!("{}%", (climb.base * 10_000.0).round() / 100.0),
            climb.rps.to_string(),
            (climb.rps / 20.0).to_string(),
            time(0.5),
            time(0.9),
            format!("{:.0}%", 100.0 * climb.share()),
        ]
    };
    let head = [
        "errors of both arms",
        "requests/s",
        "of them the canary's",
        "half of all",
        "90%",
        "within 24 h",
    ];
    table(&head, &climbs.iter().map(line).collect::<Vec<_>>())
}

fn figures_table(faults: &[(Figure, Vec<f64>)]) -> String {
    let line = |(figure, found): &(Figure, Vec<f64>)| {
        let mut line = vec![figure.name.clone(), when(figure.onset).to_owned()];
        line.extend([0.5, 0.9, 0.99].map(|q| seconds(found, q)));
        line.push(
            figure
                .promised
                .map_or_else(|| "–".to_owned(), |p| format!("{p:.0} s")),
        );
        line
    };
    let head = [
        "fault at 5% of the traffic",
        "begins",
        "half of all",
        "90%",
        "99%",
        "promised for half",
    ];
    table(&head, &faults.iter().map(line).collect::<Vec<_>>())
}

fn healthy_table(attempts: &[(Case, Blunders)]) -> String {
    let line = |(case, found): &(Case, Blunders)| {
        let share = 100.0 * real(found.count) / real(found.runs);
        let how: Vec<String> = found
            .how
            .iter()
            .map(|(how, at)| format!("{} by {how}", at.len()))
            .collect();
        let how = if how.is_empty() {
            "–".to_owned()
        } else {
            how.join(", ")
        };
        vec![
            case.name.to_owned(),
            case.model.rps.to_string(),
            format!("{} of {}", found.count, found.runs),
            format!("{share:.2}%"),
            how,
        ]
    };
    let head = [
        "a healthy canary, 12 steps in 24 h",
        "requests/s",
        "rolled back",
        "share",
        "how",
    ];
    let lines: Vec<_> = attempts.iter().map(line).collect();
    format!(
        "{}\nThe test fails above {} of {ATTEMPTS} in any row that promises something. ",
        table(&head, &lines),
        allowed(ATTEMPTS)
    )
}

fn faults_plot(faults: &[(Figure, Vec<f64>)]) -> String {
    let curve = |(figure, found): &(Figure, Vec<f64>)| {
        let points = (1..=99).map(|p| {
            let q = f64::from(p) / 100.0;
            [simulate::trial::quantile(found, q).min(4000.0), f64::from(p)]
        });
        Curve {
            name: figure.name.clone(),
            points: points.collect(),
        }
    };
    let curves: Vec<Curve> = faults.iter().filter(|(f, _)| f.drawn).map(curve).collect();
    let x = Axis {
        title: "seconds since it could be seen (logarithmic)",
        ends: [9.0, 3600.0],
        ticks: &[10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0],
        log: true,
    };
    let y = Axis {
        title: "% rolled back",
        ends: [0.0, 100.0],
        ticks: &[0.0, 25.0, 50.0, 75.0, 100.0],
        log: false,
    };
    plot(
        "How soon a fault that comes with the raise is rolled back",
        &x,
        &y,
        &curves,
        None,
    )
}

/// Where none is drawn: a logarithm has no 0, and one in 2000 is 0.05%.
const NONE: f64 = 0.01;

fn healthy_plot(attempts: &[(Case, Blunders)]) -> String {
    let mut names: Vec<&str> = attempts.iter().map(|(case, _)| case.name).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    let curve = |name: &&str| {
        let mine = attempts.iter().filter(|(case, _)| case.name == *name);
        let points = mine.map(|(case, found)| {
            let share = 100.0 * real(found.count) / real(found.runs);
            [case.model.rps, share.max(NONE)]
        });
        Curve {
            name: (*name).to_owned(),
            points: points.collect(),
        }
    };
    let curves: Vec<Curve> = names.iter().map(curve).collect();
    let x = Axis {
        title: "requests per second of both arms (logarithmic)",
        ends: [0.1, 200.0],
        ticks: &[0.1, 0.5, 2.0, 20.0, 200.0],
        log: true,
    };
    let y = Axis {
        title: "% of attempts (logarithmic; 0.01 stands for none)",
        // Room for the names below what is drawn.
        ends: [0.0002, 100.0],
        ticks: &[NONE, 0.1, 1.0, 10.0, 100.0],
        log: true,
    };
    let line = Some((100.0 * FALSE_ROLLBACK, "falseRollback"));
    plot(
        "Healthy canaries rolled back, in attempts of 12 steps and 24 h",
        &x,
        &y,
        &curves,
        line,
    )
}
