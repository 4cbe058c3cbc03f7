//! Codes of back ends, TLS and traffic.

macro_rules! codes_of_serving {
    ([$next:ident $($more:ident)*] $($all:tt)*) => {
        $next! { [$($more)*] $($all)*
            // Back ends.
            ServiceMissing "SERVICE-MISSING" Refused Blocker [may]
                "nginx answers 503: the Service is not among what was read"
                "hand in the Service too; with --accept a port that is given by number is taken as it stands";
            PortMissing "PORT-MISSING" Refused Blocker []
                "the Service has no such port, by name, number or target port"
                "correct the port";
            PortTarget "PORT-TARGET" Converted Info []
                "the port is a target port of the Service; the Service's own port is used"
                "nothing needs to be done";
            ExternalName "EXTERNAL-NAME" Refused Medium []
                "the Service is of type ExternalName, which Istio serves only with a ServiceEntry"
                "write a ServiceEntry for the name, and point the path at a Service with endpoints";
            ResourceBackend "RESOURCE-BACKEND" Refused Blocker []
                "ingress-nginx skips resource back ends and serves its default back end"
                "use a Service";
            BackendMissing "BACKEND-MISSING" Refused Blocker []
                "the path has no back end that can be understood"
                "name a Service and its port";
            DefaultBackendUnused "DEFAULT-BACKEND-UNUSED" Dropped Info []
                "an older Ingress or an explicit path decides for the root of every host of this Ingress, and a rule without host takes no default back end, as in nginx"
                "nothing needs to be done";
            BackendConflict "BACKEND-CONFLICT" Refused High []
                "two Ingresses speak different protocols to the same port of a Service; a DestinationRule can only say one"
                "give one of them a Service of its own";
            BalanceConflict "BALANCE-CONFLICT" Approximated Medium []
                "two Ingresses balance the same port of a Service differently; the older one decides"
                "give one of them a Service of its own";
            BackendHttp2 "BACKEND-HTTP2" Approximated High []
                "the Service's port says HTTP/2, by its name or its appProtocol, so the gateway speaks HTTP/2 to it; nginx does not look at either, and speaks HTTP/1.1 without backend-protocol GRPC: a back end that knows no HTTP/2 in clear answers nothing"
                "probe the path before traffic moves; where the back end speaks HTTP/1.1 give the port a name that begins with http, and no appProtocol; where gRPC is meant set backend-protocol: GRPC";
            ProtocolUnknown "PROTOCOL-UNKNOWN" Converted Info []
                "nginx does not know this back-end protocol and speaks HTTP, WebSocket upgrades included; so does the result, without a time limit"
                "nothing needs to be done";
            ProtocolUnsupported "PROTOCOL-UNSUPPORTED" Refused Blocker []
                "Istio's gateway speaks neither FastCGI nor whatever the client spoke"
                "serve HTTP from the back end";
            UpstreamUnverified "UPSTREAM-UNVERIFIED" Converted Info []
                "the back end's certificate is not verified, as before"
                "verify it: set credentialName and subjectAltNames in the DestinationRule";
            UpstreamTls "UPSTREAM-TLS" Refused High [sec may]
                "nginx verifies the back end's certificate or shows one of its own; that is not converted"
                "write the DestinationRule's tls yourself, with the Secret in the gateway's namespace";
            UpstreamTlsDetail "UPSTREAM-TLS-DETAIL" Dropped Low []
                "the detail of TLS towards the back end is not kept"
                "nothing needs to be done, unless the back end insists on it";
            VhostInvalid "UPSTREAM-VHOST-VARIABLE" Refused Blocker []
                "the Host for the back end is made of nginx variables"
                "write a constant host";

            // TLS.
            SecretMissing "TLS-SECRET-MISSING" Approximated High []
                "the Secret is not among what was read; where it does not exist nginx shows its default certificate, Istio refuses the handshake"
                "hand in the Secret, or make sure that it exists before anything is applied";
            SecretInvalid "TLS-SECRET-INVALID" Approximated High []
                "the Secret holds no certificate and key; nginx shows its default certificate"
                "fill the Secret";
            SecretGuessed "TLS-SECRET-BY-NAME" Approximated Medium []
                "no tls entry names this host; nginx looks for a certificate that has it, here a wildcard among the tls hosts was taken"
                "name the host in spec.tls";
            DefaultCertificate "TLS-DEFAULT-CERTIFICATE" Approximated High []
                "nginx serves this host over TLS with its default certificate; without --default-certificate no HTTPS server is written"
                "give the host a certificate, or name the default one with --default-certificate NAMESPACE/NAME";
            RedirectNowhere "TLS-REDIRECT-NOWHERE" Refused Blocker [may]
                "http is redirected to https, and the gateway would have no HTTPS server for the host: nginx shows its default certificate there, and which one that is is not known"
                "name a Secret in spec.tls, or the default certificate with --default-certificate NAMESPACE/NAME; where another Gateway has the host over TLS, --accept TLS-REDIRECT-NOWHERE";
            TlsIgnored "TLS-OLDER-DECIDES" Dropped Medium []
                "an older Ingress decides about the certificate of this host, as in nginx"
                "use the same Secret in every Ingress of the host";
            TlsCiphers "TLS-CIPHERS" Dropped Medium []
                "the list of ciphers is not converted, or not for this host: the gateway takes its own, and a client with a cipher that the list leaves out, or that the gateway does not know, is answered otherwise than by nginx"
                "name them, one by one and as OpenSSL does, in tls.cipherSuites of the Gateway's server that has the host; hosts of one certificate share a server, and those of TLS 1.3 cannot be chosen";
            TlsCiphersPart "TLS-CIPHERS-PART" Approximated Low []
                "the list of ciphers is in tls.cipherSuites without those that Envoy does not know, which are named; a client that has no other cannot connect. Those of TLS 1.3 are chosen neither by nginx's list nor by Istio's"
                "look for clients with nothing else, or agree that they cannot connect";
            TlsHostUnused "TLS-HOST-UNUSED" Dropped Info []
                "no rule has this host, so no server is written for it"
                "nothing needs to be done";
            Passthrough "SSL-PASSTHROUGH" Refused High [sec]
                "TLS that is passed through needs the controller's flag --enable-ssl-passthrough, which is not known here"
                "hand in the controller's Deployment or --controller-flag enable-ssl-passthrough; then it is converted";
            PassthroughInert "SSL-PASSTHROUGH-INERT" Dropped Info []
                "the controller runs without --enable-ssl-passthrough, so the annotation does nothing"
                "delete the annotation";
            PassthroughRoot "SSL-PASSTHROUGH-ROOT" Refused Blocker []
                "TLS of this host is passed through to the back end of /, and no Ingress has that path: nothing would be served"
                "add the path /, or take the annotation away";
            PassthroughYounger "SSL-PASSTHROUGH-YOUNGER" Dropped Medium []
                "an older Ingress of the host does not pass TLS through, and decides, as in nginx"
                "delete the annotation, or set it in the oldest Ingress";
            PassthroughAllowlist "SSL-PASSTHROUGH-ALLOWLIST" Refused High []
                "on one gateway an address list of any host denies connections that are passed through, as they show no host"
                "convert the hosts that pass TLS through in a batch of their own, with a Gateway on other pods";
            PassthroughPath "SSL-PASSTHROUGH-PATH" Converted Medium []
                "TLS that is passed through has no paths: the back end of / gets everything, and this path is served or redirected in clear alone, as in nginx"
                "let the back end tell paths apart";
            PassthroughClear "SSL-PASSTHROUGH-CLEAR" Approximated High [sec]
                "beside TLS that is passed through neither an address list nor TLS to the same back end can be said on one gateway, so this path, which nginx also serves in clear, answers 503 there"
                "redirect it with force-ssl-redirect, or take away what is named, which does nothing for TLS that is passed through";
            PassthroughWildcard "SSL-PASSTHROUGH-WILDCARD" Refused High [may]
                "nginx compares the names of passthrough letter by letter, so for a wildcard it passes nothing through and ends TLS itself; the gateway would pass through every name under it, those of other hosts too"
                "name the hosts one by one; where TLS may end at the gateway, as it does at nginx now, --accept SSL-PASSTHROUGH-WILDCARD";
            SameCertificate "TLS-SAME-CERTIFICATE" Approximated High []
                "the same certificate is in Secrets of several Ingresses, so its hosts are in several servers: browsers use one connection for all hosts of a certificate, and get 404 for those of another server"
                "have the certificate in the gateway's namespace, or as the controller's default: then one server shows it for all; or give each host a certificate of its own name";
            ForceSslTrust "FORCE-SSL-TRUST" Approximated High []
                "requests are redirected where x-forwarded-proto says http; the gateway overwrites that header unless it trusts the load balancer in front"
                "set numTrustedProxies for the gateway, or give the host a certificate";
            SlashStrip "SSL-REDIRECT-SLASH" Approximated Info []
                "nginx strips a trailing slash when it redirects to https; here it stays"
                "nothing needs to be done";
            RedirectCode "REDIRECT-CODE" Approximated Medium []
                "Istio redirects with 301, 302, 303, 307 and 308 only; the default code is used"
                "choose one of them";
            RedirectVariable "REDIRECT-VARIABLE" Refused Medium []
                "the address has nginx variables beside $request_uri right behind its host, or is none"
                "write a constant address, or a VirtualService of your own";
            RedirectQuery "REDIRECT-QUERY" Approximated Low []
                "the request's query is kept in the address; nginx drops it"
                "nothing needs to be done, unless the target minds";
            WwwRedirect "WWW-REDIRECT" Approximated Medium []
                "the other name is redirected; its certificate must cover both names"
                "check that the certificate covers both";
            WwwPassthrough "WWW-REDIRECT-PASSTHROUGH" Dropped Medium []
                "TLS of this host is passed through, so nobody could redirect the other name"
                "let the back end redirect";
            WwwTaken "WWW-REDIRECT-TAKEN" Dropped Info []
                "the other name is a host of its own, so nginx redirects nothing"
                "delete the annotation";
            AliasInvalid "SERVER-ALIAS" Dropped Medium []
                "an alias that is a regular expression or no host name, or that is a host of its own, is left out"
                "write a rule for the name";

            // Traffic.
            IdleTimeout "IDLE-TIMEOUT" Approximated Medium []
                "nginx cuts a connection on which nothing moved for this long; a VirtualService cannot say that, and none is cut"
                "nothing needs to be done for longer times than 60s; otherwise set idle_timeout by EnvoyFilter";
            RetryCondition "RETRY-CONDITION" Dropped Medium []
                "retries by status are left out: Envoy would repeat POST too"
                "add them to the route's retries where repeating is harmless";
            BodyLimit "BODY-LIMIT" Refused Medium [sec may]
                "nginx answers 413 to larger bodies; a VirtualService has no limit at all, so nobody would enforce the one that was asked for, nor the controller's, be it more or less"
                "limit bodies in the application or by EnvoyFilter, then --accept BODY-LIMIT";
            Buffering "BUFFERING" Dropped Info []
                "nginx's buffers have no counterpart"
                "nothing needs to be done";
            HashExpression "HASH-EXPRESSION" Dropped Medium []
                "the expression by which requests are spread cannot be said in a DestinationRule"
                "hash by source address, one header, one cookie or one query parameter";
            BalanceUnknown "LOAD-BALANCE" Dropped Low []
                "nginx does not know this way of balancing"
                "use round_robin or ewma";
            AffinityReset "AFFINITY-RESET" Approximated Medium []
                "cookies that nginx gave mean nothing to Istio: every session is placed anew once"
                "announce it, or move when few are logged in";
            AffinityDetail "AFFINITY-DETAIL" Dropped Low []
                "this detail of the session cookie is not kept"
                "nothing needs to be done";
            AffinityCanary "AFFINITY-CANARY" Approximated High []
                "nginx keeps a session on the arm that it came to first, whatever weight, header and cookie say later; here the arm is chosen anew for each request, so one session meets both versions"
                "end the canary, or take the affinity away, before traffic moves; or make sure that both versions know each other's sessions";
            CanarySecond "CANARY-SECOND" Dropped High []
                "only the oldest canary of a back end counts, as in nginx"
                "delete the other one";
            CanaryUnmatched "CANARY-UNMATCHED" Dropped Medium []
                "no other Ingress has this host and path, so nginx ignores the canary"
                "delete it, or correct host, path and pathType";
            CanaryPrimary "CANARY-PRIMARY" Dropped High []
                "the canary's Service and port serve a path by themselves, so nginx sends no share to it; nor does the result"
                "give the canary a Service of its own";
            CanarySpread "CANARY-SPREAD" Converted High []
                "in nginx a canary hangs on the back end: other paths with the same Service and port are split too; so they are here"
                "give the path a Service of its own if that is not meant";
            CanaryTotal "CANARY-TOTAL" Converted Low []
                "nginx ignores a weight total below 100 and splits by 100; so does the result"
                "nothing needs to be done";
            CanaryIgnored "CANARY-ANNOTATION" Dropped Info []
                "a canary's own annotations do nothing in nginx; those of the other Ingress count"
                "nothing needs to be done";
            Mirror "MIRROR" Dropped Medium []
                "requests are not mirrored"
                "add mirrors to the VirtualService's route";
            HeaderInvalid "HEADER-INVALID" Refused Blocker []
                "a header's name or value cannot be said in a VirtualService"
                "correct the header";
            CustomHeaders "CUSTOM-HEADERS" Refused Blocker []
                "the ConfigMap with the headers is not among what was read, or has a header that the controller does not allow"
                "hand in the ConfigMap, and name its headers in global-allowed-response-headers";
            CorsStar "CORS-ANY-ORIGIN" Approximated Low []
                "nginx answers every origin with *, to which browsers send no credentials; Envoy answers with the origin itself, so credentials are switched off"
                "name the origins if credentials are needed";
            CorsValue "CORS-VALUE" Dropped Low []
                "Istio does not take this method, header or origin, so it is left out"
                "correct the value";
            CorsPreflight "CORS-PREFLIGHT" Approximated Low []
                "preflights are answered 200 instead of 204"
                "nothing needs to be done";
            CacheHeaders "SNIPPET-CACHE" Dropped Low []
                "the snippet's cache headers for some file names are left out"
                "send them from the application";
            Snippet "SNIPPET" Refused Blocker [sec may]
                "the snippet has directives whose meaning is not known here; they may protect the route"
                "say it in Istio's terms, then --accept SNIPPET; where the controller takes no snippets, hand in its Deployment, or its ConfigMap with allow-snippet-annotations: \"false\"";
            SnippetInert "SNIPPET-INERT" Dropped Info []
                "the controller does not allow snippets, so it does nothing"
                "delete the annotation";
            SnippetHarmless "SNIPPET-HARMLESS" Dropped Low []
                "the snippet sets sizes and times that have no counterpart, or says what the gateway does anyway: upgrades of connections, the client's host, scheme and address"
                "nothing needs to be done";
            ProxyRedirect "RESPONSE-REWRITE" Dropped Medium []
                "addresses and cookies in responses are not rewritten"
                "send the right ones from the application";
            ErrorPages "ERROR-PAGES" Dropped Medium []
                "errors are answered by the back end or by Envoy, not by the service for error pages"
                "send error pages from the application";
        }
    };
}
