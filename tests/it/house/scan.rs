//! Reads Rust sources just well enough to see which paths they name: comments and strings are dropped, `use`
//! groups are expanded, and every path knows the modules it stands in and whether it is test code.

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the project, with `/`: `src/rollout/weight.rs`.
    pub(crate) file: String,
    /// Its number of lines.
    pub(crate) lines: usize,
    /// Every path it names, in order.
    pub(crate) paths: Vec<Path>,
    /// Every word (identifier or keyword) outside comments and strings, with its line and whether it is test code.
    pub(crate) words: Vec<(String, usize, bool)>,
    /// Modules declared without a body (`mod name;`), and whether only for tests.
    pub(crate) modules: Vec<(String, bool)>,
}

/// A path such as `crate::rollout::Weight`, as written, `use` groups expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its segments; `*` for a glob.
    pub(crate) segments: Vec<String>,
    /// The modules it stands in, from the crate's root: file and inline.
    pub(crate) within: Vec<String>,
    /// Line in the file, from 1.
    pub(crate) line: usize,
    /// Inside an item marked `#[cfg(test)]`.
    pub(crate) test: bool,
}

impl Path {
    /// The path from the crate's root when it leads into this crate by `crate`, `self`, `super` or the crate's
    /// own name; empty for the root itself. `None` for everything else.
    pub(crate) fn in_crate(&self) -> Option<Vec<String>> {
        let mut rest = self.segments.iter().map(String::as_str).peekable();
        let mut modules = match rest.next()? {
            "crate" | "gradual_rollout" => Vec::new(),
            "self" => self.within.clone(),
            "super" => parent(self.within.clone()),
            _ => return None,
        };
        while rest.next_if_eq(&"super").is_some() {
            modules = parent(modules);
        }
        modules.extend(rest.map(str::to_owned));
        Some(modules)
    }

    /// Whether it starts with these segments.
    pub(crate) fn starts_with(&self, prefix: &[&str]) -> bool {
        self.segments.len() >= prefix.len() && self.segments.iter().zip(prefix).all(|(a, b)| a == b)
    }
}

fn parent(mut modules: Vec<String>) -> Vec<String> {
    modules.pop();
    modules
}

/// The module that a file under `src/` is.
fn module_of(file: &str) -> Vec<String> {
    let name = file
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    if name == "lib" || name == "main" {
        return Vec::new();
    }
    name.split('/').map(str::to_owned).collect()
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
    test: bool,
    within: Vec<String>,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

impl Source {
    /// Reads `text` as the file `file`.
    pub(crate) fn read(file: &str, text: &str) -> Self {
        let mut tokens = tokens(text);
        mark_tests(&mut tokens);
        mark_modules(&mut tokens, &module_of(file));
        let modules = tokens
            .windows(3)
            .filter(|w| w[0].text == "mod" && w[2].text == ";")
            .map(|w| (w[1].text.clone(), w[1].test))
            .collect();
        let words = tokens
            .iter()
            .filter(|t| t.is_word())
            .map(|t| (t.text.clone(), t.line, t.test))
            .collect();
        Self {
            file: file.to_owned(),
            lines: text.lines().count(),
            paths: paths(&tokens),
            words,
            modules,
        }
    }
}

/// Splits into words, `::` and single characters, without comments, strings, characters and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        let c = at(i);
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = string_end(&chars, i) {
            i = end;
        } else if c == '\'' {
            i = if at(i + 1) == '\\' || at(i + 2) == '\'' {
                (i + 3..chars.len())
                    .find(|&j| at(j - 1) == '\'')
                    .unwrap_or(chars.len())
            } else {
                i + 1 // a lifetime; its name is no path
            };
        } else if c.is_alphanumeric() || c == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let text = chars[start..i].iter().collect();
            found.push(Token {
                text,
                line,
                test: false,
                within: Vec::new(),
            });
        } else {
            i += if c == ':' && at(i + 1) == ':' { 2 } else { 1 };
            if !c.is_whitespace() {
                let text = chars[start..i].iter().collect();
                found.push(Token {
                    text,
                    line,
                    test: false,
                    within: Vec::new(),
                });
            }
        }
        line += chars[start..i.min(chars.len())]
            .iter()
            .filter(|c| **c == '\n')
            .count();
    }
    found
}

