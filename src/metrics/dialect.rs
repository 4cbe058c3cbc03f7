//! Patterns as Prometheus reads them.

use std::fmt::Write as _;

/// RE2's dialect in the words of Rust's, where both read the same text differently: classes like `\d` know only
/// ASCII there, and inside brackets `[`, `&`, `~` and a second `-` are plain characters.
pub(crate) fn in_our_dialect(pattern: &str) -> String {
    let mut ours = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern.chars().peekable();
    let (mut inside, mut first) = (false, false);
    while let Some(c) = rest.next() {
        let was_first = std::mem::take(&mut first);
        match c {
            '\\' => match rest.next() {
                Some('d') => ours.push_str("[0-9]"),
                Some('D') => ours.push_str("[^0-9]"),
                Some('w') => ours.push_str("[0-9A-Za-z_]"),
                Some('W') => ours.push_str("[^0-9A-Za-z_]"),
                Some('s') => ours.push_str(r"[\t\n\f\r ]"),
                Some('S') => ours.push_str(r"[^\t\n\f\r ]"),
                Some(c @ ('b' | 'B')) => {
                    // Writing to a string cannot fail.
                    let _ = write!(ours, r"(?-u:\{c})");
                }
                Some(c) => ours.extend(['\\', c]),
                None => ours.push('\\'),
            },
            '[' if !inside => {
                inside = true;
                ours.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    ours.push('^');
                }
                first = true;
            }
            '[' if rest.peek() == Some(&':') => {
                // [:alpha:], whose own bracket must not end the class.
                ours.push('[');
                for c in rest.by_ref() {
                    ours.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if inside && was_first => ours.push_str(r"\]"),
            ']' if inside => {
                inside = false;
                ours.push(']');
            }
            '[' | '&' | '~' if inside => ours.extend(['\\', c]),
            '-' if inside && ours.ends_with('-') => ours.push_str(r"\-"),
            c => ours.push(c),
        }
    }
    ours
}
