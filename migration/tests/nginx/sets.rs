//! Random Ingresses that collide, and random requests that nearly meet them.

use gradual_rollout_migration::model::{Request, Scheme};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::Ingress;

const HOSTS: &[&str] = &["h", "x.a.com", "*.a.com", "*.b.com", ""];
/// Few and alike, so that most paths are prefixes or neighbours of others.
const SEGMENTS: &[&str] = &["a", "b", "ab", "a-b", "a.b", "A", "a0", "a%20b"];
const REGEXES: &[&str] = &[
    "/a(/|$)(.*)",
    "/b/?(.*)",
    "/(a|b)/(x)?",
    "/[ab]+",
    "/a|/b",
    "/ab$",
    "/(.*)b",
    "/a.b",
    "/a(b)?(/.*)?",
    r"/a\.b",
    "/(?:a|ab)(b?)",
    "/",
];
const TARGETS: &[&str] = &["/", "/$1", "/$2", "/x/$1/y", "/a", "$1", "/a/", "/$1$2", "/z:$9"];

fn plain_path() -> impl Strategy<Value = String> {
    (vec(select(SEGMENTS), 0..3), any::<bool>()).prop_map(|(segments, slash)| {
        let mut path = ["", &segments.join("/")].join("/");
        if slash && !segments.is_empty() {
            path.push('/');
        }
        path
    })
}

fn path() -> impl Strategy<Value = (&'static str, String)> {
    prop_oneof![
        4 => (select(&["Prefix", "Exact", "ImplementationSpecific"][..]), plain_path()),
        1 => (Just("ImplementationSpecific"), select(REGEXES).prop_map(str::to_owned)),
    ]
}

type Annotations = Vec<(&'static str, String)>;

fn annotations() -> impl Strategy<Value = Annotations> {
    let one = |name: &'static str, chance: f64, values: &'static [&'static str]| {
        weighted(chance, select(values)).prop_map(move |value| value.map(|value| (name, value.to_owned())))
    };
    (
        one("rewrite-target", 0.2, TARGETS),
        one("use-regex", 0.2, &["true", "false"]),
        one("app-root", 0.1, &["/home", "/a/b"]),
        one(
            "permanent-redirect",
            0.1,
            &["https://p.com", "http://p.com/x?y=1", "https://p.com$request_uri"],
        ),
        one("permanent-redirect-code", 0.2, &["302", "308", "304", "299"]),
        one("temporal-redirect", 0.05, &["https://t.com/"]),
        one("upstream-vhost", 0.2, &["inner.svc"]),
        one("relative-redirects", 0.2, &["true"]),
        one(
            "server-alias",
            0.2,
            &["alias.com", "*.w.com,alias.com", "x.a.com"],
        ),
    )
        .prop_map(|all| {
            let all = [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7, all.8];
            all.into_iter().flatten().collect()
        })
}

/// One to four Ingresses over few hosts.
pub(crate) fn ingresses() -> impl Strategy<Value = Vec<Ingress>> {
    let rules = vec((select(HOSTS), path()), 0..4);
    vec((0..3u32, rules, annotations(), any::<bool>()), 1..5).prop_map(|all| {
        let built = all
            .into_iter()
            .enumerate()
            .map(|(number, (minute, rules, annotations, default))| {
                let mut ingress = Ingress::named(&format!("i{number}")).created(minute);
                for (at, (host, (kind, path))) in rules.into_iter().enumerate() {
                    ingress = ingress.path(host, kind, &path, &format!("s{number}-{at}"));
                }
                for (name, value) in annotations {
                    ingress = ingress.with(name, &value);
                }
                if default {
                    ingress.default_backend(&format!("d{number}"))
                } else {
                    ingress
                }
            });
        built.collect()
    })
}

/// The same, some with a tls section, and with the annotations that ask for https.
pub(crate) fn ingresses_with_tls() -> impl Strategy<Value = Vec<Ingress>> {
    let wish = |values: &'static [&'static str]| weighted(0.3, select(values));
    let wishes = (
        any::<bool>(),
        wish(&["true", "false"]),
        wish(&["true", "false"]),
        wish(&["true"]),
    );
    (ingresses(), vec(wishes, 4)).prop_map(|(ingresses, wishes)| {
        let dressed = ingresses
            .into_iter()
            .zip(wishes)
            .map(|(mut ingress, (tls, ssl, force, slash))| {
                let wishes = [
                    ("ssl-redirect", ssl),
                    ("force-ssl-redirect", force),
                    ("preserve-trailing-slash", slash),
                ];
                for (name, value) in wishes {
                    if let Some(value) = value {
                        ingress = ingress.with(name, value);
                    }
                }
                if tls { ingress.tls(&["elsewhere"]) } else { ingress }
            });
        dressed.collect()
    })
}

const ASKED_HOSTS: &[&str] = &[
    "h",
    "H:81",
    "h.",
    "x.a.com",
    "y.a.com",
    "z.y.a.com",
    "a.com",
    "y-1.b.com",
    "y.w.com",
    "z.y.w.com",
    "alias.com",
    "nobody",
];
const PIECES: &[&str] = &[
    "/", "//", "a", "b", "ab", "a-b", "a.b", "A", "a0", "x", "%61", "%2F", "%2f", "%2e", ".", "..", "%20",
    "%C3%A9", "%25", "%3F", "%23", "|", "\"", "%7C", "+", ":", "%00", "%", "healthz",
];

fn target() -> impl Strategy<Value = String> {
    let query = select(&["", "", "", "?", "?x=1", "??/a", "?a=/"][..]);
    let wild = vec(select(PIECES), 0..6).prop_map(|pieces| format!("/{}", pieces.concat()));
    let near = (plain_path(), select(&["", "/", "/x", "x", "/../b", "%2Fb"][..]));
    let near = near.prop_map(|(path, tail)| format!("{path}{tail}"));
    (prop_oneof![1 => wild, 2 => near], query).prop_map(|(path, query)| format!("{path}{query}"))
}

/// Requests over plain HTTP.
pub(crate) fn requests() -> impl Strategy<Value = Vec<Request>> {
    let one = (select(ASKED_HOSTS), target());
    vec(
        one.prop_map(|(host, target)| Request::get(Scheme::Http, host, target)),
        30..60,
    )
}
