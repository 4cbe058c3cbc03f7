//! The transcripts in the documentation are what the program says: each command is run and its output compared.
//! `UPDATE=1` writes them anew.

mod record;
mod scene;

use scene::Scene;
use std::fmt::Write as _;
use std::path::Path;

/// The pages whose `console` blocks are transcripts.
const PAGES: &[&str] = &["docs/explain.md", "docs/init.md"];

/// A fenced block: where its text stands in the page.
struct Block {
    language: String,
    body: std::ops::Range<usize>,
}

/// Every fenced block of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut at = 0;
    for line in page.split_inclusive('\n') {
        let end = at + line.len();
        match (line.trim_end().strip_prefix("```"), open.take()) {
            (Some(""), Some(mut block)) => {
                block.body.end = at;
                found.push(block);
            }
            (Some(language), None) => {
                let language = language.to_owned();
                open = Some(Block {
                    language,
                    body: end..end,
                });
            }
            (_, still) => open = still,
        }
        at = end;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transcript_is_what_the_program_says() {
    let scene = Scene::start().await;
    for name in PAGES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let page = std::fs::read_to_string(&path).unwrap();
        let blocks = blocks(&page);
        let yaml = blocks.iter().find(|block| block.language == "yaml").unwrap();
        scene.set(&page[yaml.body.clone()]);
        let mut fresh = String::new();
        let mut copied = 0;
        let transcripts = blocks.iter().filter(|block| block.language == "console");
        for block in transcripts {
            let said = &page[block.body.clone()];
            let command = said.lines().next().unwrap().strip_prefix("$ ").unwrap();
            let (code, out, err) = scene.run(command).await;
            fresh.push_str(&page[copied..block.body.start]);
            writeln!(fresh, "$ {command}").unwrap();
            fresh.push_str(&out);
            if code != 0 {
                let errors = err.lines().filter(|line| line.starts_with("error:"));
                errors.for_each(|line| writeln!(fresh, "{line}").unwrap());
                writeln!(fresh, "(exit code {code})").unwrap();
            }
            copied = block.body.end;
        }
        fresh.push_str(&page[copied..]);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        } else if let Some((is, should)) = page.lines().zip(fresh.lines()).find(|(is, should)| is != should) {
            panic!(
                "{name} says\n  {is}\nand the program says\n  {should}\nUPDATE=1 rewrites the transcripts"
            );
        } else {
            assert_eq!(
                page.len(),
                fresh.len(),
                "{name}: UPDATE=1 rewrites the transcripts"
            );
        }
    }
}

#[test]
fn a_block_ends_at_its_fence_and_words_of_another_language_are_no_transcript() {
    let page = "a\n```yaml\nx: 1\n```\nb\n```console\n$ y\nz\n```\n";
    let found: Vec<(String, &str)> = blocks(page)
        .into_iter()
        .map(|block| (block.language, &page[block.body]))
        .collect();
    assert_eq!(
        found,
        [("yaml".to_owned(), "x: 1\n"), ("console".to_owned(), "$ y\nz\n")]
    );
}
