//! Integration tests, one binary.

mod apiserver;
mod apiserver_kubectl;
