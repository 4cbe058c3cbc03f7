//! What the daemon says of itself: its metrics, its state, its log.

use super::Bundle;
use super::bundle::LONGEST;
use crate::cli::connect::Reach;
use crate::cli::progress::Progress;
use crate::settings::Settings;
use std::time::Duration;

/// How long it may take to answer, all of it together.
const PATIENCE: Duration = Duration::from_secs(2);
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

/// Why a page is not there.
struct Lack {
    /// As a sentence.
    why: String,
    /// A connection was taken, and nothing came in time.
    hangs: bool,
}

/// Puts it in. What hangs is said at once, too: whoever collects may still do something about it.
pub(super) async fn collect(url: &str, bundle: &mut Bundle) {
    let url = url.trim_end_matches('/');
    // Together: one that hangs is waited for once, and not for each page.
    if let Some(hangs) = pages(url, bundle).await {
        Progress::new().tell(&hangs);
        bundle.text("daemon/hangs.txt", "that the daemon hangs", hangs + "\n");
    }
}

/// Puts the ends of its pods' logs in.
pub(super) async fn logs(cluster: &Reach, settings: &Settings, bundle: &mut Bundle) {
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

/// Asks for all pages at once; gives a sentence where the daemon takes connections and answers nothing.
async fn pages(url: &str, bundle: &mut Bundle) -> Option<String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            bundle.lack(&format!("daemon/: no HTTP client: {error}"));
            return None;
        }
    };
    let asked = PAGES.map(|(page, ..)| page_of(&client, format!("{url}{page}")));
    let answers = futures::future::join_all(asked).await;
    let hangs = answers
        .iter()
        .all(|answer| answer.as_ref().is_err_and(|lack| lack.hangs));
    for ((_, path, what), answer) in PAGES.into_iter().zip(answers) {
        match answer {
            Ok(text) => bundle.text(path, what, text),
            Err(Lack { why, hangs: true }) => bundle.lack(&format!("{path}: {why}")),
            Err(Lack { why, .. }) => bundle.lack(&format!(
                "{path}: {why}; where the daemon is a pod, forward its port and name it with --daemon URL"
            )),
        }
    }
    hangs.then(|| {
        format!(
            "the daemon at {} takes connections and answers nothing within {}s: it hangs. Restart it (`kubectl rollout \
             restart`), or stop it where traffic has to go back now: `emergency-rollback` needs no daemon",
            shown(url),
            PATIENCE.as_secs()
        )
    })
}

/// An address without the name and the secret that may stand in it.
fn shown(url: &str) -> String {
    let Ok(mut url) = reqwest::Url::parse(url) else {
        return "its address".to_owned();
    };
    // An address that takes neither has neither.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string().trim_end_matches('/').to_owned()
}

async fn page_of(client: &reqwest::Client, url: String) -> Result<String, Lack> {
    let place = shown(&url);
    let said = |error: reqwest::Error| Lack {
        hangs: error.is_timeout() && !error.is_connect(),
        why: format!("{place} does not answer: {}", error.without_url()),
    };
    let lack = |why: String| Lack { why, hangs: false };
    let mut answer = client.get(&url).send().await.map_err(said)?;
    if !answer.status().is_success() {
        return Err(lack(format!("{place} answers {}", answer.status().as_u16())));
    }
    let mut page = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(said)? {
        // A page that is cut is no page: ten thousand components are shorter.
        if page.len() + chunk.len() > LONGEST {
            return Err(lack(format!("{place} says more than {} MiB", LONGEST >> 20)));
        }
        page.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}
