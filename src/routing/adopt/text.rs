//! A resource as YAML with comments. Written by hand, because no serializer keeps comments; what is written is read
//! back by the product's own validation before anybody gets it.

use super::STEPS;
use super::resource::Resource;
use crate::rollout::spec::Component;
use serde_json::Value;
use std::fmt::{self, Write as _};

/// Comments are broken here.
const WIDTH: usize = 118;

/// Fields in the order in which people write them; others follow by name.
const ORDER: &[&str] = &[
    "kind",
    "host",
    "name",
    "namespace",
    "service",
    "subset",
    "port",
    "virtualServices",
    "ingresses",
    "rules",
    "routes",
    "gateway",
    "canary",
    "control",
    "preset",
    "labels",
];

const CHECKS: &str = "  # What is judged at every step. These four are in force without a word, as they stand here; take the # away from the
  # list and change what is to differ. `promote` has to hold before the weight rises, `rollback` puts everything back
  # when it no longer holds, and `for` is how much time is looked at. `rollback: none` never puts back.
  # checks:
  # - {name: errors, metric: errorRate, promote: {max: 0.1%}, rollback: {max: 1%}, for: 5m}
  # - {name: p95, metric: latency, quantile: 0.95, promote: {maxIncrease: 15%}, rollback: {maxIncrease: 50%}, for: 5m}
  # - {name: available, metric: availability, promote: {min: 99.9%}, rollback: {min: 99%}}
  # - {name: throughput, metric: throughput, promote: {min: 95%}, rollback: none}
";

/// The text of a resource.
pub(super) fn yaml(resource: &Resource) -> String {
    let mut out = String::new();
    let (namespace, name) = (&resource.namespace, &resource.name);
    comment(
        &mut out,
        "",
        "Written by `gradual-rollout init` from what is in the cluster. Nothing is applied yet: read it, settle every GUESSED, then",
    );
    comment(
        &mut out,
        "",
        "  gradual-rollout validate FILE                         is it a plan?",
    );
    comment(
        &mut out,
        "",
        "  gradual-rollout checks test -f FILE --prometheus URL  can it be judged?",
    );
    comment(&mut out, "", "  kubectl apply -f FILE");
    out.push_str("apiVersion: rollout.sealos.io/v1alpha1\nkind: GradualRollout\nmetadata:\n");
    put(
        &mut out,
        format_args!("  name: {}\n  namespace: {}\n", scalar(name), scalar(namespace)),
    );
    out.push_str("spec:\n");
    comment(
        &mut out,
        "  ",
        "Each moves on its own: `routers` says what sets its weight, `arms` whose requests are compared.",
    );
    out.push_str("  components:\n");
    for draft in &resource.drafts {
        for note in &draft.notes {
            comment(&mut out, "  ", note);
        }
        component(&mut out, &draft.component);
    }
    comment(
        &mut out,
        "  ",
        "The plan: the canary's share, and how long it is held there, in time that was judged on fresh data. The next step comes when the hold is over and every check allows it.",
    );
    out.push_str("  steps:\n");
    for (at, (percent, days)) in STEPS.iter().enumerate() {
        let last = if at + 1 == STEPS.len() {
            "    # the last hold still watches, before the plan is complete"
        } else {
            ""
        };
        put(
            &mut out,
            format_args!("  - {{weight: {percent}%, hold: {days}d}}{last}\n"),
        );
    }
    out.push_str(CHECKS);
    if !resource.left_out.is_empty() {
        comment(&mut out, "", "Left out, each with the reason:");
        for one in &resource.left_out {
            comment(&mut out, "", &format!("- {}: {}", one.object, one.reason));
        }
    }
    out
}

fn component(out: &mut String, component: &Component) {
    put(out, format_args!("  - name: {}\n", scalar(&component.name)));
    if let Some(pool) = &component.pool {
        put(out, format_args!("    pool: {}\n", scalar(pool)));
    }
    out.push_str("    routers:\n");
    for router in &component.routers {
        for (kind, fields) in members(&json(router)) {
            put(out, format_args!("    - {kind}:\n"));
            for (field, value) in members(&fields) {
                put(out, format_args!("        {field}: {}\n", flow(&value)));
            }
        }
    }
    if let Some(arms) = &component.arms {
        out.push_str("    arms:\n");
        for (arm, value) in members(&json(arms)) {
            put(out, format_args!("      {arm}: {}\n", flow(&value)));
        }
    }
}

/// The types of the specification always have a form in JSON.
fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The members of an object, in their order.
fn members(value: &Value) -> Vec<(String, Value)> {
    let mut members: Vec<(String, Value)> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let place = |name: &str| {
        ORDER
            .iter()
            .position(|known| *known == name)
            .unwrap_or(ORDER.len())
    };
    members.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    members
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(_) => {
            let inner: Vec<String> = members(value)
                .iter()
                .map(|(name, value)| format!("{}: {}", scalar(name), flow(value)))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
        Value::Array(items) => {
            let inner: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", inner.join(", "))
        }
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text as YAML: as it is where no reader can take it for anything else, in quotes otherwise.
fn scalar(text: &str) -> String {
    const WORDS: &[&str] = &[
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_./".contains(&c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        text.to_owned()
    } else {
        // A string of JSON is one of YAML.
        Value::String(text.to_owned()).to_string()
    }
}

/// A comment, broken at words; what could end its line is taken out.
fn comment(out: &mut String, indent: &str, text: &str) {
    let clean: String = text
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
                '?'
            } else {
                c
            }
        })
        .collect();
    // What is indented by itself stays as it is.
    if clean.starts_with("  ") {
        put(out, format_args!("{indent}# {clean}\n"));
        return;
    }
    let hang = if clean.starts_with("- ") { "  " } else { "" };
    let mut line = format!("{indent}#");
    let mut first = true;
    for word in clean.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && !first {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}# {hang}{word}");
        } else {
            line.push(' ');
            line.push_str(word);
        }
        first = false;
    }
    out.push_str(&line);
    out.push('\n');
}

/// Adds to a text.
fn put(out: &mut String, what: fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_of_yaml_might_take_for_something_else_is_in_quotes() {
        for text in [
            "on", "Yes", "NULL", "y", "true", "12", "1e3", "0x1", "", "~.*", "!v1", "a: b", "a #", ".inf",
            "-", "é",
        ] {
            assert_eq!(scalar(text), Value::from(text).to_string());
        }
        for text in ["shop", "shop.example.com", "v2", "istio-system/gw", "only"] {
            assert_eq!(scalar(text), text);
        }
    }

    #[test]
    fn no_word_of_an_object_ends_a_comment() {
        let mut out = String::new();
        comment(&mut out, "  ", "a\nkind: Other\r\u{85}b\u{2028}c \u{feff}");
        assert_eq!(out.lines().count(), 1, "{out:?}");
        assert!(out.starts_with("  # a?kind:"), "{out:?}");
        let mut out = String::new();
        comment(&mut out, "", &format!("- {}", "word ".repeat(60)));
        assert!(
            out.lines().count() > 2 && out.lines().skip(1).all(|line| line.starts_with("#   word")),
            "{out}"
        );
    }
}
