//! The command line as typed. What it means is in [`super::meaning`].

use super::emergency::args::EmergencyArgs;
use super::incident::args::IncidentArgs;
use super::init::args::InitArgs;
use super::migrate::args::MigrateVerb;
use super::output_to::{OutputTo, OutputToParser};
use super::values::{mirrored, some_time, some_weight, time, weight};
use crate::rollout::duration::Span;
use crate::rollout::preview::{Cookie, Header};
use crate::rollout::weight::Weight;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gradual-rollout                                      where every component stands
  gradual-rollout --percentage 10 --component terminal   10% of terminal to the canary, and wait for it
  gradual-rollout -p 40 --all-components --dry-run     what that would change, object by object
  gradual-rollout pause terminal --reason \"looking into it\"
  gradual-rollout rollback terminal                    back to control
  gradual-rollout explain terminal                     why it is where it is, check by check
  gradual-rollout validate config/sealos.yaml          check a plan before it is applied
  gradual-rollout sandbox                              see it all work, without a cluster

Exit codes:
  0 done · 2 rolled back automatically while waited for · 3 refused · 4 partly done
  64 wrong usage · 69 cluster unreachable · 75 not done in time";

/// Moves live traffic between two paths by weight, judged by Prometheus, and puts it back by itself.
///
/// Without a command and without --percentage it shows where every component stands.
#[derive(Debug, Parser)]
#[command(name = "gradual-rollout", version, after_help = EXAMPLES, subcommand_value_name = "COMMAND")]
pub struct Raw {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The classic flags.
    #[command(flatten)]
    pub classic: Classic,
    /// The verb.
    #[command(subcommand)]
    pub verb: Option<VerbArgs>,
}

