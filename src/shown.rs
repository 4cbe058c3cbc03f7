//! Text of others where people read it: on terminals and in logs.

/// Text without control characters: names and reasons come from others, and a terminal obeys what it is sent.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// What turns the direction of text around, by which a name can pass for another, and breaks of lines that are none here.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same of a text of several lines, which stay lines.
pub(crate) fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// JSON that says the same and that a terminal only shows: JSON itself leaves the younger control characters as they
/// are. Outside of texts there are none of these.
pub(crate) fn plain_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && c != '\n') || turns(c) {
            // All of them are in the first plane. \u1234, as JSON writes them.
            safe.push_str("\\u");
            let digits = u32::from(c);
            safe.extend(
                [12, 8, 4, 0].map(|shift| char::from_digit((digits >> shift) & 15, 16).unwrap_or('0')),
            );
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_others_cannot_drive_the_terminal() {
        assert_eq!(plain_lines("a\u{9b}2J\nb\u{61c}"), "a\\u{9b}2J\nb\\u{61c}");
    }

    #[test]
    fn json_says_the_same_and_does_not_drive_the_terminal() {
        let value = serde_json::json!({"a\u{9b}2J": ["\u{7f}\u{202e}ä\u{1b}\n"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        assert!(text.contains('\u{9b}'), "or there would be nothing to do");
        let safe = plain_json(&text);
        assert!(
            safe.chars().all(|c| c == '\n' || !c.is_control() && !turns(c)),
            "{safe:?}"
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
