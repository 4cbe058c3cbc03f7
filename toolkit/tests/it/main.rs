//! The verbs against the API server of the sandbox, over its wire.

mod support;
