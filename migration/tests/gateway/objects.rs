//! Random routes that overlap, and random requests that nearly meet them.

use gradual_rollout_migration::model::{Request, Scheme};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// One server in clear for every host.
pub(crate) fn gateway() -> Value {
    json!({
        "kind": "Gateway",
        "metadata": { "name": "edge", "namespace": "istio" },
        "spec": { "servers": [{ "port": { "number": 80, "protocol": "HTTP" }, "hosts": ["*"] }] },
    })
}

const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/ab", "/A", "/a//b", "/a%2Fb", "/b"];
const REGEXES: &[&str] = &[
    "/a.*",
    "(?i)(?:/a(/|$)(.*)).*",
    "/a|/b",
    "/[ab]+(/x)?",
    ".*",
    "(/[^/]*){2}",
    "(?:/one|.*/two).*",
    "/a/?",
];

fn uri() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => select(PATHS).prop_map(|path| json!({ "exact": path })),
        2 => select(PATHS).prop_map(|path| json!({ "prefix": path })),
        1 => select(REGEXES).prop_map(|regex| json!({ "regex": regex })),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    select(
        &[
            r#"{"exact":"1"}"#,
            r#"{"prefix":"1"}"#,
            r#"{"regex":"[0-9]+"}"#,
            r#"{"regex":".*"}"#,
            r#"{"regex":"*"}"#,
            "{}",
            r#"{"exact":""}"#,
        ][..],
    )
    .prop_map(|text| serde_json::from_str(text).unwrap())
}

fn wanted() -> impl Strategy<Value = Value> {
    (
        weighted(0.9, uri()),
        weighted(0.2, any::<bool>()),
        weighted(0.15, text()),
        weighted(0.15, text()),
        weighted(0.15, text()),
        weighted(0.1, select(&["GET", "POST"][..])),
        weighted(0.1, select(&["http", "https"][..])),
    )
        .prop_map(|(uri, ignore, header, without, query, method, scheme)| {
            let mut wanted = json!({});
            let mut set = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    wanted[name] = value;
                }
            };
            set("uri", uri);
            set("ignoreUriCase", ignore.map(Value::from));
            set("headers", header.map(|text| json!({ "x-h": text })));
            set("withoutHeaders", without.map(|text| json!({ "x-w": text })));
            set("queryParams", query.map(|text| json!({ "q": text })));
            set("method", method.map(|method| json!({ "exact": method })));
            set("scheme", scheme.map(|scheme| json!({ "exact": scheme })));
            wanted
        })
}

fn rewrite() -> impl Strategy<Value = Value> {
    let regex = select(
        &[
            ("^.*?(?i:/a).*$", "/"),
            ("^.*?(?i:/a(/|$)(.*)).*$", r"/\2"),
            ("/a", "/z"),
            ("b*", "x"),
            ("(a)(b)?", r"\2\1\0"),
            ("[/]", r"\\"),
        ][..],
    );
    prop_oneof![
        select(&["/", "/new", "/new/"][..]).prop_map(|uri| json!({ "uri": uri })),
        regex.prop_map(|(pattern, to)| json!({ "uriRegexRewrite": { "match": pattern, "rewrite": to } })),
        Just(json!({ "authority": "inner" })),
        Just(json!({ "uri": "/both", "authority": "inner" })),
    ]
}

fn redirect() -> impl Strategy<Value = Value> {
    let some = |chance: f64, values: &'static [&'static str]| weighted(chance, select(values));
    (
        some(0.5, &["n.com"]),
        some(0.4, &["/", "/y", "/y?z", "/?"]),
        some(0.4, &["http", "https"]),
        weighted(0.3, select(&[80, 443, 8443][..])),
        weighted(0.3, select(&[301, 302, 303, 307, 308][..])),
    )
        .prop_map(|(authority, uri, scheme, port, code)| {
            let mut redirect = json!({});
            for (name, value) in [
                ("authority", authority.map(Value::from)),
                ("uri", uri.map(Value::from)),
                ("scheme", scheme.map(Value::from)),
                ("port", port.map(Value::from)),
                ("redirectCode", code.map(Value::from)),
            ] {
                if let Some(value) = value {
                    redirect[name] = value;
                }
            }
            // Something has to be replaced.
            if redirect
                .as_object()
                .unwrap()
                .keys()
                .all(|key| key == "redirectCode")
            {
                redirect["authority"] = json!("n.com");
            }
            redirect
        })
}

