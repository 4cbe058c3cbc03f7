//! Selectors of labels, as kubectl takes them: what means nothing is said here, and not by a server that may read it in
//! another way.

/// Takes a selector that means something, as it is.
pub(super) fn selector(text: &str) -> Result<String, String> {
    let parts = split(text);
    if text.trim().is_empty() || parts.iter().all(|part| is_requirement(part)) {
        return Ok(text.to_owned());
    }
    let wrong: Vec<String> = parts
        .iter()
        .filter(|part| !is_requirement(part))
        .map(|part| format!("{:?}", part.trim()))
        .collect();
    Err(format!(
        "{} is no requirement: write app=shop, app!=shop, app, !app, \"app in (shop, cart)\" or \"app notin (shop)\", several with commas between them",
        wrong.join(" and ")
    ))
}

/// Requirements stand between commas; those in parentheses are of values.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn is_requirement(part: &str) -> bool {
    let part = part.trim();
    if let Some(key) = part.strip_prefix('!') {
        return is_key(key.trim());
    }
    if let Some((left, values)) = part.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let mut words = left.split_whitespace();
        let named = words.next().is_some_and(is_key);
        let known = matches!(words.next(), Some("in" | "notin")) && words.next().is_none();
        return named && known && values.split(',').all(|value| is_value(value.trim()));
    }
    for operator in ["!=", "==", "="] {
        if let Some((key, value)) = part.split_once(operator) {
            return is_key(key.trim()) && is_value(value.trim());
        }
    }
    if let Some((key, number)) = part.split_once(['<', '>']) {
        return is_key(key.trim()) && number.trim().parse::<i64>().is_ok();
    }
    is_key(part)
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let domain = |prefix: &str| {
        let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
        (1..=253).contains(&prefix.len()) && prefix.bytes().all(legal)
    };
    !name.is_empty() && is_value(name) && prefix.is_none_or(domain)
}

/// A value may be empty.
fn is_value(value: &str) -> bool {
    let outer = |c: u8| c.is_ascii_alphanumeric();
    let inner = |c: u8| outer(c) || matches!(c, b'-' | b'_' | b'.');
    let ends = value.bytes().next().is_none_or(outer) && value.bytes().last().is_none_or(outer);
    value.len() <= 63 && ends && value.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_takes_is_taken_as_it_is_and_nothing_else() {
        for text in [
            "",
            "app=shop",
            "app == shop, tier!=test",
            "app=",
            "app",
            "!app",
            "app in (shop, cart),tier notin (),example.com/app.kubernetes=a_b.c",
            "weight>3",
        ] {
            assert_eq!(selector(text).as_deref(), Ok(text));
        }
        for text in [
            "a=b=c", "a==b=c", "=b", "a in b", "a=b,,c=d", ",", "a b", "a=b c", "!", "a/b/c=d", "a=(b)",
            "a>x", "a in (b", "in (b)", "a=b)", "a=-b", "A_/a=b",
        ] {
            let error = selector(text).unwrap_err();
            assert!(error.contains("app=shop"), "{text}: {error}");
        }
        let error = selector("a=b,c=d=e").unwrap_err();
        assert!(error.starts_with("\"c=d=e\" is no requirement"), "{error}");
    }
}
