//! The ranges that a check's own PromQL reads, each held against how often the series under it are scraped.

use super::SCRAPES;
use crate::doctor::diagnose::Probe;
use crate::rollout::duration::Span;
use crate::rollout::sample::Blindness;
use std::time::Duration;

/// So many series of a query are looked at; queries that read more are rare, and each costs a question.
const READ: usize = 8;

/// Samples of some series over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    selector: String,
    /// The time, as it is written.
    text: String,
    length: Duration,
}

/// What is wrong with the ranges of a query: those that hold fewer than four scrapes of the series that they are of.
/// `window` is the check's, which the query may have taken by its template.
pub(super) async fn too_short(
    probe: &Probe<'_>,
    promql: &str,
    window: Duration,
) -> Result<Vec<String>, Blindness> {
    let mut told = Vec::new();
    for range in ranges(promql).into_iter().take(READ) {
        // A series without two samples in five minutes tells nothing, and is told where the query has no value.
        if let Some(period) = probe.period_of(&range.selector).await? {
            told.extend(says(&range, window, period));
        }
    }
    Ok(told)
}

fn says(range: &Range, window: Duration, period: Duration) -> Option<String> {
    if range.length >= period * SCRAPES {
        return None;
    }
    let why = if range.length < period * 2 {
        "shorter than two scrapes, and rate() and its like need two samples"
    } else {
        "shorter than four scrapes, so a missed one can leave it without a value"
    };
    let Range { selector, text, .. } = range;
    let by_window = if range.length == window {
        ", or of `window` where it is that"
    } else {
        ""
    };
    Some(format!(
        "the range [{text}] of {selector} is {why}; a scrape of it comes every {}: make it at least {}{by_window}",
        Span(period),
        Span(period * SCRAPES)
    ))
}

/// Every range of samples in a query, each once. The steps of a subquery are no samples, and what is in a text or a
/// comment is not read.
fn ranges(promql: &str) -> Vec<Range> {
    let mut found: Vec<Range> = Vec::new();
    let mut chars = promql.char_indices();
    let (mut quote, mut brace) = (None, None);
    let mut escaped = false;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(q), '\\') if q != '`' => escaped = true,
            (Some(q), _) if c == q => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '#') => {
                chars.by_ref().find(|(_, c)| *c == '\n');
            }
            (None, '{') => brace = Some(at),
            (None, '[') => {
                let (before, after) = promql.split_at(at);
                found.extend(range(before, after, brace).filter(|range| !found.contains(range)));
            }
            (Some(_) | None, _) => {}
        }
    }
    found
}

/// What stands before a bracket, and what is in it; `brace` is where the last braces before it were opened.
fn range(before: &str, after: &str, brace: Option<usize>) -> Option<Range> {
    let text = after.strip_prefix('[')?.split(']').next()?.trim();
    let length = text.parse::<Span>().ok()?.0;
    let before = before.trim_end();
    let labels = if before.ends_with('}') {
        brace?
    } else {
        before.len()
    };
    let (name, labels) = before.split_at_checked(labels)?;
    let name = name.trim_end();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let name = name.get(name.trim_end_matches(is_part).len()..)?;
    let selector = format!("{name}{labels}");
    (!selector.is_empty()).then(|| Range {
        selector,
        text: text.to_owned(),
        length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(promql: &str) -> Vec<(String, String)> {
        let all = ranges(promql).into_iter();
        all.map(|range| (range.selector, range.text)).collect()
    }

    #[test]
    fn every_range_is_found_with_the_series_that_it_is_of() {
        for (promql, wanted) in [
            ("max(rate(x{a=\"b\"}[20s]))", vec![("x{a=\"b\"}", "20s")]),
            (
                "sum by (a)(rate(job:x:sum [5m] offset 1m)) / rate(y{a=~'}[1s]', b=\"\\\"[5s]\"} [1m30s])",
                vec![("job:x:sum", "5m"), ("y{a=~'}[1s]', b=\"\\\"[5s]\"}", "1m30s")],
            ),
            // The steps of a subquery, a comment, and the same twice.
            (
                "max_over_time(rate(x[1m])[10s:1s]) # x[2s]\n + rate(x[1m])",
                vec![("x", "1m")],
            ),
            (
                "rate({__name__=\"x\", a=`\\`}[1m])",
                vec![("{__name__=\"x\", a=`\\`}", "1m")],
            ),
            ("max(x{a=\"b\"}) - on() y", vec![]),
        ] {
            let found = found(promql);
            let found: Vec<(&str, &str)> = found.iter().map(|(s, t)| (s.as_str(), t.as_str())).collect();
            assert_eq!(found, wanted, "{promql}");
        }
    }

    #[test]
    fn a_range_of_fewer_than_four_scrapes_is_told_and_longer_ones_are_not() {
        let says = |length: u64| {
            let range = Range {
                selector: "x".to_owned(),
                text: format!("{length}s"),
                length: Duration::from_secs(length),
            };
            says(&range, Duration::from_secs(45), Duration::from_secs(15))
        };
        let told = says(20).unwrap();
        assert!(
            told.contains("[20s] of x is shorter than two scrapes")
                && told.ends_with("every 15s: make it at least 1m"),
            "{told}"
        );
        let told = says(45).unwrap();
        assert!(
            told.contains("shorter than four scrapes") && told.ends_with("or of `window` where it is that"),
            "{told}"
        );
        assert_eq!(says(60), None);
    }
}
