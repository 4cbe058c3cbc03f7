//! Texts to documents. Documents are taken apart before they are parsed, so that one that is broken spoils no other.

use super::Source;
use super::unread::{self, Seems};
use serde::Serialize;
use serde_json::Value;
use serde_saphyr::Options;

/// Where an object was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Origin {
    /// The text's name.
    pub file: String,
    /// Which document of it, from 1; empty ones count.
    pub document: usize,
    /// The line where the document begins, or where it stops making sense; from 1.
    pub line: usize,
}

/// A document, or where and why it is none, and what it seems to be.
pub(super) type Read = Result<(Origin, Value), (Origin, String, Seems)>;

/// From this many documents on it is worth sharing the work.
const MANY: usize = 200;

/// So many are parsed at once: a parsed document is some ten times its text, and thousands need not be there together.
const BATCH: usize = 1000;

/// Hands over the documents of a text, in their order; empty ones are left out.
pub(super) fn each(source: &Source, mut take: impl FnMut(Read)) {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let parts: Vec<Part> = parts(text)
        .into_iter()
        .enumerate()
        .map(|(index, (first, text))| Part {
            number: index + 1,
            first,
            text,
        })
        .collect();
    for batch in parts.chunks(BATCH) {
        together(source, batch).into_iter().for_each(&mut take);
    }
}

fn together(source: &Source, parts: &[Part]) -> Vec<Read> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if parts.len() < MANY || workers == 1 {
        return read(&source.name, parts);
    }
    // Documents do not know of each other, so their order is all that has to be kept.
    std::thread::scope(|scope| {
        let share = parts.len().div_ceil(workers);
        let hands: Vec<_> = parts
            .chunks(share)
            .map(|chunk| (chunk, scope.spawn(|| read(&source.name, chunk))))
            .collect();
        let done = hands.into_iter().flat_map(|(chunk, hand)| {
            // A hand that is lost leaves its share to this one.
            hand.join().unwrap_or_else(|_| read(&source.name, chunk))
        });
        done.collect()
    })
}

/// A document's text, its number, and the number of its first line.
struct Part {
    number: usize,
    first: usize,
    text: String,
}

fn read(file: &str, parts: &[Part]) -> Vec<Read> {
    let mut all = Vec::new();
    for part in parts {
        let mut origin = Origin {
            file: file.to_owned(),
            document: part.number,
            line: part.first,
        };
        let mut lines = part.text.lines();
        let Some(offset) = lines.position(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        }) else {
            continue;
        };
        match parse(&part.text) {
            Ok(Value::Null) => {}
            Ok(value) => {
                origin.line += offset;
                all.push(Ok((origin, value)));
            }
            Err((line, message)) => {
                origin.line += line.map_or(offset, |line| line.saturating_sub(1));
                all.push(Err((origin, message, unread::seems(&part.text))));
            }
        }
    }
    all
}

/// The texts between document marks, each with the number of its first line.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut part = String::new();
    let mut first = 1;
    for (index, line) in text.lines().enumerate() {
        // In YAML a mark at the line's beginning is one wherever it stands, also inside a block of text.
        let mark = line == "---" || line.starts_with("--- ") || line.starts_with("---\t") || line == "...";
        if mark {
            if !part.trim().is_empty() || !all.is_empty() {
                all.push((first, std::mem::take(&mut part)));
            }
            part.clear();
            first = index + 1;
            if let Some(rest) = line.strip_prefix("---") {
                part.push_str(rest);
            }
        } else {
            part.push_str(line);
        }
        part.push('\n');
    }
    all.push((first, part));
    all
}

fn parse(text: &str) -> Result<Value, (Option<usize>, String)> {
    // What kubectl prints as JSON is read by the faster reader; flow-style YAML falls through.
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    let mut options = Options::default();
    let budget = options.budget.get_or_insert_default();
    // A list of ten thousand Ingresses has about a million nodes; depth stays bounded.
    budget.max_nodes = 8_000_000;
    budget.max_events = 16_000_000;
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| {
        let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
        let full = error.without_snippet().to_string();
        (line, full.lines().next().unwrap_or_default().to_owned())
    })
}
