//! The HTTP client: whom it trusts, and who it says it is.

use super::settings::{PrometheusSettings, SettingsError, wrong};
use super::wire::plain;
use reqwest::{Certificate, Identity, redirect};
use std::path::Path;

pub(crate) fn http_client(settings: &PrometheusSettings) -> Result<reqwest::Client, SettingsError> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        // A redirected POST would become a GET, and carry our headers to whoever is named.
        .redirect(redirect::Policy::none())
        .connect_timeout(settings.timeout)
        .user_agent(concat!("gradual-rollout/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &settings.ca_file {
        let pem = std::fs::read(file)
            .map_err(|error| wrong("ca_file", format!("{} cannot be read: {error}", file.display())))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|_| wrong("ca_file", format!("{} holds no PEM certificates", file.display())))?;
        if certificates.is_empty() {
            return Err(wrong(
                "ca_file",
                format!("{} holds no PEM certificates", file.display()),
            ));
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(certificate), Some(key)) = (&settings.client_cert_file, &settings.client_key_file) {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(|error| {
        wrong(
            "ca_file",
            format!("no TLS with these settings: {}", plain(&error)),
        )
    })
}

/// Who we say we are.
fn identity(certificate: &Path, key: &Path) -> Result<Identity, SettingsError> {
    let read = |setting: &str, file: &Path| {
        std::fs::read(file)
            .map_err(|error| wrong(setting, format!("{} cannot be read: {error}", file.display())))
    };
    let mut pem = read("client_cert_file", certificate)?;
    pem.push(b'\n');
    pem.extend(read("client_key_file", key)?);
    // The error could quote what it read.
    Identity::from_pem(&pem).map_err(|_| {
        let (certificate, key) = (certificate.display(), key.display());
        let message = format!("{certificate} and {key} do not hold a PEM certificate and its private key");
        wrong("client_cert_file", message)
    })
}
