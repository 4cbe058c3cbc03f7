//! One `location` with what its annotations ask for.

use std::fmt::Write;

use gradual_rollout_migration::model::Port;
use gradual_rollout_migration::model::nginx::{Location, Service};
use serde_json::Value;

use crate::backends::Speaks;
use crate::nginx_conf::{Known, quoted};

/// `variable` is free for its own names; `http` takes lines that can
/// only stand outside.
pub(crate) fn written(
    location: &Location,
    regex: bool,
    variable: &str,
    http: &mut String,
    known: &Known<'_>,
) -> String {
    let mut out = String::new();
    let path = quoted(&location.path);
    match (regex, location.exact) {
        (true, _) => writeln!(out, "location ~* {} {{", quoted(&format!("^{}", location.path))),
        (false, true) => writeln!(out, "location = {path} {{"),
        (false, false) => writeln!(out, "location {path} {{"),
    }
    .unwrap();
    let settings = &location.settings;
    let note = |name: &str| settings.annotations.get(name).map(String::as_str);
    if settings.relative_redirects {
        out.push_str("absolute_redirect off;\n");
    }
    headers_of_the_edge(&mut out);
    addresses(&mut out, &note);
    if known.on("allow-snippet-annotations") {
        out.push_str(note("configuration-snippet").unwrap_or_default());
        out.push('\n');
    }
    password(&mut out, &note);
    if let Some(to) = &settings.redirect {
        writeln!(out, "return {} {};", to.code, to.url).unwrap();
    }
    let exempt = location.path.starts_with("/.well-known/acme-challenge");
    if !exempt && (settings.force_ssl_redirect || settings.ssl_redirect) {
        let target = if settings.preserve_trailing_slash {
            "$request_uri"
        } else {
            "$without_slash"
        };
        let (asked, end) = if settings.force_ssl_redirect {
            ("$pass_access_scheme", "")
        } else {
            ("$pass_access_scheme$certified", "1")
        };
        writeln!(
            out,
            "set $asked {asked};\nif ($asked ~ ^http{end}$) {{ return 308 https://$without_port{target}; }}"
        )
        .unwrap();
    }
    if note("enable-cors") == Some("true") {
        cors(&mut out, &note);
    }
    let Some(upstream) = upstream(location.backend.as_ref(), known) else {
        // No endpoints.
        out.push_str("return 503;\n}\n");
        return out;
    };
    writeln!(out, "set $backend {};", quoted(&upstream.name)).unwrap();
    if location.split
        && let Some(canary) = known.canary()
    {
        self::canary(&mut out, http, variable, canary);
    }
    if location.rewritten {
        let pattern = quoted(&format!("(?i){}", location.path));
        writeln!(out, "rewrite {pattern} {} break;", settings.rewrite_target).unwrap();
    }
    passed_on(&mut out, location, &upstream, &note);
    out.push_str("}\n");
    out
}

type Note<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// Strict-Transport-Security, as the header filter of ingress-nginx adds it over TLS.
fn headers_of_the_edge(out: &mut String) {
    out.push_str(
        "set $secure $scheme$certified;\nset $hsts \"\";\n\
         if ($secure = https1) { set $hsts \"max-age=31536000; includeSubDomains\"; }\n\
         add_header Strict-Transport-Security $hsts always;\n",
    );
}

fn addresses(out: &mut String, note: Note<'_>) {
    let ranges = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| note(name))
            .map(|list| list.split(','))
    };
    for range in ranges(&["denylist-source-range"]).into_iter().flatten() {
        writeln!(out, "deny {};", range.trim()).unwrap();
    }
    if let Some(allowed) = ranges(&["allowlist-source-range", "whitelist-source-range"]) {
        for range in allowed {
            writeln!(out, "allow {};", range.trim()).unwrap();
        }
        out.push_str("deny all;\n");
    }
}

/// Nobody has one.
fn password(out: &mut String, note: Note<'_>) {
    if note("auth-type") == Some("basic") {
        out.push_str("auth_basic \"closed\";\nauth_basic_user_file /dev/null;\n");
    }
    if note("auth-url").is_some() {
        // The subrequest's answer, as of an authentication service that knows nobody.
        out.push_str("return 401;\n");
    }
}

fn cors(out: &mut String, note: Note<'_>) {
    let origins = note("cors-allow-origin").unwrap_or("*");
    let origin = if origins == "*" {
        out.push_str("set $cors \"true\";\n");
        "*"
    } else {
        let one = |origin: &str| {
            let escaped = origin.trim().replace('.', r"\.");
            format!("({})", escaped.replace("*\\.", "[A-Za-z0-9-]+\\."))
        };
        let all: Vec<String> = origins.split(',').map(one).collect();
        writeln!(
            out,
            "set $cors \"\";\nif ($http_origin ~* \"^({})$\") {{ set $cors \"true\"; }}",
            all.join("|")
        )
        .unwrap();
        "$http_origin"
    };
    let headers = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,\
                   Authorization";
    let said = [
        ("Origin", "acao", origin),
        (
            "Credentials",
            "acac",
            note("cors-allow-credentials").unwrap_or("true"),
        ),
        (
            "Methods",
            "acam",
            note("cors-allow-methods").unwrap_or("GET, PUT, POST, DELETE, PATCH, OPTIONS"),
        ),
        ("Headers", "acah", note("cors-allow-headers").unwrap_or(headers)),
    ];
    for (_, variable, _) in said {
        writeln!(out, "set ${variable} \"\";").unwrap();
    }
    out.push_str("set $acma \"\";\nset $aceh \"\";\nif ($cors = \"true\") {\n");
    for (_, variable, value) in said {
        writeln!(out, "set ${variable} \"{value}\";").unwrap();
    }
    writeln!(
        out,
        "set $acma \"{}\";\nset $aceh \"{}\";\n}}",
        note("cors-max-age").unwrap_or("1728000"),
        note("cors-expose-headers").unwrap_or_default()
    )
    .unwrap();
    for (name, variable, _) in said {
        writeln!(out, "add_header Access-Control-Allow-{name} ${variable} always;").unwrap();
    }
    out.push_str(
        "add_header Access-Control-Max-Age $acma always;\nadd_header Access-Control-Expose-Headers $aceh always;\n\
         if ($request_method = OPTIONS) { set $cors \"${cors}options\"; }\n\
         if ($cors = \"trueoptions\") { return 204; }\n",
    );
}

