//! Reading the annotations of an Ingress so that none is lost: what nobody asked for is reported.

use super::settings::{PREFIX, boolean};
use super::unconverted;
use crate::report::{Code, Entry};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The controller's annotations of an Ingress, by name without prefix.
pub(super) struct Annotations<'a> {
    prefix: &'a str,
    given: BTreeMap<&'a str, &'a str>,
    foreign: Vec<(&'a str, &'a str)>,
    used: RefCell<BTreeSet<&'a str>>,
    entries: RefCell<Vec<Entry>>,
}

impl<'a> Annotations<'a> {
    pub(super) fn new(all: &'a BTreeMap<String, String>, prefix: &'a str) -> Self {
        let mut given = BTreeMap::new();
        let mut foreign = Vec::new();
        for (key, value) in all {
            match key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) {
                Some(name) => {
                    given.insert(name, value.as_str());
                }
                None => foreign.push((key.as_str(), value.as_str())),
            }
        }
        Self {
            prefix,
            given,
            foreign,
            used: RefCell::default(),
            entries: RefCell::default(),
        }
    }

    /// The value, trimmed; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let (name, value) = self.given.get_key_value(name)?;
        self.used.borrow_mut().insert(name);
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// The value, trimmed, of one that somebody else reports about.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.given.get(name).map(|value| value.trim())
    }

    /// A boolean; what is none is reported and counts as absent.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        let read = boolean(text);
        if read.is_none() {
            self.note(Code::InvalidValue, name);
        }
        read
    }

    /// A whole number; what is none is reported and counts as absent.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let read = text.parse().ok();
        if read.is_none() {
            self.note(Code::InvalidValue, name);
        }
        read
    }

    /// A number of seconds that Istio takes as a duration, which ends at 292 years; nobody means more than ten.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        const MOST: u64 = 10 * 366 * 24 * 60 * 60;
        let read = self.number(name)?;
        if read > MOST {
            self.note(Code::InvalidValue, name);
        }
        (read <= MOST).then_some(read)
    }

    /// A list by comma.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&'a str>> {
        let parts = self.text(name)?.split(',').map(str::trim);
        Some(parts.filter(|part| !part.is_empty()).collect())
    }

    /// Reports about an annotation.
    pub(super) fn note(&self, code: Code, name: &str) {
        self.note_with(code, name, "");
    }

    /// The same with what is special.
    pub(super) fn note_with(&self, code: Code, name: &str, detail: impl Into<String>) {
        let value = self.given.get(name).copied().unwrap_or_default();
        let field = format!("metadata.annotations[{}/{name}]", self.prefix);
        self.entries
            .borrow_mut()
            .push(Entry::new(code, field, value).with(detail));
    }

    /// Reports about a setting of the controller that holds for the Ingress as it says nothing else.
    pub(super) fn note_setting(&self, code: Code, key: &str, value: &str) {
        let entry = Entry::new(code, format!("ConfigMap data.{key}"), value);
        self.entries.borrow_mut().push(entry);
    }

    /// All that was reported, and a report about everything that nobody asked for.
    pub(super) fn finish(self, canary: bool) -> Vec<Entry> {
        let used = self.used.borrow().clone();
        for (name, value) in &self.given {
            if used.contains(name) {
                continue;
            }
            let code = if canary {
                Code::CanaryIgnored
            } else {
                unconverted::code(name, value.trim(), |other| self.given.get(other).copied())
            };
            self.note(code, name);
        }
        let mut entries = self.entries.into_inner();
        for (key, value) in self.foreign {
            let usual = key.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'));
            let code = if usual {
                Some(Code::AnnotationPrefix)
            } else {
                unconverted::foreign(key)
            };
            if let Some(code) = code {
                entries.push(Entry::new(code, format!("metadata.annotations[{key}]"), value));
            }
        }
        entries
    }
}
