//! Arguments of `migrate probe`.

use super::code;
use crate::trouble::Trouble;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Suite {
    /// Every path of every host, from all sides
    Routes,
    /// Hosts over connections made for other tenants, and hosts that nobody has
    MultiTenant,
    /// HTTP/2, WebSocket, gRPC
    Protocols,
    /// Names, ends and issuers of certificates
    SslCertificates,
    /// Preflights and origins
    Cors,
    /// Latency, side by side
    Performance,
    /// What is guarded, asked without credentials
    Guards,
    /// Bodies that are too large, announced and never sent
    Limits,
    /// Hosts with TLS, asked in clear
    Redirects,
    /// ssl-certificates, redirects, cors, guards, limits and protocols: what nginx answers itself during a split
    Edge,
    /// All of them
    All,
}

impl Suite {
    /// Those that it consists of.
    pub(super) fn parts(self) -> &'static [Self] {
        match self {
            Self::Routes => &[Self::Routes],
            Self::MultiTenant => &[Self::MultiTenant],
            Self::Protocols => &[Self::Protocols],
            Self::SslCertificates => &[Self::SslCertificates],
            Self::Cors => &[Self::Cors],
            Self::Performance => &[Self::Performance],
            Self::Guards => &[Self::Guards],
            Self::Limits => &[Self::Limits],
            Self::Redirects => &[Self::Redirects],
            Self::Edge => &[
                Self::SslCertificates,
                Self::Redirects,
                Self::Cors,
                Self::Guards,
                Self::Limits,
                Self::Protocols,
            ],
            Self::All => &[
                Self::Routes,
                Self::MultiTenant,
                Self::Protocols,
                Self::SslCertificates,
                Self::Cors,
                Self::Guards,
                Self::Limits,
                Self::Redirects,
                Self::Performance,
            ],
        }
    }

    /// As it is typed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::MultiTenant => "multi-tenant",
            Self::Protocols => "protocols",
            Self::SslCertificates => "ssl-certificates",
            Self::Cors => "cors",
            Self::Performance => "performance",
            Self::Guards => "guards",
            Self::Limits => "limits",
            Self::Redirects => "redirects",
            Self::Edge => "edge",
            Self::All => "all",
        }
    }

    /// The same, as text of its own.
    pub(super) fn word(self) -> String {
        self.name().to_owned()
    }
}

/// A label with its value, as typed.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("it is no LABEL=VALUE".to_owned()),
    }
}

/// Arguments of `migrate probe`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Reads the Ingresses of the cluster (of -n, or all), makes up questions, and asks both data planes at the same time by
their own addresses, with the host's name in TLS and in the Host header: DNS is not asked, and nobody's traffic moves.
Only GET and OPTIONS are sent, and to gRPC back ends a call of a method that none has. Certificates are looked at, not
believed. A question that is answered differently is asked twice. Differences that the models of both sides foresee
count as warnings; --strict refuses warnings too. A migrated Ingress that was asked for all routes, has no blocker and was
answered by a back end on both sides gets the annotation rollout.sealos.io/probed-at, without which `apply --rollout` hands
nothing over and `cleanup` deletes nothing; one that was asked for all of edge gets rollout.sealos.io/edge-probed-at. What
an address list keeps closed has to be asked for from an address on it, and its guard from one that is not.

Examples:
  gradual-rollout migrate probe
  gradual-rollout migrate probe --nginx 192.0.2.1 --istio 192.0.2.2:31080:31443 -n ns-ada --suite all
  gradual-rollout migrate probe --suite routes,edge --rate 200 --report probe.json

Exit codes:
  0 alike · 3 something differs · 4 alike, and a mark could not be written · 64 a flag is wrong
  69 the cluster or one of the sides cannot be reached")]
