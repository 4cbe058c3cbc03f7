//! Annotations that become nothing, and the code for each.

use super::settings::boolean;
use crate::report::Code;

/// Name, code, and the annotation without which it does nothing.
const TABLE: &[(&str, Code, &str)] = &[
    ("auth-url", Code::AuthUrl, ""),
    ("auth-always-set-cookie", Code::AuthExtra, "auth-url"),
    ("auth-cache-duration", Code::AuthExtra, "auth-url"),
    ("auth-cache-key", Code::AuthExtra, "auth-url"),
    ("auth-keepalive", Code::AuthExtra, "auth-url"),
    ("auth-keepalive-requests", Code::AuthExtra, "auth-url"),
    ("auth-keepalive-share-vars", Code::AuthExtra, "auth-url"),
    ("auth-keepalive-timeout", Code::AuthExtra, "auth-url"),
    ("auth-method", Code::AuthExtra, "auth-url"),
    ("auth-proxy-set-headers", Code::AuthExtra, "auth-url"),
    ("auth-request-redirect", Code::AuthExtra, "auth-url"),
    ("auth-response-headers", Code::AuthExtra, "auth-url"),
    ("auth-signin", Code::AuthExtra, "auth-url"),
    ("auth-signin-redirect-param", Code::AuthExtra, "auth-url"),
    ("auth-snippet", Code::AuthExtra, "auth-url"),
    ("auth-type", Code::AuthBasic, ""),
    ("auth-realm", Code::AuthExtra, "auth-type"),
    ("auth-secret", Code::AuthExtra, "auth-type"),
    ("auth-secret-type", Code::AuthExtra, "auth-type"),
    ("auth-tls-secret", Code::AuthTls, ""),
    ("auth-tls-error-page", Code::AuthExtra, "auth-tls-secret"),
    ("auth-tls-match-cn", Code::AuthExtra, "auth-tls-secret"),
    (
        "auth-tls-pass-certificate-to-upstream",
        Code::AuthExtra,
        "auth-tls-secret",
    ),
    ("auth-tls-verify-client", Code::AuthExtra, "auth-tls-secret"),
    ("auth-tls-verify-depth", Code::AuthExtra, "auth-tls-secret"),
    ("global-rate-limit", Code::RateLimit, ""),
    (
        "global-rate-limit-header-name",
        Code::RateLimit,
        "global-rate-limit",
    ),
    (
        "global-rate-limit-ignored-cidrs",
        Code::RateLimit,
        "global-rate-limit",
    ),
    ("global-rate-limit-key", Code::RateLimit, "global-rate-limit"),
    ("global-rate-limit-window", Code::RateLimit, "global-rate-limit"),
    ("limit-allowlist", Code::NoCounterpart, ""),
    ("limit-burst-multiplier", Code::NoCounterpart, ""),
    ("limit-connections", Code::RateLimit, ""),
    ("limit-rate", Code::RateLimit, ""),
    ("limit-rate-after", Code::NoCounterpart, ""),
    ("limit-rpm", Code::RateLimit, ""),
    ("limit-rps", Code::RateLimit, ""),
    ("limit-whitelist", Code::NoCounterpart, ""),
    ("enable-modsecurity", Code::Firewall, ""),
    ("enable-owasp-core-rules", Code::Firewall, ""),
    ("modsecurity-snippet", Code::Firewall, ""),
    ("modsecurity-transaction-id", Code::NoCounterpart, ""),
    ("proxy-body-size", Code::BodyLimit, ""),
    ("client-body-buffer-size", Code::Buffering, ""),
    ("proxy-buffer-size", Code::Buffering, ""),
    ("proxy-buffering", Code::Buffering, ""),
    ("proxy-buffers-number", Code::Buffering, ""),
    ("proxy-busy-buffers-size", Code::Buffering, ""),
    ("proxy-http-version", Code::Buffering, ""),
    ("proxy-max-temp-file-size", Code::Buffering, ""),
    ("proxy-request-buffering", Code::Buffering, ""),
    ("proxy-read-timeout", Code::IdleTimeout, ""),
    ("proxy-send-timeout", Code::IdleTimeout, ""),
    ("proxy-cookie-domain", Code::ProxyRedirect, ""),
    ("proxy-cookie-path", Code::ProxyRedirect, ""),
    ("proxy-redirect-from", Code::ProxyRedirect, ""),
    ("proxy-redirect-to", Code::ProxyRedirect, ""),
    ("proxy-ssl-ciphers", Code::UpstreamTlsDetail, ""),
    ("proxy-ssl-protocols", Code::UpstreamTlsDetail, ""),
    ("proxy-ssl-secret", Code::UpstreamTls, ""),
    ("proxy-ssl-verify", Code::UpstreamTls, ""),
    ("proxy-ssl-verify-depth", Code::UpstreamTlsDetail, ""),
    ("custom-http-errors", Code::ErrorPages, ""),
    ("default-backend", Code::ErrorPages, ""),
    ("disable-proxy-intercept-errors", Code::ErrorPages, ""),
    ("mirror-host", Code::Mirror, "mirror-target"),
    ("mirror-request-body", Code::Mirror, "mirror-target"),
    ("mirror-target", Code::Mirror, ""),
    ("connection-proxy-header", Code::NoCounterpart, ""),
    ("enable-access-log", Code::NoCounterpart, ""),
    ("enable-http2-push-preload", Code::NoCounterpart, ""),
    ("http2-push-preload", Code::NoCounterpart, ""),
    ("enable-opentelemetry", Code::NoCounterpart, ""),
    ("enable-opentracing", Code::NoCounterpart, ""),
    ("enable-rewrite-log", Code::NoCounterpart, ""),
    ("opentelemetry-operation-name", Code::NoCounterpart, ""),
    ("opentelemetry-trust-incoming-span", Code::NoCounterpart, ""),
    ("opentracing-trust-incoming-span", Code::NoCounterpart, ""),
    ("relative-redirects", Code::NoCounterpart, ""),
    ("service-upstream", Code::NoCounterpart, ""),
    ("ssl-prefer-server-ciphers", Code::NoCounterpart, ""),
    ("use-port-in-redirects", Code::NoCounterpart, ""),
    ("upstream-hash-by-subset", Code::InertAnnotation, ""),
    ("upstream-hash-by-subset-size", Code::InertAnnotation, ""),
    ("whitelist-source-range", Code::InertAnnotation, ""),
    ("x-forwarded-prefix", Code::InertAnnotation, "rewrite-target"),
];

