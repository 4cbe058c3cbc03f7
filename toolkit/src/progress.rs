//! How far something is, for whoever waits for it.

use std::io::{self, Write};

/// Counts what is done and says so: on a terminal in a line that is rewritten, elsewhere ten times.
pub struct Progress<'a> {
    to: &'a mut dyn Write,
    terminal: Option<usize>,
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

/// The bar's width where there is room for it.
const WIDTH: usize = 30;
/// A bar that is shorter shows nobody anything.
const SHORTEST: usize = 5;

impl<'a> Progress<'a> {
    /// Nothing of `total` is done. A terminal has so many columns.
    pub fn new(to: &'a mut dyn Write, terminal: Option<usize>, what: &'static str, total: usize) -> Self {
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
        let parts = if self.terminal.is_some() { 100 } else { 10 };
        let part = self.done * parts / self.total.max(1);
        if part == self.told && self.done != self.total {
            return Ok(());
        }
        self.told = part;
        let Some(columns) = self.terminal else {
            // Few things are done before anybody could read how many.
            return if self.total < 100 {
                Ok(())
            } else {
                writeln!(self.to, "{} of {} {}", self.done, self.total, self.what)
            };
        };
        write!(self.to, "\r{}", self.line(columns))?;
        if self.done == self.total {
            writeln!(self.to)?;
        }
        self.to.flush()
    }

    /// The line that is rewritten: one that does not fit its terminal would be a new one each time. The last column stays
    /// free, as some terminals begin a new line with it.
    fn line(&self, columns: usize) -> String {
        let words = |done: usize| format!("{done} of {} {}", self.total, self.what);
        let room = columns.saturating_sub(1);
        // By the longest words, so that the bar is as wide at its end as it was at its beginning.
        let width = room
            .saturating_sub(words(self.total).len() + "[] ".len())
            .min(WIDTH);
        let words = words(self.done);
        if width < SHORTEST {
            return words.chars().take(room).collect();
        }
        let full = self.done * width / self.total.max(1);
        let (full, empty) = ("#".repeat(full), " ".repeat(width.saturating_sub(full)));
        format!("[{full}{empty}] {words}")
    }

    /// Nothing more is done: a line that was begun is ended.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.terminal.is_some() && self.done > 0 && self.done < self.total {
            writeln!(self.to)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(terminal: Option<usize>, total: usize, steps: usize) -> String {
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
        assert_eq!(said(None, 5000, 5000).lines().count(), 10);
        assert!(said(None, 5000, 5000).ends_with("5000 of 5000 objects\n"));
        assert_eq!(said(None, 3, 3), "");
        let shown = said(Some(80), 5000, 5000);
        assert_eq!((shown.lines().count(), shown.matches('\r').count()), (1, 100));
        assert!(said(Some(80), 10, 4).ends_with("4 of 10 objects\n"));
    }

    #[test]
    fn a_line_fits_the_terminal_however_narrow_that_is_and_is_as_long_all_the_way() {
        for columns in 0..100 {
            let shown = said(Some(columns), 5000, 5000);
            let lines: Vec<&str> = shown.trim_end_matches('\n').split('\r').skip(1).collect();
            assert_eq!(lines.len(), 100, "{columns}");
            let fits = |line: &&str| line.len() <= columns.saturating_sub(1);
            assert!(lines.iter().all(fits), "{columns}: {lines:?}");
            // Nothing of a line before is left behind it.
            assert!(
                lines.windows(2).all(|two| two[0].len() <= two[1].len()),
                "{columns}"
            );
            let bars: std::collections::BTreeSet<Option<usize>> =
                lines.iter().map(|line| line.find(']')).collect();
            assert_eq!(bars.len(), 1, "{columns}: {lines:?}");
        }
        assert!(said(Some(80), 5000, 5000).contains(&format!("[{}] 5000 of 5000 objects", "#".repeat(30))));
        assert!(said(Some(40), 5000, 5000).contains(&format!("\r[{}] 5000 of 5000 objects", "#".repeat(16))));
        assert!(said(Some(24), 5000, 5000).ends_with("\r5000 of 5000 objects\n"));
    }
}
