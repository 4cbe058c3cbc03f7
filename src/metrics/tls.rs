//! The HTTP client: whom it trusts, and who it says it is.

use super::settings::{PrometheusSettings, SettingsError, wrong};
use super::wire::plain;
use reqwest::{Certificate, redirect};

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
    builder.build().map_err(|error| {
        wrong(
            "ca_file",
            format!("no TLS with these settings: {}", plain(&error)),
        )
    })
}
