//! Prometheus' text format, as far as one counter needs it. What cannot be read is an error: a request that is not counted
//! would be one that nobody sent.

/// Above that a number has no place for its ones.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A line of a metric: its labels and its value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    labels: Vec<(String, String)>,
    pub value: u64,
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Every line of a counter. A page whose last line has no end was cut off.
pub(super) fn samples(page: &str, metric: &str) -> Result<Vec<Sample>, String> {
    if !page.is_empty() && !page.ends_with('\n') {
        return Err("its page is cut off in the middle of a line".to_owned());
    }
    let mut all = Vec::new();
    for line in page.lines() {
        let Some(rest) = line.trim_start().strip_prefix(metric) else {
            continue;
        };
        // Another metric, whose name is longer.
        if rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_' || next == ':') {
            continue;
        }
        all.push(sample(rest).ok_or_else(|| format!("its line {line:?} cannot be read"))?);
    }
    Ok(all)
}

/// What stands behind the name: `{labels} value [timestamp] [# exemplar]`.
fn sample(rest: &str) -> Option<Sample> {
    let (labels, rest) = labels(rest.trim_start().strip_prefix('{')?)?;
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse::<f64>().ok()?;
    let stamp = words.next().filter(|word| !word.starts_with('#'));
    if let Some(stamp) = stamp {
        stamp.parse::<f64>().ok().filter(|stamp| stamp.is_finite())?;
        if words.next().is_some_and(|word| !word.starts_with('#')) {
            return None;
        }
    }
    if !(0.0..=WHOLE).contains(&value) || value.fract() != 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, not negative and small enough"
    )]
    let value = value as u64;
    Some(Sample { labels, value })
}

/// Labels to the brace that ends them, and what is behind it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((all, behind));
        }
        let (name, value) = rest.split_once('=')?;
        let mut text = String::new();
        let mut chars = value.trim_start().strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        all.push((name.trim().to_owned(), text));
        rest = chars.as_str().trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: &str = "requests";

    fn values(page: &str) -> Result<Vec<u64>, String> {
        Ok(samples(page, METRIC)?.iter().map(|sample| sample.value).collect())
    }

    #[test]
    fn a_line_is_read_as_the_format_has_it_with_a_time_an_exemplar_and_marks_inside_of_labels() {
        for (line, value) in [
            ("requests{a=\"b\"} 7", 7),
            ("requests{a=\"b\"} 1.2e+01", 12),
            ("requests{a=\"b\"} 7 1700000000000", 7),
            ("requests { a = \"b\" , } 7 -1", 7),
            ("requests{a=\"b\"} 7 # {trace=\"x}\"} 1", 7),
            ("requests{a=\"b\"} 7 1700000000.5 # {} 1", 7),
            ("requests{a=\"} 3\\\",ingress=\\\"other\"} 7", 7),
        ] {
            assert_eq!(values(&format!("{line}\n")), Ok(vec![value]), "{line}");
        }
        let one = samples("requests{path=\"x\\\",ingress=\\\"y\",ingress=\"z\"} 1\n", METRIC).unwrap();
        assert_eq!(one[0].label("ingress"), Some("z"));
        let others = "# HELP requests x\nrequests_total{a=\"b\"} x\nother{a=\"requests\"} x\n\n";
        assert_eq!(values(others), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_nothing() {
        for line in [
            "requests{a=\"b\"} NaN",
            "requests{a=\"b\"} abc",
            "requests{a=\"b\"} -1",
            "requests{a=\"b\"} +Inf",
            "requests{a=\"b\"} 0.5",
            "requests{a=\"b\"} 1e300",
            "requests{a=\"b\"}",
            "requests{a=\"b\"} 7 soon",
            "requests{a=\"b\"} 7 8 9",
            "requests{a=\"b} 7",
            "requests{a=b} 7",
            "requests 7",
        ] {
            let told = values(&format!("requests{{a=\"b\"}} 1\n{line}\n")).unwrap_err();
            assert!(
                told.contains("cannot be read") && told.contains("requests"),
                "{line}: {told}"
            );
        }
        let cut = values("requests{a=\"b\"} 7\nrequests{a=\"b\"} 1").unwrap_err();
        assert!(cut.contains("cut off"), "{cut}");
    }
}
