//! Secrets in texts: in keys' blocks, in URLs, behind names that secrets have, before the host of a connection, as people
//! write them, and encoded.

use super::budget::{Budget, Depth};
use super::{GONE, addresses, encoded, is_secret, keys, words};

#[cfg(test)]
thread_local! {
    /// How many bytes were looked through.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A text without secrets. What is kept and what goes is decided word by word: in doubt it goes.
pub(in crate::cli::incident) fn without_secrets(text: &str) -> String {
    at(text, Depth::first(&Budget::of(text)))
}

/// The same of a text that was found in others.
pub(super) fn at(text: &str, depth: Depth<'_>) -> String {
    #[cfg(test)]
    READ.set(READ.get() + text.len());
    let plain = users(&named(&addresses::without(&keys::without(text))));
    encoded::without(&words::without(&plain), depth)
}

/// Whether it is an option whose value stands behind it, and is a secret.
pub(super) fn is_flag(word: &str) -> bool {
    word.starts_with('-') && word.chars().all(in_name) && is_secret(word)
}

const fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// What stands behind names that secrets have: `name=value`, `name: value`, `--name value`, and the same in quotes.
fn named(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(in_name) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let end = behind.find(|c| !in_name(c)).unwrap_or(behind.len());
        let (name, after) = behind.split_at(end);
        out.push_str(name);
        rest = after;
        if let Some(found) = is_secret(name).then(|| Separator::before(name, after)).flatten() {
            let (separator, value) = after.split_at(found.end);
            out.push_str(separator);
            rest = found.without(value, &mut out);
        }
    }
    out.push_str(rest);
    out
}

/// What stands between a name and its value.
struct Separator {
    end: usize,
    colon: bool,
    quoted: bool,
}

impl Separator {
    fn before(name: &str, after: &str) -> Option<Self> {
        let plain = after.trim_start_matches('\\');
        let closed = plain.strip_prefix(['"', '\'']);
        let behind = closed.unwrap_or(after).trim_start_matches([' ', '\t']);
        let sign = behind.chars().next()?;
        let value = match sign {
            ':' | '=' => behind
                .trim_start_matches([':', '=', '~', '>'])
                .trim_start_matches([' ', '\t']),
            // An option, and what it is behind it.
            _ if name.starts_with('-') && closed.is_none() && behind.len() < after.len() => behind,
            _ => return None,
        };
        Some(Self {
            end: after.len() - value.len(),
            colon: sign == ':',
            quoted: closed.is_some(),
        })
    }

    /// Puts what stands for a value, and gives what follows it.
    fn without<'t>(&self, value: &'t str, out: &mut String) -> &'t str {
        let slashes = value.len() - value.trim_start_matches('\\').len();
        let opened = &value[slashes..];
        if let Some(quote) = opened.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            out.push_str(&value[..=slashes]);
            out.push_str(GONE);
            let inside = &opened[1..];
            return &inside[closing(inside, quote, slashes)..];
        }
        let end = if self.quoted {
            value.find(|c: char| c.is_whitespace() || matches!(c, ',' | '}' | ']'))
        } else if self.colon {
            value.find('\n')
        } else {
            let words = |c: char| c.is_whitespace();
            let first = value.find(words).unwrap_or(value.len());
            let scheme = ["bearer", "basic", "digest", "token"]
                .contains(&value[..first].to_ascii_lowercase().as_str());
            let second = value[first..].trim_start_matches([' ', '\t']);
            let next = value.len() - second.len();
            if scheme {
                second.find(words).map(|end| next + end)
            } else {
                value.find(words)
            }
        };
        let said = end.map_or(value, |end| &value[..end]);
        // In the lines behind it stands what it is.
        let below = self.colon && matches!(said.trim(), "" | "|" | ">" | "|-" | ">-" | "|+" | ">+");
        let end = end.filter(|_| !below).unwrap_or(value.len());
        if !value[..end].trim().is_empty() {
            out.push_str(GONE);
        }
        &value[end..]
    }
}

/// Where a text in quotes ends, of which the first stood behind so many backslashes.
fn closing(inside: &str, quote: char, slashes: usize) -> usize {
    for (at, _) in inside.match_indices(quote) {
        let before = &inside[..at];
        let escaped = before.len() - before.trim_end_matches('\\').len();
        if escaped == slashes || slashes == 0 && escaped.is_multiple_of(2) {
            return at - slashes.min(escaped);
        }
    }
    inside.len()
}

/// `user:password@host` without a scheme.
fn users(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        let found = word.rfind('@').and_then(|at| {
            let (user, host) = word.split_at(at);
            let colon = user.find(':')?;
            let digest = host.starts_with("@sha256:") || host.starts_with("@sha512:");
            let plain = !digest && !user[..colon].ends_with("mailto") && colon + 1 < at;
            plain.then(|| format!("{}{GONE}{host}", &user[..=colon]))
        });
        out.push_str(found.as_deref().unwrap_or(word));
    }
    out
}
