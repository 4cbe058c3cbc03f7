//! Asking before something is changed.

use super::exit::Failure;
use super::meaning::Confirm;
use super::table;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Asks; an answer that is not yes is a refusal. Where nobody can answer, nothing is done.
pub(super) fn ask(confirm: Confirm, what: &str) -> Result<(), Failure> {
    if confirm == Confirm::Nothing {
        return Ok(());
    }
    let flag = if confirm == Confirm::Emergency {
        "--force"
    } else {
        "--no-confirm"
    };
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!(
            "nobody is there to confirm: add {flag} to do it without asking"
        )));
    }
    let prompt = if confirm == Confirm::Emergency {
        "Type EMERGENCY to go on: "
    } else {
        "Go on? [y/N] "
    };
    let mut out = anstream::stderr();
    write!(out, "{}\n{prompt}", table::plain_lines(what))?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if agreed(confirm, &answer) {
        Ok(())
    } else {
        Err(Failure::refused("not confirmed: nothing was changed"))
    }
}

fn agreed(confirm: Confirm, answer: &str) -> bool {
    match confirm {
        Confirm::Nothing => true,
        Confirm::YesNo => ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()),
        // In capitals: it must not be typed by habit.
        Confirm::Emergency => answer.trim() == "EMERGENCY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_full_word_starts_an_emergency() {
        assert!(agreed(Confirm::Emergency, "EMERGENCY\n"));
        for no in ["y", "yes", "emergency", "", "EMERGENC"] {
            assert!(!agreed(Confirm::Emergency, no), "{no}");
        }
        assert!(agreed(Confirm::YesNo, "Y\n"));
        assert!(!agreed(Confirm::YesNo, "\n"), "silence is no");
    }
}
