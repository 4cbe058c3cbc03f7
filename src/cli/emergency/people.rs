//! The last step: people are told, for a moment and no longer.

use super::verify::{Outcomes, Step};
use crate::cli::pursue::Task;
use crate::cli::report::Entry;
use crate::clock::Clock;
use crate::daemon;
use crate::notify::{Kind, Message, Receiver, Secret, Setup, Severity, Topic, Where};
use crate::rollout::reason::Reason;
use crate::settings::Settings;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// How long all of them together may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How many components are named in a message.
const NAMED: usize = 10;

/// Whether somebody was told.
#[expect(clippy::struct_field_names, reason = "the report's word")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Told {
    /// Who: the name in the settings, or the host of `--notify`, and which one where that is said twice.
    pub receiver: String,
    /// Whether they took it.
    pub told: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What they are told.
pub(super) struct Summary<'a> {
    pub namespace: &'a str,
    pub tasks: &'a [Task],
    pub entries: &'a [Entry],
    pub who: &'a str,
    pub reason: &'a str,
    pub at: Timestamp,
}

impl Summary<'_> {
    fn message(&self) -> Message {
        let (well, ill): (Vec<&Entry>, Vec<&Entry>) = self.entries.iter().partition(|e| e.result.well());
        let mut text = format!("{} of {} components are back", well.len(), self.entries.len());
        if !ill.is_empty() {
            let mut names: Vec<&str> = ill.iter().map(|e| e.component.as_str()).take(NAMED).collect();
            if ill.len() > NAMED {
                names.push("…");
            }
            text = format!("{text}; NOT back: {}", names.join(", "));
        }
        let id = self.tasks.first().map_or("", |task| task.command.id.as_str());
        let rollout = match self.tasks {
            [one] => one.name().to_owned(),
            _ => String::new(),
        };
        Message {
            key: format!("{}/emergency/{id}", self.namespace),
            topic: Topic::Emergency,
            severity: Severity::Critical,
            namespace: self.namespace.to_owned(),
            rollout,
            component: None,
            from: None,
            to: self.tasks.first().and_then(|task| task.command.wish.weight),
            reason: Reason::Emergency,
            text: format!("{text}: {}", self.reason),
            figures: Vec::new(),
            who: Some(self.who.to_owned()),
            at: self.at,
            link: None,
        }
    }
}

/// The webhook that `--notify` names.
pub(super) fn receiver(url: &str) -> Result<Receiver, String> {
    let setup = Setup {
        name: host(url),
        kind: Kind::Webhook,
        url: Where::Url(Secret::Plain(url.to_owned())),
        secret: None,
        min_severity: Severity::Info,
        allow: Vec::new(),
        link: None,
    };
    Receiver::new(setup, Clock::System)
}

fn host(url: &str) -> String {
    let url = reqwest::Url::parse(url).ok();
    let host = url.and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_else(|| "--notify".to_owned())
}

/// What each `--notify` is called in the report: its host, for a path may be a secret, and its place on the command line
/// where the host alone does not tell which one it is.
fn names(urls: &[String], known: &[&str]) -> Vec<String> {
    let hosts: Vec<String> = urls.iter().map(|url| host(url)).collect();
    let name = |(i, host): (usize, &String)| {
        let others = hosts.iter().filter(|other| *other == host).count() > 1;
        if others || known.contains(&host.as_str()) {
            format!("{host} (--notify {} of {})", i + 1, hosts.len())
        } else {
            host.clone()
        }
    };
    hosts.iter().enumerate().map(name).collect()
}

/// Tells everybody whom the settings and the command line name.
pub(super) async fn tell(settings: &Settings, urls: &[String], summary: &Summary<'_>) -> Vec<Told> {
    let mut all: Vec<(String, Result<Receiver, String>)> = Vec::new();
    for one in &settings.notify {
        let receiver = daemon::receivers(std::slice::from_ref(one)).map(|mut all| all.pop());
        let receiver = receiver.and_then(|one| one.ok_or_else(|| "no receiver".to_owned()));
        all.push((one.name.clone(), receiver));
    }
    let known: Vec<&str> = settings.notify.iter().map(|one| one.name.as_str()).collect();
    for (url, name) in urls.iter().zip(names(urls, &known)) {
        all.push((name, receiver(url)));
    }
    let message = [summary.message()];
    let each = all.into_iter().map(|(name, receiver)| {
        let message = &message;
        async move {
            let told = match receiver {
                Err(why) => Err(why),
                Ok(receiver) => match tokio::time::timeout(WITHIN, receiver.tell(message)).await {
                    Ok(told) => told.map_err(|failure| failure.to_string()),
                    Err(_) => Err(format!("no answer within {}s", WITHIN.as_secs())),
                },
            };
            Told {
                receiver: name,
                told: told.is_ok(),
                error: told.err(),
            }
        }
    });
    futures::future::join_all(each).await
}

/// The same as a step.
pub(super) fn step(all: &[Told]) -> Step {
    const STEP: &str = "people told";
    let (told, untold): (Vec<&Told>, Vec<&Told>) = all.iter().partition(|one| one.told);
    let names = |some: &[&Told]| {
        some.iter()
            .map(|one| one.receiver.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let why: Vec<String> = untold
        .iter()
        .map(|one| format!("{}: {}", one.receiver, one.error.as_deref().unwrap_or_default()))
        .collect();
    match (told.is_empty(), untold.is_empty()) {
        (true, true) => Step::new(
            STEP,
            Outcomes::Unknown,
            "nobody is named: add [[notify]] to the settings or say --notify URL; tell them yourself",
        ),
        (false, true) => Step::new(STEP, Outcomes::Ok, format!("told: {}", names(&told))),
        (true, false) => Step::new(STEP, Outcomes::Failed, why.join("; ")),
        (false, false) => Step::new(
            STEP,
            Outcomes::Failed,
            format!("told: {}; not told: {}", names(&told), why.join("; ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_addresses_of_one_host_are_told_apart_without_their_paths() {
        let urls = [
            "https://ops.example.com/hook/hunter2",
            "https://chat.example.com/a",
            "https://ops.example.com/hook/hunter3",
        ];
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        assert_eq!(
            names(&urls, &["ops"]),
            [
                "ops.example.com (--notify 1 of 3)",
                "chat.example.com",
                "ops.example.com (--notify 3 of 3)"
            ]
        );
        assert_eq!(
            names(&urls[1..2], &["chat.example.com"]),
            ["chat.example.com (--notify 1 of 1)"],
            "one of the settings is called so"
        );
    }
}
