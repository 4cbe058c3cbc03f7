//! Requests worth asking of both sides, made up from the Ingresses alone.
//!
//! For each host and path: the path itself, with a slash more or less, with a segment more, with letters more, in
//! other case, partly encoded, with a doubled slash, with dot segments, with a query; over HTTP and HTTPS. A path that
//! is a regular expression is asked for by examples that it matches as far as they are easily found.

use std::collections::{BTreeMap, BTreeSet};

use regex_syntax::hir::{Hir, HirKind};
use serde_json::Value;

use super::nginx::{Nginx, Options};
use super::request::{Request, Scheme};

/// The corpus of some Ingresses under the usual annotations' prefix. Deterministic and sorted by host.
pub fn corpus(ingresses: &[Value]) -> Vec<Request> {
    let options = Options::default();
    let mut requests = Vec::new();
    for (host, paths) in hosts(ingresses, &options) {
        let targets: BTreeSet<String> = paths.iter().flat_map(|path| around(path)).collect();
        for target in targets {
            for scheme in [Scheme::Http, Scheme::Https] {
                requests.push(Request::get(scheme, &host, &target));
            }
        }
    }
    requests
}

/// Every name to be asked for, with the paths that are known on it.
fn hosts(ingresses: &[Value], options: &Options) -> Vec<(String, BTreeSet<String>)> {
    let nginx = Nginx::new(ingresses, options.clone());
    let mut hosts = BTreeMap::new();
    for ingress in ingresses {
        let rules = ingress.pointer("/spec/rules").and_then(Value::as_array);
        for rule in rules.into_iter().flatten() {
            let host = rule
                .get("host")
                .and_then(Value::as_str)
                .filter(|host| !host.is_empty())
                .unwrap_or("_");
            let paths = rule.pointer("/http/paths").and_then(Value::as_array);
            let paths = paths
                .into_iter()
                .flatten()
                .map(|path| path.get("path").and_then(Value::as_str).unwrap_or("/"));
            add(&mut hosts, host, paths);
        }
    }
    // Further names of a server are asked for its paths as well.
    for server in nginx.servers().unwrap_or_default() {
        let paths: Vec<&str> = server
            .locations
            .iter()
            .map(|location| location.path.as_str())
            .collect();
        for alias in server.aliases.iter().filter(|alias| !alias.starts_with('~')) {
            add(&mut hosts, alias, paths.iter().copied());
        }
    }
    for (from, _) in nginx.www_redirects() {
        add(&mut hosts, from, ["/", "/x/"]);
    }
    add(&mut hosts, "_", ["/"]);
    let mut asked: Vec<(String, BTreeSet<String>)> = hosts
        .into_iter()
        .flat_map(|(host, paths)| names(&host).into_iter().map(move |name| (name, paths.clone())))
        .collect();
    asked.sort();
    asked
}

/// A path of a host; its root is always asked for too.
fn add<'a>(
    hosts: &mut BTreeMap<String, BTreeSet<String>>,
    host: &str,
    paths: impl IntoIterator<Item = &'a str>,
) {
    let known = hosts.entry(host.to_owned()).or_default();
    known.extend(paths.into_iter().chain(["/"]).map(str::to_owned));
}

/// Names under which a host of an Ingress is asked for: a wildcard by one label and by two, the catch-all by a name
/// nobody has.
fn names(host: &str) -> Vec<String> {
    match host.strip_prefix("*.") {
        Some(rest) => vec![format!("one.{rest}"), format!("two.labels.{rest}")],
        None if host == "_" => vec!["nobody.invalid".to_owned()],
        None => vec![host.to_owned()],
    }
}

/// The targets around one path.
fn around(path: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for example in examples(path) {
        let bare = example.strip_suffix('/').unwrap_or(&example);
        let swapped: String = example.chars().map(swap_case).collect();
        targets.extend([
            example.clone(),
            if bare.is_empty() {
                "/".to_owned()
            } else {
                bare.to_owned()
            },
            format!("{bare}/"),
            format!("{bare}/x/y"),
            format!("{bare}xyz"),
            format!("{bare}/a%20b"),
            format!("{bare}/a%2Fb"),
            format!("{example}?q=1&r=/"),
            format!("{bare}/?q=1"),
            format!("{bare}//x"),
            format!("/{example}"),
            format!("{bare}/./x"),
            format!("{bare}/y/../x"),
            format!("/..{example}"),
            encoded(&example),
            swapped,
        ]);
    }
    targets
}

fn swap_case(ch: char) -> char {
    if ch.is_ascii_lowercase() {
        ch.to_ascii_uppercase()
    } else {
        ch.to_ascii_lowercase()
    }
}

/// The first letter as its octet, which changes nothing but the bytes.
fn encoded(path: &str) -> String {
    match path.char_indices().find(|(_, ch)| ch.is_ascii_alphanumeric()) {
        Some((at, ch)) => {
            let (before, after) = (
                path.get(..at).unwrap_or_default(),
                path.get(at + 1..).unwrap_or_default(),
            );
            format!("{before}%{:02X}{after}", u32::from(ch))
        }
        None => path.to_owned(),
    }
}

