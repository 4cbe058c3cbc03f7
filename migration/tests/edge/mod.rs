//! A real proxy on loopback between a client that sends any bytes and a back end that says what it got.

pub(crate) mod echo;
pub(crate) mod process;
pub(crate) mod wire;
