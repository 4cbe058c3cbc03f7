//! Everything that `preflight` can find: the code, how bad it is, the item of the checklist it belongs to, and what to
//! do about it.

use crate::finding::{Finding, Severity};
use Severity::{Blocker, Info, Warning};

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable; what people search for.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The item of the checklist that fails by it.
    pub item: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Code {
    /// Found on an object.
    pub fn at(&self, object: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding {
            code: self.name,
            severity: self.severity,
            object: object.into(),
            message: message.into(),
            remedy: self.remedy.to_owned(),
        }
    }
}

macro_rules! codes {
    ($($constant:ident $name:literal $severity:ident $item:literal $meaning:literal $remedy:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Code = Code {
                name: $name, severity: $severity, item: $item, meaning: $meaning, remedy: $remedy,
            };
        )*
        /// All of them, in the order of the checklist.
        pub const ALL: &[Code] = &[$($constant),*];
    };
}

codes! {
    CLUSTER_OLD "CLUSTER-OLD" Blocker "cluster"
        "The cluster is older than Kubernetes 1.27."
        "upgrade the cluster first";
    POLICY_UNSUPPORTED "POLICY-UNSUPPORTED" Warning "cluster"
        "The cluster does not serve ValidatingAdmissionPolicies (Kubernetes 1.30), so `block` needs the webhook of the daemon."
        "upgrade to 1.30, or name the Service of the webhook with block --webhook-service";
    NOT_LOOKED_AT "NOT-LOOKED-AT" Warning "rights"
        "A kind of objects could not be listed, or the API server does not say which rights there are, so nothing is known of what that would tell."
        "have the right to it granted, and run preflight again";
    RIGHT_MISSING "RIGHT-MISSING" Blocker "rights"
        "Whoever runs this lacks a right that the migration needs."
        "have it granted, or use an account that has it";
    CAPACITY_LOW "CAPACITY-LOW" Warning "capacity"
        "Less than 8 CPUs or 16 GiB are not yet requested by pods on the nodes that take pods."
        "add nodes: both data planes run side by side during the migration";

    NGINX_MISSING "NGINX-MISSING" Warning "nginx"
        "No ingress-nginx controller is found, so its flags and settings are not known."
        "if one runs under another name, or outside the cluster, hand its settings to `convert`";
    NGINX_SEVERAL "NGINX-SEVERAL" Warning "nginx"
        "Several ingress-nginx controllers run, each with its own class and settings."
        "migrate one class after the other, with --ingress-class";
    NGINX_DOWN "NGINX-DOWN" Blocker "nginx"
        "The controller has no ready pod: there is nothing to compare with and nothing to go back to."
        "repair it before migrating";
    NGINX_CONFIG_MISSING "NGINX-CONFIG-MISSING" Warning "nginx"
        "The ConfigMap that the controller is told to read is not there, so it runs with its defaults."
        "correct the flag --configmap, or create the ConfigMap";
    NGINX_CERTIFICATE_MISSING "NGINX-CERTIFICATE-MISSING" Blocker "nginx"
        "The Secret of --default-ssl-certificate is not there; hosts without a certificate of their own need it."
        "create the Secret, or correct the flag";
    NGINX_SETTING "NGINX-SETTING" Info "nginx"
        "A flag or setting of the controller that an Istio gateway does not have by itself."
        "read what `convert` says of it, and what the chapter on conversion has instead";
    NGINX_GUARD "NGINX-GUARD" Blocker "nginx"
        "A setting of the controller guards every host, and the gateway would serve them without it."
        "give the gateway the same guard (AuthorizationPolicy), then accept the code in `convert`";
    NGINX_PROXY_PROTOCOL "NGINX-PROXY-PROTOCOL" Warning "nginx"
        "The controller is told the client's address by the PROXY protocol; the gateway would not understand it."
        "give the gateway's listeners the PROXY protocol (gatewayTopology.proxyProtocol) before clients arrive";
    NGINX_FORWARDED "NGINX-FORWARDED" Warning "nginx"
        "The controller trusts X-Forwarded headers of what is in front of it; an Istio gateway trusts none."
        "set gatewayTopology.numTrustedProxies to the number of proxies in front of the gateway";
    NGINX_STREAMS "NGINX-STREAMS" Warning "nginx"
        "The controller passes TCP or UDP ports on, which no Ingress tells of and `convert` does not write."
        "write a Gateway server and a VirtualService with tcp routes for each, or `loadbalancer migrate` the Service";
    NGINX_ONE_NAMESPACE "NGINX-ONE-NAMESPACE" Warning "split"
        "The controller watches only some namespaces: it would not see canary Ingresses elsewhere."
        "let canaries live in the watched namespace, or watch the gateway's namespace too";
    NGINX_METRICS_OFF "NGINX-METRICS-OFF" Warning "split"
        "The controller exports no metrics, so no share of canaries can be measured at its side."
        "set --enable-metrics=true and let Prometheus scrape it";
    NGINX_EXTERNAL_NAME_OFF "NGINX-EXTERNAL-NAME-OFF" Info "split"
        "The controller refuses Services of type ExternalName."
        "let canaries select the gateway's pods instead of naming its Service";
    NGINX_SYNC_SLOW "NGINX-SYNC-SLOW" Warning "split"
        "The controller takes more than five seconds between two changes of its configuration."
        "set --sync-rate-limit to 0.3 or more: steps back wait for it";

    INGRESS_REFUSED "INGRESS-REFUSED" Warning "conversion"
        "Paths that `convert` refuses: they keep being served by ingress-nginx until they are changed or accepted."
        "run `gradual-rollout migrate explain` with the code that is named";
    INGRESS_APPROXIMATED "INGRESS-APPROXIMATED" Info "conversion"
        "Ingresses that are converted with a difference somebody may notice."
        "run `gradual-rollout migrate explain` with the code that is named";
    SNIPPET_INERT "SNIPPET-INERT" Info "conversion"
        "Snippets that the controller ignores or refuses, as it does not allow them."
        "remove them, so that nobody believes they work";
    INGRESS_MANAGED "INGRESS-MANAGED" Info "conversion"
        "Ingresses that a tool owns: it creates them anew when they are deleted."
        "change the chart or the repository they come from before `cleanup`";
    HOST_OWNERS "HOST-OWNERS" Warning "conversion"
        "A host has Ingresses in several namespaces; one VirtualService will serve it for all of them."
        "make sure that the tenants know each other, or give each its own host";
    UPSTREAM_SHARED "UPSTREAM-SHARED" Info "split"
        "Several hosts or paths share one upstream: a canary on one of them splits all."
        "move them together, in one batch";
    CANARY_PRESENT "CANARY-PRESENT" Warning "split"
        "An Ingress is a canary already: ingress-nginx honours one for each upstream, and ignores ours."
        "finish or remove it before the split, or let `convert` make weights of it";
    SPLIT_INELIGIBLE "SPLIT-INELIGIBLE" Info "split"
        "Hosts that cannot be split between nginx and Istio by weight."
        "move them at the edge (DNS or load balancer), after `probe`";
    SPLIT_STICKY "SPLIT-STICKY" Info "split"
        "Hosts with sticky sessions: clients with a cookie stay where they are, whatever the weight."
        "expect shares other than the weight, and a rollback that deletes the canary";
    BACKEND_MISSING "BACKEND-MISSING" Warning "backends"
        "A Service that an Ingress names is not there."
        "create it, or take the path away";
    BACKEND_DOWN "BACKEND-DOWN" Warning "backends"
        "A Service that an Ingress names has no ready endpoint, so nothing can be compared."
        "start its pods, or leave the host out of the first batches";

    ISTIO_KIND_MISSING "ISTIO-KIND-MISSING" Blocker "istio"
        "The cluster does not serve a kind of Istio's in version v1 (Istio 1.22)."
        "install Istio 1.22 or newer";
    ISTIOD_MISSING "ISTIOD-MISSING" Blocker "istio"
        "No istiod is found."
        "install Istio's control plane";
    ISTIOD_DOWN "ISTIOD-DOWN" Blocker "istio"
        "istiod has no ready pod: what is written reaches no gateway."
        "repair it before migrating";
    ISTIO_OLD "ISTIO-OLD" Warning "istio"
        "istiod is older than 1.22, which the objects of this toolkit are written for."
        "upgrade Istio";
    ISTIO_WEBHOOK_DOWN "ISTIO-WEBHOOK-DOWN" Blocker "istio"
        "Istio's admission webhook has no ready endpoint and must answer: every write of an Istio object would fail."
        "repair istiod, or the webhook's Service";
    ISTIO_SERVES_INGRESSES "ISTIO-SERVES-INGRESSES" Warning "istio"
        "Istio itself serves Ingresses, of the class that is migrated or without class: a host would be routed twice."
        "set meshConfig.ingressControllerMode to STRICT, or to OFF";
    ISTIO_SLASHES "ISTIO-SLASHES" Info "istio"
        "Istio does not merge doubled slashes; nginx does."
        "set meshConfig.pathNormalization.normalization to MERGE_SLASHES, if clients send them";
    ISTIO_SETTING "ISTIO-SETTING" Info "istio"
        "A setting of the mesh decides how clients are known, or who authorises them."
        "hold it against the controller's settings: proxies in front, PROXY protocol, external authorisation";
    ISTIO_FILTERS_FORBIDDEN "ISTIO-FILTERS-FORBIDDEN" Info "istio"
        "A policy of the cluster forbids EnvoyFilters."
        "do not plan on them";
    ISTIO_CONFIG_UNREAD "ISTIO-CONFIG-UNREAD" Info "istio"
        "Istio's mesh configuration is not found, or not readable."
        "look at it yourself: path normalisation, trusted proxies, ingress class";
    GATEWAY_PODS_MISSING "GATEWAY-PODS-MISSING" Blocker "gateway"
        "No workload has the labels of the gateway's pods in the gateway's namespace."
        "install an ingress gateway there, or name its labels with --gateway-selector";
    GATEWAY_DOWN "GATEWAY-DOWN" Blocker "gateway"
        "The gateway has no ready pod."
        "repair it before migrating";
    GATEWAY_SINGLE "GATEWAY-SINGLE" Warning "gateway"
        "The gateway has one replica: its restart interrupts every host."
        "scale it to three";
    GATEWAY_PORT_MISSING "GATEWAY-PORT-MISSING" Blocker "gateway"
        "The gateway's Service does not expose a port that clients use."
        "add the port to the Service";
    GATEWAY_ADDRESS_MISSING "GATEWAY-ADDRESS-MISSING" Warning "gateway"
        "The gateway's load balancer has no address yet."
        "wait for it, or see why the provider gives none; `probe` can be given an address";
    GATEWAY_FAMILY "GATEWAY-FAMILY" Warning "gateway"
        "nginx has addresses of a family (IPv4, IPv6) that the gateway's Service has not."
        "add the family to the gateway's Service, lest clients that have no other lose every host";
    GATEWAY_CLIENT_ADDRESS "GATEWAY-CLIENT-ADDRESS" Warning "gateway"
        "Lists of client addresses are to be kept by the gateway, whose Service has not externalTrafficPolicy Local: it may see the addresses of nodes instead."
        "set externalTrafficPolicy: Local, or have it told by PROXY protocol or numTrustedProxies, and test from outside";
    GATEWAY_HOST_TAKEN "GATEWAY-HOST-TAKEN" Blocker "gateway"
        "Another Gateway of the same pods has a TLS server for the host and port: Istio would skip ours, whole."
        "remove the host from that Gateway, or name it with --gateway";
    HOST_ROUTED "HOST-ROUTED" Warning "gateway"
        "A VirtualService that this toolkit did not write has the host already."
        "decide which one serves it: Istio merges them in an order nobody controls";
    PORT_CONFLICT "PORT-CONFLICT" Blocker "gateway"
        "nginx and the gateway claim the same port of the nodes, or the same address."
        "give one of them other ports, nodes or address";

    CERT_MANAGER_MISSING "CERT-MANAGER-MISSING" Warning "certificates"
        "cert-manager is not installed: nobody renews certificates here."
        "install it, or make sure that somebody renews them";
    CERTIFICATE_NOT_READY "CERTIFICATE-NOT-READY" Warning "certificates"
        "A Certificate is not ready."
        "see its events and those of its Order and Challenges";
    WILDCARD_HTTP01 "WILDCARD-HTTP01" Blocker "certificates"
        "A certificate for a wildcard is ordered by HTTP-01, which no authority grants: it needs DNS-01."
        "give the issuer a dns01 solver for the domain";
    ISSUER_MISSING "ISSUER-MISSING" Warning "certificates"
        "The issuer that a Certificate names is not there."
        "create it, or name another";
    ISSUER_SOLVES_BY_NGINX "ISSUER-SOLVES-BY-NGINX" Warning "certificates"
        "An issuer answers HTTP-01 challenges through the class of nginx: renewals end with nginx, and move with its address."
        "use dns01, or let challenges be answered by the gateway, before the edge moves";
    CERTIFICATE_EXPIRED "CERTIFICATE-EXPIRED" Blocker "certificates"
        "A certificate in use has expired."
        "renew it";
    CERTIFICATE_EXPIRES "CERTIFICATE-EXPIRES" Warning "certificates"
        "A certificate in use expires soon."
        "renew it before the migration, lest a renewal fall into it";
    CERTIFICATE_NAMES "CERTIFICATE-NAMES" Warning "certificates"
        "A certificate does not have the name of a host it is used for; nginx serves its default instead."
        "order one that has the name";
    SECRET_MISSING "SECRET-MISSING" Warning "certificates"
        "The Secret with a host's certificate is not there."
        "create it, or let cert-manager do so";
    SECRET_BROKEN "SECRET-BROKEN" Warning "certificates"
        "A Secret has no certificate that can be read."
        "write tls.crt and tls.key as PEM";
    EXTERNAL_DNS "EXTERNAL-DNS" Info "certificates"
        "external-dns writes names from Ingresses: they vanish with the Ingress, and follow its address."
        "move the names to the gateway's Service before `cleanup`";

    CONTROLLER_MISSING "CONTROLLER-MISSING" Warning "controllers"
        "A platform controller that creates hosts is not found."
        "name the Deployments with --controllers and their namespace with -n";
    CONTROLLER_NOT_DUAL "CONTROLLER-NOT-DUAL" Warning "controllers"
        "A platform controller shows no switch between Ingress and Istio, so it goes on creating Ingresses only."
        "upgrade it to a version with dual mode, and set the switch";
    TENANT_LOAD_BALANCER "TENANT-LOAD-BALANCER" Warning "tenants"
        "A tenant has a Service of type LoadBalancer, which bypasses the gateway."
        "run `gradual-rollout migrate loadbalancer migrate` for it";
    QUOTA_SPENT "QUOTA-SPENT" Warning "tenants"
        "A quota leaves no room for the objects that are to be written."
        "raise it before `apply`";
    QUOTA_OPEN "QUOTA-OPEN" Info "tenants"
        "A tenant's quotas do not forbid Services of type LoadBalancer."
        "set services.loadbalancers to \"0\" in its ResourceQuota, as `tenant create` does";
}
