//! `preflight`: may the migration begin? Reads, and writes nothing but the ticks that people give.

pub(crate) mod certificate;
mod certificates;
mod checklist;
pub mod code;
pub(crate) mod controller;
mod conversion;
mod gateway;
mod ingress;
mod istio;
mod nginx;
pub(crate) mod picture;
mod platform;
mod quota;
mod report;
mod rights;

use crate::finding::{Finding, Severity};
use crate::place::Place;
use crate::see::{items, text};
use crate::trouble::{End, Trouble};
use checklist::Tick;
use clap::Args;
use gradual_rollout_migration::convert::Options;
use jiff::SignedDuration;
use picture::Picture;
use platform::Platform;
use std::collections::BTreeSet;

/// Arguments of `migrate preflight`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Looks at the cluster, the controllers of ingress-nginx, every Ingress, Istio, its gateway, certificates, the
platform's controllers and the tenants, and says what stands in the way. -n names the namespace of the platform's
controllers, which is also where the ticks of people are kept [default: sealos-system]. The score counts every item of
the checklist alike, a warning half.

Examples:
  gradual-rollout migrate preflight
  gradual-rollout migrate preflight --gateway istio-system/sealos-gateway -o json
  gradual-rollout migrate preflight --tick rollback --by 'Ada L.' --note 'rehearsed on the staging cluster'
  gradual-rollout migrate preflight --checklist

Exit codes:
  0 nothing stands in the way · 3 something does · 64 a flag is wrong · 69 the cluster cannot be reached")]
pub struct PreflightArgs {
    /// The Gateway that will serve the hosts [default: istio-system/sealos-gateway]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub gateway: Option<String>,
    /// A label of the gateway's pods; may be repeated [default: istio=ingressgateway]
    #[arg(long, value_name = "LABEL=VALUE")]
    pub gateway_selector: Vec<String>,
    /// The class of the Ingresses [default: the controller's flag, or nginx]
    #[arg(long, value_name = "NAME")]
    pub ingress_class: Option<String>,
    /// The platform's controllers, by their Deployments' names
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "terminal-controller,db-adminer-controller,resources-controller"
    )]
    pub controllers: Vec<String>,
    /// How the names of the tenants' namespaces begin
    #[arg(long, value_name = "PREFIX", default_value = "ns-")]
    pub tenants: String,
    /// A certificate that ends within so many days is told of
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub expires_within: u32,
    /// Also refuse below this score
    #[arg(long, value_name = "SCORE", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub require: Option<u8>,
    /// Show the checklist and who ticked what, without looking at the cluster
    #[arg(long, conflicts_with_all = ["tick", "untick", "require"])]
    pub checklist: bool,
    /// Tick an item of the checklist that only a person can vouch for
    #[arg(long, value_name = "ITEM", requires = "by", conflicts_with_all = ["untick", "require"])]
    pub tick: Option<String>,
    /// Take a tick away
    #[arg(long, value_name = "ITEM", conflicts_with = "require")]
    pub untick: Option<String>,
    /// Who vouches
    #[arg(long, value_name = "NAME", requires = "tick")]
    pub by: Option<String>,
    /// What they say of it
    #[arg(long, value_name = "TEXT", requires = "tick")]
    pub note: Option<String>,
}

/// Where the platform's controllers are.
const NAMESPACE: &str = "sealos-system";

/// Looks, or ticks.
pub async fn run(args: &PreflightArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    let namespace = place.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned());
    if let Some(item) = &args.tick {
        let by = args.by.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let by = by.ok_or_else(|| Trouble::Usage("--by needs the name of whoever vouches".to_owned()))?;
        let tick = Tick {
            by: by.to_owned(),
            at: crate::put::stamp((place.now)()),
            note: args.note.clone(),
        };
        return change(place, &namespace, item, Some(tick)).await;
    }
    if let Some(item) = &args.untick {
        return change(place, &namespace, item, None).await;
    }
    if args.checklist {
        let (ticks, _) = checklist::read(&place.client, &namespace).await?;
        report::people(place, &ticks)?;
        return Ok(End::Done);
    }
    let options = options(args)?;
    let picture = Picture::take(&place.client, (place.now)()).await?;
    let findings = look(&picture, args, &namespace, &options)?;
    // Who may not read ConfigMaps is told so as a finding already.
    let ticks = match checklist::read(&place.client, &namespace).await {
        Ok((ticks, _)) => ticks,
        Err(_) if !picture.sees("ConfigMap") => checklist::Ticks::new(),
        Err(trouble) => return Err(trouble),
    };
    let score = checklist::score(&findings, &ticks);
    report::write(place, &findings, &ticks, score)?;
    let blocked = findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocker);
    let low = args.require.is_some_and(|wanted| score < usize::from(wanted));
    Ok(if blocked || low { End::Refused } else { End::Done })
}

