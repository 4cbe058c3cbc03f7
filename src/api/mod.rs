//! What the daemon serves over HTTP: health, readiness, its own metrics.
