//! The lines of nginx.conf that decide where a request goes, as ingress-nginx's template would write them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use gradual_rollout_migration::model::nginx::{Location, Server, Service};

use crate::edge::process::{self, Proxy};

/// The lines that load Lua, in which ingress-nginx redirects to https; none where this nginx has no such module.
pub(crate) fn lua(program: &Path) -> Option<String> {
    let said = Command::new(program).arg("-V").output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    let folder = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("--modules-path="))?;
    let files = ["ndk_http_module.so", "ngx_http_lua_module.so"].map(|file| Path::new(folder).join(file));
    let there = files.iter().all(|file| file.is_file());
    there.then(|| {
        files
            .iter()
            .map(|file| format!("load_module {};\n", file.display()))
            .collect::<Vec<_>>()
            .concat()
    })
}

/// Starts an nginx with what stands before and inside `http {}`; `listen` there is `unix:SOCKET`.
pub(crate) fn start(program: &Path, head: &str, http: &str) -> Result<Proxy, String> {
    let folder = process::folder("nginx");
    let file = folder.join("nginx.conf");
    let http = http.replace("SOCKET", &process::socket(&folder).display().to_string());
    std::fs::write(&file, whole(&folder, head, &http)).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    Proxy::start(folder, &mut command)
}

fn whole(folder: &Path, head: &str, http: &str) -> String {
    let folder = folder.display();
    format!(
        "{head}daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\nmerge_slashes on;\nclient_body_temp_path {folder}/body;\n\
         proxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n{http}}}\n"
    )
}

/// `http {}` of a set of servers before one back end that answers for all. `certified` are the names with a
/// certificate, where redirects to https are written.
pub(crate) fn http(servers: &[Server], backend: SocketAddr, certified: Option<&BTreeSet<String>>) -> String {
    let mut conf = format!("upstream upstream_balancer {{ server {backend}; }}\n");
    for server in servers {
        self::server(&mut conf, server, certified);
    }
    conf
}

fn server(conf: &mut String, server: &Server, certified: Option<&BTreeSet<String>>) {
    let default = if server.host == "_" { " default_server" } else { "" };
    let names: Vec<String> = server.aliases.iter().map(|alias| quoted(alias)).collect();
    writeln!(conf, "server {{\nlisten unix:SOCKET{default};").unwrap();
    writeln!(
        conf,
        "server_name {} {};",
        quoted_name(&server.host),
        names.join(" ")
    )
    .unwrap();
    let regex = server
        .locations
        .iter()
        .any(|location| location.settings.use_regex || rewrites(location));
    for location in &server.locations {
        if let Some(root) = &location.settings.app_root {
            writeln!(conf, "if ($uri = /) {{ return 302 $scheme://$http_host{root}; }}").unwrap();
        }
        self::location(conf, location, regex, certified);
    }
    if server.host == "_" {
        conf.push_str("location /healthz { return 200; }\nlocation /nginx_status { deny all; }\n");
    }
    conf.push_str("}\n");
}

fn location(conf: &mut String, location: &Location, regex: bool, certified: Option<&BTreeSet<String>>) {
    let settings = &location.settings;
    let path = quoted(&location.path);
    match (regex, location.exact) {
        (true, _) => writeln!(conf, "location ~* {} {{", quoted(&format!("^{}", location.path))),
        (false, true) => writeln!(conf, "location = {path} {{"),
        (false, false) => writeln!(conf, "location {path} {{"),
    }
    .unwrap();
    let port = if settings.use_port_in_redirects {
        "on"
    } else {
        "off"
    };
    writeln!(conf, "port_in_redirect {port};\nset $best_http_host $http_host;").unwrap();
    match &settings.upstream_vhost {
        Some(host) => writeln!(conf, "proxy_set_header Host {};", quoted(host)),
        None => writeln!(conf, "proxy_set_header Host $best_http_host;"),
    }
    .unwrap();
    // Stands for `set $proxy_upstream_name`, by which the balancer would choose.
    writeln!(
        conf,
        "proxy_set_header X-Backend {};",
        quoted(&name(location.backend.as_ref()))
    )
    .unwrap();
    if let Some(certified) = certified {
        to_https(conf, location, certified);
    }
    if settings.relative_redirects {
        conf.push_str("absolute_redirect off;\n");
    }
    if let Some(to) = &settings.redirect {
        writeln!(conf, "return {} {};", to.code, to.url).unwrap();
    }
    if rewrites(location) {
        let pattern = quoted(&format!("(?i){}", location.path));
        writeln!(conf, "rewrite {pattern} {} break;", settings.rewrite_target).unwrap();
    }
    conf.push_str("proxy_pass http://upstream_balancer;\n}\n");
}

/// The rewrite phase of ingress-nginx's Lua in short. It stands first and runs last.
fn to_https(conf: &mut String, location: &Location, certified: &BTreeSet<String>) {
    let settings = &location.settings;
    let names: Vec<String> = certified
        .iter()
        .map(|name| format!("[\"{name}\"] = true"))
        .collect();
    let exempt = location.path.starts_with("/.well-known/acme-challenge");
    writeln!(
        conf,
        "rewrite_by_lua_block {{\n\
         local known = {{ {} }}\n\
         local wild = ngx.re.sub(ngx.var.host, \"^[^.]+\\\\.\", \"*.\")\n\
         local asked = {} or {} and (known[ngx.var.host] or known[wild])\n\
         if asked and not {exempt} and ngx.var.scheme == \"http\" then\n\
         local target = ngx.var.request_uri\n\
         if not {} and target:sub(-1) == \"/\" then target = target:sub(1, -2) end\n\
         return ngx.redirect(\"https://\" .. ngx.var.http_host:match(\"^[^:]*\") .. target, 308)\n\
         end\n}}",
        names.join(", "),
        settings.force_ssl_redirect,
        settings.ssl_redirect,
        settings.preserve_trailing_slash,
    )
    .unwrap();
}

fn rewrites(location: &Location) -> bool {
    let target = &location.settings.rewrite_target;
    !target.is_empty() && *target != location.path
}

/// `namespace/service:port`, or `default`.
pub(crate) fn name(service: Option<&Service>) -> String {
    service.map_or_else(
        || "default".to_owned(),
        |service| format!("{}/{}:{}", service.namespace, service.name, service.port),
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn quoted_name(host: &str) -> String {
    match host.strip_prefix("*.") {
        Some(rest) => {
            quoted(&format!(r"~^(?<subdomain>[\w-]+)\.{}$", rest.replace('.', r"\."))).replace(r"\\", r"\")
        }
        None => quoted(host),
    }
}
