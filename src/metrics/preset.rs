//! What exporters call things.
//!
//! Names, labels and units as the exporters' own sources and pages have them; `docs/metrics.md` shows the PromQL that
//! comes of them.

use crate::rollout::spec::{ArmMetrics, ArmSource, Preset, Unit};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The labels of one series.
pub(crate) type Labels<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// What an exporter calls things. A label that it does not have is empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts<'a> {
    /// The counter of requests.
    pub requests: &'a str,
    /// The histogram of durations: the name of its buckets, or a native one's own; empty when there is none.
    pub buckets: &'a str,
    /// Multiplies a bound to make it milliseconds.
    pub to_ms: f64,
    /// The label of the response code.
    pub code: &'a str,
    /// The label of Envoy's response flags.
    pub flags: &'a str,
    /// Where the gRPC status is.
    pub grpc: Grpc<'a>,
    /// The label and value of a request that was never answered and therefore has no code.
    pub unanswered: Option<(&'static str, &'static str)>,
    /// The label and value of a connection that was handed over to its two ends, whose code was not written down.
    pub handed_over: Option<(&'static str, &'static str)>,
    /// Matchers that always apply, unless the ask has its own for the label.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Labels that tell one exporting process from another; those that a scrape configuration leaves out are empty.
    pub exporter: &'static [&'static str],
    /// Labels whose series are dropped by the exporter on their own while it lives: kept apart, so that their
    /// leaving does not look like a counter that fell.
    pub apart: &'static [&'static str],
    /// Matchers on durations that leave out connections which last as long as people like, beside 1xx.
    pub lasting: &'static [(&'static str, &'static str)],
    /// Whether durations carry the response code, so that 1xx can be left out.
    pub timed_by_code: bool,
}

/// Where an exporter says how a gRPC call ended: its HTTP code is 200 whatever happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grpc<'a> {
    /// Nowhere: failed calls cannot be told from others.
    Unknown,
    /// In a label of its own.
    Label {
        /// That label.
        status: &'a str,
        /// The label that must say `grpc`, or the status means nothing; empty when there is no such label.
        protocol: &'a str,
    },
    /// In the code, when this label says `grpc` or `grpc-web`.
    InCode {
        /// That label.
        protocol: &'a str,
    },
}

const ISTIO: Facts<'_> = Facts {
    requests: "istio_requests_total",
    buckets: "istio_request_duration_milliseconds_bucket",
    to_ms: 1.0,
    code: "response_code",
    flags: "response_flags",
    grpc: Grpc::Label {
        status: "grpc_response_status",
        protocol: "request_protocol",
    },
    unanswered: None,
    handed_over: None,
    fixed: &[("reporter", "destination")],
    exporter: &["pod", "instance"],
    apart: &[],
    lasting: &[],
    timed_by_code: true,
};

const ISTIO_GATEWAY: Facts<'_> = Facts {
    fixed: &[("reporter", "source")],
    ..ISTIO
};

/// What the others have in common.
const PLAIN: Facts<'_> = Facts {
    requests: "",
    buckets: "",
    to_ms: 1000.0,
    code: "",
    flags: "",
    grpc: Grpc::Unknown,
    unanswered: None,
    handed_over: None,
    fixed: &[],
    exporter: &["pod", "instance"],
    apart: &[],
    lasting: &[],
    timed_by_code: true,
};

const INGRESS_NGINX: Facts<'_> = Facts {
    requests: "nginx_ingress_controller_requests",
    buckets: "nginx_ingress_controller_request_duration_seconds_bucket",
    code: "status",
    exporter: &["pod", "instance", "controller_pod"],
    // Scraped without honorLabels the Ingress's namespace is called exported_namespace.
    apart: &["namespace", "exported_namespace", "ingress"],
    ..PLAIN
};

const ENVOY: Facts<'_> = Facts {
    requests: "envoy_cluster_upstream_rq",
    // Of all requests; its `external_` and `internal_` sisters have only some of those that are counted.
    buckets: "envoy_cluster_upstream_rq_time_bucket",
    to_ms: 1.0,
    code: "envoy_response_code",
    // A cluster that is removed takes its statistics along.
    apart: &["envoy_cluster_name"],
    timed_by_code: false,
    ..PLAIN
};

const LINKERD: Facts<'_> = Facts {
    requests: "response_total",
    buckets: "response_latency_ms_bucket",
    to_ms: 1.0,
    code: "status_code",
    grpc: Grpc::Label {
        status: "grpc_status",
        protocol: "",
    },
    // A call that failed before there was a response has no status_code.
    unanswered: Some(("classification", "failure")),
    fixed: &[("direction", "inbound")],
    // A proxy forgets peers that were idle for ten minutes, each with all its series.
    apart: &[
        "authority",
        "authz_name",
        "client_id",
        "route_name",
        "srv_name",
        "target_addr",
    ],
    ..PLAIN
};

const TRAEFIK: Facts<'_> = Facts {
    requests: "traefik_service_requests_total",
    buckets: "traefik_service_request_duration_seconds_bucket",
    code: "code",
    grpc: Grpc::InCode { protocol: "protocol" },
    // Go's reverse proxy takes the connection over and never writes the code: 0.
    handed_over: Some(("protocol", "websocket")),
    apart: &["service"],
    lasting: &[("protocol", "!~websocket|sse")],
    ..PLAIN
};

impl Preset {
    /// What this exporter calls things. Of [`Preset::GatewayApi`] only the resource knows: see [`Facts::of`].
    pub const fn facts(self) -> &'static Facts<'static> {
        match self {
            Self::Istio => &ISTIO,
            Self::IstioGateway => &ISTIO_GATEWAY,
            Self::IngressNginx => &INGRESS_NGINX,
            Self::Envoy | Self::EnvoyGateway => &ENVOY,
            Self::Linkerd => &LINKERD,
            Self::Traefik => &TRAEFIK,
            Self::GatewayApi => &PLAIN,
        }
    }
}

impl<'a> Facts<'a> {
    /// What the exporter of this arm calls things.
    pub fn of(source: &'a ArmSource) -> Self {
        match &source.metrics {
            Some(named) if source.preset == Preset::GatewayApi => Self::named(named),
            Some(_) | None => *source.preset.facts(),
        }
    }

    fn named(named: &'a ArmMetrics) -> Self {
        let label = |name: &'a Option<String>| name.as_deref().unwrap_or_default();
        Self {
            requests: &named.requests,
            buckets: label(&named.buckets),
            to_ms: match named.unit {
                Some(Unit::Milliseconds) => 1.0,
                Some(Unit::Seconds) | None => 1000.0,
            },
            code: &named.code,
            flags: label(&named.flags),
            grpc: match label(&named.grpc_status) {
                "" => Grpc::Unknown,
                status => Grpc::Label { status, protocol: "" },
            },
            ..PLAIN
        }
    }

    /// The labels that say how a request ended, the code first.
    pub(crate) fn outcome(&self) -> impl Iterator<Item = &'a str> {
        let grpc = match self.grpc {
            Grpc::Unknown => ["", ""],
            Grpc::Label { status, protocol } => [protocol, status],
            Grpc::InCode { protocol } => [protocol, ""],
        };
        let seldom = [self.unanswered, self.handed_over];
        [self.code, self.flags]
            .into_iter()
            .chain(grpc)
            .chain(seldom.into_iter().flatten().map(|(label, _)| label))
            .filter(|label| !label.is_empty())
    }

    /// Whether durations come as a native histogram: one series without bounds as labels.
    pub(crate) fn is_native(&self) -> bool {
        !self.buckets.is_empty() && !self.buckets.ends_with("_bucket")
    }
}
