//! Arguments of `migrate backup`.

use super::seal::RecipientArgs;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `migrate backup`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Ingresses, Services, Deployments, ConfigMaps, Gateways, VirtualServices, DestinationRules, AuthorizationPolicies,
Certificates and ResourceQuotas of a namespace (-n), or of all but kube-system, kube-public and kube-node-lease. No
Secrets are kept, and nothing that only the cluster writes. Each file has its digest; a backup that was interrupted goes
on where it stopped when it is asked for again with the same folder. Files are readable by you alone; with --recipient
they are encrypted too, as age does, and whatever reads the backup wants the --identity.

Examples:
  gradual-rollout migrate backup --dir before-istio
  gradual-rollout migrate backup --dir ns-a -n ns-a
  age-keygen -o key.txt && gradual-rollout migrate backup --dir sealed --recipient \"$(age-keygen -y key.txt)\"

Exit codes:
  0 everything is kept · 3 it was refused, the message says why · 4 something could not be read, the rest is kept
  64 a flag or the folder is wrong · 69 the cluster cannot be reached; ask again to go on")]
pub struct BackupArgs {
    /// The folder to write; new, or that of a backup that was interrupted
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Who can read it
    #[command(flatten)]
    pub recipients: RecipientArgs,
}
