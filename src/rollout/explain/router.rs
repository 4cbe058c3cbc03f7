//! What there is to say about each router of a component.

use crate::rollout::status::RouterStatus;
use crate::rollout::weight::Weight;
use serde::Serialize;

/// A router, as its objects say. Weights are in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterView {
    /// Its kind; of several of one kind with its number among them, from the edge: `istio 2`.
    pub router: String,
    /// What is wanted of it.
    pub asked: f64,
    /// Our last write.
    pub written: Option<f64>,
    /// What its objects say.
    pub observed: Option<f64>,
    /// What its weight is a share of: `requests`, or `newObjects`, which no metric of requests shows.
    pub share: &'static str,
    /// Whether what is written is in force.
    pub settled: bool,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// Who else wrote it last.
    pub manager: Option<String>,
}

impl RouterView {
    /// Whether there is something to tell that the component's weight does not.
    pub fn is_news(&self) -> bool {
        !self.settled || self.observed != Some(self.asked)
    }

    /// The same in words.
    pub fn words(&self) -> String {
        let percent = |w: Option<f64>, none: &str| w.map_or_else(|| none.to_owned(), |w| format!("{w}%"));
        let share = if self.share == "newObjects" {
            " of new objects (notVerifiable by requests)"
        } else {
            ""
        };
        let mut words = format!(
            "{}: {} observed{share}, {} written, {}% asked",
            self.router,
            percent(self.observed, "not known or not agreed"),
            percent(self.written, "nothing"),
            self.asked
        );
        if let Some(waiting) = &self.waiting_for {
            words.push_str("; waits: ");
            words.push_str(waiting);
        }
        if let Some(manager) = &self.manager {
            words.push_str("; besides us last written by ");
            words.push_str(manager);
        }
        words
    }
}

/// Each router of a component.
pub fn routers(of: &[RouterStatus]) -> Vec<RouterView> {
    let name = |i: usize, r: &RouterStatus| {
        let same = |r2: &&RouterStatus| r2.router == r.router;
        let nth = of.iter().take(i + 1).filter(same).count();
        match of.iter().filter(same).count() {
            1 => r.router.clone(),
            _ => format!("{} {nth}", r.router),
        }
    };
    let view = |(i, r): (usize, &RouterStatus)| RouterView {
        router: name(i, r),
        asked: r.asked.percent(),
        written: r.written.map(Weight::percent),
        observed: r.observed.map(Weight::percent),
        share: if r.router == "controllerSwitch" {
            "newObjects"
        } else {
            "requests"
        },
        settled: r.settled,
        waiting_for: r.waiting_for.clone(),
        manager: r.manager.clone(),
    };
    of.iter().enumerate().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_routers_of_a_kind_each_is_told_by_its_number_from_the_edge() {
        let named = |kinds: &[&str]| -> Vec<String> {
            let router = |kind: &&str| RouterStatus {
                router: (*kind).to_owned(),
                ..RouterStatus::default()
            };
            let all: Vec<RouterStatus> = kinds.iter().map(router).collect();
            routers(&all).into_iter().map(|r| r.router).collect()
        };
        assert_eq!(named(&["ingressNginx", "istio"]), ["ingressNginx", "istio"]);
        assert_eq!(named(&["istio", "hook", "istio"]), ["istio 1", "hook", "istio 2"]);
    }
}
