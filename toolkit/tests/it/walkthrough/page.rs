//! The chapter "A whole migration" of docs/migration.md, as commands and what they say.

use std::ops::Range;
use std::path::{Path, PathBuf};

const CHAPTER: &str = "\n## A whole migration\n";
const BLOCK: &str = "```console\n";

/// What stands in a block of the chapter, before what is said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What is typed after `gradual-rollout migrate`.
    Typed(String),
    /// `# 25 hours later`
    Hours(u64),
}

/// The page.
pub(super) struct Page {
    pub text: String,
    /// The insides of the chapter's blocks.
    pub blocks: Vec<Range<usize>>,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn path() -> PathBuf {
    root().join("docs/migration.md")
}

impl Page {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string(path()).unwrap();
        let begin = text.find(CHAPTER).expect("the chapter") + CHAPTER.len();
        let end = text[begin..].find("\n## ").map_or(text.len(), |at| begin + at);
        let mut blocks = Vec::new();
        let mut at = begin;
        while let Some(found) = text[at..end].find(BLOCK) {
            let from = at + found + BLOCK.len();
            at = from + text[from..end].find("```\n").expect("the end of a block");
            blocks.push(from..at);
        }
        Self { text, blocks }
    }

    /// The lines of a block that are not what somebody said.
    pub(super) fn lines(&self, block: &Range<usize>) -> Vec<Line> {
        let lines = self.text[block.clone()].lines();
        lines.filter_map(line).collect()
    }

    /// Holds the page against what was said in each block, or writes it anew.
    pub(super) fn hold(&self, said: &[String]) {
        let mut fresh = self.text.clone();
        for (block, said) in self.blocks.iter().zip(said).rev() {
            fresh.replace_range(block.clone(), said);
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path(), &fresh).unwrap();
        } else if let Some((is, should)) = self
            .text
            .lines()
            .zip(fresh.lines())
            .find(|(is, should)| is != should)
        {
            panic!("docs/migration.md says\n  {is}\nand the program says\n  {should}\nUPDATE=1 rewrites it");
        } else {
            assert_eq!(
                self.text.len(),
                fresh.len(),
                "docs/migration.md: UPDATE=1 rewrites it"
            );
        }
    }
}

fn line(line: &str) -> Option<Line> {
    if let Some(typed) = line.strip_prefix("$ ") {
        let words = typed.strip_prefix("gradual-rollout migrate ");
        return Some(Line::Typed(words.expect("a command of the toolkit").to_owned()));
    }
    let hours = line.strip_prefix("# ")?.strip_suffix(" hours later")?;
    Some(Line::Hours(hours.parse().unwrap()))
}
