//! Written objects, read back.
