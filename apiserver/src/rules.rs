//! CEL rules (`x-kubernetes-validations`), compiled once per schema node.

use super::failure::Cause;
use kube::core::cel::cel::{self, Context};
use kube::core::cel::{CompiledSchema, KubeCelExt, compile_schema};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The rules of one schema node.
pub(super) struct Rules(CompiledSchema);

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.0.validations.len())
    }
}

thread_local! {
    // Registering the functions takes longer than most rules; a context is not Sync.
    static FUNCTIONS: Context<'static> = Context::default().with_all();
}

impl Rules {
    /// The rules of `raw`, if it has any.
    pub(super) fn of(raw: &Value) -> Option<Self> {
        let rules = raw.get("x-kubernetes-validations")?;
        Some(Self(compile_schema(&json!({"x-kubernetes-validations": rules}))))
    }

    /// What does not compile, in words.
    pub(super) fn errors(&self) -> Vec<String> {
        self.0
            .compilation_errors()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Evaluates every rule. Rules that mention `oldSelf` wait for an update.
    pub(super) fn check(&self, new: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        FUNCTIONS.with(|functions| {
            let mut scope = functions.new_inner_scope();
            scope.add_variable_from_value("self", to_cel(new));
            if let Some(old) = old {
                scope.add_variable_from_value("oldSelf", to_cel(old));
            }
            for rule in self.0.validations.iter().flatten() {
                let optional = rule.rule.optional_old_self == Some(true);
                if rule.is_transition_rule && old.is_none() && !optional {
                    continue;
                }
                let mut bare;
                let scope = if old.is_none() && optional {
                    bare = scope.new_inner_scope();
                    bare.add_variable_from_value("oldSelf", cel::Value::Null);
                    &bare
                } else {
                    &scope
                };
                let why = match rule.program.execute(scope) {
                    Ok(cel::Value::Bool(true)) => continue,
                    Ok(cel::Value::Bool(false)) => rule
                        .message_program
                        .as_ref()
                        .and_then(|p| p.execute(scope).ok())
                        .and_then(|m| {
                            if let cel::Value::String(m) = m {
                                Some(m.to_string())
                            } else {
                                None
                            }
                        })
                        .filter(|m| !m.trim().is_empty())
                        .or_else(|| rule.rule.message.clone())
                        .unwrap_or_else(|| format!("failed rule: {}", rule.rule.rule)),
                    Ok(_) => format!("rule \"{}\" did not evaluate to bool", rule.rule.rule),
                    Err(error) => format!("rule evaluation error: {error}"),
                };
                let below = rule.rule.field_path.as_deref().unwrap_or_default();
                let field = format!("{path}{below}");
                let field = field.strip_prefix('.').map(str::to_owned).unwrap_or(field);
                causes.push(Cause {
                    reason: reason(rule.rule.reason.as_deref()),
                    field: if field.is_empty() {
                        "<nil>".to_owned()
                    } else {
                        field
                    },
                    message: format!("{}: {why}", words(rule.rule.reason.as_deref())),
                });
            }
        });
    }
}

fn reason(asked: Option<&str>) -> &'static str {
    match asked {
        Some("FieldValueForbidden") => "FieldValueForbidden",
        Some("FieldValueRequired") => "FieldValueRequired",
        Some("FieldValueDuplicate") => "FieldValueDuplicate",
        _ => "FieldValueInvalid",
    }
}

fn words(asked: Option<&str>) -> &'static str {
    match asked {
        Some("FieldValueForbidden") => "Forbidden",
        Some("FieldValueRequired") => "Required value",
        Some("FieldValueDuplicate") => "Duplicate value",
        _ => "Invalid value",
    }
}

/// A field's name in CEL: reserved words and other characters are escaped.
fn escape(name: &str) -> String {
    const RESERVED: [&str; 20] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "while",
    ];
    if RESERVED.contains(&name) || name == "void" {
        return format!("__{name}__");
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(b) => cel::Value::Bool(*b),
        Value::Number(n) => n
            .as_i64()
            .map(cel::Value::Int)
            .or_else(|| n.as_u64().map(cel::Value::UInt))
            .unwrap_or_else(|| cel::Value::Float(n.as_f64().unwrap_or(f64::NAN))),
        Value::String(s) => cel::Value::String(Arc::new(s.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        // A field that holds null is absent to `has()`.
        Value::Object(fields) => {
            let map: HashMap<String, cel::Value> = fields
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (escape(k), to_cel(v)))
                .collect();
            cel::Value::Map(map.into())
        }
    }
}
