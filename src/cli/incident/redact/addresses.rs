//! Secrets in URLs: users, passwords, queries and fragments; what stands behind a chat's host; and parts of paths that only a
//! machine can have chosen.

use super::{GONE, encoded};

/// Hosts, and all below them, of which every address is a right to write there.
const CHATS: [&str; 24] = [
    "slack.com",
    "slack-gov.com",
    "dingtalk.com",
    "weixin.qq.com",
    "feishu.cn",
    "larksuite.com",
    "larkoffice.com",
    "office.com",
    "office365.com",
    "logic.azure.com",
    "powerplatform.com",
    "teams.microsoft.com",
    "discord.com",
    "discordapp.com",
    "telegram.org",
    "chat.googleapis.com",
    "webexapis.com",
    "zoom.us",
    "pagerduty.com",
    "opsgenie.com",
    "zapier.com",
    "ifttt.com",
    "ntfy.sh",
    "line.me",
];
/// Parts of paths behind which a key stands, also on hosts of one's own.
const HOOKS: [&str; 4] = ["hook", "hooks", "webhook", "webhooks"];
/// What this program serves below such a part.
const OURS: [&str; 2] = ["complaint", "alertmanager"];

/// Where an address ends.
pub(super) fn end(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`');
    let escaped = |at: usize| text[at..].starts_with("\\\"");
    let mut chars = text.char_indices();
    let found = chars.find(|(at, c)| ends(*c) || *c == '\\' && escaped(*at));
    found.map_or(text.len(), |(at, _)| at)
}

/// URLs without what is secret in them.
pub(super) fn without(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let (url, after) = behind.split_at(end(behind));
        out.push_str(&address(url));
        rest = after;
    }
    out.push_str(rest);
    chats(&out)
}

/// What stands behind the scheme of a URL.
fn address(url: &str) -> String {
    let host = url.find(['/', '?', '#']).map_or(url, |end| &url[..end]);
    let port = host.split_once(':').map(|(_, port)| port);
    // Some write passwords as they are, with what ends a host.
    let odd = port.is_some_and(|port| !port.chars().all(|c| c.is_ascii_digit()));
    let user = host.rfind('@').max(if odd { url.rfind('@') } else { None });
    let url = user.map_or(url, |at| &url[at + 1..]);
    match url.find(['?', '#', ';']) {
        Some(at) => format!("{}{}{GONE}", path(&url[..at]), &url[at..=at]),
        None => path(url),
    }
}

/// A host and a path, of which a part that only a machine can have chosen is not shown.
fn path(url: &str) -> String {
    let (mut hook, mut host) = (false, true);
    let shown = |part: &str| {
        let plain = part.trim_end_matches([',', '.', ')', ']', '}', '\'', ';', ':', '!', '\\']);
        let gone =
            !plain.is_empty() && !host && (encoded::is_random(plain) || hook && !OURS.contains(&plain));
        hook |= !host && HOOKS.contains(&plain.to_ascii_lowercase().as_str());
        host = false;
        if gone {
            format!("{GONE}{}", &part[plain.len()..])
        } else {
            part.to_owned()
        }
    };
    url.split('/').map(shown).collect::<Vec<_>>().join("/")
}

/// What stands behind the hosts of chats, also where no scheme is before them.
fn chats(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for host in CHATS {
        // What is behind one of them is not looked through again for each that stands there.
        let mut gone = 0;
        for (at, _) in lower.match_indices(host) {
            if at < gone {
                continue;
            }
            let inner = lower[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            if inner {
                continue;
            }
            let behind = &lower[at + host.len()..];
            let port = behind
                .strip_prefix(':')
                .map(|b| b.trim_start_matches(|c: char| c.is_ascii_digit()));
            let rest = port.unwrap_or(behind);
            // JSON may write a slash with another one before it.
            let Some(path) = rest.trim_start_matches('\\').strip_prefix('/') else {
                continue;
            };
            let from = text.len() - path.len();
            let to = from + end(path);
            if to > from {
                found.push((from, to));
                gone = to;
            }
        }
    }
    found.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (from, to) in found {
        // One host may be found in the path of another.
        if from < done {
            continue;
        }
        out.push_str(&text[done..from]);
        out.push_str(GONE);
        done = to;
    }
    out.push_str(&text[done..]);
    out
}
