//! Whom an alert is about: by the operator's table, else by the alert's own labels.

use regex::Regex;
use std::collections::BTreeMap;

/// Alerts with these labels are about this component.
#[derive(Clone, Debug)]
pub struct AlertRoute {
    matchers: Vec<(String, Matcher)>,
    target: Target,
}

#[derive(Clone, Debug)]
enum Matcher {
    Is(String),
    Matches(Regex),
}

/// A component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) namespace: String,
    /// `None`: the one in the namespace that has the component.
    pub(super) rollout: Option<String>,
    /// Its name, or `*`.
    pub(super) component: String,
}

impl AlertRoute {
    /// Reads a route: each label must be the value, or match it where it begins with `~`. An error says which label.
    pub fn new(
        matchers: &BTreeMap<String, String>,
        namespace: &str,
        rollout: Option<&str>,
        component: &str,
    ) -> Result<Self, String> {
        if matchers.is_empty() {
            return Err("match names no label, so every alert would put traffic back: name some".to_owned());
        }
        if component == "*" && rollout.is_none() {
            return Err("component \"*\" is all of a rollout: name the rollout, too".to_owned());
        }
        let read = |(label, value): (&String, &String)| {
            let matcher = match value.strip_prefix('~') {
                None => Matcher::Is(value.clone()),
                Some(pattern) => Matcher::Matches(
                    // As Prometheus does: all of it.
                    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                        format!("match.{label}: {pattern:?} is no regular expression: {error}")
                    })?,
                ),
            };
            Ok((label.clone(), matcher))
        };
        Ok(Self {
            matchers: matchers.iter().map(read).collect::<Result<_, String>>()?,
            target: Target {
                namespace: namespace.to_owned(),
                rollout: rollout.map(str::to_owned),
                component: component.to_owned(),
            },
        })
    }

    fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matchers.iter().all(|(label, matcher)| {
            // A label that is not there is empty, as in Prometheus.
            let value = labels.get(label).map_or("", String::as_str);
            match matcher {
                Matcher::Is(wanted) => wanted == value,
                Matcher::Matches(pattern) => pattern.is_match(value),
            }
        })
    }
}

/// Whom an alert with these labels is about.
pub(super) fn target(
    routes: &[AlertRoute],
    by_labels: bool,
    labels: &BTreeMap<String, String>,
) -> Option<Target> {
    if let Some(route) = routes.iter().find(|route| route.takes(labels)) {
        return Some(route.target.clone());
    }
    let own = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    if !by_labels {
        return None;
    }
    Some(Target {
        namespace: own("namespace")?,
        rollout: own("rollout"),
        component: own("component")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn the_table_comes_first_and_matches_whole_values() {
        let route = AlertRoute::new(
            &labels(&[("alertname", "Down"), ("host", "~shop-.*")]),
            "apps",
            None,
            "shop",
        )
        .unwrap();
        let routes = [route];
        let own = [
            ("alertname", "Down"),
            ("host", "shop-1"),
            ("namespace", "x"),
            ("component", "y"),
        ];
        assert_eq!(target(&routes, true, &labels(&own)).unwrap().component, "shop");
        let other = [
            ("alertname", "Down"),
            ("host", "my-shop-1"),
            ("namespace", "x"),
            ("component", "y"),
        ];
        assert_eq!(target(&routes, true, &labels(&other)).unwrap().component, "y");
        assert_eq!(
            target(&routes, false, &labels(&other)),
            None,
            "labels are not believed"
        );
        assert_eq!(target(&routes, true, &labels(&[("component", "y")])), None);
    }

    #[test]
    fn a_route_for_everything_or_for_nonsense_is_refused() {
        let all = AlertRoute::new(&labels(&[("job", "x")]), "apps", None, "*").unwrap_err();
        assert!(all.contains("name the rollout"), "{all}");
        assert!(AlertRoute::new(&labels(&[("job", "x")]), "apps", Some("demo"), "*").is_ok());
        assert!(AlertRoute::new(&labels(&[]), "apps", None, "shop").is_err());
        let error = AlertRoute::new(&labels(&[("host", "~(")]), "apps", None, "shop").unwrap_err();
        assert!(error.contains("match.host"), "{error}");
    }
}
