//! Variables in the PromQL that people write: `{{namespace}}`, `{{rollout}}`, `{{component}}`, `{{weight}}` and
//! `{{window}}`.
//!
//! A value is escaped for where it stands: inside a quoted string for that string, after `=~` and `!~` for the regular
//! expression as well. Names stand nowhere else: there they would be PromQL.

/// The variables there are.
const KNOWN: [&str; 5] = ["namespace", "rollout", "component", "weight", "window"];

/// What the variables stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variables<'a> {
    /// The resource's namespace.
    pub namespace: &'a str,
    /// The resource's name.
    pub rollout: &'a str,
    /// The component's name.
    pub component: &'a str,
    /// The weight in percent, without the sign: `12.5`.
    pub weight: &'a str,
    /// The check's window, as PromQL writes durations: `300000ms`.
    pub window: &'a str,
}

impl Variables<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        Some(match name {
            "namespace" => self.namespace,
            "rollout" => self.rollout,
            "component" => self.component,
            "weight" => self.weight,
            "window" => self.window,
            _ => return None,
        })
    }
}

/// Where in PromQL a place is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Bare,
    String { quote: char, regex: bool },
}

/// Values to try a text with before there are any.
pub const SAMPLE: Variables<'static> = Variables {
    namespace: "a",
    rollout: "a",
    component: "a",
    weight: "5",
    window: "300000ms",
};

/// PromQL with its variables filled in.
pub fn promql(text: &str, variables: &Variables<'_>) -> Result<String, String> {
    fill(text, variables, Place::Bare)
}

/// A label's matcher with its variables filled in, before it is quoted: `~shop-{{component}}`.
pub fn matcher(text: &str, variables: &Variables<'_>) -> Result<String, String> {
    let regex = text.starts_with('~') || text.starts_with("!~");
    // The quotes and their escapes come later.
    fill(text, variables, Place::String { quote: '`', regex })
}

/// A name with its variables filled in.
pub fn name(text: &str, variables: &Variables<'_>) -> Result<String, String> {
    let quote = '`';
    fill(text, variables, Place::String { quote, regex: false })
}

fn fill(text: &str, variables: &Variables<'_>, start: Place) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut place = start;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{") {
            let Some((inside, tail)) = after.split_once("}}") else {
                return Err("a variable begins with {{ and has no }}: close it".to_owned());
            };
            let name = inside.trim();
            let Some(value) = variables.value(name) else {
                return Err(format!(
                    "there is no variable {name:?}; known are {}",
                    KNOWN.join(", ")
                ));
            };
            out.push_str(&escaped(name, value, place)?);
            rest = tail;
            continue;
        }
        rest = rest.get(next.len_utf8()..).unwrap_or_default();
        match place {
            Place::Bare if matches!(next, '"' | '\'' | '`') => {
                let before = out.trim_end();
                let regex = before.ends_with("=~") || before.ends_with("!~");
                place = Place::String { quote: next, regex };
            }
            Place::Bare if next == '#' => {
                return Err("a comment has no place in a check's query: leave it out".to_owned());
            }
            Place::String { quote, .. } if next == quote && start == Place::Bare => place = Place::Bare,
            Place::String { quote, .. } if next == '\\' && quote != '`' => {
                out.push(next);
                if let Some(taken) = rest.chars().next() {
                    out.push(taken);
                    rest = rest.get(taken.len_utf8()..).unwrap_or_default();
                }
                continue;
            }
            Place::Bare | Place::String { .. } => {}
        }
        out.push(next);
    }
    if start == Place::Bare && place != Place::Bare {
        return Err("a quoted string is not closed".to_owned());
    }
    Ok(out)
}

fn escaped(name: &str, value: &str, place: Place) -> Result<String, String> {
    let Place::String { quote, regex } = place else {
        if matches!(name, "weight" | "window") {
            return Ok(value.to_owned());
        }
        return Err(format!(
            "{{{{{name}}}}} stands outside of quotes: write \"{{{{{name}}}}}\""
        ));
    };
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if regex && r"\.+*?()|[]{}^$".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    if quote == '`' {
        return Ok(text);
    }
    Ok(text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Variables<'static> = Variables {
        namespace: "shop",
        rollout: "app.v2",
        component: "cart",
        weight: "12.5",
        window: "300000ms",
    };

    #[test]
    fn values_are_filled_in_and_escaped_for_where_they_stand() {
        for (text, filled) in [
            (r#"up{ns="{{namespace}}"}"#, r#"up{ns="shop"}"#),
            (r#"up{r="{{ rollout }}"}"#, r#"up{r="app.v2"}"#),
            (r#"up{r=~"{{rollout}}-.*"}"#, r#"up{r=~"app\\.v2-.*"}"#),
            ("up{r!~ '{{rollout}}'}", r"up{r!~ 'app\\.v2'}"),
            ("up{r=~`{{rollout}}`}", r"up{r=~`app\.v2`}"),
            (r#"up{a="\"{{component}}"}"#, r#"up{a="\"cart"}"#),
            (
                "sum(rate(x[{{window}}])) * {{weight}}",
                "sum(rate(x[300000ms])) * 12.5",
            ),
        ] {
            assert_eq!(promql(text, &VALUES).unwrap(), filled);
        }
    }

    #[test]
    fn a_value_cannot_break_out_of_its_quotes() {
        let hostile = Variables {
            component: r#"a"} or vector(0) or up{x="\"#,
            ..VALUES
        };
        assert_eq!(
            promql(r#"up{a="{{component}}"}"#, &hostile).unwrap(),
            r#"up{a="a\"} or vector(0) or up{x=\"\\"}"#
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused_with_the_remedy() {
        for (text, says) in [
            (
                "up{a=\"{{namespce}}\"}",
                "there is no variable \"namespce\"; known are namespace,",
            ),
            ("up{a={{component}}}", "outside of quotes"),
            ("up{a=\"{{component\"}", "no }}"),
            ("up{a=\"x}", "not closed"),
            ("up # all", "comment"),
        ] {
            let error = promql(text, &SAMPLE).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_matcher_is_escaped_as_the_regular_expression_that_it_is() {
        assert_eq!(matcher("~{{rollout}}-.*", &VALUES).unwrap(), r"~app\.v2-.*");
        assert_eq!(matcher("{{rollout}}", &VALUES).unwrap(), "app.v2");
        assert_eq!(
            name("{{component}}-controller", &VALUES).unwrap(),
            "cart-controller"
        );
    }
}
