//! The arguments of `init`.

use super::selector::selector;
use crate::rollout::router_spec::SplitGateway;
use crate::routing::adopt::CanaryName;
use clap::{ArgGroup, Args};
use std::fmt;
use std::str::FromStr;

/// Arguments of `init`.
#[derive(Clone, Debug, Default, Args)]
#[command(group = ArgGroup::new("from").required(true).multiple(false), after_help = "\
Examples:
  gradual-rollout init --from-virtualservice -n apps
  gradual-rollout init --from-virtualservice shop cart -n apps -o plans/
  gradual-rollout init --from-ingress -l app=terminal --gateway istio-system/istio-ingressgateway:8081
  gradual-rollout init --from-httproute -A --pool-below 1rps --prometheus http://prometheus:9090

-o FOLDER writes a file NAMESPACE.NAME.yaml of each resource, -o - (the default) prints them all.
Nothing is applied, and nothing is written when anything fails. A guess is a comment that says
GUESSED; what could not be taken is named with its reason, here and at the end of the file.

Exit codes:
  0 written · 3 nothing found that can be taken, or a file is there already · 64 a flag is wrong
  69 cluster or Prometheus unreachable")]
pub struct InitArgs {
    /// From all Ingresses that -l selects: nginx sends a share to an Istio gateway
    #[arg(long, group = "from")]
    pub from_ingress: bool,
    /// From VirtualServices with routes of two destinations; all, or those named
    #[arg(long, group = "from", value_name = "NAME", num_args = 0..)]
    pub from_virtualservice: Option<Vec<String>>,
    /// From HTTPRoutes with rules of two back ends; all, or those named
    #[arg(long, group = "from", value_name = "NAME", num_args = 0..)]
    pub from_httproute: Option<Vec<String>>,
    /// Only objects with these labels, like app=shop,tier!=test
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = selector)]
    pub selector: Option<String>,
    /// In every namespace; a resource never spans two
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// The destination that is the canary; may be repeated [default: guessed, and said so]
    #[arg(long, value_name = "HOST[/SUBSET]", conflicts_with = "from_ingress")]
    pub canary: Vec<CanaryName>,
    /// With --from-ingress: the gateway's Service and the port of its split listener [default:
    /// istio-system/istio-ingressgateway:8081]
    #[arg(long, value_name = "NAMESPACE/SERVICE:PORT")]
    pub gateway: Option<GatewayService>,
    /// What the resources are called; a number follows [default: their namespace]
    #[arg(long, value_name = "NAME", value_parser = base)]
    pub name: Option<String>,
    /// At most so many components in a resource
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub per_resource: u8,
    /// Components with fewer requests share a pool, like 1rps, 0.5rps or 30rpm; needs a Prometheus
    #[arg(long, value_name = "RATE")]
    pub pool_below: Option<Rate>,
    /// With --pool-below: where Prometheus is [default: the settings' endpoints]
    #[arg(long, value_name = "URL", requires = "pool_below")]
    pub prometheus: Option<String>,
    /// Write over files that are there
    #[arg(long)]
    pub force: bool,
}

/// Requests per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rate: write requests per second or minute above 0, like 1rps, 0.5rps or 30rpm")]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let error = || NotARate(text.to_owned());
        let (number, seconds) = match (text.strip_suffix("rps"), text.strip_suffix("rpm")) {
            (Some(number), _) => (number, 1.0),
            (None, Some(number)) => (number, 60.0),
            (None, None) => return Err(error()),
        };
        let digits = number.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        let rate: f64 = number.parse().ok().filter(|_| digits).ok_or_else(error)?;
        (rate > 0.0 && rate.is_finite())
            .then_some(Self(rate / seconds))
            .ok_or_else(error)
    }
}

/// A Service of a gateway, with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayService {
    namespace: String,
    service: String,
    port: i32,
}

/// Why a text is no such Service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no gateway: write NAMESPACE/SERVICE:PORT, like istio-system/istio-ingressgateway:8081")]
pub struct NotAGateway(String);

impl FromStr for GatewayService {
    type Err = NotAGateway;

    fn from_str(text: &str) -> Result<Self, NotAGateway> {
        let parts = text.split_once('/').and_then(|(namespace, rest)| {
            let (service, port) = rest.rsplit_once(':')?;
            let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
            (is_label(namespace) && is_label(service)).then(|| Self {
                namespace: namespace.to_owned(),
                service: service.to_owned(),
                port: port.into(),
            })
        });
        parts.ok_or_else(|| NotAGateway(text.to_owned()))
    }
}

impl Default for GatewayService {
    fn default() -> Self {
        Self {
            namespace: "istio-system".to_owned(),
            service: "istio-ingressgateway".to_owned(),
            port: 8081,
        }
    }
}

impl fmt::Display for GatewayService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

impl From<GatewayService> for SplitGateway {
    fn from(gateway: GatewayService) -> Self {
        Self {
            namespace: gateway.namespace,
            service: gateway.service,
            port: gateway.port,
            name: None,
            tls: None,
            cluster_domain: None,
        }
    }
}

fn base(text: &str) -> Result<String, String> {
    if text.len() <= 50 && is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("1 to 50 of a-z, 0-9 and -, with no - at either end".to_owned())
    }
}

fn is_label(text: &str) -> bool {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_its_unit_and_is_above_nothing() {
        for (text, rate) in [("1rps", 1.0), ("0.5rps", 0.5), ("30rpm", 0.5), (".5rps", 0.5)] {
            assert_eq!(text.parse::<Rate>().unwrap(), Rate(rate), "{text}");
        }
        for text in [
            "", "1", "rps", "0rps", "-1rps", "1 rps", "1rph", "NaNrps", "infrps", "1e400rps", "1e2rps",
            "1.2.3rps",
        ] {
            assert!(
                text.parse::<Rate>().unwrap_err().to_string().contains("30rpm"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_gateway_is_a_service_with_a_port() {
        let text = "istio-system/istio-ingressgateway:8081";
        assert_eq!(text.parse(), Ok(GatewayService::default()));
        assert_eq!(GatewayService::default().to_string(), text);
        for text in [
            "",
            "gateway:80",
            "a/b",
            "a/b:0",
            "a/b:70000",
            "A/b:80",
            "/b:80",
            "a/:80",
            "a/b/c:80",
        ] {
            assert!(text.parse::<GatewayService>().is_err(), "{text}");
        }
    }
}
