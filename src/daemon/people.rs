//! Who is told what happens: from the settings to receivers, and what became of their messages in the metrics.

use crate::clock::Clock;
use crate::notify::{Counts, Kind, Outbox, Receiver, Secret, Setup, Severity, Where};
use crate::settings::{Notify, NotifyKind, NotifySeverity, NotifyUrl};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use std::fmt;

/// The receivers that the settings name. An error is a sentence about the settings.
pub fn receivers(settings: &[Notify]) -> Result<Vec<Receiver>, String> {
    let receiver = |notify: &Notify| {
        let setup = Setup {
            name: notify.name.clone(),
            kind: match notify.kind {
                NotifyKind::Webhook => Kind::Webhook,
                NotifyKind::Slack => Kind::Slack,
                NotifyKind::DingTalk => Kind::DingTalk,
            },
            url: match &notify.url {
                NotifyUrl::Url(url) => Where::Url(Secret::Plain(url.clone())),
                NotifyUrl::File(path) => Where::File(Secret::File(path.clone())),
            },
            secret: notify.secret_file.clone().map(Secret::File),
            min_severity: match notify.min_severity {
                NotifySeverity::Info => Severity::Info,
                NotifySeverity::Warning => Severity::Warning,
                NotifySeverity::Critical => Severity::Critical,
            },
            allow: notify.allow.clone(),
            link: notify.link.clone(),
        };
        Receiver::new(setup, Clock::System)
            .map_err(|error| format!("settings: notify {}: {error}", notify.name))
    };
    settings.iter().map(receiver).collect()
}

/// What became of every receiver's messages.
#[derive(Debug)]
pub(super) struct Messages(pub(super) Outbox);

impl Collector for Messages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.counts();
        if all.is_empty() {
            return Ok(());
        }
        let help = "Messages to people by what became of them: sent, dropped (the queue was full), failed (given up)";
        let mut family = encoder.encode_descriptor("notifications", help, None, MetricType::Counter)?;
        for (
            receiver,
            Counts {
                sent,
                dropped,
                failed,
            },
        ) in &all
        {
            for (outcome, count) in [("sent", sent), ("dropped", dropped), ("failed", failed)] {
                let labels = [("receiver", receiver.as_str()), ("outcome", outcome)];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use std::path::PathBuf;

    #[test]
    fn every_receiver_is_in_the_daemons_own_metrics() {
        let ops = Notify {
            name: "ops".into(),
            kind: NotifyKind::Slack,
            url: NotifyUrl::File(PathBuf::from("/run/url")),
            secret_file: None,
            min_severity: NotifySeverity::Info,
            allow: Vec::new(),
            link: None,
        };
        let metrics = Metrics::new();
        metrics.collect(Box::new(Messages(Outbox::new(receivers(&[ops]).unwrap()))));
        let text = metrics.encode().unwrap();
        let line = r#"gradual_rollout_notifications_total{receiver="ops",outcome="dropped"} 0"#;
        assert!(text.contains(line), "{text}");
    }
}
