//! Tables for terminals: columns as wide as they must be, narrow terminals respected, nothing from outside that
//! moves a cursor.

pub(super) use crate::shown::{plain, plain_json, plain_lines};
use anstyle::{AnsiColor, Style};
use std::io::{self, Write};

/// A cell: its text and how it is painted.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Painted.
    pub(super) fn painted(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: plain(text.as_ref()),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, Style::new())
    }
}

/// Good news.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Bad news.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Somebody may want to look.
pub(super) const LOOK: Style = AnsiColor::Yellow.on_default();
/// Less important.
pub(super) const DIM: Style = Style::new().dimmed();
/// Headings.
pub(super) const HEAD: Style = Style::new().bold();

/// Writes rows below a heading. With a `width`, the last column is cut to fit; without, nothing is.
pub(super) fn write(
    out: &mut dyn Write,
    heading: &[&str],
    rows: &[Vec<Cell>],
    width: Option<usize>,
) -> io::Result<()> {
    let heading: Vec<Cell> = heading.iter().map(|h| Cell::painted(h, HEAD)).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = rows.iter().chain([&heading]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in [&heading].into_iter().chain(rows) {
        let mut left = width.unwrap_or(usize::MAX);
        let last = row.len().saturating_sub(1);
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let text = cut(&cell.text, left);
            let gap = if column == last {
                0
            } else {
                (width + 2 - text.chars().count()).min(left)
            };
            left = left.saturating_sub(width + 2);
            write!(out, "{}{text}{:#}{:gap$}", cell.style, cell.style, "")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The same without those of the `spare` columns, the first ones first, that a narrow terminal has no room for: half a
/// table is worse than a smaller one.
pub(super) fn write_narrow(
    out: &mut dyn Write,
    heading: &[&str],
    rows: &[Vec<Cell>],
    width: Option<usize>,
    spare: &[&str],
) -> io::Result<()> {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
        2 + longest.max(heading.get(column).map_or(0, |name| name.chars().count()))
    };
    let mut kept: Vec<usize> = (0..heading.len()).collect();
    for name in spare {
        let total: usize = kept.iter().map(|column| wide(*column)).sum();
        if width.is_none_or(|width| total <= width + 2) {
            break;
        }
        kept.retain(|column| heading.get(*column) != Some(name));
    }
    let heading: Vec<&str> = kept.iter().filter_map(|c| heading.get(*c).copied()).collect();
    let rows: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| kept.iter().filter_map(|c| row.get(*c).cloned()).collect())
        .collect();
    write(out, &heading, &rows, width)
}

/// The text, cut to a number of characters with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        short.push('…');
    }
    short
}

/// Narrower than this nothing is cut or folded to: it would help nobody.
const NARROWEST: usize = 20;

/// The width that somebody asked for, wherever the output goes.
pub(super) fn asked_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok()?.parse().ok();
    asked.filter(|width| *width >= NARROWEST)
}

/// The width of the terminal that standard output goes to; `None` when it goes elsewhere.
pub(super) fn terminal_width() -> Option<usize> {
    use std::io::IsTerminal as _;
    // A person's own word first: shells that export it mean it.
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    let measured = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    io::stdout()
        .is_terminal()
        .then(|| asked().or_else(measured).unwrap_or(120))
        .filter(|width| *width >= NARROWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rows: &[Vec<Cell>], width: Option<usize>) -> String {
        let mut out = Vec::new();
        write(&mut out, &["NAME", "REASON"], rows, width).unwrap();
        String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
    }

    #[test]
    fn columns_line_up_and_the_last_is_cut_on_a_narrow_terminal() {
        let rows = [
            vec![Cell::from("terminal"), Cell::from("holds 5% for a day")],
            vec![Cell::from("db"), Cell::from("ok")],
        ];
        assert_eq!(
            shown(&rows, None),
            "NAME      REASON\nterminal  holds 5% for a day\ndb        ok\n"
        );
        assert_eq!(
            shown(&rows, Some(16)),
            "NAME      REASON\nterminal  holds…\ndb        ok\n"
        );
    }

    #[test]
    fn what_a_narrow_terminal_has_no_room_for_is_left_out_whole_and_in_order() {
        let rows = [["shop", "dual", "5%", "Walking"].map(Cell::from).to_vec()];
        let narrow = |width| {
            let mut out = Vec::new();
            let heading = ["NAME", "MODE", "WEIGHT", "STATE"];
            write_narrow(&mut out, &heading, &rows, width, &["MODE", "WEIGHT"]).unwrap();
            String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap()
        };
        let all = "NAME  MODE  WEIGHT  STATE\nshop  dual  5%      Walking\n";
        assert_eq!(narrow(None), all);
        assert_eq!(narrow(Some(27)), all);
        assert_eq!(narrow(Some(26)), "NAME  WEIGHT  STATE\nshop  5%      Walking\n");
        assert_eq!(narrow(Some(20)), "NAME  STATE\nshop  Walking\n");
        assert_eq!(narrow(Some(10)), "NAME  STA…\nshop  Wal…\n");
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let cell = Cell::from("evil\u{1b}[2J\r\u{202e}x");
        assert_eq!(cell.text, "evil\\u{1b}[2J\\u{d}\\u{202e}x");
    }
}