/// Where a location sends requests.
struct Upstream {
    name: String,
    address: String,
    speaks: Speaks,
}

/// The Service's own port, by number, name or target port; `None` where there is none.
fn upstream(service: Option<&Service>, known: &Known<'_>) -> Option<Upstream> {
    let Some(service) = service else {
        return Some(Upstream {
            name: "default".to_owned(),
            address: known.backends.of(Speaks::Http)[0].to_string(),
            speaks: Speaks::Http,
        });
    };
    let found = known.objects.iter().find(|object| {
        object["kind"] == "Service"
            && object["metadata"]["name"] == service.name
            && object["metadata"]["namespace"] == service.namespace
    })?;
    let ports = found["spec"]["ports"].as_array().unwrap();
    let port = match &service.port {
        Port::Number(number) => {
            let by = |field: &str| ports.iter().find(|port| port[field] == *number);
            by("port").or_else(|| by("targetPort"))
        }
        Port::Name(name) => ports.iter().find(|port| port["name"] == *name),
        Port::Only => ports.first(),
    }?;
    let speaks = known.speaks.get(&service.name).copied().unwrap_or_default();
    Some(Upstream {
        name: format!("{}/{}:{}", service.namespace, service.name, port["port"]),
        address: known.backends.of(speaks)[0].to_string(),
        speaks,
    })
}

/// Header, cookie, weight; what is written later overrules.
fn canary(out: &mut String, http: &mut String, variable: &str, canary: &Value) {
    let note = |name: &str| {
        canary["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/canary-{name}")].as_str()
    };
    let number = |name: &str| note(name).and_then(|text| text.parse::<f64>().ok());
    let total = number("weight-total")
        .filter(|total| *total > 100.0)
        .unwrap_or(100.0);
    let share = 100.0 * number("weight").unwrap_or(0.0) / total;
    let arm = if share <= 0.0 {
        "primary".to_owned()
    } else if share >= 100.0 {
        "canary".to_owned()
    } else {
        writeln!(
            http,
            "split_clients \"$request_id\" $drawn_{variable} {{ {share:.2}% canary; * primary; }}"
        )
        .unwrap();
        format!("$drawn_{variable}")
    };
    writeln!(out, "set $arm {arm};").unwrap();
    let mut rule = |condition: String, arm: &str| {
        writeln!(out, "if ({condition}) {{ set $arm {arm}; }}").unwrap();
    };
    if let Some(cookie) = note("by-cookie") {
        rule(format!("$cookie_{cookie} = always"), "canary");
        rule(format!("$cookie_{cookie} = never"), "primary");
    }
    if let Some(header) = note("by-header") {
        let header = format!("$http_{}", header.to_lowercase().replace('-', "_"));
        match (note("by-header-value"), note("by-header-pattern")) {
            (Some(value), _) => rule(format!("{header} = {}", quoted(value)), "canary"),
            (None, Some(pattern)) => rule(format!("{header} ~ {}", quoted(pattern)), "canary"),
            (None, None) => {
                rule(format!("{header} = always"), "canary");
                rule(format!("{header} = never"), "primary");
            }
        }
    }
    let service = &canary["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    writeln!(
        out,
        "if ($arm = canary) {{ set $backend \"{}/{}:{}\"; }}",
        canary["metadata"]["namespace"].as_str().unwrap(),
        service["name"].as_str().unwrap(),
        service["port"]["number"]
    )
    .unwrap();
}

fn passed_on(out: &mut String, location: &Location, upstream: &Upstream, note: Note<'_>) {
    let host = location
        .settings
        .upstream_vhost
        .as_ref()
        .map_or_else(|| "$http_host".to_owned(), |host| quoted(host));
    let grpc = note("backend-protocol").is_some_and(|protocol| protocol.starts_with("GRPC"));
    let prefix = if grpc { "grpc" } else { "proxy" };
    writeln!(
        out,
        "{prefix}_set_header Host {host};\n{prefix}_set_header X-Backend $backend;\n\
         {prefix}_set_header X-Forwarded-Proto $pass_access_scheme;"
    )
    .unwrap();
    if let Some(prefix_header) = note("x-forwarded-prefix").filter(|_| location.rewritten) {
        writeln!(
            out,
            "{prefix}_set_header X-Forwarded-Prefix {};",
            quoted(prefix_header)
        )
        .unwrap();
    }
    let address = &upstream.address;
    if grpc {
        writeln!(out, "grpc_pass grpc://{address};").unwrap();
        return;
    }
    let tls = note("backend-protocol") == Some("HTTPS");
    let scheme = if tls { "https" } else { "http" };
    debug_assert!(upstream.speaks != Speaks::Http2 || grpc);
    writeln!(
        out,
        "proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection $connection_upgrade;\nproxy_pass {scheme}://{address};"
    )
    .unwrap();
}