async fn change(
    place: &mut Place<'_>,
    namespace: &str,
    item: &str,
    tick: Option<Tick>,
) -> Result<End, Trouble> {
    let item = checklist::find(item)?;
    checklist::write(&place.client, namespace, item.id, tick.as_ref()).await?;
    report::ticked(place, namespace, item, tick.as_ref())?;
    Ok(End::Done)
}

fn options(args: &PreflightArgs) -> Result<Options, Trouble> {
    let mut options = Options {
        ingress_class: args.ingress_class.clone(),
        ..Options::default()
    };
    if let Some(gateway) = &args.gateway {
        let (namespace, name) = gateway
            .split_once('/')
            .ok_or_else(|| Trouble::Usage(format!("--gateway {gateway:?} is not NAMESPACE/NAME")))?;
        namespace.clone_into(&mut options.gateway_namespace);
        name.clone_into(&mut options.gateway_name);
    }
    if !args.gateway_selector.is_empty() {
        options.gateway_selector.clear();
    }
    for pair in &args.gateway_selector {
        let (label, value) = pair
            .split_once('=')
            .ok_or_else(|| Trouble::Usage(format!("--gateway-selector {pair:?} is not LABEL=VALUE")))?;
        options
            .gateway_selector
            .insert(label.to_owned(), value.to_owned());
    }
    match options.mistakes().into_iter().next() {
        Some((flag, what)) => Err(Trouble::Usage(format!("{flag}: {what}"))),
        None => Ok(options),
    }
}

fn look(
    picture: &Picture,
    args: &PreflightArgs,
    namespace: &str,
    options: &Options,
) -> Result<Vec<Finding>, Trouble> {
    let mut found = Vec::new();
    let mut controllers = controller::controllers(picture);
    if let Some(class) = &args.ingress_class {
        controllers.retain(|controller| controller.has(class, picture.of("IngressClass")));
    }
    let ingresses = controller::ingresses(picture, &controllers, args.ingress_class.as_deref());
    let mut classes: BTreeSet<String> = match &args.ingress_class {
        Some(class) => BTreeSet::from([class.clone()]),
        None => controllers
            .iter()
            .flat_map(|controller| controller.classes(picture))
            .collect(),
    };
    if classes.is_empty() {
        classes.insert("nginx".to_owned());
    }
    let hosts: BTreeSet<String> = ingresses
        .iter()
        .flat_map(|ingress| items(ingress, "/spec/rules"))
        .filter_map(|rule| text(rule, "/host").map(ToOwned::to_owned))
        .collect();
    let platform = Platform {
        namespace,
        controllers: &args.controllers,
        tenants: &args.tenants,
    };
    platform::cluster(picture, &mut found);
    nginx::check(picture, &controllers, &mut found);
    let converted = conversion::check(picture, options, &mut found)?;
    ingress::check(picture, &controllers, &ingresses, &mut found);
    istio::check(picture, &classes, &mut found);
    gateway::check(picture, &controllers, &hosts, options, &mut found);
    let soon = SignedDuration::from_hours(24 * i64::from(args.expires_within));
    certificates::check(picture, (&controllers, &ingresses), &classes, soon, &mut found);
    platform::controllers(picture, &platform, &mut found);
    platform::tenants(picture, &platform, &mut found);
    quota::check(picture, &converted, options, &mut found);
    Ok(found)
}
