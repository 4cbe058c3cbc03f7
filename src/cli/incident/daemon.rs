//! What the daemon says of itself: its metrics, its state, its log.

use super::Bundle;
use super::bundle::LONGEST;
use crate::cli::connect::Reach;
use crate::settings::Settings;
use std::time::Duration;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is asked of it, and what that is.
const PAGES: [(&str, &str, &str); 3] = [
    ("/metrics", "daemon/metrics.txt", "the daemon's own metrics"),
    (
        "/api/v1/rollouts",
        "daemon/rollouts.json",
        "every rollout as the daemon has it in memory",
    ),
    (
        "/api/v1/source",
        "daemon/source.json",
        "how the source of samples stands for the daemon",
    ),
];

/// Puts it in.
pub(super) async fn collect(cluster: &Reach, settings: &Settings, url: &str, bundle: &mut Bundle) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    match client {
        Ok(client) => {
            for (page, path, what) in PAGES {
                match page_of(&client, &format!("{}{page}", url.trim_end_matches('/'))).await {
                    Ok(text) => bundle.text(path, what, text),
                    Err(why) => bundle.lack(&format!(
                        "{path}: {why}; where the daemon is a pod, forward its port and name it with --daemon URL"
                    )),
                }
            }
        }
        Err(error) => bundle.lack(&format!("daemon/: no HTTP client: {error}")),
    }
    for namespace in settings.lease_namespaces() {
        match cluster.logs(namespace).await {
            Ok(logs) if logs.is_empty() => bundle.lack(&format!(
                "logs: no pod in {namespace} has the label app.kubernetes.io/name=gradual-rollout"
            )),
            Ok(logs) => {
                for log in logs {
                    let ended = if log.previous { ".previous" } else { "" };
                    let path = format!("logs/{namespace}.{}.{}{ended}.log", log.pod, log.container);
                    let what = if log.previous {
                        "the end of the log of a daemon's pod, from before its container was started again"
                    } else {
                        "the end of the log of a daemon's pod"
                    };
                    match log.text {
                        Ok(text) => bundle.text(&path, what, text),
                        Err(error) => bundle.lack(&format!("{path}: {error}")),
                    }
                }
            }
            Err(error) => bundle.lack(&format!("logs of {namespace}: {error}")),
        }
    }
}

async fn page_of(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let said = |error: reqwest::Error| format!("{url} does not answer: {}", error.without_url());
    let mut answer = client.get(url).send().await.map_err(said)?;
    if !answer.status().is_success() {
        return Err(format!("{url} answers {}", answer.status().as_u16()));
    }
    let mut page = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(said)? {
        // A page that is cut is no page: ten thousand components are shorter.
        if page.len() + chunk.len() > LONGEST {
            return Err(format!("{url} says more than {} MiB", LONGEST >> 20));
        }
        page.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}
