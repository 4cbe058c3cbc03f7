//! One line that says what is waited for: rewritten on a terminal, printed when it changes elsewhere.

use super::table;
use std::io::{IsTerminal as _, Write as _};

/// Where progress is told: the standard error output, so that output stays data.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    last: String,
}

const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

impl Progress {
    /// Told on the standard error output.
    pub(super) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: String::new(),
        }
    }

    /// What is waited for now.
    pub(super) fn show(&mut self, looks: u32, line: &str) {
        let line = table::plain(line);
        // Progress is a courtesy: that nobody can see it is no error.
        if self.terminal {
            let turn = SPINNER
                .get(looks as usize % SPINNER.len())
                .copied()
                .unwrap_or(' ');
            let line: String = line.chars().take(110).collect();
            let _ = write!(anstream::stderr(), "\r\u{1b}[K{turn} {line}");
        } else if line != self.last {
            let _ = writeln!(anstream::stderr(), "{line}");
        }
        self.last = line;
    }

    /// Something worth a line of its own.
    pub(super) fn tell(&mut self, line: &str) {
        self.end();
        let _ = writeln!(anstream::stderr(), "{}", table::plain(line));
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.terminal && !self.last.is_empty() {
            let _ = write!(anstream::stderr(), "\r\u{1b}[K");
        }
        self.last.clear();
    }
}
