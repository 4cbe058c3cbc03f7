//! Everything that `probe` can find.

use crate::finding::Severity;
use Severity::{Blocker, Info, Warning};

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable; what people search for.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($constant:ident $name:literal $severity:ident $meaning:literal $remedy:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Code = Code {
                name: $name, severity: $severity, meaning: $meaning, remedy: $remedy,
            };
        )*
        /// All of them.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    REFUSED "PROBE-REFUSED" Blocker
        "One side speaks no HTTP where the other does: nobody listens, or TLS is refused."
        "see that the Gateway has a server for the host and scheme, and its certificate";
    STATUS "PROBE-STATUS" Blocker
        "The sides answer with different statuses."
        "see which route has the path: run `convert` and read its report on the host";
    LOCATION "PROBE-LOCATION" Blocker
        "Both redirect, to different places."
        "compare the redirect's annotation with the route's redirect";
    BACKEND "PROBE-BACKEND" Blocker
        "Different back ends answer, by the header that names them, or only one side's answer has it."
        "see which route has the path: another one may come first; where a proxy answers by itself for a back end that fails, name another header with --backend-header";
    BACKEND_UNTOLD "PROBE-BACKEND-UNTOLD" Warning
        "No answer says which back end gave it: statuses, redirects and headers were compared, and a wrong Service with the same ones was not seen."
        "have the applications send a header with their name (x-backend, or another with --backend-header) and ask again, or compare the Services in the routes by hand";
    HEADER "PROBE-HEADER" Warning
        "A header of the answer that clients act on differs."
        "add it to the route, or agree that it may go";
    LATE "PROBE-LATE" Blocker
        "One side did not answer in time."
        "see that the back end answers, or give it more --timeout";
    CUT_OFF "PROBE-CUT-OFF" Blocker
        "A body does not arrive whole, or not in time, and the other side's does, or fails otherwise."
        "ask for it with curl at both addresses; see the gateway's access log (response flags) and its time-outs, or give a body that is only slow more --timeout";
    CUT_OFF_BOTH "PROBE-CUT-OFF-BOTH" Warning
        "Neither side's body arrives whole: an answer without end, as a stream of events, or a back end that breaks off. Heads were compared, the rest was not."
        "see that it is meant to be so; give a body that is only slow more --timeout";
    HUNG "PROBE-HUNG" Blocker
        "One side answers nothing at all: question after question ran out of time, and so did one for a host that nobody has. No more is asked, of the other side neither."
        "see that its pods take requests, and ask again";
    UNASKED "PROBE-UNASKED" Blocker
        "A question was not asked, as a side had been given up before (PROBE-HUNG): nothing is known of it."
        "ask again when that side answers";
    FLAKY "PROBE-FLAKY" Blocker
        "nginx answers a question twice alike, and the gateway fails it once."
        "see the gateway's pods and its access log, then ask again: users would meet the failure too";
    UNSTABLE "PROBE-UNSTABLE" Warning
        "Answers to one question change, nginx's among them or in a header only, so nothing can be compared."
        "ask when nothing is being rolled out, and see that the back ends agree with each other: no mark is written for such a host";
    FORESEEN "PROBE-FORESEEN" Warning
        "The sides differ as the models of both say they would: what `convert` writes answers so."
        "read what `convert` reports on the host; refuse it with --strict";
    NO_ENVOY "PROBE-NO-ENVOY" Warning
        "No answer of the gateway's side shows anything of Envoy: what answers there may be nginx by another address."
        "see that --istio is the gateway's address; where it hides its headers there is nothing to do";
    NO_BACKEND "PROBE-NO-BACKEND" Blocker
        "No path of an Ingress was answered by a back end on both sides: both may be dead, and dead sides are alike; or its guard answered each time, and nobody behind it. It gets no mark."
        "see that its pods are ready and that both addresses are those of the data planes, and ask again; where its guard answers by itself, ask from an address that it lets in, or agree with --accept PROBE-NO-BACKEND";
    CROSS_TENANT "PROBE-CROSS-TENANT" Blocker
        "The gateway serves a host over a connection that was made for another tenant's, whose certificate does not stand for it."
        "give the tenants servers and certificates of their own";
    REUSED "PROBE-REUSED" Blocker
        "The gateway does not serve a host over a connection that was made for another, whose certificate stands for both: browsers use one for both."
        "have both hosts in one server of the Gateway, by one Secret, or give each a certificate of its own name alone";
    STRANGER "PROBE-STRANGER" Blocker
        "The gateway serves a host that nobody has, and nginx does not."
        "look for a VirtualService with the host *";
    HTTP_2 "PROBE-HTTP2" Blocker
        "HTTP/2 is spoken by nginx and not by the gateway, or not agreed on with it in the handshake (ALPN)."
        "see that the Gateway's server is HTTPS, and that nothing switches HTTP/2 off";
    WEBSOCKET "PROBE-WEBSOCKET" Blocker
        "A request to upgrade to WebSocket is answered differently."
        "see that the route takes upgrades, and has no condition that the page itself does not meet";
    GRPC "PROBE-GRPC" Blocker
        "A gRPC call is answered differently."
        "see the Service's appProtocol, or the DestinationRule's h2UpgradePolicy";
    CERTIFICATE_NAMES "PROBE-CERTIFICATE-NAMES" Blocker
        "The gateway's certificate has not the host's name."
        "see the server's credentialName, and the names in the certificate";
    CERTIFICATE_ENDED "PROBE-CERTIFICATE-ENDED" Blocker
        "The gateway's certificate has ended."
        "renew it, and the copy in the gateway's namespace";
    CERTIFICATE_OTHER "PROBE-CERTIFICATE-OTHER" Info
        "The gateway's certificate is another one than nginx's."
        "nothing needs to be done if its names and its end are right; clients that pin it will notice";
    CORS "PROBE-CORS" Blocker
        "A preflight is answered so that browsers act differently."
        "compare the cors annotations with the route's corsPolicy";
    PREFLIGHT "PROBE-PREFLIGHT" Warning
        "An address list keeps the probe out, so what browsers on the list get was not seen. nginx answers a preflight before it looks at the address that it comes from, and the gateway refuses it with the request behind it: who is not on the list is told no one step earlier."
        "nothing needs to be done for who is not on the list; ask from an address on it to see what its browsers get";
    OPEN "PROBE-OPEN" Blocker
        "The gateway passes on without credentials what nginx guards, whatever the application answers."
        "take the route away at once, and give it the guard back";
    GUARD_UNASKED "PROBE-GUARD-UNASKED" Warning
        "An Ingress has a guard, its own or its controller's, of which nothing is known at the gateway: nginx lets the question through, there is no host to ask for, or a back end says no by itself."
        "ask from where the guard keeps out, an address that is not on the list, or test it by hand: no mark of the edge is written";
    LIMIT "PROBE-LIMIT" Warning
        "nginx refuses a body for its size, and the gateway lets it come."
        "limit it in the application or by an EnvoyFilter, or agree that it may go; refuse it with --strict";
    LIMIT_UNASKED "PROBE-LIMIT-UNASKED" Warning
        "nginx limits how often or by how many a host is asked; it would take a flood to ask the gateway for that."
        "see that the gateway has a limit, or agree that it may go";
    SLOWER "PROBE-SLOWER" Warning
        "The gateway's 95th percentile is more than the limit above nginx's."
        "look at the gateway's CPU, connection pools and retries";
    MUCH_SLOWER "PROBE-MUCH-SLOWER" Blocker
        "The gateway's 95th percentile is more than the second limit above nginx's."
        "look at the gateway's CPU, connection pools and retries";
    NO_SAMPLES "PROBE-NO-SAMPLES" Blocker
        "No answer could be timed: on no host both sides answered without an error."
        "see that the hosts are served at both addresses, and ask again";
    TIMED "PROBE-TIMED" Info
        "So many answers were timed, with these 95th percentiles."
        "nothing needs to be done";
}