/// Puts traffic back at once, in an emergency.
#[derive(Debug, Parser)]
#[command(name = "emergency-rollback", version)]
pub struct RawEmergency {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// Its own.
    #[command(flatten)]
    pub emergency: EmergencyArgs,
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Namespace of the rollouts [default: the settings' `namespace`, or sealos-system]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Settings file (TOML)
    #[arg(long, global = true, value_name = "FILE", env = "GRADUAL_ROLLOUT_CONFIG")]
    pub config: Option<PathBuf>,
    /// Say more; twice: even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Form of the output; for `init` a folder, for `incident` a file, or -
    #[arg(short, long, global = true, value_name = "FORM", value_parser = OutputToParser)]
    pub output: Option<OutputTo>,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table
    #[default]
    Table,
    /// A table with every column, and the reason's sentence
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The classic flags: a percentage for a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Classic {
    /// Set the canary's share, 0 to 100 (steps of 0.1), and wait until it is in force
    #[arg(short, long, value_name = "PERCENT", allow_hyphen_values = true, value_parser = weight)]
    pub percentage: Option<Weight>,
    /// The component; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// Every component of every rollout in the namespace
    #[arg(long, conflicts_with = "component")]
    pub all_components: bool,
    /// How it is done.
    #[command(flatten)]
    pub how: How,
}

/// How a mutating command is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct How {
    /// The rollout, when several have the component
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Show exactly what would change, and change nothing
    #[arg(short, long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub no_confirm: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Raise although the judge advises against it (a breach, a pause, a freeze, no data)
    #[arg(long)]
    pub force: bool,
    /// How long to wait until it is done [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// Write what was done to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Which components.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// The components
    #[arg(value_name = "COMPONENT")]
    pub names: Vec<String>,
    /// A component; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// Every component of every rollout in the namespace
    #[arg(long)]
    pub all_components: bool,
    /// How it is done.
    #[command(flatten)]
    pub how: How,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum VerbArgs {
    /// Run the daemon, against the cluster of the current kubeconfig or the one it runs in
    Run {
        /// In how many shards daemons split the work, the same number for all of them [default: the settings' `lease.shards`, or 1]
        #[arg(long, value_name = "N")]
        shards: Option<u32>,
    },
    /// Show where every component stands
    Status {
        /// Show one rollout only
        #[arg(long, value_name = "NAME")]
        rollout: Option<String>,
        /// Keep showing it as it changes
        #[arg(short, long)]
        watch: bool,
    },
    /// Show why a component is where it is: each check, its limits and evidence, and what is waited for
    Explain {
        /// The component
        #[arg(value_name = "COMPONENT")]
        component: String,
        /// The rollout, when several have the component
        #[arg(long, value_name = "NAME")]
        rollout: Option<String>,
        /// Tell ages and what is left as if it were then (RFC 3339) [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<jiff::Timestamp>,
    },
    /// Set a weight and leave the plan, until `resume`
    Set {
        /// The canary's share, 0 to 100
        #[arg(value_name = "PERCENT", allow_hyphen_values = true, value_parser = weight)]
        weight: Weight,
        /// For which components.
        #[command(flatten)]
        which: Which,
    },
    /// No raise until `resume`; every lowering still happens
    Pause(Which),
    /// Back to the plan, after pause, a set weight or a drift
    Resume(Which),
    /// Open the gate of the phase or step that waits for approval, or tick an item of its checklist
    Approve {
        /// Tick this item of a checklist instead of opening a gate
        #[arg(long, value_name = "NAME")]
        item: Option<String>,
        /// The step whose gate is meant, by its weight
        #[arg(long, value_name = "PERCENT", value_parser = weight)]
        step: Option<Weight>,
        /// What is to be remembered with it; the same as --reason
        #[arg(long, value_name = "TEXT", conflicts_with = "reason")]
        comment: Option<String>,
        /// The phase; default: the one that waits
        #[arg(long, value_name = "NAME")]
        phase: Option<String>,
        /// For which components; default: all of the rollout.
        #[command(flatten)]
        which: Which,
    },
    /// End this step's hold; every check still applies
    Promote(Which),
    /// Say that what a person was asked for is done (router `manual`)
    Confirm {
        /// The component
        component: String,
        /// The rollout, when several have the component
        #[arg(long, value_name = "NAME")]
        rollout: Option<String>,
        /// Taken as by every other verb; nothing is asked
        #[arg(long)]
        no_confirm: bool,
    },
    /// Put the traffic back
    Rollback {
        /// Where to, instead of the rollout's own `rollback.to`; never raises
        #[arg(long, value_name = "PERCENT", allow_hyphen_values = true, value_parser = weight)]
        to: Option<Weight>,
        /// For which components.
        #[command(flatten)]
        which: Which,
    },
    /// Begin the plan again after a rollback, with fresh evidence
    Retry(Which),
    /// Send testers' requests to the canary, whatever its weight
    HeaderRoute {
        /// What is done.
        #[command(subcommand)]
        what: HeaderRouteVerb,
    },
    /// Copy a share of the requests to the canary; nobody waits for its answers to copies
    Mirror {
        /// What is done.
        #[command(subcommand)]
        what: MirrorVerb,
    },
    /// Freeze everything: no weight rises until `unfreeze`, wherever the daemon of this namespace works; every lowering
    /// still happens
    Freeze {
        /// Why: everybody who waits is shown it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Until when (RFC 3339) [default: until `unfreeze`]
        #[arg(long, value_name = "TIME", value_parser = time)]
        until: Option<jiff::Timestamp>,
        /// Although no daemon looks at this namespace
        #[arg(long)]
        force: bool,
    },
    /// Lift what `freeze` set
    Unfreeze,
    /// Let go of components: remove our marks, leave their traffic as it is
    Detach {
        /// At 0% only: also put back what stood in the routed objects before the first write
        #[arg(long)]
        restore: bool,
        /// Which components.
        #[command(flatten)]
        which: Which,
    },
    /// Write resources, with comments, from what is in the cluster
    Init(Box<InitArgs>),
    /// Check rollouts in files, without a cluster
    Validate {
        /// YAML files; - is the standard input
        #[arg(required_unless_present = "named", value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The same, for hands that know it from kubectl
        #[arg(short = 'f', long = "file", hide = true, value_name = "FILE")]
        named: Vec<PathBuf>,
    },
    /// Show what a rollout's plan comes to: weights, holds and the earliest dates
    Plan {
        /// A YAML file; - is the standard input
        #[arg(required_unless_present = "named", value_name = "FILE")]
        file: Option<PathBuf>,
        /// The same, for hands that know it from kubectl
        #[arg(
            short = 'f',
            long = "file",
            hide = true,
            conflicts_with = "file",
            value_name = "FILE"
        )]
        named: Option<PathBuf>,
        /// When it begins (RFC 3339) [default: now]
        #[arg(long, value_name = "TIME")]
        start: Option<jiff::Timestamp>,
    },
    /// Hold a file's checks against a Prometheus
    Checks {
        /// What to do with them.
        #[command(subcommand)]
        what: ChecksVerb,
    },
    /// Routed objects, held against what is planned for them
    Routes {
        /// What to do with them.
        #[command(subcommand)]
        what: RoutesVerb,
    },
    /// Look for what would keep rollouts from working here: rights, Prometheus, series, routed objects
    Doctor(DoctorArgs),
    /// Judge recorded metrics again: when would it have promoted, held or rolled back, and how would each limit have
    /// to move
    Backtest(BacktestArgs),
    /// Try everything without a cluster: simulated traffic, virtual time
    Sandbox(SandboxArgs),
    /// Move from ingress-nginx to Istio
    Migrate {
        /// What is done.
        #[command(subcommand)]
        what: MigrateVerb,
    },
    /// What the migration documents type.
    #[command(flatten)]
    Older(super::migrate::older::Older),
    /// Print a generated file
    Generate {
        /// Which
        #[arg(value_enum)]
        what: Generated,
    },
    /// Record that somebody is not content with a component: too many complaints hold it
    Complaint(ComplaintArgs),
    /// Put traffic back at once, in an emergency
    EmergencyRollback(EmergencyArgs),
    /// Collect what is known into a tar file, for those who ask afterwards what happened
    Incident(IncidentArgs),
}

