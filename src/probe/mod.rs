//! Requests that the daemon sends because a resource asks for them: to see whether a canary answers, and to set weights
//! outside the cluster.
//!
//! Resources are written by tenants, and the daemon stands inside the cluster: without care such a request would be a way to
//! reach what the tenant cannot. So nothing is asked for that the operator has not allowed by the host's name; what a
//! name resolves to is looked at before it is connected to, and addresses of this machine, of the link and of clouds'
//! metadata are not, unless the operator wrote the very host; redirects are not followed; of what
//! probes bring back only the status is read, of what gates say one line is told.

mod address;
mod allow;
mod gate;
mod hooked;
mod hooks;
mod outbound;
mod post;
mod prober;

pub use allow::Allowed;
pub use gate::GateQuestion;
pub use hooked::later;
pub use hooks::{HookFailure, HookState, Hooks};
pub use post::{Answer, Poster, Unsent, signed};
pub use prober::{Outcome, Prober, Results};
