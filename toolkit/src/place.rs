//! What a verb meets: a cluster, the time, and somebody to tell.

use jiff::Timestamp;
use kube::Client;
use std::fmt;
use std::io::Write;

/// Where a verb works. Data goes to `out`, what is said about it to `err`.
pub struct Place<'a> {
    /// The cluster.
    pub client: Client,
    /// The time, asked whenever it is needed.
    pub now: &'a (dyn Fn() -> Timestamp + Sync),
    /// Whether whoever waits wants it to end: what is under way is finished, and nothing more is begun.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
    /// The standard output.
    pub out: &'a mut dyn Write,
    /// The standard error: progress, and the report where the output is data.
    pub err: &'a mut dyn Write,
    /// How many columns `err` has where it is a terminal: a line of progress may be rewritten there.
    pub terminal: Option<usize>,
    /// `-n`: the namespace that was named, if any.
    pub namespace: Option<String>,
    /// `-o json`: for programs.
    pub json: bool,
}

impl fmt::Debug for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("namespace", &self.namespace)
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}
