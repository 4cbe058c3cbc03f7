//! The columns of `kubectl get`: JSON paths into an object, and ages told by the server's clock.

use jiff::Timestamp;
use serde_json::{Value, json};

/// How a cell is made.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// The first value at a path.
    Path(Path),
    /// Anything else.
    Made(fn(&Value, Timestamp) -> Value),
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The header; kubectl prints it in capitals.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// An OpenAPI format, or empty.
    pub format: String,
    /// Told by `kubectl explain`-like tools.
    pub description: String,
    /// Above 0 only with `-o wide`.
    pub priority: i64,
    /// Where the value comes from.
    pub cell: Cell,
}

impl Column {
    /// A column that shows the text at `path`.
    pub(super) fn path(name: &str, kind: &str, path: &str) -> Self {
        Self::new(name, kind, Cell::Path(Path::parse(path)))
    }

    /// A column that is computed.
    pub(super) fn made(name: &str, cell: fn(&Value, Timestamp) -> Value) -> Self {
        Self::new(name, "string", Cell::Made(cell))
    }

    /// The age column that nearly everything has.
    pub(super) fn age() -> Self {
        Self::path("Age", "date", ".metadata.creationTimestamp")
    }

    fn new(name: &str, kind: &str, cell: Cell) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            cell,
        }
    }

    /// The cell for one object.
    pub(super) fn value(&self, object: &Value, now: Timestamp) -> Value {
        let path = match &self.cell {
            Cell::Path(path) => path,
            Cell::Made(make) => return make(object, now),
        };
        let Some(found) = path.first(object) else {
            return Value::Null;
        };
        match self.kind.as_str() {
            "date" => found.as_str().map_or(Value::Null, |at| json!(age(at, now))),
            "integer" => found.as_i64().map_or(Value::Null, |n| json!(n)),
            "number" => found.as_f64().map_or(Value::Null, |n| json!(n)),
            "boolean" => found.as_bool().map_or(Value::Null, |b| json!(b)),
            _ => match found {
                Value::Null => Value::Null,
                Value::String(_) => found.clone(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                    json!(found.to_string())
                }
            },
        }
    }
}

/// The age of a time stamp as kubectl writes it; `<unknown>` when it is none.
pub(super) fn age(at: &str, now: Timestamp) -> String {
    at.parse::<Timestamp>().map_or_else(
        |_| "<unknown>".to_owned(),
        |at| span(now.duration_since(at).as_secs()),
    )
}

/// Seconds as Kubernetes abbreviates them: `119s`, `5m30s`, `3h`, `2d4h`, `400d`.
pub(super) fn span(seconds: i64) -> String {
    let pair = |major: i64, m: char, minor: i64, n: char| {
        if minor == 0 {
            format!("{major}{m}")
        } else {
            format!("{major}{m}{minor}{n}")
        }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, 'y', days % 365, 'd'),
        252_288_000.. => format!("{}y", days / 365),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    Each,
    Where(Vec<Step>, Value),
}

/// A JSON path: fields, indices, `[*]` and `[?(@.field=="value")]`.
#[derive(Clone, Debug)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads a path. What cannot be read matches nothing.
    pub(super) fn parse(path: &str) -> Self {
        Self(steps(path).unwrap_or_else(|| vec![Step::Index(usize::MAX)]))
    }

    /// The first value it finds.
    pub(super) fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let mut found = Vec::new();
        walk(&self.0, value, &mut found);
        found.first().copied()
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    let mut rest = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('[') {
            let end = if tail.starts_with('?') {
                tail.find(")]")? + 1
            } else {
                tail.find(']')?
            };
            let (inside, tail) = (tail.get(..end)?, tail.get(end + 1..)?);
            rest = tail;
            if inside == "*" {
                out.push(Step::Each);
            } else if let Some(test) = inside.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
                let (left, right) = test.split_once("==")?;
                let right = right.trim();
                let wanted = match right.trim_matches(['"', '\'']) {
                    text if text.len() + 2 == right.len() => Value::String(text.to_owned()),
                    bare => serde_json::from_str(bare).ok()?,
                };
                out.push(Step::Where(steps(left.trim().trim_start_matches('@'))?, wanted));
            } else if let Ok(index) = inside.parse() {
                out.push(Step::Index(index));
            } else {
                out.push(Step::Field(inside.trim_matches(['"', '\'']).to_owned()));
            }
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
        }
        rest = rest.get(end..)?;
        if name == "*" {
            out.push(Step::Each);
        } else if !name.is_empty() {
            out.push(Step::Field(name));
        } else if !rest.starts_with('[') {
            return if rest.is_empty() { Some(out) } else { None };
        }
    }
    Some(out)
}

fn walk<'a>(steps: &[Step], value: &'a Value, found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value);
        return;
    };
    match step {
        Step::Field(name) => value.get(name).into_iter().for_each(|v| walk(rest, v, found)),
        Step::Index(i) => value.get(i).into_iter().for_each(|v| walk(rest, v, found)),
        Step::Each => each(value).for_each(|v| walk(rest, v, found)),
        Step::Where(path, wanted) => each(value)
            .filter(|v| {
                let mut left = Vec::new();
                walk(path, v, &mut left);
                left.first() == Some(&wanted)
            })
            .for_each(|v| walk(rest, v, found)),
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let list = value.as_array().into_iter().flatten();
    list.chain(value.as_object().into_iter().flat_map(serde_json::Map::values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_fields_filters_and_escaped_names() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "yes"}},
            "status": {"conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, wanted) in [
            (
                r#".status.conditions[?(@.type=="Ready")].status"#,
                Some(json!("True")),
            ),
            (".status.conditions[0].type", Some(json!("Synced"))),
            (".status.conditions[*].type", Some(json!("Synced"))),
            (r".metadata.annotations.a\.b/c", Some(json!("yes"))),
            (".metadata.annotations['a.b/c']", Some(json!("yes"))),
            (".status.absent", None),
            (".status.conditions[?(@.type", None),
        ] {
            assert_eq!(Path::parse(path).first(&object), wanted.as_ref(), "{path}");
        }
    }

    #[test]
    fn ages_read_like_kubectls() {
        for (seconds, wanted) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (600, "10m"),
            (10_800, "3h"),
            (12_060, "3h21m"),
            (172_800, "2d"),
            (187_200, "2d4h"),
            (1_814_400, "21d"),
            (63_072_000 + 86_400, "2y1d"),
        ] {
            assert_eq!(span(seconds), wanted);
        }
    }
}