/// Where the string literal that starts at `start` ends; `None` when none starts there.
fn string_end(chars: &[char], start: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut i = start;
    if matches!(at(i), 'b' | 'c') && matches!(at(i + 1), '"' | 'r') {
        i += 1;
    }
    if at(i) == 'r' {
        let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
        if at(i + 1 + hashes) != '"' {
            return None;
        }
        let mut end = i + 2 + hashes;
        while end < chars.len() {
            if at(end) == '"' && (1..=hashes).all(|k| at(end + k) == '#') {
                return Some(end + 1 + hashes);
            }
            end += 1;
        }
        return Some(end);
    }
    if at(i) != '"' {
        return None;
    }
    i += 1;
    while i < chars.len() && at(i) != '"' {
        i += if at(i) == '\\' { 2 } else { 1 };
    }
    Some(i + 1)
}

/// The index after the bracket that closes the one at `open`.
fn closed(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Marks every item under `#[cfg(test)]` (also inside `all(…)`, not inside `not(…)`).
fn mark_tests(tokens: &mut [Token]) {
    let mut i = 0;
    while i + 2 < tokens.len() {
        if !(tokens[i].text == "#" && tokens[i + 1].text == "[") {
            i += 1;
            continue;
        }
        let end = closed(tokens, i + 1);
        let attribute = &tokens[i + 2..end];
        let says = |word: &str| attribute.iter().any(|t| t.text == word);
        if !(attribute.first().is_some_and(|t| t.text == "cfg") && says("test") && !says("not")) {
            i = end;
            continue;
        }
        let mut item = end;
        while item + 1 < tokens.len() && tokens[item].text == "#" {
            item = closed(tokens, item + 1);
        }
        while item < tokens.len() && tokens[item].text != ";" {
            match tokens[item].text.as_str() {
                "{" => {
                    item = closed(tokens, item) - 1;
                    break;
                }
                "(" | "[" => item = closed(tokens, item),
                _ => item += 1,
            }
        }
        let item = (item + 1).min(tokens.len());
        tokens[i..item].iter_mut().for_each(|t| t.test = true);
        i = item;
    }
}

/// Tells every token the modules it stands in.
fn mark_modules(tokens: &mut [Token], file: &[String]) {
    let mut open: Vec<Option<String>> = Vec::new();
    for i in 0..tokens.len() {
        match tokens[i].text.as_str() {
            "{" => {
                let named = i >= 2 && tokens[i - 2].text == "mod";
                open.push(named.then(|| tokens[i - 1].text.clone()));
            }
            "}" => {
                open.pop();
            }
            _ => {}
        }
        tokens[i].within = file
            .iter()
            .cloned()
            .chain(open.iter().flatten().cloned())
            .collect();
    }
}

fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let joined = |j: usize| tokens.get(j).is_some_and(|t: &Token| t.text == "::");
        let starts = i == 0 || !joined(i - 1);
        if tokens[i].text == "use" && tokens.get(i + 1).is_some_and(|t| t.text != "<") {
            i = expand(tokens, i + 1, &[], &mut found);
        } else if tokens[i].is_word() && starts && joined(i + 1) {
            let first = i;
            let mut segments = vec![tokens[i].text.clone()];
            while joined(i + 1) && tokens.get(i + 2).is_some_and(Token::is_word) {
                i += 2;
                segments.push(tokens[i].text.clone());
            }
            found.push(path(&tokens[first], segments));
            i += 1;
        } else {
            i += 1;
        }
    }
    found
}