/// Families whose members do nothing without their head.
const FAMILIES: &[(&str, &str)] = &[
    ("canary-", "canary"),
    ("cors-", "enable-cors"),
    ("session-cookie-", "affinity"),
    ("affinity-", "affinity"),
    ("proxy-next-upstream-", "proxy-next-upstream"),
    ("proxy-ssl-", "backend-protocol"),
];

/// The code for an annotation that nothing was made of.
pub(super) fn code<'a>(name: &str, value: &str, given: impl Fn(&str) -> Option<&'a str>) -> Code {
    if let Some((_, code, head)) = TABLE.iter().find(|(known, ..)| *known == name) {
        if value.is_empty() || (!head.is_empty() && given(head).is_none()) {
            return Code::InertAnnotation;
        }
        // Said to be off, or to be without limit: nothing is lost.
        let off = matches!(boolean(value), Some(false)) || value == "off" || value == "0";
        let switch = matches!(
            code,
            Code::Firewall | Code::UpstreamTls | Code::BodyLimit | Code::RateLimit | Code::Mirror
        );
        return if off && switch { Code::NoCounterpart } else { *code };
    }
    let family = FAMILIES.iter().find(|(family, _)| name.starts_with(family));
    let off = |head: &str| given(head).is_none_or(|value| boolean(value.trim()) == Some(false));
    if family.is_some_and(|(_, head)| off(head)) {
        return Code::InertAnnotation;
    }
    Code::UnknownAnnotation
}

/// The code for an annotation of another program; none for those that say nothing about traffic.
pub(super) fn foreign(key: &str) -> Option<Code> {
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    match (prefix, name) {
        ("kubectl.kubernetes.io", "last-applied-configuration") | ("kubernetes.io", "ingress.class") => None,
        ("cert-manager.io" | "acme.cert-manager.io" | "certmanager.k8s.io", _)
        | ("kubernetes.io", "tls-acme") => Some(Code::CertManager),
        ("external-dns.alpha.kubernetes.io", _) => Some(Code::ExternalDns),
        ("meta.helm.sh" | "argocd.argoproj.io" | "fluxcd.io" | "kustomize.toolkit.fluxcd.io", _) => {
            Some(Code::ManagedElsewhere)
        }
        _ => Some(Code::ForeignAnnotation),
    }
}
