//! How long the webhook can be asked: when its certificate has ended the API server asks nobody any more, and takes
//! everything without a word.

use super::policy::{NAME, Stage};
use super::webhook::{SECRET, SOON, rules};
use crate::finding::{Finding, Severity};
use crate::preflight::certificate::Certificate;
use crate::see::{self, Listed, kinds, text};
use crate::trouble::Trouble;
use jiff::Timestamp;
use kube::Client;
use kube::api::ListParams;
use serde_json::Value;

/// What is said of a certificate that ends soon, or has ended; none while it lasts.
pub(super) fn said(ends: Timestamp, now: Timestamp) -> Option<String> {
    if ends <= now {
        Some(format!(
            "its certificate ended {ends}: the API server asks it no more, and takes new hosts without a word"
        ))
    } else if ends.duration_since(now) < SOON {
        Some(format!(
            "its certificate ends {ends}: from then on the API server asks it no more, and takes new hosts without a word"
        ))
    } else {
        None
    }
}

/// What makes it last.
pub(super) fn remedy(stage: Option<Stage>) -> String {
    let mode = stage.map_or("STAGE", Stage::word);
    format!(
        "have it made anew: migrate block --mode {mode} --webhook-service NAMESPACE/NAME, with the flags of before; one of your own is renewed by whoever made Secret {SECRET}, and `block` told the API server of it"
    )
}

/// What keeps the webhook of a block from being asked, now or soon; none where there is no webhook, or it lasts.
pub async fn lasting(client: &Client, now: Timestamp) -> Result<Option<Finding>, Trouble> {
    let webhooks = match see::list(client, kinds::WEBHOOK, None, &ListParams::default()).await? {
        Listed::Here(webhooks) => webhooks,
        Listed::NotServed => return Ok(None),
        Listed::Forbidden(why) => return Ok(Some(unseen(&why))),
    };
    let Some(webhook) = webhooks.iter().find(|webhook| see::name(webhook) == NAME) else {
        return Ok(None);
    };
    let home = text(webhook, "/webhooks/0/clientConfig/service/namespace").unwrap_or_default();
    let named = ListParams::default().fields(&format!("metadata.name={SECRET}"));
    let secrets = match see::list(client, kinds::SECRET, Some(home), &named).await? {
        Listed::Here(secrets) => secrets,
        Listed::NotServed => Vec::new(),
        Listed::Forbidden(why) => return Ok(Some(unseen(&why))),
    };
    let secret = secrets.iter().find(|secret| see::name(secret) == SECRET);
    let Some((severity, message)) = judged(webhook, home, secret, now) else {
        return Ok(None);
    };
    // Only for the words of the remedy: who may not read them is told it without.
    let stage = rules(client, home).await.ok().flatten().map(|rules| rules.stage);
    Ok(Some(Finding {
        code: "VALIDATE-WEBHOOK-CERTIFICATE",
        severity,
        object: see::object(webhook),
        message,
        remedy: remedy(stage),
    }))
}

fn unseen(why: &str) -> Finding {
    Finding {
        code: "VALIDATE-UNSEEN",
        severity: Severity::Warning,
        object: format!("ValidatingWebhookConfiguration {NAME}"),
        message: format!("whether a webhook blocks new Ingresses, and how long, may not be looked at: {why}"),
        remedy: "have the right granted, or ask as somebody who has it".to_owned(),
    }
}

fn judged(webhook: &Value, home: &str, secret: Option<&Value>, now: Timestamp) -> Option<(Severity, String)> {
    let Some(secret) = secret else {
        let said = format!(
            "there is no Secret {home}/{SECRET}, so the daemon cannot answer, and new hosts are taken without a word"
        );
        return Some((Severity::Blocker, said));
    };
    let read = match Certificate::of(secret) {
        Ok(read) => read,
        Err(why) => {
            let said = format!(
                "Secret {home}/{SECRET} cannot be served with ({why}), so new hosts are taken without a word"
            );
            return Some((Severity::Blocker, said));
        }
    };
    if let Some(said) = said(read.ends, now) {
        let severity = if read.ends <= now {
            Severity::Blocker
        } else {
            Severity::Warning
        };
        return Some((severity, said));
    }
    let trusted = text(webhook, "/webhooks/0/clientConfig/caBundle").unwrap_or_default();
    let served = ["/data/ca.crt", "/data/tls.crt"].map(|key| text(secret, key).unwrap_or_default());
    (!served.contains(&trusted)).then(|| {
        let said = format!("the API server trusts another certificate than Secret {home}/{SECRET} has: if it does not trust that one, new hosts are taken without a word");
        (Severity::Warning, said)
    })
}
