//! The webhook's objects, for clusters before Kubernetes 1.30: its certificate, its rules, and where the API server
//! finds it. The daemon serves it ([`super::serve`]).

use super::judge::Rules;
use super::policy::{Blocked, NAME, Stage};
use crate::batch;
use crate::place::Place;
use crate::preflight::certificate::Certificate;
use crate::put;
use crate::see::{self, Kind, kinds, text};
use crate::trouble::Trouble;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

/// The ConfigMap with the rules, in the webhook's namespace.
pub(super) const RULES: &str = "gradual-rollout-block";
/// The Secret with the webhook's certificate, there too.
pub(super) const SECRET: &str = "gradual-rollout-webhook-tls";
/// By what name refusals of the webhook are known.
pub(super) const ANSWERS: &str = "block-ingress.rollout.sealos.io";
/// Where the webhook answers.
pub(super) const PATH: &str = "/admission/ingress";
/// A certificate of ours that ends sooner is made anew.
pub(super) const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long one of ours lasts.
const LASTS: SignedDuration = SignedDuration::from_hours(24 * 365);

/// The rules that are kept in a namespace.
pub(super) async fn rules(client: &kube::Client, namespace: &str) -> Result<Option<Rules>, Trouble> {
    let Some(config) = see::get(client, kinds::CONFIG_MAP, Some(namespace), RULES).await? else {
        return Ok(None);
    };
    serde_json::from_str(text(&config, "/data/rules").unwrap_or_default())
        .map(Some)
        .map_err(|error| {
            Trouble::Refused(format!(
                "ConfigMap {namespace}/{RULES} has no rules that can be read: {error}"
            ))
        })
}

/// The certificate of the webhook and what the API server knows it by: the Secret that is there, or a fresh one.
async fn certificate(
    place: &Place<'_>,
    namespace: &str,
    service: &str,
) -> Result<(Option<Value>, String), Trouble> {
    let host = format!("{service}.{namespace}.svc");
    let there = see::get(&place.client, kinds::SECRET, Some(namespace), SECRET).await?;
    let now = (place.now)();
    if let Some(there) = &there {
        let read = Certificate::of(there);
        let good = read
            .as_ref()
            .is_ok_and(|read| read.covers(&host) && read.ends.duration_since(now) > SOON);
        let bundle = text(there, "/data/ca.crt").or_else(|| text(there, "/data/tls.crt"));
        if let (true, Some(bundle)) = (good, bundle) {
            return Ok((None, bundle.to_owned()));
        }
        if !put::is_ours(there) {
            let why = match read {
                Err(why) => why,
                Ok(read) if read.covers(&host) => format!("its certificate ends {}", read.ends),
                Ok(_) => format!("its certificate has not the name {host}"),
            };
            return Err(Trouble::Refused(format!(
                "unable to use Secret {namespace}/{SECRET}: {why}; renew it, or delete it to have one made"
            )));
        }
    }
    let (secret, bundle) = made(namespace, &host, now)
        .map_err(|error| Trouble::Internal(format!("unable to make a certificate: {error}")))?;
    Ok((Some(secret), bundle))
}

/// A certificate of an authority of its own, whose key nobody keeps.
fn made(namespace: &str, host: &str, now: Timestamp) -> Result<(Value, String), rcgen::Error> {
    let day = |at: Timestamp| {
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    // From yesterday on, as clocks differ.
    let from = day(now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now));
    let until = day(now.checked_add(LASTS).unwrap_or(now));
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, "gradual-rollout webhook");
    (authority.not_before, authority.not_after) = (from, until);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut own = CertificateParams::new(vec![host.to_owned()])?;
    (own.not_before, own.not_after) = (from, until);
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &authority)?;
    let bundle = STANDARD.encode(authority.pem());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": namespace, "name": SECRET, "labels": put::labels()},
        "data": {
            "tls.crt": STANDARD.encode(certificate.pem()), "tls.key": STANDARD.encode(key.serialize_pem()),
            "ca.crt": bundle,
        },
    });
    Ok((secret, bundle))
}

fn configuration(namespace: &str, service: &str, blocked: &Blocked, bundle: &str) -> Value {
    let selector = if blocked.namespaces.is_empty() {
        json!({})
    } else {
        json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": blocked.namespaces},
        ]})
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": put::labels()},
        "webhooks": [{
            "name": ANSWERS, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            // Nobody waits for a daemon that is gone, and nobody is refused by it.
            "failurePolicy": "Ignore", "timeoutSeconds": 3, "matchPolicy": "Equivalent",
            "namespaceSelector": selector, "objectSelector": {},
            "rules": [{
                "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["ingresses"], "scope": "Namespaced",
            }],
            "clientConfig": {
                "caBundle": bundle,
                "service": {"namespace": namespace, "name": service, "path": PATH, "port": 443},
            },
        }],
    })
}

/// What is to be written, the webhook itself last: before that nothing is asked of the daemon.
pub(super) async fn objects(
    place: &Place<'_>,
    (namespace, service): (&str, &str),
    blocked: &Blocked,
    stage: Stage,
    before: Option<&Rules>,
) -> Result<Vec<(Kind, Value)>, Trouble> {
    let (secret, bundle) = certificate(place, namespace, service).await?;
    let rules = Rules {
        stage,
        since: before.filter(|before| before.stage == stage).map_or_else(
            || put::stamp((place.now)()).to_string(),
            |before| before.since.clone(),
        ),
        blocked: blocked.clone(),
    };
    let text = serde_json::to_string(&rules)
        .map_err(|error| Trouble::Internal(format!("unable to write the rules: {error}")))?;
    let mut all: Vec<(Kind, Value)> = secret.map(|secret| (kinds::SECRET, secret)).into_iter().collect();
    all.push((
        kinds::CONFIG_MAP,
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": RULES, "labels": put::labels()},
            "data": {"rules": text},
        }),
    ));
    all.push((
        kinds::WEBHOOK,
        configuration(namespace, service, blocked, &bundle),
    ));
    if let Some(why) = batch::foreign(&place.client, &all).await? {
        return Err(Trouble::Refused(format!("unable to block: {why}")));
    }
    Ok(all)
}

/// What is there of it, in the order of deletion.
pub(super) async fn standing(client: &kube::Client) -> Result<Vec<(Kind, Value)>, Trouble> {
    let Some(webhook) = see::get(client, kinds::WEBHOOK, None, NAME).await? else {
        return Ok(Vec::new());
    };
    let namespace = text(&webhook, "/webhooks/0/clientConfig/service/namespace").map(ToOwned::to_owned);
    let mut all = vec![(kinds::WEBHOOK, webhook)];
    let Some(namespace) = namespace else {
        return Ok(all);
    };
    for (kind, name) in [(kinds::CONFIG_MAP, RULES), (kinds::SECRET, SECRET)] {
        let found = see::get(client, kind, Some(&namespace), name).await?;
        // A certificate that somebody else made stays.
        all.extend(found.filter(put::is_ours).map(|found| (kind, found)));
    }
    Ok(all)
}
