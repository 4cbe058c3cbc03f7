//! One line that says what is waited for: rewritten on a terminal, printed when it changes elsewhere.

use super::table;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where progress is told: the standard error output, so that output stays data. Several who wait at once tell it here.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    last: Mutex<String>,
}

const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

impl Progress {
    /// Told on the standard error output.
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: Mutex::default(),
        }
    }

    /// What is waited for now.
    pub(super) fn show(&self, looks: u32, line: &str) {
        let line = table::plain(line);
        let mut last = self.last();
        // Progress is a courtesy: that nobody can see it is no error.
        if self.terminal {
            let turn = SPINNER
                .get(looks as usize % SPINNER.len())
                .copied()
                .unwrap_or(' ');
            let line: String = line.chars().take(110).collect();
            let _ = write!(anstream::stderr(), "\r\u{1b}[K{turn} {line}");
        } else if line != *last {
            let _ = writeln!(anstream::stderr(), "{line}");
        }
        *last = line;
    }

    /// Something worth a line of its own.
    pub(super) fn tell(&self, line: &str) {
        self.end();
        let _ = writeln!(anstream::stderr(), "{}", table::plain(line));
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        let mut last = self.last();
        if self.terminal && !last.is_empty() {
            let _ = write!(anstream::stderr(), "\r\u{1b}[K");
        }
        last.clear();
    }

    /// A line is whole whoever panicked over it.
    fn last(&self) -> MutexGuard<'_, String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
