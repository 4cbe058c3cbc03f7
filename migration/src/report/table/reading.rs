//! Codes of reading, and of which Ingresses and paths are served.

macro_rules! codes_of_reading {
    ([$next:ident $($more:ident)*] $($all:tt)*) => {
        $next! { [$($more)*] $($all)*
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
            UnknownField "UNKNOWN-FIELD" Refused Blocker [sec may]
                "no Ingress has this field: what was meant by it, be it a guard, is not said, and the API server would drop it or refuse the object"
                "correct its name or its place, or delete it";
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
                "two Ingresses have the same host and path and protect it differently, and which one nginx serves is not known: an age is missing or cannot be read, or a class is missing"
                "hand in Ingresses as kubectl get prints them, with creationTimestamp, or delete one of the two";
            PathPair "PATH-PAIR" Refused Blocker [sec may]
                "two Ingresses protect differently what is one location to nginx: a prefix with and without a slash at its end, or the same path twice; it takes no configuration with both and goes on with the one before, so which of them it serves is not known"
                "delete the path from one of the two; --accept PATH-PAIR serves the older one";
            PathShadowed "PATH-SHADOWED" Dropped High []
                "the path never gets a request: with regular expressions another location of the host takes all of them first"
                "delete the path, or make the two differ";
            PathInvalid "PATH-INVALID" Refused Blocker []
                "the path does not begin with a slash"
                "correct the path";
            PathNever "PATH-NEVER" Refused High []
                "nginx merges slashes and resolves dot segments before it compares paths, so no request ever has this one there; Envoy would serve it, so it is left out"
                "write the path without doubled slashes and dot segments, or delete it";
            PathSpelling "PATH-SPELLING" Approximated Low []
                "paths of this host are protected differently: requests with a dot segment beside an encoded slash, which nginx resolves and Envoy keeps, are answered 503, as it cannot be told whose they are; where expressions decide, those with an encoded or a doubled slash too"
                "nothing needs to be done, unless clients send such paths: then give what is protected a host of its own";
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
        }
    };
}
