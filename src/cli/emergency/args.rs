//! The command line of `emergency-rollback`.

use crate::cli::values::weight;
use crate::rollout::duration::Span;
use crate::rollout::weight::Weight;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Modes of an emergency rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EmergencyMode {
    /// Everything that is named back to control
    #[default]
    Ingress,
    /// Keep a small share on the canary (see --percentage)
    Dual,
    /// Everything of every rollout in the namespace back to control
    Full,
}

/// Arguments of the emergency rollback.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "\
Examples:
  emergency-rollback --reason \"gateway answers 503\"
  emergency-rollback --mode dual --percentage 10 --reason \"P95 doubled\"
  emergency-rollback --mode full --reason \"incident 42\" --force

It never raises a weight: what is below the asked share stays there. A daemon that is alive is given three
seconds; without one, or where nobody can tell, it writes to the routed objects itself, all at once.

Exit codes:
  0 everything is back · 4 some of it is not, or what was verified is not well: the report names it · 3 nothing is
  64 wrong usage · 69 cluster unreachable · 75 not done in time")]
pub struct EmergencyArgs {
    /// How far back
    #[arg(long, value_enum, default_value_t)]
    pub mode: EmergencyMode,
    /// With --mode dual: the share that stays on the canary [default: 10]
    #[arg(short, long, value_name = "PERCENT", allow_hyphen_values = true, value_parser = weight)]
    pub percentage: Option<Weight>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask for the word EMERGENCY
    #[arg(long, visible_alias = "no-confirm", overrides_with = "force")]
    pub force: bool,
    /// A component; may be repeated [default: all]
    #[arg(short, long, value_name = "NAME")]
    pub component: Vec<String>,
    /// Every component of every rollout in the namespace: what it does where none is named
    #[arg(long, conflicts_with = "component")]
    pub all_components: bool,
    /// One rollout only
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Show exactly what would change, and change nothing
    #[arg(short, long)]
    pub dry_run: bool,
    /// How long to wait until it is done [default: 3m]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
    /// What users ask for: an address that has to answer afterwards; may be repeated
    #[arg(long, value_name = "URL")]
    pub probe: Vec<String>,
    /// Tell this webhook, besides those of the settings; may be repeated
    #[arg(long, value_name = "URL")]
    pub notify: Vec<String>,
    /// How long services, users and metrics may take to be well again; 0s: look once [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub verify: Option<Span>,
    /// Write what was done to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}
