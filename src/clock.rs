//! The only reader of time. It lives beside the sandbox's API server, which tells time by it too.

pub use gradual_rollout_apiserver::clock::Clock;
