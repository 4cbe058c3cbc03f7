//! How much of what is encoded in a text is read. Each text within is read for itself, and may hold others, some of them in
//! more ways than one: who writes it decides how often, and must not decide how long a bundle takes.

use std::cell::Cell;

/// So many times as long as a text may be all that is decoded in it and read. Once is what a text of one encoded text
/// comes to, twice one of JSON.
const TIMES: usize = 3;
/// So much of a short text is read whatever it comes to.
const LEAST: usize = 4096;

/// What is left to be read of one text.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    /// That of a text.
    pub(super) const fn of(text: &str) -> Self {
        Self(Cell::new(text.len().saturating_mul(TIMES).saturating_add(LEAST)))
    }

    /// Takes the reading of so many bytes; false where they are not read any more, and nothing after them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Whether something was not read.
    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// How deep a text stands in others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth<'b> {
    /// In how many texts of JSON.
    pub json: usize,
    /// In how many encoded ones.
    pub encoded: usize,
    pub budget: &'b Budget,
}

impl<'b> Depth<'b> {
    /// A text of its own.
    pub(super) const fn first(budget: &'b Budget) -> Self {
        Self {
            json: 0,
            encoded: 0,
            budget,
        }
    }

    /// A text of JSON that stands here.
    pub(super) const fn in_json(self) -> Self {
        Self {
            json: self.json + 1,
            ..self
        }
    }

    /// What was decoded here.
    pub(super) const fn decoded(self) -> Self {
        Self {
            json: 0,
            encoded: self.encoded + 1,
            ..self
        }
    }
}
