//! nginx's choice of a location, written once more from its documentation and held against what comes out: the same
//! request meets the same Service with the same path.

use crate::envoy::{compiled, get};
use crate::given::{Ingress, convert_all};
use proptest::prelude::*;

/// A path of an Ingress on the only host.
#[derive(Clone, Debug)]
struct Rule {
    day: u8,
    path: &'static str,
    exact: bool,
    target: Option<&'static str>,
    regex: bool,
    service: String,
}

const PLAIN: &[&str] = &["/", "/foo", "/foo/", "/foo/bar", "/fo", "/foo/bar/baz"];
const PATTERNS: &[&str] = &[
    "/",
    "/foo",
    "/foo(/|$)(.*)",
    "/(.*)",
    "/a|/b",
    "/foo/[a-z]+",
    "/(a|b)(c?)",
    "/foo.*bar$",
    "/b+",
];
const TARGETS: &[Option<&str>] = &[
    None,
    Some("/"),
    Some("/$1"),
    Some("/x/$2"),
    Some("/$2/$1"),
    Some("/foo"),
];
const REQUESTS: &[&str] = &[
    "/",
    "/foo",
    "/foo/",
    "/FOO",
    "/foobar",
    "/foo/bar",
    "/foo/bar/",
    "/foo/bar/baz",
    "/fo",
    "/a",
    "/b",
    "/x/b",
    "/Foo/xy",
    "/ac",
    "/bc/d",
    "/foo/zz/bar",
    "/bb",
    "/foo//bar",
    "/fo/",
    "/zzz",
    "/foo/bar/bazz",
];

fn rule(regex: bool) -> impl Strategy<Value = Rule> {
    (
        0..4_u8,
        0..9_usize,
        any::<bool>(),
        0..TARGETS.len(),
        any::<bool>(),
    )
        .prop_map(move |(day, path, exact, target, own)| {
            if regex {
                let path = PATTERNS[path % PATTERNS.len()];
                let plain = PLAIN.contains(&path);
                Rule {
                    day,
                    path,
                    exact: exact && plain,
                    target: TARGETS[target],
                    regex: own || !plain,
                    service: String::new(),
                }
            } else {
                Rule {
                    day,
                    path: PLAIN[path % PLAIN.len()],
                    exact,
                    target: None,
                    regex: false,
                    service: String::new(),
                }
            }
        })
}

