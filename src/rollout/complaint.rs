//! People's complaints about a component: what is kept of them, and when they are too many.

use super::bounded;
use super::complaint_spec::ComplaintAction;
use super::duration::Span;
use super::spec::timestamp_schema;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Complaints of a component that are kept, the newest: as many as `spec.complaints.max` may be at most.
pub const COMPLAINTS_KEPT: usize = 10;
/// Characters of a complaint's text that are kept, so that ten of them fit into a status.
pub const TEXT_KEPT: usize = 160;
/// Characters that are kept of who complained.
pub const WHO_KEPT: usize = 64;

/// A person's complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    /// The command that brought it: the same one again is not counted again.
    #[schemars(length(max = 63))]
    #[serde(serialize_with = "bounded::text::<63, _>")]
    pub id: String,
    /// When it was given, as far as its id tells; never later than it was seen.
    #[schemars(schema_with = "timestamp_schema")]
    pub at: Timestamp,
    /// Who complained.
    #[schemars(length(max = 64))]
    #[serde(serialize_with = "bounded::text::<64, _>")]
    pub who: String,
    /// What about.
    #[schemars(length(max = 160))]
    #[serde(serialize_with = "bounded::text::<160, _>")]
    pub text: String,
    /// It no longer counts: somebody went on in spite of it, or it came when there was nothing to hold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

/// When complaints are too many, with every default filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComplaintRules {
    /// So many are too many.
    pub max: usize,
    /// How long one counts.
    pub within: Duration,
    /// What happens then.
    pub action: ComplaintAction,
}

impl Default for ComplaintRules {
    fn default() -> Self {
        Self {
            max: 3,
            within: Duration::from_secs(3600),
            action: ComplaintAction::Hold,
        }
    }
}

/// Complaints that are too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// How many count now.
    pub count: usize,
    /// When they are too many no longer, if nobody complains again.
    pub until: Timestamp,
    /// What the newest of them says.
    pub last: String,
    /// Who said it.
    pub by: String,
}

impl ComplaintRules {
    /// Whether complaints are too many now.
    pub fn too_many(&self, all: &[Complaint], now: Timestamp) -> Option<TooMany> {
        let end = |c: &Complaint| c.at.checked_add(self.within).unwrap_or(Timestamp::MAX);
        let mut counted: Vec<&Complaint> = all.iter().filter(|c| !c.settled && end(c) > now).collect();
        if counted.len() < self.max {
            return None;
        }
        counted.sort_by_key(|c| c.at);
        let newest = counted.last()?;
        // When this one is old, one too few are left.
        let decides = counted.get(counted.len() - self.max)?;
        Some(TooMany {
            count: counted.len(),
            until: end(decides),
            last: newest.text.clone(),
            by: newest.who.clone(),
        })
    }

    /// How many complaints count now.
    pub fn count(&self, all: &[Complaint], now: Timestamp) -> usize {
        let end = |c: &Complaint| c.at.checked_add(self.within).unwrap_or(Timestamp::MAX);
        all.iter().filter(|c| !c.settled && end(c) > now).count()
    }

    /// A sentence about them.
    pub fn sentence(&self, found: &TooMany) -> String {
        let text = if found.last.is_empty() {
            "no text"
        } else {
            found.last.as_str()
        };
        let (count, within, by) = (found.count, Span(self.within), &found.by);
        let plural = if count == 1 { "complaint" } else { "complaints" };
        format!("{count} {plural} within {within}, the newest by {by}: {text}")
    }
}

/// Text of somebody's, in one line and without what terminals or pages would take for more than text.
pub fn plain(text: &str, most: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control() || is_unseen(c));
    let line = words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(most).collect()
}

/// Text of somebody's as it was written, but for what terminals or pages would take for more than text: a space each.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c.is_control() && c != '\t' || is_unseen(c);
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if odd(c) { ' ' } else { c }).collect())
}

/// Characters that change how those around them are shown.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{180e}' | '\u{e0000}'..='\u{e007f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64, settled: bool) -> Complaint {
        Complaint {
            id: minute.to_string(),
            at: Timestamp::from_second(minute * 60).unwrap(),
            who: "ann".into(),
            text: "slow".into(),
            settled,
        }
    }

    #[test]
    fn complaints_are_too_many_until_the_one_that_decides_is_old() {
        let rules = ComplaintRules::default();
        let now = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let all = [
            at(0, false),
            at(10, false),
            at(20, true),
            at(30, false),
            at(40, false),
        ];
        let found = rules.too_many(&all, now(45)).unwrap();
        assert_eq!(
            (found.count, found.until),
            (4, now(70)),
            "10, 30 and 40 are three"
        );
        assert!(rules.too_many(&all, now(69)).is_some());
        assert!(rules.too_many(&all, now(70)).is_none());
        assert!(
            rules.too_many(&all[..3], now(25)).is_none(),
            "what is settled counts no more"
        );
    }

    #[test]
    fn a_strangers_text_is_one_line_without_escapes() {
        assert_eq!(plain("a\x1b[31m\nred\u{202e}x  y", 99), "a [31m red x y");
        assert_eq!(plain("äöü", 2), "äö");
    }
}
