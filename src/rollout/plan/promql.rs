//! What can be seen to be wrong with PromQL without a Prometheus to ask.

/// What is wrong with an expression, and the remedy; `None` when nothing is that shows.
pub(super) fn problem(text: &str) -> Option<String> {
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut last = None;
    let mut chars = text.chars().enumerate();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' | '\'' | '`' if !ends(&mut chars, c) => {
                return Some(format!(
                    "the {c} at character {} is never closed: close it",
                    place + 1
                ));
            }
            '#' => {
                chars.by_ref().find(|(_, c)| *c == '\n');
                continue;
            }
            '(' | '[' | '{' => open.push((c, place)),
            ')' | ']' | '}' => {
                let wanted = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                if open.pop().is_none_or(|(opened, _)| opened != wanted) {
                    return Some(format!(
                        "the {c} at character {} closes nothing: balance the brackets",
                        place + 1
                    ));
                }
            }
            _ => {}
        }
        if !c.is_whitespace() {
            last = Some(c);
        }
    }
    if let Some((c, place)) = open.last() {
        return Some(format!(
            "the {c} at character {} is never closed: close it",
            place + 1
        ));
    }
    let quoted = matches!(last, Some('"' | '\'' | '`'));
    if last == Some(']') {
        return Some(
            "gives a range and not one value: make one of it, as with max_over_time(…) or rate(…)".to_owned(),
        );
    }
    // A text alone, or one beside an operator, is no number either; labels end in a brace.
    quoted.then(|| "gives a text and not a value: write PromQL that gives one number".to_owned())
}

/// Goes on to where a text that began with this quote ends; whether it does.
fn ends(chars: &mut impl Iterator<Item = (usize, char)>, quote: char) -> bool {
    while let Some((_, c)) = chars.next() {
        if c == quote {
            return true;
        }
        // Between back quotes a backslash is one.
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_give_a_value_is_refused_before_anything_asks_for_it() {
        for (text, says) in [
            ("max(depth", "the ( at character 4 is never closed"),
            ("max(depth))", "the ) at character 11 closes nothing"),
            ("max(depth{a=\"b}", "the \" at character 13 is never closed"),
            ("sum(rate(x[5m))]", "the ) at character 14 closes nothing"),
            ("depth[5m]", "gives a range"),
            ("\"x\"", "gives a text"),
        ] {
            let problem = problem(text).unwrap_or_else(|| panic!("{text} is refused"));
            assert!(problem.starts_with(says), "{text}: {problem}");
        }
    }

    #[test]
    fn what_prometheus_would_answer_is_not_refused() {
        for text in [
            "max(depth{a=\"b)\", c=~'\\'.*', d=`\\`})",
            "rate(x{app=\"{{component}}\"}[{{window}}])",
            "max_over_time(rate(x[1m])[5m:30s]) # a ( in a note",
            "1",
            "x offset 5m",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
    }
}
