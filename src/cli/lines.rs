//! Text below headings: a word, then what it says, folded to the terminal's width with a hanging indent.

use super::table;
use anstyle::Style;
use std::io::{self, Write};

/// Narrower than this a line is not folded any further: one long word per line helps nobody.
const NARROWEST: usize = 20;

/// The width to fold to: the terminal's, or what `COLUMNS` says of a pipe; folding loses nothing.
pub(super) fn width() -> Option<usize> {
    table::terminal_width().or_else(table::asked_width)
}

/// Writes `label` and `text` with the text beginning in the column `indent`; further lines begin there too. With a
/// `width` no line is longer than it, unless a single word is.
pub(super) fn write(
    out: &mut dyn Write,
    (label, style): (&str, Style),
    text: &str,
    indent: usize,
    width: Option<usize>,
) -> io::Result<()> {
    let label = table::plain(label);
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(NARROWEST));
    let gap = indent.saturating_sub(label.chars().count());
    let mut lines = fold(&table::plain(text), room).into_iter();
    let first = lines.next().unwrap_or_default();
    writeln!(out, "{style}{label}{style:#}{:gap$}{first}", "")?;
    for line in lines {
        writeln!(out, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// The text in lines of at most `room` characters, broken between words.
fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        let long = line.chars().count();
        if long == 0 {
            line.push_str(word);
        } else if long + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_between_words_and_hang_below_their_text() {
        let mut out = Vec::new();
        let text = "holds 5% for one day of judged time\u{1b}[2J";
        write(&mut out, ("  hold", Style::new()), text, 10, Some(34)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "  hold    holds 5% for one day of\n          judged time\\u{1b}[2J\n"
        );
        assert_eq!(fold("a b", usize::MAX), ["a b"]);
        assert_eq!(fold("", 10), [""]);
    }
}
