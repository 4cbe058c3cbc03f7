//! Bodies of strangers' against what takes alerts and complaints in.

use super::alertmanager;
use super::complaints;
use super::mapping::AlertRoute;
use crate::rollout::command::{Command, MAX_BYTES, Verb, Wish};
use crate::rollout::fuzzing::is_harmless;
use std::collections::BTreeMap;

/// A request's body, to either hook.
pub(crate) fn alerts(bytes: &[u8]) {
    let labels = [("alertname".to_owned(), "~Shop.*".to_owned())];
    let route = AlertRoute::new(&BTreeMap::from(labels), "apps", None, "shop");
    let routes: Vec<AlertRoute> = route.into_iter().collect();
    match alertmanager::understood(bytes) {
        Ok(payload) => {
            for alert in payload.alerts {
                let meant = alert.and_then(|alert| alertmanager::meant((&routes, true), &alert));
                match meant {
                    Ok((_, id, wish)) => command(id, Verb::Rollback, wish),
                    Err(outcome) => assert!(is_harmless(&outcome.message), "{outcome:?}"),
                }
            }
        }
        Err(refusal) => assert!(refusal.status.is_client_error()),
    }
    match complaints::understood(bytes) {
        Ok(said) => command(
            "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
            Verb::Complaint,
            said.wish(),
        ),
        Err(refusal) => assert!(refusal.status.is_client_error()),
    }
}

/// What is written on the rollout is what is read there, or it is refused where somebody is listening.
fn command(id: String, verb: Verb, wish: Wish) {
    assert!(
        is_harmless(&wish.reason) && wish.reason.chars().count() <= 300,
        "{wish:?}"
    );
    assert!(is_harmless(&wish.who));
    let command = Command { id, verb, wish };
    let value = command.value();
    match Command::parse(&command.key(), &value) {
        Some(Ok(read)) => assert_eq!(read, command),
        Some(Err(_)) => assert!(
            value.len() > MAX_BYTES || command.wish.reason.is_empty(),
            "{value}"
        ),
        None => unreachable!("{} is no command's key", command.key()),
    }
}
