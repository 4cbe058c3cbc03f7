//! Amounts as Kubernetes writes them: `200m` and `1.5` cores, `128Mi` and `1G` bytes.

/// Suffixes and what they multiply by.
const SUFFIXES: [(&str, f64); 11] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("m", 1e-3),
    ("u", 1e-6),
    ("n", 1e-9),
];

/// Cores: a number, or one with `m`, `u` or `n`.
pub(super) fn cores(text: &str) -> Option<f64> {
    let (number, factor) = split(text);
    (factor <= 1.0).then_some(())?;
    Some(plain(number)? * factor)
}

/// Bytes: a number, or one with a decimal or binary suffix.
pub(super) fn bytes(text: &str) -> Option<f64> {
    let (number, factor) = split(text);
    (factor >= 1.0).then_some(())?;
    Some(plain(number)? * factor)
}

/// A plain number, negative ones included: no exponent, no suffix.
pub(super) fn number(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(positive) => plain(positive).map(|n| -n),
        None => plain(text),
    }
}

fn split(text: &str) -> (&str, f64) {
    SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0))
}

fn plain(text: &str) -> Option<f64> {
    let digits = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let whole =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    (digits && whole).then(|| text.parse().ok())?
}

/// Cores for people.
pub(super) fn show_cores(cores: f64) -> String {
    if cores.abs() < 1.0 {
        format!("{}m", (cores * 1000.0).round())
    } else {
        trimmed(cores)
    }
}

/// Bytes for people.
pub(super) fn show_bytes(bytes: f64) -> String {
    let binary = SUFFIXES.iter().take(4).rev();
    match binary.into_iter().find(|(_, factor)| bytes.abs() >= *factor) {
        Some((suffix, factor)) => format!("{}{suffix}", trimmed(bytes / factor)),
        None => trimmed(bytes),
    }
}

/// A number with as many decimals as say something.
pub(super) fn trimmed(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let text = if magnitude >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() <= b.abs() * 1e-12)
    }

    #[test]
    fn amounts_read_as_kubernetes_writes_them() {
        assert!(close(cores("200m"), 0.2) && close(cores("1.5"), 1.5) && close(cores("2"), 2.0));
        assert!(
            close(bytes("128Mi"), 134_217_728.0)
                && close(bytes("1G"), 1e9)
                && close(bytes("1048576"), 1_048_576.0)
        );
        assert!(close(number("-0.25"), -0.25) && close(number("3"), 3.0));
    }

    #[test]
    fn a_unit_of_another_kind_is_no_amount() {
        for wrong in [
            "200Mi", "1G", "10%", "5s", "150ms", "", "-1", ".5", "1.", "1e3", "NaN", "inf",
        ] {
            assert_eq!(cores(wrong), None, "{wrong}");
        }
        for wrong in ["200m", "10%", "150ms", "Mi", "-1Mi", "1.2.3Mi"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        for wrong in ["10%", "5s", "1Mi", "--1", "NaN"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts_are_shown_as_they_are_written() {
        assert_eq!(show_cores(0.2), "200m");
        assert_eq!(show_cores(1.5), "1.5");
        assert_eq!(show_bytes(134_217_728.0), "128Mi");
        assert_eq!(show_bytes(12.0), "12");
        assert_eq!(trimmed(0.25), "0.25");
        assert_eq!(trimmed(1234.56), "1234.6");
        assert_eq!(trimmed(0.0), "0");
        assert_eq!(trimmed(1e-7), "1.000e-7");
    }
}
