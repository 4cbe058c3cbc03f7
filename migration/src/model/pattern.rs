//! One regular expression engine in the place of two.
//!
//! nginx has PCRE, Envoy has RE2; here both are the `regex` crate over bytes, ASCII classes, ASCII case. All three
//! take the leftmost match and, within it, the first alternative, so that captures agree. Where the crate differs:
//!
//! - PCRE only (lookaround, backreferences, possessive and atomic groups, `\K`, `\R`, `\h`, `\Z`, `\Q…\E`): the crate
//!   refuses them, and so does [`compile`]. RE2 refuses them too, but for `\Q…\E` and `\C`.
//! - A brace that begins no repetition (`{id}`, `a{`) is a literal in PCRE and in RE2; the crate refuses it.
//! - Class operators (`[a&&b]`, `[a--b]`, `[a~~b]`), a class in a class (`[a[b]]`), `\<`, `\>`, `\b{…}` and a
//!   quantifier of a quantifier (`a++`: possessive in PCRE, an error in RE2) mean something
//!   to the crate and something else, silently, to the other two: [`compile`] refuses them.
//! - `(?x)` and `(?R)` are the crate's (and `(?x)` PCRE's), not RE2's: refused as well.
//! - PCRE's `$` also matches before a final newline, the crate's and RE2's only at the end. A path has a newline only
//!   where a client sent `%0A`, so this is left as it is.
//! - RE2 refuses repetitions above 1,000; the crate refuses what grows too large. Not checked here.

use regex::bytes::{Regex, RegexBuilder};

/// An expression that means the same in PCRE, RE2 and here, or the reason why there is none.
pub(crate) fn compile(pattern: &str, ignore_case: bool) -> Result<Regex, String> {
    if let Some(what) = ambiguous(pattern) {
        return Err(format!("regex {pattern:?}: {what} is read differently"));
    }
    RegexBuilder::new(pattern)
        .unicode(false)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|_| format!("regex {pattern:?}: not in the common syntax"))
}

/// The first construct which the engines would all accept and read differently.
fn ambiguous(pattern: &str) -> Option<&'static str> {
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    let mut first_in_class = false;
    let mut after_quantifier = false;
    while let Some(ch) = chars.next() {
        let opening = std::mem::take(&mut first_in_class);
        let quantified = std::mem::replace(
            &mut after_quantifier,
            !in_class && matches!(ch, '*' | '+' | '?' | '}'),
        );
        if quantified && !in_class && matches!(ch, '*' | '+') {
            return Some("a quantifier of a quantifier");
        }
        match ch {
            '\\' => match chars.next() {
                Some('<' | '>') => return Some("a word edge"),
                Some('b') if chars.peek() == Some(&'{') => return Some("a word edge"),
                _ => {}
            },
            '[' if in_class => {
                // `[[:alpha:]]` is the same everywhere; its colons are passed over as members.
                if chars.peek() != Some(&':') {
                    return Some("a class in a class");
                }
                while chars.next_if(|next| *next != ']').is_some() {}
                chars.next();
            }
            '[' => {
                in_class = true;
                first_in_class = true;
                chars.next_if_eq(&'^');
            }
            // `[]a]` holds a bracket, in all three.
            ']' if in_class && opening => {}
            ']' if in_class => in_class = false,
            '&' | '-' | '~' if in_class && chars.peek() == Some(&ch) => return Some("a class operator"),
            '(' if !in_class && chars.peek() == Some(&'?') => {
                chars.next();
                while let Some(flag) = chars.next_if(|next| next.is_ascii_alphabetic() || *next == '-') {
                    // `(?P<name>…)` is a name; it ends the loop by its `<`.
                    if flag == 'x' || flag == 'R' || flag == 'u' {
                        return Some("a flag");
                    }
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_three_read_alike_is_compiled() {
        for pattern in [
            "^/foo(/|$)(.*)",
            "[^/]+",
            "[[:alpha:]]+",
            "[]a]",
            "[^]]",
            "a{2,3}",
            r"\.(png|jpe?g)$",
            "(?i)x",
            "(?P<n>a)",
            "[a-z-]",
        ] {
            assert!(compile(pattern, false).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn what_they_read_differently_is_refused() {
        for pattern in [
            "(?=a)b", r"(a)\1", "[a&&b]", "[a[b]]", "[a--b]", r"\<a", "/{id}", "(?x)a b", "(?>a)", "a++b",
            "a{2}+b", r"a\Z",
        ] {
            assert!(compile(pattern, false).is_err(), "{pattern}");
        }
    }
}
