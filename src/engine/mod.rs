//! The shell around the core: observe, decide, persist, act, read back.
