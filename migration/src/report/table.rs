//! The table of all codes.
//!
//! `sec`: a security control is at stake. `may`: `--accept CODE` lets the route pass without it.

use super::explanation::{Explanation, Outcome, Severity, has};

codes! {
    // Reading.
    BrokenDocument "BROKEN-DOCUMENT" Refused Blocker []
        "nothing of this document is converted"
        "correct the document at the line that is named; the other documents were read";
    BrokenObject "BROKEN-OBJECT" Refused Blocker []
        "this object is not converted"
        "correct the field that is named";
    ObjectClash "OBJECT-CLASH" Refused Blocker []
        "two objects with the same name say different things, so neither is used"
        "hand in one of them";
    SameObject "SAME-OBJECT" Dropped Info []
        "the object was read twice, with the same content"
        "nothing needs to be done";
    OtherKind "OTHER-KIND" Dropped Info []
        "this kind is not read"
        "nothing needs to be done";
    IngressVersion "INGRESS-VERSION" Refused Blocker []
        "this Ingress is not converted"
        "rewrite it as networking.k8s.io/v1; kubectl get ingress -o yaml gives that version";

    // Which Ingresses, which paths.
    OtherClass "OTHER-CLASS" Dropped Info []
        "another controller serves this Ingress"
        "nothing needs to be done, unless the class is given wrongly with --ingress-class";
    NotWatched "NOT-WATCHED" Dropped Info []
        "the controller only watches another namespace, so nginx does not serve this Ingress"
        "nothing needs to be done";
    ClassMissing "CLASS-MISSING" Dropped Medium []
        "the Ingress has no class, and the controller runs without --watch-ingress-without-class, so nginx does not serve it"
        "nothing needs to be done, unless it ought to be served: then set spec.ingressClassName";
    CatchAllDisabled "CATCH-ALL-DISABLED" Dropped Medium []
        "the controller runs with --disable-catch-all, so nginx does not serve an Ingress with a default back end"
        "nothing needs to be done, unless it ought to be served: then take spec.defaultBackend away";
    NameInvalid "NAME-INVALID" Refused Blocker []
        "a namespace or a Service has a name that Kubernetes does not take, so no object can name it"
        "correct the name";
    RuleBroken "RULE-BROKEN" Refused Blocker []
        "what would be written breaks a rule of Istio, which would refuse it or read it otherwise"
        "correct the value that is told";
    NoClass "NO-CLASS" Approximated Medium []
        "ingress-nginx serves an Ingress without class only with --watch-ingress-without-class; here it is converted"
        "set spec.ingressClassName, or leave the Ingress out";
    EmptyIngress "EMPTY-INGRESS" Dropped High []
        "the Ingress has neither rules nor a default back end, so nothing is served"
        "delete it, or complete it";
    RuleWithoutPaths "RULE-WITHOUT-PATHS" Dropped Info []
        "a rule without paths serves the default back end only"
        "nothing needs to be done";
    HostInvalid "HOST-INVALID" Refused Blocker []
        "the host is no DNS name, or has a wildcard elsewhere than in its first label"
        "correct the host";
    HostWithoutDot "HOST-WITHOUT-DOT" Refused Blocker []
        "Istio takes a host without a dot for the short name of a Service, so no client would reach it"
        "give the host its full name";
    HostShared "HOST-SHARED" Approximated Medium []
        "several namespaces share this host; its VirtualService is in the namespace of the oldest Ingress"
        "agree on who owns the host: whoever may write that VirtualService decides for all";
    WildcardDepth "WILDCARD-DEPTH" Approximated Low []
        "names with more than one label before the wildcard's domain get 404 here, as in nginx, but never the catch-all"
        "nothing needs to be done, unless such names are served by the catch-all";
    PathDuplicate "PATH-DUPLICATE" Dropped High []
        "an older Ingress has the same host and path and serves it, as in nginx"
        "delete the path from one of the two";
    PathAge "PATH-AGE" Refused Blocker [sec may]
        "two Ingresses have the same host and path and protect it differently, and which one nginx serves is not known: an age or a class is missing"
        "hand in Ingresses as kubectl get prints them, with creationTimestamp, or delete one of the two";
    PathShadowed "PATH-SHADOWED" Dropped High []
        "the path never gets a request: with regular expressions another location of the host takes all of them first"
        "delete the path, or make the two differ";
    PathInvalid "PATH-INVALID" Refused Blocker []
        "the path does not begin with a slash"
        "correct the path";
    PathEncoding "PATH-ENCODING" Refused Blocker []
        "nginx compares decoded paths, Envoy compares what is sent: this path has characters that are sent encoded"
        "choose a path of unreserved characters";
    PathLiteral "PATH-LITERAL" Approximated Low []
        "the path looks like a regular expression but is compared as it stands, as in nginx without use-regex"
        "set use-regex if a regular expression was meant";
    RegexHost "REGEX-HOST" Converted Info []
        "another Ingress of this host uses regular expressions, so nginx compares this path as a case-insensitive prefix too; so does the result"
        "nothing needs to be done; afterwards the paths can be made exact again";
    PathPcre "PATH-PCRE" Refused Blocker []
        "the path uses what only PCRE knows, and Envoy's regular expressions (RE2) cannot say"
        "write the path without look-around, back-references and possessive repetition";
    RewritePcre "REWRITE-PCRE" Refused Blocker []
        "the path that is rewritten uses what only PCRE knows, and Envoy's regular expressions (RE2) cannot say"
        "write the path without look-around, back-references and possessive repetition";
    BehindRefused "BEHIND-REFUSED" Approximated High []
        "nginx tries a path of this host first that Envoy cannot compare: requests that begin like it are answered 503, so that none gets past its protection"
        "write that path without what is refused";
    RegexLong "REGEX-LONG" Refused Blocker []
        "Istio takes regular expressions of 1024 characters at most"
        "split the path in two";
    RewriteTarget "REWRITE-TARGET" Refused Blocker []
        "the target has nginx variables, a query, another host, or no leading slash: Envoy cannot say that"
        "rewrite to a path made of text and $1 to $9";
    AppRoot "APP-ROOT-INVALID" Dropped Low []
        "nginx ignores an app-root that is no path"
        "correct it, or delete it";

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
    TlsIgnored "TLS-OLDER-DECIDES" Dropped Medium []
        "an older Ingress decides about the certificate of this host, as in nginx"
        "use the same Secret in every Ingress of the host";
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
    PassthroughPath "SSL-PASSTHROUGH-PATH" Dropped Medium []
        "TLS that is passed through has no paths: the back end of / gets everything, plain HTTP is not served"
        "let the back end tell paths apart";
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
        "the address has nginx variables, or is none"
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
        "nginx answers 413 to larger bodies; a VirtualService has no such limit"
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
        "say it in Istio's terms, then --accept SNIPPET";
    SnippetInert "SNIPPET-INERT" Dropped Info []
        "the controller does not allow snippets, so it does nothing"
        "delete the annotation";
    SnippetHarmless "SNIPPET-HARMLESS" Dropped Low []
        "the snippet only sets sizes and times that have no counterpart"
        "nothing needs to be done";
    ProxyRedirect "RESPONSE-REWRITE" Dropped Medium []
        "addresses and cookies in responses are not rewritten"
        "send the right ones from the application";
    ErrorPages "ERROR-PAGES" Dropped Medium []
        "errors are answered by the back end or by Envoy, not by the service for error pages"
        "send error pages from the application";

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
        "the controller's settings are not certain: its ConfigMap is missing, or several could be meant; it may protect everything"
        "hand in one controller with its ConfigMap, or name them with --controller-config NAMESPACE/NAME and --ingress-class";
    ControllerSetting "CONTROLLER-SETTING" Dropped Medium []
        "this setting of the controller is not converted"
        "see whether it matters to you";
    BodyLimitDefault "BODY-LIMIT-DEFAULT" Dropped Medium [sec]
        "nginx answers 413 to bodies above its default (1m unless set); Istio has no such limit"
        "limit bodies in the applications where that matters";
    StatusPaths "CATCH-ALL-STATUS" Approximated Info []
        "where no Ingress serves the hosts that nobody has, nginx still answers /healthz there with 200; the gateway does not"
        "point load balancers at the gateway's own port for its state, 15021 with /healthz/ready";
    NoCertificate "TLS-WITHOUT-CERTIFICATE" Approximated Medium []
        "nginx also speaks TLS for hosts that have no certificate, with its default one; without --default-certificate the gateway does not"
        "name the default certificate with --default-certificate NAMESPACE/NAME if somebody uses such hosts over TLS";
    MergeSlashes "MERGE-SLASHES" Approximated Medium []
        "nginx takes // as / and decodes every octet when it compares paths; Istio does the former only with pathNormalization MERGE_SLASHES, and keeps encoded slashes and reserved characters"
        "set meshConfig.pathNormalization.normalization to MERGE_SLASHES";
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
