//! What the controllers' flags and settings mean for a migration.

use super::code;
use super::controller::{Controller, data};
use super::picture::Picture;
use crate::finding::Finding;
use crate::see;
use gradual_rollout_migration::convert::{Setting, setting};
use gradual_rollout_migration::input;

/// Settings that an Istio gateway does not have by itself, beside those that `convert` says it loses. What guards hosts is below.
const SETTINGS: &[&str] = &[
    "add-headers",
    "annotations-risk-level",
    "client-body-buffer-size",
    "client-header-timeout",
    "compute-full-forwarded-for",
    "custom-http-errors",
    "enable-underscores-in-headers",
    "force-ssl-redirect",
    "hsts",
    "hsts-include-subdomains",
    "hsts-max-age",
    "hsts-preload",
    "http-redirect-code",
    "load-balance",
    "no-auth-locations",
    "no-tls-redirect-locations",
    "proxy-body-size",
    "proxy-connect-timeout",
    "proxy-next-upstream",
    "proxy-read-timeout",
    "proxy-real-ip-cidr",
    "proxy-send-timeout",
    "proxy-set-headers",
    "retry-non-idempotent",
    "service-upstream",
    "ssl-ciphers",
    "ssl-protocols",
    "ssl-redirect",
    "strict-validate-path-type",
];

/// Settings that keep somebody out of every host, beside those for which `convert` refuses everything.
const GUARDS: &[&str] = &[
    "denylist-source-range",
    "global-rate-limit-memcached-host",
    "whitelist-source-range",
];

/// Flags that change what is served.
const FLAGS: &[&str] = &[
    "annotations-prefix",
    "deep-inspect",
    "default-backend-service",
    "disable-catch-all",
    "enable-annotation-validation",
    "enable-ssl-passthrough",
    "watch-ingress-without-class",
];

/// Flags that are on unless they are turned off, or were off in versions that still run: each value says something.
const EITHER_WAY: &[&str] = &["deep-inspect", "enable-annotation-validation"];

/// Looks at each controller.
pub(super) fn check(picture: &Picture, controllers: &[Controller<'_>], found: &mut Vec<Finding>) {
    if controllers.is_empty() && picture.sees("Deployment") && picture.sees("DaemonSet") {
        found.push(code::NGINX_MISSING.at(
            "cluster",
            "no Deployment or DaemonSet runs nginx-ingress-controller",
        ));
    }
    if controllers.len() > 1 {
        let names: Vec<String> = controllers.iter().map(|c| see::object(c.object)).collect();
        found.push(code::NGINX_SEVERAL.at("cluster", names.join(", ")));
    }
    for controller in controllers {
        health(controller, found);
        flags(picture, controller, found);
        settings(picture, controller, found);
        streams(picture, controller, found);
    }
}

fn health(controller: &Controller<'_>, found: &mut Vec<Finding>) {
    let (ready, wanted) = controller.ready();
    if ready == 0 {
        found.push(code::NGINX_DOWN.at(
            see::object(controller.object),
            format!("0 of {wanted} pods are ready"),
        ));
    }
}

fn flags(picture: &Picture, controller: &Controller<'_>, found: &mut Vec<Finding>) {
    let object = see::object(controller.object);
    for flag in ["watch-namespace", "watch-namespace-selector"] {
        if let Some(only) = controller.flag(flag).filter(|only| !only.is_empty()) {
            found.push(code::NGINX_ONE_NAMESPACE.at(&object, format!("--{flag}={only}")));
        }
    }
    if !controller.on("enable-metrics", false) {
        found.push(code::NGINX_METRICS_OFF.at(&object, "--enable-metrics is not set to true"));
    }
    if controller.on("disable-svc-external-name", false) {
        found.push(code::NGINX_EXTERNAL_NAME_OFF.at(&object, "--disable-svc-external-name"));
    }
    // Changes per second: one in five seconds is 0.2.
    if let Some(rate) = controller.flag("sync-rate-limit")
        && rate.parse::<f64>().is_ok_and(|rate| rate < 0.2)
    {
        found.push(code::NGINX_SYNC_SLOW.at(&object, format!("--sync-rate-limit={rate}")));
    }
    for flag in FLAGS {
        if let Some(value) = controller
            .flag(flag)
            .filter(|value| *value != "false" || EITHER_WAY.contains(flag))
        {
            found.push(code::NGINX_SETTING.at(&object, format!("--{flag}={value}")));
        }
    }
    if let Some((namespace, name)) = controller.named("default-ssl-certificate")
        && let Some(secrets) = &picture.secrets
        && !secrets.contains_key(&(namespace.to_owned(), name.to_owned()))
    {
        found.push(
            code::NGINX_CERTIFICATE_MISSING.at(&object, format!("there is no Secret {namespace}/{name}")),
        );
    }
}

fn settings(picture: &Picture, controller: &Controller<'_>, found: &mut Vec<Finding>) {
    let Some(config) = controller.settings(picture, "configmap") else {
        if let Some((namespace, name)) = controller
            .named("configmap")
            .filter(|_| picture.sees("ConfigMap"))
        {
            found.push(code::NGINX_CONFIG_MISSING.at(
                see::object(controller.object),
                format!("there is no ConfigMap {namespace}/{name}"),
            ));
        }
        return;
    };
    let object = see::object(config);
    for (key, value) in data(config) {
        let says = format!("{key} = {}", shortened(value));
        let on = !value.is_empty() && input::switch(value) != Some(false);
        let becomes = setting(key);
        if (GUARDS.contains(&key) || becomes == Setting::Guard) && on {
            found.push(code::NGINX_GUARD.at(&object, says));
        } else if key == "use-proxy-protocol" && on {
            found.push(code::NGINX_PROXY_PROTOCOL.at(&object, says));
        } else if ["use-forwarded-headers", "enable-real-ip"].contains(&key) && on {
            found.push(code::NGINX_FORWARDED.at(&object, says));
        } else if SETTINGS.contains(&key) || becomes == Setting::Lost {
            found.push(code::NGINX_SETTING.at(&object, says));
        }
    }
}

fn streams(picture: &Picture, controller: &Controller<'_>, found: &mut Vec<Finding>) {
    for flag in ["tcp-services-configmap", "udp-services-configmap"] {
        let Some(config) = controller.settings(picture, flag) else {
            continue;
        };
        let ports: Vec<String> = data(config)
            .map(|(port, target)| format!("{port} to {target}"))
            .collect();
        if !ports.is_empty() {
            found.push(code::NGINX_STREAMS.at(see::object(config), ports.join(", ")));
        }
    }
}

/// Values may be long, and are other people's.
fn shortened(value: &str) -> String {
    const LONGEST: usize = 80;
    if value.chars().count() <= LONGEST {
        return value.to_owned();
    }
    let head: String = value.chars().take(LONGEST).collect();
    format!("{head}…")
}