pub struct ProbeArgs {
    /// Where ingress-nginx is [default: the address of its load balancer]
    #[arg(long, value_name = "HOST[:HTTP[:HTTPS]]")]
    pub nginx: Option<String>,
    /// Where the gateway is [default: the address of its load balancer]
    #[arg(long, value_name = "HOST[:HTTP[:HTTPS]]")]
    pub istio: Option<String>,
    /// What is asked; may be repeated, or several with commas between them [default: routes]
    #[arg(long, value_enum, value_name = "SUITE", value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Questions a second to each side
    #[arg(long, value_name = "RATE", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=20000))]
    pub rate: u32,
    /// How many hosts are asked at once
    #[arg(long, value_name = "COUNT", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub at_once: u16,
    /// How many seconds an answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Leave out spellings that clients do not use: escapes, doubled slashes, dot segments
    #[arg(long)]
    pub quick: bool,
    /// A header by which back ends tell who they are; may be repeated
    #[arg(long, value_name = "NAME", default_value = "x-backend")]
    pub backend_header: Vec<String>,
    /// A further header that must be alike; may be repeated
    #[arg(long, value_name = "NAME")]
    pub header: Vec<String>,
    /// By how many percent the gateway's 95th percentile may be above nginx's
    #[arg(long, value_name = "PERCENT", default_value_t = 15)]
    pub slower: u32,
    /// From how many percent on that is a blocker; not below --slower
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    pub much_slower: u32,
    /// How many answers of a host are timed
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,
    /// A finding that is agreed with, where it is known why: PROBE-NO-BACKEND of what a guard keeps closed
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub accept: Vec<String>,
    /// Refuse warnings too
    #[arg(long)]
    pub strict: bool,
    /// Write no marks
    #[arg(long)]
    pub no_mark: bool,
    /// Write every difference to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The namespace of the gateway's pods
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub gateway_namespace: String,
    /// A label of the gateway's pods; may be repeated [default: istio=ingressgateway]
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label)]
    pub gateway_selector: Vec<(String, String)>,
    /// Only Ingresses of this class [default: those of the controllers that run]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
}

impl ProbeArgs {
    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.much_slower < self.slower {
            return Err(Trouble::Usage(format!(
                "--much-slower {} is below --slower {}: what is a blocker would be no warning; give it at least {}",
                self.much_slower, self.slower, self.slower
            )));
        }
        let mut wrong = self.accept.iter();
        if let Some(typed) = wrong.find(|typed| !typed.eq_ignore_ascii_case(code::NO_BACKEND.name)) {
            return Err(Trouble::Usage(format!(
                "--accept {typed:?}: what may be accepted is {}, where a guard answers by itself",
                code::NO_BACKEND.name
            )));
        }
        Ok(())
    }

    /// Whether a code is agreed with.
    pub(super) fn accepts(&self, code: &str) -> bool {
        self.accept.iter().any(|typed| typed.eq_ignore_ascii_case(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        args: ProbeArgs,
    }

    fn typed(words: &[&str]) -> Result<ProbeArgs, clap::Error> {
        Typed::try_parse_from([&["probe"], words].concat()).map(|typed| typed.args)
    }

    #[test]
    fn a_suite_is_called_what_is_typed() {
        for suite in Suite::value_variants() {
            let typed = suite.to_possible_value().unwrap();
            assert_eq!(typed.get_name(), suite.name());
        }
    }

    #[test]
    fn numbers_that_can_only_fail_or_contradict_each_other_are_refused() {
        for words in [["--samples", "0"], ["--timeout", "0"]] {
            let told = typed(&words).unwrap_err().to_string();
            assert!(told.contains(words[0]), "{told}");
        }
        typed(&[]).unwrap().check().unwrap();
        typed(&["--slower", "50"]).unwrap().check().unwrap();
        let told = typed(&["--slower", "60"])
            .unwrap()
            .check()
            .unwrap_err()
            .to_string();
        assert!(told.contains("--much-slower 50 is below --slower 60"), "{told}");
    }
}
