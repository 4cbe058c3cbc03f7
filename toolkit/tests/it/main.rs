//! The verbs against the API server of the sandbox, over its wire.

mod backup;
mod kinds;
mod support;
