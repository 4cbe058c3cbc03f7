//! Codes of what the Gateway API cannot say.

macro_rules! codes_of_the_gateway_api {
    ([$next:ident $($more:ident)*] $($all:tt)*) => {
        $next! { [$($more)*] $($all)*
            // The Gateway API.
            GatewayRegex "GATEWAY-REGEX" Refused High []
                "the host's paths are regular expressions in nginx; which ones an HTTPRoute takes, and in which order, is left to the implementation, so nothing of the host is written"
                "take use-regex and rewrite-target away, or allow it with --regular-expressions where the implementation takes RE2 and the longer expression first";
            GatewayRegexOrder "GATEWAY-REGEX-ORDER" Approximated Medium []
                "the host is routed by regular expressions, whose syntax and order are left to the implementation"
                "probe every path of the host before traffic moves";
            GatewayRewrite "GATEWAY-REWRITE" Refused Blocker []
                "an HTTPRoute replaces a whole path by a constant one and a host by a plain name; captures, queries and ports it cannot say"
                "rewrite in the application, or convert this host with --target istio";
            GatewayPath "GATEWAY-PATH" Refused Blocker []
                "an HTTPRoute does not take this path"
                "choose a path of unreserved characters, without doubled slashes and dot segments";
            GatewayAddresses "GATEWAY-ADDRESS-LIST" Refused Blocker [sec may]
                "addresses that nginx keeps out cannot be kept out by an HTTPRoute"
                "keep them out by a policy of the implementation, which must also refuse dot segments beside encoded slashes (..%2F), then --accept GATEWAY-ADDRESS-LIST";
            GatewayBackend "GATEWAY-BACKEND" Refused High []
                "the back end would be spoken to otherwise than nginx does: TLS without verifying cannot be said, and HTTP/2 is for the Service to say"
                "for TLS write a BackendTLSPolicy with its authority; for gRPC set appProtocol: kubernetes.io/h2c on the Service's port";
            GatewayBalancing "GATEWAY-BALANCING" Dropped Medium []
                "affinity, hashing, ways of balancing, retries and times to connect are left to the implementation"
                "say them in a policy of the implementation where they matter";
            GatewayPassthrough "GATEWAY-PASSTHROUGH" Refused High []
                "TLS that is passed through needs a TLSRoute, which is not written"
                "write a TLSRoute, or convert this host with --target istio";
            GatewayWildcard "GATEWAY-WILDCARD" Approximated Medium []
                "names with more than one label before the wildcard's domain are served too; in nginx the wildcard stands for one label"
                "nothing needs to be done, unless such names resolve to the gateway";
            GatewayHostClosed "GATEWAY-HOST-CLOSED" Refused High []
                "something of this host that is refused can be asked for in spellings that an HTTPRoute cannot close, so nothing of the host is served"
                "keep what is refused in another way, or give it a host of its own";
            GatewayCors "GATEWAY-CORS" Dropped Medium []
                "origins with a wildcard are left out: here they would stand for any number of labels"
                "name the origins";
            GatewayCanary "GATEWAY-CANARY" Dropped Medium []
                "the canary is not chosen by cookie or by pattern, which only regular expressions could say"
                "choose by the value of a header, or allow it with --regular-expressions";
            GatewayStatus "GATEWAY-STATUS" Approximated Info []
                "where nginx itself answers /healthz of hosts that nobody has with 200, an error is answered"
                "point load balancers at the gateway's own state";
            GatewayListeners "GATEWAY-LISTENERS" Approximated High []
                "a Gateway has 64 listeners at most, so the certificates are divided among several Gateways"
                "give all of them one address, as the implementation demands";
        }
    };
}
