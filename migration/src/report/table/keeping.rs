//! Codes of security, of the controller, and of everything else.

macro_rules! codes_of_keeping {
    ([$next:ident $($more:ident)*] $($all:tt)*) => {
        $next! { [$($more)*] $($all)*
            // Security.
            AllowlistPaths "ALLOWLIST-PATHS" Refused Blocker [sec may]
                "addresses that are kept out by nginx cannot be kept out for this host or these paths by an AuthorizationPolicy"
                "use one list for every path of the host, plain paths, and no wildcard host";
            AllowlistInvalid "ALLOWLIST-INVALID" Refused Blocker [sec]
                "an address range is none; nginx denies the location"
                "correct the range";
            AllowlistTwice "ALLOWLIST-TWICE" Refused High [sec may]
                "two annotations have different lists, of which nginx takes one"
                "keep one of them; --accept ALLOWLIST-TWICE takes allowlist-source-range";
            ClientAddress "CLIENT-ADDRESS" Approximated Medium []
                "addresses are judged as the gateway sees them: behind a load balancer that hides them the policy judges the load balancer's"
                "set externalTrafficPolicy: Local, PROXY protocol or numTrustedProxies for the gateway, and test from outside";
            ClientAddressTold "CLIENT-ADDRESS-TOLD" Refused Blocker [sec may]
                "nginx is told the client's address by what is in front of it (X-Forwarded-For or the PROXY protocol); the gateway judges the address of what is in front, which may be on the list or off it for every client alike, until it is told whom to believe"
                "set meshConfig.defaultConfig.gatewayTopology (numTrustedProxies, or proxyProtocol) for the gateway, see from outside that it judges the client's address, then --accept CLIENT-ADDRESS-TOLD";
            AuthUrl "AUTH-URL" Refused Blocker [sec may]
                "requests would arrive without the check of the authentication service"
                "register the service as an extension provider of the mesh and write an AuthorizationPolicy with action CUSTOM";
            AuthBasic "AUTH-BASIC" Refused Blocker [sec may]
                "requests would arrive without a password"
                "put an authentication service behind an AuthorizationPolicy with action CUSTOM";
            AuthTls "AUTH-TLS" Refused Blocker [sec may]
                "requests would arrive without a client certificate"
                "write a Gateway server with tls mode MUTUAL and the CA in its Secret";
            AuthExtra "AUTH-DETAIL" Refused High [sec may]
                "the authentication's details are lost"
                "see the code of the authentication itself";
            RateLimit "RATE-LIMIT" Refused High [sec may]
                "requests are no longer limited for each client address"
                "limit by a rate limit service or in the application";
            Firewall "WAF" Refused Blocker [sec may]
                "requests are no longer inspected by ModSecurity"
                "put a firewall in front of the gateway";
            Satisfy "SATISFY-ANY" Refused High [sec may]
                "an address list or a password: Istio would demand both"
                "split the host in two";
            ControllerSecurity "CONTROLLER-SECURITY" Refused Blocker [sec may]
                "a control of the whole controller protects every Ingress and is not converted"
                "build it in front of the gateway, then --accept CONTROLLER-SECURITY";

            // Everything else.
            UnknownAnnotation "UNKNOWN-ANNOTATION" Dropped Medium []
                "no release of ingress-nginx that is known here has this annotation, so it does nothing"
                "correct its name, or delete it";
            AnnotationPrefix "ANNOTATION-PREFIX" Refused Blocker [sec may]
                "the annotation has the usual prefix, and the controller is said to read another: whether it protects is not certain"
                "correct --annotations-prefix, or delete the annotation";
            ForeignAnnotation "FOREIGN-ANNOTATION" Dropped Info []
                "another program reads this annotation"
                "see whether that program has to be told about the VirtualService";
            CertManager "CERT-MANAGER" Dropped High []
                "cert-manager renews the certificate because of this Ingress; once it is deleted nobody does"
                "write a Certificate of your own, with its Secret in the gateway's namespace";
            ExternalDns "EXTERNAL-DNS" Dropped Medium []
                "external-dns keeps the names because of this Ingress; once it is deleted it deletes them"
                "let external-dns read the Gateway, or annotate the gateway's Service";
            ManagedElsewhere "MANAGED-ELSEWHERE" Dropped Medium []
                "Helm, a GitOps tool or another object owns the Ingress and will write it again"
                "change it there too";
            InertAnnotation "INERT-ANNOTATION" Dropped Info []
                "without the annotation that it belongs to it does nothing"
                "delete it";
            InvalidValue "INVALID-VALUE" Dropped Medium []
                "nginx cannot read the value and takes its default"
                "correct it, or delete it";
            NoCounterpart "NO-COUNTERPART" Dropped Info []
                "Istio's gateway does this anyway, does it otherwise, or has no use for it"
                "nothing needs to be done";

            // The controller.
            ControllerDefaults "CONTROLLER-DEFAULTS" Approximated Info []
                "no ConfigMap of the controller was read, so its defaults are assumed"
                "hand in the ConfigMap and the Deployment of the controller";
            ControllerAmbiguous "CONTROLLER-AMBIGUOUS" Refused Blocker [sec may]
                "the controller's settings are not certain: its ConfigMap is missing, several could be meant, or what may say them cannot be read; it may protect everything"
                "correct what cannot be read, hand in one controller with its ConfigMap, or name them with --controller-config NAMESPACE/NAME and --ingress-class";
            NamespaceSelector "NAMESPACE-SELECTOR" Refused Blocker [may]
                "the controller serves only namespaces with certain labels, which are not read: what nginx does not serve would be served"
                "convert the namespaces that have the labels in batches of their own, then --accept NAMESPACE-SELECTOR";
            ControllerSetting "CONTROLLER-SETTING" Dropped Medium []
                "this setting of the controller is not converted"
                "see whether it matters to you";
            // Not `sec`: nobody asked for a limit, and refusing it would refuse every Ingress of every cluster. One that
            // an Ingress asks for is BODY-LIMIT, which is refused.
            BodyLimitDefault "BODY-LIMIT-DEFAULT" Dropped High []
                "nginx answers 413 to bodies above its default (1m unless set), and at Istio's gateway nobody does: a bound is lost as with BODY-LIMIT, but as no Ingress asked for it, and every one would be refused, it is only told"
                "limit bodies in the applications where that matters; `migrate probe --suite limits` shows it";
            StatusPaths "CATCH-ALL-STATUS" Approximated Info []
                "where no Ingress serves the hosts that nobody has, nginx still answers /healthz there with 200; the gateway does not"
                "point load balancers at the gateway's own port for its state, 15021 with /healthz/ready";
            NoCertificate "TLS-WITHOUT-CERTIFICATE" Approximated Medium []
                "nginx also speaks TLS for hosts that have no certificate, with its default one; without --default-certificate the gateway does not"
                "name the default certificate with --default-certificate NAMESPACE/NAME if somebody uses such hosts over TLS";
            MergeSlashes "MERGE-SLASHES" Approximated Medium []
                "nginx takes // as / and decodes every octet when it compares paths; Istio does the former only with pathNormalization MERGE_SLASHES, keeps encoded slashes and reserved characters, takes an octet beyond ASCII for three characters, and lets .. take an empty segment between slashes"
                "set meshConfig.pathNormalization.normalization to MERGE_SLASHES";
            RetryDefault "RETRY-DEFAULT" Approximated Low []
                "nginx sends a request to another endpoint, three tries in all, where a connection fails, and, unless it is POST, LOCK or PATCH, also where the answer breaks or takes too long; every route of a VirtualService says the first alone, as Istio's own custom would repeat POST too, and an HTTPRoute leaves it to the implementation"
                "where a GET has to outlive the end of its pod, let pods end only when nothing is asked of them (preStop), or add reset to the route's retryOn if repeating any method is harmless";
            ForwardedHeaders "FORWARDED-HEADERS" Approximated Low []
                "back ends no longer get X-Real-IP, X-Scheme, X-Forwarded-Host, X-Forwarded-Port and X-Original-Forwarded-For; X-Forwarded-For and X-Forwarded-Proto stay"
                "set them in the VirtualService where an application reads them";
            UnderscoreHeaders "UNDERSCORE-HEADERS" Approximated Low []
                "nginx drops request headers with an underscore in their name; Istio passes them on"
                "drop them in applications that would trust them";
            GatewayLarge "GATEWAY-LARGE" Approximated High []
                "the Gateway has so many hosts that it comes near the size that the API server takes"
                "convert in batches, each with a Gateway of its own";
        }
    };
}
