//! What an operator says about a conversion.

use crate::trouble::Trouble;
use clap::Args;
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::input::Key;
use gradual_rollout_migration::report::{CODES, explain};
use std::collections::BTreeMap;

/// What an operator says about a conversion, of files by `migrate convert` or of a cluster.
#[derive(Clone, Debug, Default, Args)]
pub struct ConversionArgs {
    /// Convert although this is lost; may be repeated, or a list by comma
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// The Gateway to write; its namespace is that of the gateway's pods [default: istio-system/sealos-gateway]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub gateway: Option<String>,
    /// A label of the gateway's pods; may be repeated [default: istio=ingressgateway]
    #[arg(long, value_name = "LABEL=VALUE")]
    pub gateway_selector: Vec<String>,
    /// The class of the Ingresses [default: the controller's flag, or nginx]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
    /// The prefix of annotations [default: the controller's flag, or nginx.ingress.kubernetes.io]
    #[arg(long, value_name = "PREFIX")]
    pub annotations_prefix: Option<String>,
    /// The controller's ConfigMap, among the files where such are read [default: the one called ingress-nginx-controller]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub controller_config: Option<String>,
    /// The Secret with the certificate for hosts without one [default: the controller's flag]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub default_certificate: Option<String>,
    /// The domain of Services [default: cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    pub cluster_domain: Option<String>,
}

impl ConversionArgs {
    /// The options of the converter.
    pub fn options(&self) -> Result<Options, Trouble> {
        let mut options = Options::default();
        for typed in &self.accept {
            let Some(explanation) = explain(&typed.to_ascii_uppercase()) else {
                let near: Vec<&str> = CODES
                    .iter()
                    .map(|known| known.code.text())
                    .filter(|code| code.starts_with(&typed.to_ascii_uppercase()))
                    .collect();
                let hint = if near.is_empty() {
                    "`migrate explain list` shows them all".to_owned()
                } else {
                    format!("did you mean {}?", near.join(", "))
                };
                return Err(Trouble::Usage(format!(
                    "--accept: there is no code {typed:?}; {hint}"
                )));
            };
            if !explanation.acceptable {
                return Err(Trouble::Usage(format!(
                    "--accept: {typed} cannot be accepted, as there is nothing that could be written instead: {}",
                    explanation.remedy
                )));
            }
            options.accept.insert(explanation.code);
        }
        if let Some(gateway) = &self.gateway {
            (options.gateway_namespace, options.gateway_name) = key("--gateway", gateway)?;
        }
        if !self.gateway_selector.is_empty() {
            options.gateway_selector = BTreeMap::new();
        }
        for typed in &self.gateway_selector {
            let Some((name, value)) = typed.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Trouble::Usage(format!(
                    "--gateway-selector {typed:?} is no LABEL=VALUE"
                )));
            };
            options.gateway_selector.insert(name.to_owned(), value.to_owned());
        }
        let named = |flag: &str, text: Option<&String>| text.map(|text| key(flag, text)).transpose();
        options.controller_config = named("--controller-config", self.controller_config.as_ref())?;
        options.default_certificate = named("--default-certificate", self.default_certificate.as_ref())?;
        options.annotations_prefix.clone_from(&self.annotations_prefix);
        options.ingress_class.clone_from(&self.ingress_class);
        if let Some(domain) = &self.cluster_domain {
            options.cluster_domain.clone_from(domain);
        }
        match options.mistakes().into_iter().next() {
            Some((flag, mistake)) => Err(Trouble::Usage(format!("{flag}: {mistake}"))),
            None => Ok(options),
        }
    }
}

/// `NAMESPACE/NAME` as typed.
pub fn key(flag: &str, text: &str) -> Result<Key, Trouble> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(Trouble::Usage(format!("{flag} {text:?} is no NAMESPACE/NAME"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_is_told_by_the_name_of_its_flag() {
        let said = |change: fn(&mut ConversionArgs)| {
            let mut args = ConversionArgs::default();
            change(&mut args);
            args.options().unwrap_err().to_string()
        };
        assert!(ConversionArgs::default().options().is_ok());
        for (text, hint) in [
            (said(|a| a.accept.push("BODY".into())), "BODY-LIMIT"),
            (said(|a| a.accept.push("BROKEN-DOCUMENT".into())), "--accept"),
            (said(|a| a.gateway = Some("x".into())), "--gateway"),
            (said(|a| a.gateway_selector.push("=x".into())), "LABEL=VALUE"),
            (
                said(|a| a.cluster_domain = Some("x y".into())),
                "--cluster-domain",
            ),
        ] {
            assert!(text.contains(hint), "{text}");
        }
    }
}
