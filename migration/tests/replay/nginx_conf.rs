//! nginx.conf as ingress-nginx's template would write it for these Ingresses: `http {}`, servers, certificates.
//!
//! Order and expansion of locations are those of the model of nginx; what stands in them is in `nginx_location.rs`.
//! Stands in for what is Lua there: the choice of a back end (`X-Backend`), redirects to https, the draw of a canary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use gradual_rollout_migration::model::nginx::{Nginx, Options, Server};
use serde_json::Value;

use crate::backends::{Backends, Speaks};
use crate::nginx_location;

/// A certificate's files.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// What is known beside the Ingresses.
pub(crate) struct Known<'a> {
    /// Every object that was given: Ingresses, Services.
    pub(crate) objects: &'a [Value],
    /// `namespace/name` to files.
    pub(crate) secrets: &'a BTreeMap<String, Files>,
    /// The one for hosts without.
    pub(crate) default_certificate: &'a Files,
    pub(crate) backends: &'a Backends,
    /// By Service.
    pub(crate) speaks: &'a BTreeMap<String, Speaks>,
    /// The controller's ConfigMap.
    pub(crate) config: &'a BTreeMap<String, String>,
}

impl Known<'_> {
    pub(crate) fn on(&self, setting: &str) -> bool {
        self.config.get(setting).is_some_and(|value| value == "true")
    }

    fn ingresses(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| object["kind"] == "Ingress")
    }

    /// The canary Ingress; the tests have one at most.
    pub(crate) fn canary(&self) -> Option<&Value> {
        self.ingresses().find(|ingress| {
            ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary"] == "true"
        })
    }

    /// A map to 1 for the names with a certificate, by which Lua redirects to https: those of rules of an Ingress with
    /// a tls section, and aliases that such a section names.
    fn certified(&self) -> String {
        let mut map = "map $host $certified { default 0;\n".to_owned();
        let mut names = BTreeSet::new();
        for ingress in self.ingresses() {
            let Some(tls) = ingress["spec"]["tls"].as_array() else {
                continue;
            };
            let rules = ingress["spec"]["rules"].as_array().unwrap().iter();
            names.extend(rules.filter_map(|rule| rule["host"].as_str()));
            let hosts = tls.iter().flat_map(|tls| tls["hosts"].as_array().unwrap());
            let alias = "nginx.ingress.kubernetes.io/server-alias";
            let aliases = ingress["metadata"]["annotations"][alias]
                .as_str()
                .unwrap_or_default();
            let aliases: Vec<&str> = aliases.split(',').map(str::trim).collect();
            names.extend(
                hosts
                    .filter_map(Value::as_str)
                    .filter(|host| aliases.contains(host)),
            );
        }
        for name in names {
            match name.strip_prefix("*.") {
                Some(rest) => writeln!(map, "\"~^[^.]+\\.{}$\" 1;", rest.replace('.', r"\.")),
                None => writeln!(map, "{} 1;", quoted(name)),
            }
            .unwrap();
        }
        map + "}\n"
    }

    /// The certificate of a host: the oldest Ingress with a tls section for one of its rules decides. `None` where
    /// there is no such Ingress.
    fn certificate(&self, host: &str) -> Option<&Files> {
        let mut all: Vec<&Value> = self.ingresses().collect();
        all.sort_by_key(|ingress| {
            ingress["metadata"]["creationTimestamp"]
                .as_str()
                .unwrap_or_default()
        });
        let has = |ingress: &&Value| {
            let rules = ingress["spec"]["rules"].as_array().unwrap();
            ingress["spec"]["tls"].is_array() && rules.iter().any(|rule| rule["host"] == host)
        };
        let ingress = all.into_iter().find(has)?;
        let covers = |name: &Value| {
            let name = name.as_str().unwrap();
            let (_, domain) = host.split_once('.').unwrap_or_default();
            name == host || name.strip_prefix("*.") == Some(domain)
        };
        let tls = ingress["spec"]["tls"].as_array().unwrap().iter();
        let mut tls = tls.filter(|tls| tls["hosts"].as_array().unwrap().iter().any(covers));
        let namespace = ingress["metadata"]["namespace"].as_str().unwrap();
        let named = tls.find_map(|tls| {
            let name = tls["secretName"].as_str()?;
            self.secrets.get(&format!("{namespace}/{name}"))
        });
        Some(named.unwrap_or(self.default_certificate))
    }
}

/// The whole file, for a folder of its own.
pub(crate) fn conf(folder: &Path, known: &Known<'_>) -> String {
    let options = Options {
        use_forwarded_headers: known.on("use-forwarded-headers"),
        ..Options::default()
    };
    let ingresses: Vec<Value> = known.ingresses().cloned().collect();
    let model = Nginx::new(&ingresses, options);
    assert!(model.unread().is_empty(), "{:?}", model.unread());
    let mut http = String::new();
    let mut servers = String::new();
    for server in model.servers().unwrap() {
        self::server(&mut servers, &mut http, server, folder, known);
    }
    let scheme = if known.on("use-forwarded-headers") {
        "map $http_x_forwarded_proto $pass_access_scheme { default $http_x_forwarded_proto; '' $scheme; }"
    } else {
        "map $scheme $pass_access_scheme { default $scheme; }"
    };
    let folder = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\nmerge_slashes on;\nserver_names_hash_bucket_size 128;\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n\
         set_real_ip_from unix:;\nreal_ip_header proxy_protocol;\nport_in_redirect off;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         map $http_host $without_port {{ \"~^(?<name>[^:]*)\" $name; default $host; }}\n\
         map $request_uri $without_slash {{ \"~^(?<head>.*)/$\" $head; default $request_uri; }}\n\
         {scheme}\n{}{http}{servers}}}\n",
        known.certified()
    )
}

fn server(conf: &mut String, http: &mut String, server: &Server, folder: &Path, known: &Known<'_>) {
    let host = if server.host == "_" { "*" } else { &server.host };
    let certificate = known.certificate(host).filter(|_| host != "*");
    let files = certificate.unwrap_or(known.default_certificate);
    let default = if server.host == "_" { " default_server" } else { "" };
    let folder = folder.display();
    let aliases: Vec<String> = server.aliases.iter().map(|alias| quoted(alias)).collect();
    writeln!(
        conf,
        "server {{\nlisten unix:{folder}/edge.sock{default} proxy_protocol;\n\
         listen unix:{folder}/h2.sock{default} http2 proxy_protocol;\n\
         listen unix:{folder}/tls.sock{default} ssl http2 proxy_protocol;\n\
         ssl_certificate {};\nssl_certificate_key {};\nserver_name {} {};",
        files.chain.display(),
        files.key.display(),
        name(&server.host),
        aliases.join(" "),
    )
    .unwrap();
    for (number, location) in server.locations.iter().enumerate() {
        if let Some(root) = &location.settings.app_root {
            writeln!(conf, "if ($uri = /) {{ return 302 $scheme://$http_host{root}; }}").unwrap();
        }
        let variable = format!(
            "{}_{number}",
            host.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        );
        let regex = server.regex;
        conf.push_str(&nginx_location::written(location, regex, &variable, http, known));
    }
    if server.host == "_" {
        conf.push_str("location /healthz { return 200; }\nlocation /nginx_status { deny all; }\n");
    }
    conf.push_str("}\n");
}

pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

/// A wildcard is an expression for one label.
fn name(host: &str) -> String {
    match host.strip_prefix("*.") {
        Some(rest) => format!("\"~^(?<subdomain>[\\w-]+)\\.{}$\"", rest.replace('.', r"\.")),
        None => quoted(host),
    }
}
