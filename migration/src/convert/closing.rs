//! What to close for a path that is refused, so that its requests fall to no location that may protect less.
//!
//! nginx takes `//` as `/` and decodes octets before it compares; Envoy does neither with slashes. So what is closed
//! is closed in every spelling. Where requests cannot be told exactly, more is closed than the path has.

use super::pattern::{LONGEST, Pattern, sent_plainly};
use super::servers::{Location, Member, Server};
use super::shape;
use crate::input::PathType;
use crate::istio::StringMatch;
use std::fmt::Write as _;

/// One slash or more, as it stands or as an octet.
pub(super) const SLASHES: &str = "(?:/|%2[Ff])+";

/// The matches that take every request of a location, in every spelling.
pub(super) fn matches(server: &Server<'_>, location: &Location<'_>, member: &Member<'_>) -> Vec<StringMatch> {
    if shape::asked(server, &location.path).is_err() {
        Vec::new()
    } else if server.regex {
        expression(&shape::compared(server, location, member))
    } else {
        literal(server, location)
    }
}

/// Whether matches take everything.
pub(super) fn is_all(matches: &[StringMatch]) -> bool {
    matches.contains(&all())
}

fn all() -> StringMatch {
    StringMatch::Prefix("/".to_owned())
}

fn literal(server: &Server<'_>, location: &Location<'_>) -> Vec<StringMatch> {
    let path = location.path.as_str();
    let bare = path.trim_end_matches('/');
    let prefix = location.path_type == PathType::Prefix;
    if bare.is_empty() {
        return if prefix {
            vec![all()]
        } else {
            vec![StringMatch::Regex(SLASHES.to_owned())]
        };
    }
    // nginx redirects `/foo` to `/foo/` where only the latter is a location; what it leads to is closed.
    let own = server.has_any(bare);
    let tail = match (prefix, path.ends_with('/')) {
        (true, false) if server.has(PathType::Exact, bare) => format!("{SLASHES}.*"),
        (true, true) if own => format!("{SLASHES}.*"),
        (true, _) => format!("(?:{SLASHES}.*)?"),
        (false, false) => String::new(),
        (false, true) if own => SLASHES.to_owned(),
        (false, true) => format!("(?:{SLASHES})?"),
    };
    let whole: String = bare.chars().map(spelled).collect::<String>() + &tail;
    if whole.len() <= LONGEST {
        return vec![StringMatch::Regex(whole)];
    }
    vec![beginning("", bare.chars())]
}

/// As much of a text's beginning as an expression holds, and whatever comes then.
fn beginning(flags: &str, chars: impl Iterator<Item = char>) -> StringMatch {
    let mut pattern = flags.to_owned();
    for piece in chars.map(spelled) {
        if pattern.len() + piece.len() + 2 > LONGEST {
            break;
        }
        pattern.push_str(&piece);
    }
    pattern.push_str(".*");
    StringMatch::Regex(pattern)
}

/// A character in every way in which it may be sent. Envoy decodes letters, digits and `-._~` itself.
pub(super) fn spelled(c: char) -> String {
    if c == '/' {
        return SLASHES.to_owned();
    }
    let plain = regex::escape(&c.to_string()).replace("\\-", "-");
    if c.is_ascii_alphanumeric() || "-._~".contains(c) {
        return plain;
    }
    let mut buffer = [0; 4];
    let mut octets = String::new();
    for octet in c.encode_utf8(&mut buffer).bytes() {
        // Writing to a text does not fail.
        let _ = write!(octets, "%{octet:02X}");
    }
    if c.is_control() {
        return format!("(?i:{octets})");
    }
    format!("(?:{plain}|(?i:{octets}))")
}

fn expression(path: &str) -> Vec<StringMatch> {
    let said = Pattern::new(path).ok().and_then(|pattern| pattern.spelled().ok());
    if let Some(pattern) = said {
        return vec![StringMatch::Regex(pattern)];
    }
    let head = head(path);
    let begins = head.chars().next();
    match begins {
        None => vec![all()],
        // Anchored at a beginning that no request has.
        Some(first) if first != '/' => Vec::new(),
        // A slash alone is everything.
        Some(_) if head.trim_matches('/').is_empty() => vec![all()],
        Some(_) => vec![beginning("(?i)", head.chars())],
    }
}

/// The literal beginning that every request of an expression has; empty where nothing can be said.
fn head(path: &str) -> String {
    // nginx anchors the first branch alone, so what stands before the others is no beginning of theirs. Where a class
    // or an escape may hide a parenthesis, any bar counts as one between branches.
    let hidden = path.contains(['[', '\\']);
    let mut depth = 0_usize;
    for c in path.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if hidden || depth == 0 => return String::new(),
            _ => {}
        }
    }
    let literal = |c: &char| {
        *c == '/' || !c.is_ascii() || sent_plainly(*c) && !"$*+().".contains(*c) || " \"<>`%".contains(*c)
    };
    let mut head: String = path.chars().take_while(literal).collect();
    let next = path.chars().nth(head.chars().count());
    if next.is_some_and(|next| "?*+{".contains(next)) {
        head.pop();
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_what_every_request_begins_with() {
        for (path, wanted) in [
            ("/admin(?!x)", "/admin"),
            ("/admin?", "/admi"),
            ("/admin{0,3}", "/admi"),
            ("/a|/b(?!x)", ""),
            ("/a(b|c)(?!x)", "/a"),
            ("/a[(]x|/b(?!x)", ""),
            ("/管理(?!x)", "/管理"),
            ("(?!x)/a", ""),
            ("/a.b", "/a"),
            ("b(?!x)", "b"),
        ] {
            assert_eq!(head(path), wanted, "{path}");
        }
    }

    #[test]
    fn characters_are_closed_as_they_stand_and_as_octets() {
        let whole = |c: char| regex::Regex::new(&format!("^(?:{})$", spelled(c))).unwrap();
        for (c, spellings) in [
            ('/', vec!["/", "//", "%2f", "/%2F"]),
            ('a', vec!["a"]),
            ('é', vec!["é", "%C3%A9", "%c3%a9"]),
            (' ', vec![" ", "%20"]),
            ('-', vec!["-"]),
            ('(', vec!["(", "%28"]),
            ('\n', vec!["%0A", "%0a"]),
        ] {
            for spelling in spellings {
                assert!(whole(c).is_match(spelling), "{c:?} {spelling:?}");
            }
        }
    }
}
