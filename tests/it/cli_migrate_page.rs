//! The page on migration: its example is what the program says, and its codes are all there are.
//! `UPDATE=1` writes both anew.

use gradual_rollout_migration::report::CODES;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What stands between two marks, as a range.
fn between(page: &str, begin: &str, end: &str) -> std::ops::Range<usize> {
    let from = page.find(begin).unwrap() + begin.len();
    from..from + page[from..].find(end).unwrap()
}

fn codes() -> String {
    let mut table =
        "\n| code | outcome | severity | what a user sees | what to do |\n|---|---|---|---|---|\n".to_owned();
    for code in CODES {
        let secured = if code.sec { ", security" } else { "" };
        let cell = |text: &str| text.replace('|', "\\|");
        let severity = serde_json::to_value(code.severity).unwrap();
        writeln!(
            table,
            "| `{}` | {}{} | {}{secured} | {} | {} |",
            code.code.text(),
            code.outcome,
            if code.acceptable { ", `--accept`" } else { "" },
            severity.as_str().unwrap(),
            cell(code.effect),
            cell(code.remedy),
        )
        .unwrap();
    }
    table
}

fn example(yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.yaml"), yaml).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(["migrate", "convert", "-f", "shop.yaml"])
        .current_dir(folder.path())
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    format!(
        "$ gradual-rollout migrate convert -f shop.yaml\n{}{}(exit code {})\n",
        text(output.stdout),
        text(output.stderr),
        output.status.code().unwrap()
    )
}

#[test]
fn the_page_on_migration_says_what_the_program_says_and_has_every_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let yaml = &page[between(&page, "```yaml\n", "```\n")];
    let mut fresh = page.clone();
    for (place, text) in [
        (
            between(&page, "<!-- codes: begin -->", "<!-- codes: end -->"),
            codes(),
        ),
        (between(&page, "```console\n", "```\n"), example(yaml)),
    ] {
        fresh.replace_range(place, &text);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    } else if let Some((is, should)) = page.lines().zip(fresh.lines()).find(|(is, should)| is != should) {
        panic!("docs/migration.md says\n  {is}\nand the program says\n  {should}\nUPDATE=1 rewrites it");
    } else {
        assert_eq!(page.len(), fresh.len(), "docs/migration.md: UPDATE=1 rewrites it");
    }
}
