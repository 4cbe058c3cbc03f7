//! How far something is, for whoever waits for it.

use std::io::{self, Write};

/// Counts what is done and says so: on a terminal in a line that is rewritten, elsewhere ten times.
pub struct Progress<'a> {
    to: &'a mut dyn Write,
    terminal: bool,
    what: &'static str,
    total: usize,
    done: usize,
    told: usize,
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Progress({} of {} {})", self.done, self.total, self.what)
    }
}

/// The bar's width; with its words it fits a terminal of 80 columns.
const WIDTH: usize = 30;

impl<'a> Progress<'a> {
    /// Nothing of `total` is done.
    pub fn new(to: &'a mut dyn Write, terminal: bool, what: &'static str, total: usize) -> Self {
        Self {
            to,
            terminal,
            what,
            total,
            done: 0,
            told: 0,
        }
    }

    /// One more is done.
    pub fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        // Rewriting a line more often than a hundred times shows nobody anything.
        let parts = if self.terminal { 100 } else { 10 };
        let part = self.done * parts / self.total.max(1);
        if part == self.told && self.done != self.total {
            return Ok(());
        }
        self.told = part;
        if !self.terminal {
            // Few things are done before anybody could read how many.
            return if self.total < 100 {
                Ok(())
            } else {
                writeln!(self.to, "{} of {} {}", self.done, self.total, self.what)
            };
        }
        let full = self.done * WIDTH / self.total.max(1);
        write!(
            self.to,
            "\r[{}{}] {} of {} {}",
            "#".repeat(full),
            " ".repeat(WIDTH.saturating_sub(full)),
            self.done,
            self.total,
            self.what
        )?;
        if self.done == self.total {
            writeln!(self.to)?;
        }
        self.to.flush()
    }

    /// Nothing more is done: a line that was begun is ended.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.terminal && self.done > 0 && self.done < self.total {
            writeln!(self.to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(terminal: bool, total: usize, steps: usize) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, terminal, "objects", total);
        for _ in 0..steps {
            progress.step().unwrap();
        }
        progress.stop().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_gets_ten_lines_and_a_terminal_one() {
        assert_eq!(said(false, 5000, 5000).lines().count(), 10);
        assert!(said(false, 5000, 5000).ends_with("5000 of 5000 objects\n"));
        assert_eq!(said(false, 3, 3), "");
        let shown = said(true, 5000, 5000);
        assert_eq!((shown.lines().count(), shown.matches('\r').count()), (1, 100));
        assert!(shown.split('\r').all(|line| line.trim_end().len() < 80));
        assert!(said(true, 10, 4).ends_with("4 of 10 objects\n"));
    }
}