/// `service path`, `301`, or `404`.
fn nginx(rules: &[Rule], request: &str) -> String {
    // Oldest first; of equal ones the name that sorts last.
    let mut sorted: Vec<&Rule> = rules.iter().collect();
    sorted.sort_by(|a, b| a.day.cmp(&b.day).then_with(|| b.service.cmp(&a.service)));
    // Every host begins with a root that has the oldest Ingress's annotations and answers 404, until a path replaces
    // it where it stands. The first with a path and type has it.
    let root = Rule {
        path: "/",
        exact: false,
        service: "404".to_owned(),
        ..sorted[0].clone()
    };
    let mut kept: Vec<&Rule> = vec![&root];
    for rule in sorted {
        match kept.iter().position(|other| other.path == rule.path) {
            None => kept.push(rule),
            Some(at) if kept[at].exact != rule.exact => kept.push(rule),
            Some(at) if kept[at].service == "404" => kept[at] = rule,
            Some(_) => {}
        }
    }
    let rewrites = |rule: &Rule| rule.target.is_some_and(|target| target != rule.path);
    let exacts: Vec<&str> = kept
        .iter()
        .filter(|rule| rule.exact)
        .map(|rule| rule.path)
        .collect();
    let has_exact = |path: &str| exacts.contains(&path);
    // The controller gives such a prefix a slash, after which it is no longer its own target.
    let below = |rule: &Rule| {
        !rule.exact
            && !rule.regex
            && rule.path != "/"
            && !rule.path.ends_with('/')
            && rule.target == Some(rule.path)
    };
    if kept
        .iter()
        .any(|rule| rule.regex || rewrites(rule) || below(rule))
    {
        kept.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| b.path.cmp(a.path)));
        for rule in kept.iter().copied() {
            if below(rule) {
                if compiled(&format!("(?i)^{}/", rule.path)).is_match(request) {
                    return answer(&rule.service, rule.path);
                }
                if has_exact(rule.path) {
                    continue;
                }
            }
            let slash = !rule.exact
                && !rule.regex
                && !rewrites(rule)
                && rule.path != "/"
                && has_exact(rule.path)
                && !rule.path.ends_with('/');
            let path = if slash {
                format!("{}/", rule.path)
            } else {
                rule.path.to_owned()
            };
            if compiled(&format!("(?i)^{path}")).is_match(request) {
                let rewritten = rule.target.filter(|_| rewrites(rule)).map(|target| {
                    let found = compiled(&format!("(?i){}", rule.path));
                    let captures = found.captures(request).unwrap();
                    (1..=9).fold(target.to_owned(), |text, n| {
                        text.replace(&format!("${n}"), captures.get(n).map_or("", |m| m.as_str()))
                    })
                });
                return answer(&rule.service, &rewritten.unwrap_or_else(|| request.to_owned()));
            }
        }
        return "404".to_owned();
    }
    let exact = kept.iter().find(|rule| {
        rule.path == request && (rule.exact || !rule.path.ends_with('/') && !has_exact(rule.path))
    });
    if let Some(rule) = exact {
        return answer(&rule.service, request);
    }
    let slashed = |rule: &Rule| {
        if rule.path.ends_with('/') {
            rule.path.to_owned()
        } else {
            format!("{}/", rule.path)
        }
    };
    let prefixes = kept.iter().filter(|rule| !rule.exact);
    if let Some(rule) = kept
        .iter()
        .find(|rule| rule.path != "/" && rule.path.ends_with('/') && format!("{request}/") == rule.path)
    {
        return format!("301 http://a.com{}", rule.path);
    }
    let longest = prefixes
        .filter(|rule| request.starts_with(&slashed(rule)))
        .max_by_key(|rule| slashed(rule).len());
    longest.map_or_else(|| "404".to_owned(), |rule| answer(&rule.service, request))
}

fn answer(service: &str, path: &str) -> String {
    if service == "404" {
        service.to_owned()
    } else {
        format!("{service} {path}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]
    #[test]
    fn the_same_request_meets_the_same_service_and_path(
        rules in prop::collection::vec(any::<bool>().prop_flat_map(rule), 1..6),
    ) {
        let mut rules = rules;
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.service = format!("s{index}");
        }
        // As prefixes /foo and /foo/ are one location to nginx, which refuses the whole configuration.
        let both = |a: &Rule, b: &Rule| !a.exact && !b.exact && format!("{}/", a.path) == b.path;
        prop_assume!(!rules.iter().any(|a| rules.iter().any(|b| both(a, b))));
        // The controller lets a second one of a path and type pass where one of the other type came first (the root is
        // a prefix from the start), and nginx then refuses both.
        let same = |a: &Rule, b: &Rule| a.service != b.service && a.exact == b.exact && a.path == b.path;
        let mixed = |a: &Rule| a.path == "/" && a.exact || rules.iter().any(|b| b.path == a.path && b.exact != a.exact);
        prop_assume!(!rules.iter().any(|a| mixed(a) && rules.iter().any(|b| same(a, b))));
        let ingresses: Vec<Ingress> = rules.iter().map(|rule| {
            let kind = if rule.exact { "Exact" } else { "Prefix" };
            let mut ingress = Ingress::new(&format!("a/{}", rule.service)).day(rule.day + 1).path("a.com", kind, rule.path, &rule.service);
            if let Some(target) = rule.target {
                ingress = ingress.note("rewrite-target", target);
            }
            if rule.regex { ingress.note("use-regex", "true") } else { ingress }
        }).collect();
        let done = convert_all(&ingresses);
        prop_assert!(!done.conversion.report.refused(), "{}", done.conversion.report);
        for request in REQUESTS {
            // A host of which nothing is served has no object at all.
            let answer = done.answer(&get("a.com", request)).replace("none", "404");
            prop_assert_eq!(nginx(&rules, request), answer, "{} {:#?}", request, rules);
        }
    }
}