fn destinations() -> impl Strategy<Value = Value> {
    let weighted = (1..4u64, 0..4u64).prop_map(|(one, other)| {
        let to = |name: &str| json!({ "host": format!("{name}.other.svc.cluster.local"), "port": { "number": 81 } });
        json!([{ "destination": to("one"), "weight": one }, { "destination": to("two"), "weight": other }])
    });
    prop_oneof![
        4 => (0..4u8).prop_map(|number| json!([
            { "destination": { "host": format!("s{number}"), "port": { "number": 80 } } },
        ])),
        1 => weighted,
    ]
}

fn route() -> impl Strategy<Value = Value> {
    let matches = prop_oneof![9 => vec(wanted(), 1..3), 1 => Just(Vec::new())];
    let forward = (destinations(), weighted(0.4, rewrite())).prop_map(|(to, rewrite)| {
        let mut route = json!({ "route": to });
        if let Some(rewrite) = rewrite {
            route["rewrite"] = rewrite;
        }
        route
    });
    let action = prop_oneof![
        6 => forward,
        2 => redirect().prop_map(|redirect| json!({ "redirect": redirect })),
        1 => Just(json!({ "directResponse": { "status": 418 } })),
    ];
    (matches, action).prop_map(|(matches, mut route)| {
        if !matches.is_empty() {
            route["match"] = json!(matches);
        }
        route
    })
}

/// Routes of one host and requests to it.
pub(crate) fn case() -> impl Strategy<Value = (Vec<Value>, Vec<Request>)> {
    (vec(route(), 1..6), vec(request(), 20..40))
}

/// An object for one host; the number keeps hosts apart.
pub(crate) fn service(number: usize, http: &[Value]) -> Value {
    // Of every three one has a wildcard, and one a narrower wildcard beside it.
    let hosts = match number % 3 {
        0 => json!([format!("c{number}.test")]),
        1 => json!([format!("*.c{number}.test")]),
        _ => json!([format!("*.c{number}.test"), format!("y.x.c{number}.test")]),
    };
    json!({
        "kind": "VirtualService",
        "metadata": { "name": format!("c{number}"), "namespace": "ns" },
        "spec": { "hosts": hosts, "gateways": ["istio/edge"], "http": http },
    })
}

const PIECES: &[&str] = &[
    "/", "//", "a", "b", "ab", "A", "x", "%61", "%2F", "%2f", "%5C", "%2e", ".", "..", ";", "%20", "%zz",
    "|", "\"", "\\", "~", "%7E", "+", "%00", "#", "one", "two",
];

fn request() -> impl Strategy<Value = Request> {
    let wild = vec(select(PIECES), 0..6).prop_map(|pieces| format!("/{}", pieces.concat()));
    let near = (select(PATHS), select(&["", "/", "/x", "x", "/../b", "/b/x"][..]));
    let near = near.prop_map(|(path, tail)| format!("{path}{tail}"));
    let path = prop_oneof![1 => wild, 2 => near];
    let query = select(&["", "", "?", "?q", "?q=1", "?q=12&q=x", "?x=1&q=a", "?q=%31"][..]);
    let header = || weighted(0.3, select(&["1", "12", "x"][..]));
    let host = select(&["", ":80", ":81", "x.", "y.x.", "X.", "."][..]);
    (host, path, query, header(), header(), any::<bool>()).prop_map(
        |(host, path, query, one, other, post)| {
            let mut request = Request::get(Scheme::Http, host, format!("{path}{query}"));
            if post {
                request = request.with_method("POST");
            }
            for (name, value) in [("x-h", one), ("x-w", other)] {
                if let Some(value) = value {
                    request = request.with_header(name, value);
                }
            }
            request
        },
    )
}

/// The request for the host of that number: what stands in it is labels in front, or a port or a
/// dot behind.
pub(crate) fn to_host(mut request: Request, number: usize) -> Request {
    let own = format!("c{number}.test");
    request.host = match request.host.as_str() {
        behind @ (":80" | ":81" | ".") => format!("{own}{behind}"),
        before => format!("{before}{own}"),
    };
    request
}
