//! What speaks against a split: a stable code, how grave, which object, and the remedy.

use serde::Serialize;
use std::fmt;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is not as it should be, and the weight is honoured all the same.
    Warning,
    /// No weight above 0 is written.
    Blocker,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $severity:ident, $accept:literal;)+) => {
        /// Stable codes of findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// How grave it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)+ }
            }

            /// Whether a person may take the responsibility (`accept`).
            pub const fn may_be_accepted(self) -> bool {
                match self { $(Self::$code => $accept,)+ }
            }

            /// As it is written in `accept`.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)+ }
            }
        }
    };
}

codes! {
    /// The selection finds no Ingress.
    NothingSelected = Blocker, false;
    /// An Ingress that is named does not exist.
    IngressMissing = Blocker, false;
    /// A chosen Ingress has another class than the first: another controller serves it.
    ClassDiffers = Blocker, false;
    /// More upstreams than one component can carry.
    TooMany = Blocker, false;
    /// A host and path of the closure has no route in Istio.
    RouteMissing = Blocker, false;
    /// Istio's listener redirects it.
    RedirectLoop = Blocker, true;
    /// Istio answers some of its requests by itself.
    Answered = Blocker, true;
    /// Istio tells back ends that the client came by http, and nginx serves it by https.
    ForwardedProto = Warning, false;
    /// The split goes to a public port, where redirects and certificates belong to clients.
    PublicListener = Blocker, true;
    /// The gateway's Service does not exist.
    GatewayMissing = Blocker, false;
    /// The gateway's Service has no such port.
    GatewayPortMissing = Blocker, false;
    /// No Istio Gateway of that name listens where the split goes.
    ListenerMissing = Blocker, true;
    /// The listener speaks something else than nginx, or chooses by a name that nginx does not send.
    ListenerProtocol = Blocker, true;
    /// Sticky sessions: neither a weight nor a return to 0 moves a client that has a cookie.
    Affinity = Blocker, true;
    /// The path is rewritten before Istio sees it.
    RewriteTarget = Blocker, true;
    /// Paths of the host are patterns.
    UseRegex = Blocker, true;
    /// The host's root is redirected by nginx.
    AppRoot = Blocker, true;
    /// Istio sees another host than the client asked for.
    UpstreamVhost = Blocker, false;
    /// nginx does not see the requests.
    SslPassthrough = Blocker, false;
    /// nginx speaks TLS to its back ends, and the split listener does not.
    TlsBackend = Blocker, false;
    /// nginx speaks plain text to its back ends, and the split listener does not.
    PlainBackend = Blocker, false;
    /// A protocol that Istio's listener does not speak.
    BackendProtocol = Blocker, false;
    /// A canary of somebody else: nginx uses one alternative only, and it may be that one.
    ForeignCanary = Blocker, false;
    /// A snippet that answers by itself.
    SnippetReturns = Blocker, true;
    /// A snippet.
    Snippet = Warning, false;
    /// An `Ingress` without a rule leads there: no canary can say so.
    DefaultBackend = Blocker, true;
    /// A normal Ingress leads to the alias Service: then nginx merges nothing.
    AliasIsPrimary = Blocker, false;
    /// There is a Service of the alias' name that is not ours, or that leads elsewhere.
    AliasDiffers = Blocker, false;
    /// Another component, of this resource or another, splits the upstream.
    SplitByAnother = Blocker, false;
    /// There is an Ingress of the canary's name that is not ours.
    NameTaken = Blocker, false;
    /// The controller resolves no names of Services (`--disable-svc-external-name`).
    ExternalNameOff = Blocker, false;
    /// An Ingress of another class, or of none, leads to the upstream, and nobody can tell which nginx serves it.
    ClassUnknown = Warning, false;
    /// The controller watches one namespace only.
    WatchesOneNamespace = Warning, false;
    /// An older Ingress has the location.
    Shadowed = Warning, false;
    /// An `accept` names no code, or one that cannot be accepted.
    AcceptUnknown = Blocker, false;
    /// Which Istio Gateway listens is not said, so any VirtualService on any gateway counts as a route.
    GatewayUnnamed = Info, false;
    /// The Istio Gateway that is named was not seen, so whom its listener redirects, takes and speaks TLS to is not checked.
    ListenerUnread = Info, false;
    /// What a split never tests.
    EdgeNotTested = Info, false;
}

/// Something that speaks against a split, or should be known about it. Displays as `code: object: what; remedy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// How grave it is; an accepted blocker is a warning.
    pub severity: Severity,
    /// The object, as `kind namespace/name`; the component's router where it is about that.
    pub object: String,
    /// The annotation or field.
    pub field: Option<String>,
    /// What is found, as half a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.text(), self.object)?;
        if let Some(field) = &self.field {
            write!(f, " {field}")?;
        }
        write!(f, ": {}; {}", self.message, self.remedy)
    }
}

impl Finding {
    /// Whether no weight above 0 is written while it stands.
    pub fn blocks(&self) -> bool {
        self.severity == Severity::Blocker
    }
}