/// Arguments of `complaint`.
#[derive(Clone, Debug, Default, Args)]
pub struct ComplaintArgs {
    /// The component
    #[arg(value_name = "COMPONENT")]
    pub component: String,
    /// What is wrong
    #[arg(long, value_name = "TEXT")]
    pub text: String,
    /// Who complains [default: who runs this]
    #[arg(long, value_name = "NAME")]
    pub who: Option<String>,
    /// The rollout, when several have the component
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Show what would be written, and write nothing
    #[arg(short, long)]
    pub dry_run: bool,
    /// How long to wait until it is recorded [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
}

/// What is done with routes for testers.
#[derive(Debug, Subcommand)]
pub enum HeaderRouteVerb {
    /// Requests with this header or cookie go to the canary
    Add {
        /// Which requests.
        #[command(flatten)]
        tester: Tester,
        /// For which components.
        #[command(flatten)]
        which: Which,
    },
    /// They no longer do; without --header and --cookie: no tester's requests do
    Remove {
        /// Which requests.
        #[command(flatten)]
        tester: Tester,
        /// For which components.
        #[command(flatten)]
        which: Which,
    },
}

/// Whose requests.
#[derive(Clone, Debug, Default, Args)]
pub struct Tester {
    /// Those with this header, exactly
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Option<Header>,
    /// Those with this cookie, exactly
    #[arg(long, value_name = "NAME=VALUE")]
    pub cookie: Option<Cookie>,
}

/// What is done with a mirror.
#[derive(Debug, Subcommand)]
pub enum MirrorVerb {
    /// This share of the requests is copied
    Set {
        /// The share, above 0 to 100
        #[arg(value_name = "PERCENT", allow_hyphen_values = true, value_parser = mirrored)]
        share: Weight,
        /// For which components.
        #[command(flatten)]
        which: Which,
    },
    /// Nothing is copied any more
    Off(Which),
}

/// What is done with checks.
#[derive(Debug, Subcommand)]
pub enum ChecksVerb {
    /// Run every check's queries live: value, samples, verdict, and what is missing
    Test(ChecksTestArgs),
}

/// What is done with routes.
#[derive(Debug, Subcommand)]
pub enum RoutesVerb {
    /// Say whether the Ingresses of a component can be split, and what is missing
    Check(RoutesCheckArgs),
}

/// Arguments of `routes check`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Nothing is written. Files with Ingresses in them are taken for the whole cluster: rollout, Ingresses, Services,
VirtualServices, and the controller's Deployment for its flags. Otherwise the cluster is read.

