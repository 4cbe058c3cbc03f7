//! What the parents of a Gateway API route say of it: a route that no gateway has accepted carries nothing, whatever
//! its weights are.
//!
//! Read from `status.parents`, which belongs to the gateways' controllers. Only what is said of a parent that the
//! spec still names counts, section and port included. What is said of an older generation is waited for: the
//! gateway has not looked at the newest weights yet.

use super::seen::text;
use serde_json::Value;

/// How much of a parent's own message is repeated.
const MESSAGE: usize = 120;

/// What a route's parents say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parents {
    /// No raise would carry anything, or a gateway would answer it with errors; why, as a sentence. Never a reason
    /// not to lower.
    pub refusal: Option<String>,
    /// No parent that accepted the route has taken up its newest generation yet; which, as a sentence.
    pub waiting_for: Option<String>,
    /// What is not well, whether or not it stands in the way, as a sentence.
    pub remark: Option<String>,
}

/// What one parent says.
enum Word {
    Well,
    /// It accepted an older generation.
    Behind,
    /// It carries the route, and cannot reach a back end.
    Unresolved(String),
    /// It does not carry the route.
    NotAccepted(String),
}

/// Reads the word of every parent that the route names.
pub(super) fn read(route: &Value) -> Parents {
    let home = text(route, "/metadata/namespace").unwrap_or_default();
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64);
    let list = |pointer: &str| {
        let list = route.pointer(pointer).and_then(Value::as_array);
        list.map_or(&[][..], Vec::as_slice)
    };
    let named = list("/spec/parentRefs");
    if named.is_empty() {
        let message = "it names no parent (spec.parentRefs), so no gateway carries it".to_owned();
        return Parents {
            refusal: Some(message.clone()),
            waiting_for: None,
            remark: Some(message),
        };
    }
    let words: Vec<(String, Word)> = named
        .iter()
        .flat_map(|parent| {
            let of = |said: &&Value| {
                said.get("parentRef")
                    .is_some_and(|of| key(of, home) == key(parent, home))
            };
            let said: Vec<&Value> = list("/status/parents").iter().filter(of).collect();
            if said.is_empty() {
                let nothing = Word::NotAccepted("no controller has said anything of it".to_owned());
                return vec![(name(parent, home, None), nothing)];
            }
            said.into_iter()
                .map(|said| (name(parent, home, Some(said)), word(said, generation)))
                .collect()
        })
        .collect();
    let carried = words
        .iter()
        .any(|(_, word)| !matches!(word, Word::NotAccepted(_)));
    let current = words
        .iter()
        .any(|(_, word)| matches!(word, Word::Well | Word::Unresolved(_)));
    let not_accepted = sentences(&words, |parent, word| match word {
        Word::NotAccepted(why) => Some(format!("is not accepted by {parent}: {why}")),
        Word::Well | Word::Behind | Word::Unresolved(_) => None,
    });
    let unresolved = sentences(&words, |parent, word| match word {
        Word::Unresolved(why) => Some(format!("has a back end that {parent} cannot use: {why}")),
        Word::Well | Word::Behind | Word::NotAccepted(_) => None,
    });
    let behind = sentences(&words, |parent, word| {
        matches!(word, Word::Behind).then(|| format!("{parent} has not taken up its newest generation"))
    });
    let refusal = if carried {
        unresolved.clone()
    } else {
        not_accepted.clone()
    };
    let remark = match (unresolved, not_accepted) {
        (Some(a), Some(b)) => Some(format!("{a}; {b}")),
        (one, other) => one.or(other),
    };
    Parents {
        waiting_for: behind.filter(|_| refusal.is_none() && !current),
        refusal,
        remark,
    }
}

/// What several parents say, in one sentence.
fn sentences(words: &[(String, Word)], say: impl Fn(&str, &Word) -> Option<String>) -> Option<String> {
    let all: Vec<String> = words
        .iter()
        .filter_map(|(parent, word)| say(parent, word))
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn word(said: &Value, generation: Option<i64>) -> Word {
    let condition = |kind: &str| {
        let conditions = said.get("conditions").and_then(Value::as_array);
        conditions
            .into_iter()
            .flatten()
            .find(|condition| text(condition, "/type") == Some(kind))
    };
    let Some(accepted) = condition("Accepted") else {
        return Word::NotAccepted("it has not said whether it accepts it".to_owned());
    };
    if text(accepted, "/status") != Some("True") {
        return Word::NotAccepted(why(accepted));
    }
    // A False of an older generation may be history, but is the newest there is; only True has to be fresh.
    if let Some(refs) = condition("ResolvedRefs").filter(|refs| text(refs, "/status") == Some("False")) {
        return Word::Unresolved(why(refs));
    }
    let seen = accepted.get("observedGeneration").and_then(Value::as_i64);
    match (seen, generation) {
        (Some(seen), Some(generation)) if seen < generation => Word::Behind,
        _ => Word::Well,
    }
}

fn why(condition: &Value) -> String {
    let reason = text(condition, "/reason").unwrap_or("no reason given");
    match text(condition, "/message").filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}, {}", message.chars().take(MESSAGE).collect::<String>()),
        None => reason.to_owned(),
    }
}

type Key<'j> = (&'j str, &'j str, &'j str, &'j str, Option<&'j str>, Option<i64>);

/// A reference to a parent with the API's defaults filled in.
fn key<'j>(parent: &'j Value, home: &'j str) -> Key<'j> {
    (
        text(parent, "/group").unwrap_or("gateway.networking.k8s.io"),
        text(parent, "/kind").unwrap_or("Gateway"),
        text(parent, "/namespace").unwrap_or(home),
        text(parent, "/name").unwrap_or_default(),
        text(parent, "/sectionName"),
        parent.get("port").and_then(Value::as_i64),
    )
}

/// A parent as people call it, with the controller that speaks for it where there is one.
fn name(parent: &Value, home: &str, said: Option<&Value>) -> String {
    let (_, kind, namespace, name, section, port) = key(parent, home);
    let section = section.map(|s| format!(" section {s}")).unwrap_or_default();
    let port = port.map(|p| format!(" port {p}")).unwrap_or_default();
    let controller = said
        .and_then(|said| text(said, "/controllerName"))
        .map(|c| format!(" ({c})"))
        .unwrap_or_default();
    format!(
        "{} {namespace}/{name}{section}{port}{controller}",
        kind.to_lowercase()
    )
}