fn path(at: &Token, segments: Vec<String>) -> Path {
    Path {
        segments,
        within: at.within.clone(),
        line: at.line,
        test: at.test,
    }
}

/// Expands the `use` tree at `i` under `prefix`; returns the index of what ends it (`,`, `}` or `;`).
fn expand(tokens: &[Token], mut i: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            "::" => i += 1,
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = expand(tokens, i, &segments, found);
                    if tokens.get(i).is_some_and(|t| t.text == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            "as" => i += 2,
            "," | "}" | ";" => {
                // `a::{self}` names `a`.
                if segments.len() > 1 && segments.last().is_some_and(|s| s == "self") {
                    segments.pop();
                }
                found.push(path(&tokens[i - 1], segments));
                return i;
            }
            text => {
                segments.push(text.to_owned());
                i += 1;
            }
        }
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: &str, text: &str) -> Vec<String> {
        Source::read(file, text)
            .paths
            .iter()
            .map(|p| p.segments.join("::"))
            .collect()
    }

    fn reached(file: &str, text: &str) -> Vec<String> {
        Source::read(file, text)
            .paths
            .iter()
            .filter_map(Path::in_crate)
            .map(|p| p.join("::"))
            .collect()
    }

    #[test]
    fn use_groups_are_expanded_however_deep() {
        let text = "use crate::{a::{self, B}, c::*, d as e};\npub(crate) use std::fs;";
        assert_eq!(
            written("src/x.rs", text),
            ["crate::a", "crate::a::B", "crate::c::*", "crate::d", "std::fs"]
        );
    }

    #[test]
    fn paths_in_expressions_types_and_macros_are_seen() {
        let text = "fn f(x: crate::a::T) -> Vec<crate::b::U> { $crate::c::m!(kube::Api::<X>::all(y)) }";
        assert_eq!(
            written("src/x.rs", text),
            ["crate::a::T", "crate::b::U", "crate::c::m", "kube::Api"]
        );
    }

    #[test]
    fn comments_strings_characters_and_lifetimes_name_nothing() {
        let text = r##"
            //! [`crate::a`]
            /* crate::b /* crate::c */ crate::d */
            const A: &str = "crate::e \" crate::f"; const B: &str = r#"crate::g " crate::h"#;
            const C: &[u8] = b"crate::i"; const D: char = '"'; const E: char = '\''; fn f<'a>(x: &'a str) {}
            use crate::z;
        "##;
        assert_eq!(written("src/x.rs", text), ["crate::z"]);
    }

    #[test]
    fn supers_are_followed_to_the_root_from_files_and_inline_modules() {
        assert_eq!(
            reached("src/a/b.rs", "use super::c; use super::super::d::E;"),
            ["a::c", "d::E"]
        );
        assert_eq!(
            reached("src/a/mod.rs", "use super::d; use self::b::C;"),
            ["d", "a::b::C"]
        );
        assert_eq!(
            reached(
                "src/a/b.rs",
                "mod tests { use super::c; use super::super::super::d; }"
            ),
            ["a::b::c", "d"]
        );
        assert_eq!(reached("src/a/b.rs", "use super::{super::d, e};"), ["d", "a::e"]);
    }

    #[test]
    fn test_items_are_known_with_and_without_a_body() {
        let text = "#[cfg(test)]\nmod fixtures;\n#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::t; }\n\
                    #[cfg(not(test))]\nuse crate::n;\n#[cfg(all(test, unix))]\nfn f(a: [u8; 2]) { crate::u::v() }\nuse crate::p;";
        let source = Source::read("src/x.rs", text);
        assert_eq!(source.modules, [("fixtures".to_owned(), true)]);
        let tests: Vec<_> = source
            .paths
            .iter()
            .map(|p| (p.segments[1].as_str(), p.test, p.line))
            .collect();
        assert_eq!(
            tests,
            [("t", true, 5), ("n", false, 7), ("u", true, 9), ("p", false, 10)]
        );
    }
}