Exit codes:
  0 everything can be split · 3 something keeps weights at 0 · 64 a file or a flag is wrong · 69 cluster unreachable")]
pub struct RoutesCheckArgs {
    /// A YAML file; may be repeated; - is the standard input [default: the rollouts of the namespace]
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// One component only; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Nothing is written. Rights are those of whoever runs this; docs/doctor.md lists every code.

Exit codes:
  0 no errors · 3 errors were found · 64 the file or a flag is wrong · 69 cluster unreachable")]
pub struct DoctorArgs {
    /// A YAML file with rollouts; - is the standard input [default: the rollouts of the namespace]
    #[arg(short, long, value_name = "FILE", conflicts_with = "all_namespaces")]
    pub file: Option<PathBuf>,
    /// The rollouts of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Where Prometheus is [default: the settings' endpoints]
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// Say what a code means and what to do, and look at nothing
    #[arg(long, value_name = "CODE", conflicts_with_all = ["file", "all_namespaces", "prometheus"])]
    pub explain: Option<String>,
}

/// Arguments of `checks test`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Nothing is applied and nothing is written: the daemon's own queries and judge, over the last minutes.

Exit codes:
  0 every check can be judged · 3 something is missing · 64 the file or a flag is wrong · 69 Prometheus unreachable")]
pub struct ChecksTestArgs {
    /// A YAML file; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where Prometheus is [default: the settings' endpoints]
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// One component only; may be repeated
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// How much time to judge [default: the longest `for` or `window` of the file]
    #[arg(long, value_name = "DURATION", value_parser = some_time)]
    pub window: Option<Span>,
    /// Judge as if this were the canary's weight, above 0 [default: its share of the requests]
    #[arg(long, value_name = "PERCENT", value_parser = some_weight)]
    pub weight: Option<Weight>,
    /// As if it were then (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<jiff::Timestamp>,
}

/// Arguments of `backtest`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  gradual-rollout backtest -f shop.yaml --from 2026-03-02T08:00:00Z --to 2026-03-03T08:00:00Z
  gradual-rollout backtest -f shop.yaml --from … --to … --weight 5%     judge a canary that stood at 5%

The recorded requests are what they were: their share and their errors do not follow the weights of the replay.
Without --weight the plan begins at 0% at --from and is walked; with it everything is judged at that weight.")]
pub struct BacktestArgs {
    /// A YAML file; - is the standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where the record begins (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: jiff::Timestamp,
    /// Where it ends
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: jiff::Timestamp,
    /// Where Prometheus is [default: the settings' endpoints]
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// One component only; may be repeated. The others are taken as finished
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// Stay at the weight that the canary had then, above 0, instead of walking the plan
    #[arg(long, value_name = "PERCENT", value_parser = some_weight)]
    pub weight: Option<Weight>,
    /// Time between two looks [default: judge.interval; longer for a long record]
    #[arg(long, value_name = "DURATION")]
    pub step: Option<Span>,
    /// Leave out how the limits would have to move
    #[arg(long)]
    pub quick: bool,
}

/// Files that the program generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// The custom resource's definition, as in deploy/crd.yaml
    Crd,
}

/// Arguments of the sandbox.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  gradual-rollout sandbox                      the Sealos plan, 5% to 100%, three weeks in seconds
  gradual-rollout sandbox --story errors       one canary starts failing: watch it go back
  gradual-rollout sandbox --story list         all stories
  gradual-rollout sandbox --keep               stay up, for kubectl")]
pub struct SandboxArgs {
    /// The story to play; `list` shows them all [default: migration]
    #[arg(long, value_name = "NAME")]
    pub story: Option<String>,
    /// How many times faster than real time; 0: as fast as it goes [default: the story's own]
    #[arg(long, value_name = "FACTOR")]
    pub speed: Option<f64>,
    /// Stay up when the story is over
    #[arg(long)]
    pub keep: bool,
    /// Judge by a real Prometheus, at real time
    #[arg(long)]
    pub prometheus: bool,
    /// The seed of the simulated traffic [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// JSON instead of a picture; set from -o.
    #[arg(skip)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_lines_definition_is_sound() {
        Raw::command().debug_assert();
        RawEmergency::command().debug_assert();
    }
}
