//! The table of all codes, in four parts.
//!
//! `sec`: a security control is at stake. `may`: `--accept CODE` lets the route pass without it.

use super::explanation::{Explanation, Outcome, Severity, has};

#[macro_use]
mod gateway_api;
#[macro_use]
mod keeping;
#[macro_use]
mod reading;
#[macro_use]
mod serving;

codes_of_reading! { [codes_of_serving codes_of_keeping codes_of_the_gateway_api codes] }