/// A plain path is its own example; of a regular expression, the shortest text it matches and one for each branch of
/// its alternations and repetitions.
fn examples(path: &str) -> Vec<String> {
    let plain = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '/' | '-' | '.' | '_' | '~' | '%');
    if path.chars().all(plain) {
        return vec![path.to_owned()];
    }
    let mut examples: Vec<String> = match regex_syntax::parse(path) {
        Ok(hir) => (0..4).map(|turn| example(&hir, turn)).collect(),
        Err(_) => Vec::new(),
    };
    // Whatever stands before the first operator, since a pattern need not be understood to be near it.
    let head: String = path.chars().take_while(|ch| plain(*ch)).collect();
    examples.push(head);
    let mut rooted: Vec<String> = examples
        .into_iter()
        .filter(|example| {
            example
                .chars()
                .all(|ch| ch.is_ascii_graphic() && ch != '?' && ch != '#')
        })
        .map(|example| {
            if example.starts_with('/') {
                example
            } else {
                format!("/{example}")
            }
        })
        .collect();
    rooted.sort();
    rooted.dedup();
    rooted
}

/// Beyond this many bytes an example is not worth its length.
const LONGEST: usize = 512;

/// A text that the expression matches; `turn` picks another branch and another number of repetitions.
fn example(hir: &Hir, turn: u32) -> String {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => String::new(),
        HirKind::Literal(literal) => String::from_utf8_lossy(&literal.0).into_owned(),
        HirKind::Class(class) => member(class, turn).to_string(),
        HirKind::Capture(capture) => example(&capture.sub, turn),
        HirKind::Concat(parts) => parts.iter().map(|part| example(part, turn)).collect(),
        HirKind::Alternation(branches) => {
            let count = u32::try_from(branches.len()).unwrap_or(1).max(1);
            let chosen = branches.get(usize::try_from(turn % count).unwrap_or_default());
            chosen
                .map(|branch| example(branch, turn / count))
                .unwrap_or_default()
        }
        HirKind::Repetition(repetition) => {
            let once = example(&repetition.sub, turn);
            let times = (repetition.min + turn % 2).min(repetition.max.unwrap_or(u32::MAX));
            let times = usize::try_from(times).unwrap_or_default();
            // Repetitions of repetitions would fill the memory.
            if once.len().saturating_mul(times) > LONGEST {
                once
            } else {
                once.repeat(times)
            }
        }
    }
}

/// A letter, else a digit, else whatever the class has first.
fn member(class: &regex_syntax::hir::Class, turn: u32) -> char {
    let preferred = if turn.is_multiple_of(2) {
        "axk19-_."
    } else {
        "bzq72._-"
    };
    let has = |ch: char| match class {
        regex_syntax::hir::Class::Unicode(class) => class
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&ch)),
        regex_syntax::hir::Class::Bytes(class) => class
            .iter()
            .any(|range| (char::from(range.start())..=char::from(range.end())).contains(&ch)),
    };
    preferred
        .chars()
        .chain('!'..='~')
        .find(|ch| has(*ch))
        .unwrap_or('a')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_path_is_asked_for_from_all_sides() {
        let ingress = json!({"kind": "Ingress", "spec": {"rules": [
            {"host": "h", "http": {"paths": [{"path": "/Foo", "pathType": "Prefix"}]}},
        ]}});
        let asked: Vec<String> = corpus(&[ingress]).iter().map(ToString::to_string).collect();
        for wanted in [
            "GET http://h/Foo",
            "GET https://h/Foo",
            "GET http://h/Foo/",
            "GET http://h/Foo/x/y",
            "GET http://h/Fooxyz",
            "GET http://h/fOO",
            "GET http://h/%46oo",
            "GET http://h//Foo",
            "GET http://h/Foo?q=1&r=/",
            "GET http://h/",
            "GET http://nobody.invalid/",
        ] {
            assert!(
                asked.iter().any(|one| one == wanted),
                "{wanted} is not among {asked:#?}"
            );
        }
    }

    #[test]
    fn a_regular_expression_is_asked_for_by_example() {
        assert_eq!(
            examples("/bar(/|$)(.*)"),
            ["/bar", "/bar/", "/barb"].map(str::to_owned)
        );
        assert!(
            examples("/v[0-9]+/(a|b)")
                .iter()
                .any(|example| example == "/v1/a")
        );
        // Not understood, and still asked for nearby.
        assert_eq!(examples("/(?!x)"), ["/"]);
    }

    #[test]
    fn a_wildcard_is_asked_for_with_one_label_and_with_two() {
        assert_eq!(names("*.a.com"), ["one.a.com", "two.labels.a.com"]);
    }
}
