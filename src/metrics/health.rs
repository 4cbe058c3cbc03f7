//! Whether the source of samples can be relied on, for people.

/// One address of the source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// Its address, without user or password.
    pub name: String,
    /// How often it was asked since the daemon started.
    pub asked: u64,
    /// It failed several times in a row and is asked less often until it answers.
    pub resting: bool,
    /// Why it gave nothing the last time; `None` when it did, or was never asked.
    pub failing: Option<String>,
}
