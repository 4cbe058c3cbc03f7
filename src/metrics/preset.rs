//! What exporters call things, and which of their answers are errors.

use crate::rollout::spec::Preset;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The labels of one series.
pub(crate) type Labels<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// What an exporter calls things.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The counter of requests.
    pub requests: &'static str,
    /// The buckets of the duration histogram.
    pub buckets: &'static str,
    /// Multiplies a bound to make it milliseconds.
    pub to_ms: f64,
    /// The label of the response code.
    pub code: &'static str,
    /// The further labels that say how a request ended.
    pub outcome: &'static [&'static str],
    /// Matchers that always apply, unless the ask has its own for the label.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Labels that tell one exporting process from another; those that a scrape configuration leaves out are empty.
    pub exporter: &'static [&'static str],
    /// Labels whose series are dropped by the exporter on their own while it lives: kept apart, so that their
    /// leaving does not look like a counter that fell.
    pub apart: &'static [&'static str],
}

const ISTIO: Facts = Facts {
    requests: "istio_requests_total",
    buckets: "istio_request_duration_milliseconds_bucket",
    to_ms: 1.0,
    code: "response_code",
    outcome: &["response_flags", "request_protocol", "grpc_response_status"],
    fixed: &[("reporter", "destination")],
    exporter: &["pod", "instance"],
    apart: &[],
};

const ISTIO_GATEWAY: Facts = Facts {
    fixed: &[("reporter", "source")],
    ..ISTIO
};

const INGRESS_NGINX: Facts = Facts {
    requests: "nginx_ingress_controller_requests",
    buckets: "nginx_ingress_controller_request_duration_seconds_bucket",
    to_ms: 1000.0,
    code: "status",
    outcome: &[],
    fixed: &[],
    exporter: &["pod", "instance", "controller_pod"],
    // Scraped without honorLabels the Ingress's namespace is called exported_namespace.
    apart: &["namespace", "exported_namespace", "ingress"],
};

impl Preset {
    /// What this exporter calls things.
    pub const fn facts(self) -> &'static Facts {
        match self {
            Self::Istio => &ISTIO,
            Self::IstioGateway => &ISTIO_GATEWAY,
            Self::IngressNginx => &INGRESS_NGINX,
        }
    }
}

impl Facts {
    /// Whether requests that ended like this are errors; `None` when the labels do not say how they ended.
    ///
    /// Errors are: a 5xx; no response at all (code 0); a response that the proxy made up or broke off because it
    /// had no route, no healthy upstream or no connection (flags NR, UH, UF, UC, URX); gRPC 2, 4, 8 and 12–15.
    /// 499 and other 4xx are the client's doing, and so is code 0 with the flag DC alone: the client hung up, which
    /// nginx calls 499. A handshake that was answered with 101 succeeded, however the connection ended.
    pub(crate) fn is_error(&self, labels: &Labels<'_>) -> Option<bool> {
        let label = |name: &str| labels.get(name).map_or("", AsRef::as_ref);
        let code = Code::read(label(self.code))?;
        if code == Code::Class(1) {
            return Some(false);
        }
        let flags = || label("response_flags").split(',').map(str::trim);
        if flags().any(|flag| matches!(flag, "NR" | "UH" | "UF" | "UC" | "URX")) {
            return Some(true);
        }
        Some(match code {
            Code::None => !flags().any(|flag| flag == "DC"),
            Code::Class(5) => true,
            Code::Class(_) => {
                label("request_protocol") == "grpc"
                    && matches!(
                        label("grpc_response_status"),
                        "2" | "4" | "8" | "12" | "13" | "14" | "15"
                    )
            }
        })
    }
}

/// A response code, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// There was no response.
    None,
    /// The first digit: 5 for 503, and for `5xx`.
    Class(u8),
}

impl Code {
    fn read(text: &str) -> Option<Self> {
        if matches!(text, "0" | "000" | "-") {
            return Some(Self::None);
        }
        match text.as_bytes() {
            [first @ b'1'..=b'9', rest @ ..]
                if rest.len() == 2 && rest.iter().all(|b| b.is_ascii_digit() || *b == b'x') =>
            {
                Some(Self::Class(first - b'0'))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&'static str, &'static str)]) -> Labels<'static> {
        pairs.iter().map(|&(k, v)| (k.into(), v.into())).collect()
    }

    fn istio(code: &'static str, flags: &'static str) -> Option<bool> {
        ISTIO.is_error(&labels(&[("response_code", code), ("response_flags", flags)]))
    }

    #[test]
    fn a_5xx_no_response_and_the_proxys_own_answers_are_errors() {
        for (code, flags) in [
            ("500", "-"),
            ("503", "UH"),
            ("404", "NR"),
            ("0", "-"),
            ("0", "UF,URX"),
            ("0", "DC,UC"),
            ("200", "UC"),
        ] {
            assert_eq!(istio(code, flags), Some(true), "{code} {flags}");
        }
    }

    #[test]
    fn what_the_client_did_is_no_error() {
        for (code, flags) in [
            ("200", "-"),
            ("404", "-"),
            ("499", "-"),
            ("429", "RL"),
            ("0", "DC"),
            ("101", "UC"),
        ] {
            assert_eq!(istio(code, flags), Some(false), "{code} {flags}");
        }
    }

    #[test]
    fn grpc_fails_inside_a_200() {
        let grpc = |status| {
            ISTIO.is_error(&labels(&[
                ("response_code", "200"),
                ("response_flags", "-"),
                ("request_protocol", "grpc"),
                ("grpc_response_status", status),
            ]))
        };
        for status in ["2", "4", "8", "12", "13", "14", "15"] {
            assert_eq!(grpc(status), Some(true), "{status}");
        }
        for status in ["0", "1", "3", "5", "6", "7", "9", "10", "11", "16", ""] {
            assert_eq!(grpc(status), Some(false), "{status}");
        }
        let http = [
            ("response_code", "200"),
            ("request_protocol", "http"),
            ("grpc_response_status", "14"),
        ];
        assert_eq!(ISTIO.is_error(&labels(&http)), Some(false));
    }

    #[test]
    fn nginx_says_codes_or_classes() {
        for (status, error) in [
            ("200", false),
            ("4xx", false),
            ("499", false),
            ("5xx", true),
            ("502", true),
            ("-", true),
        ] {
            assert_eq!(
                INGRESS_NGINX.is_error(&labels(&[("status", status)])),
                Some(error),
                "{status}"
            );
        }
    }

    #[test]
    fn a_series_that_does_not_say_how_it_ended_is_not_taken_for_a_success() {
        assert_eq!(INGRESS_NGINX.is_error(&labels(&[])), None);
        assert_eq!(istio("unknown", "-"), None);
        assert_eq!(istio("", "UC"), None);
    }
}
