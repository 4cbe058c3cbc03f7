//! Object JSON to weights, weights to patches. Pure; one file per router.
//!
//! [`found`] lists the objects of a component: those that it names ([`targets`]) and those that stand for what its
//! selections find in a [`Stock`]. Each [`Target`] reads what its object says ([`Seen`]) and drafts the
//! [`ObjectPatch`] that makes it say something else. Only what the resource names is written, and beside it one
//! annotation, the [`Stamp`], and at the first write another with the originals; every other byte of the object stays.

pub mod adopt;
mod astray;
mod backend;
mod before;
mod beyond;
mod controller_switch;
mod destination;
mod error;
mod found;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gateway_api;
mod home;
mod hook;
mod istio;
mod lowered;
mod manual;
mod mirror;
mod nginx;
mod object;
mod originals;
mod owner;
mod pair;
mod parents;
mod patch;
mod preview;
mod renamed;
mod rogues;
mod seen;
mod service;
mod spelt;
mod stamp;
mod stock;
mod switch_config_map;
mod switch_deployment;
mod switch_restart;
mod target;
mod together;
mod twins;
mod way;

pub use error::RoutingError;
pub use found::{Found, Made, Sought, found, needs, targets};
pub use home::Home;
pub use hook::{Called, hook_object};
pub use lowered::{InPart, Left};
pub use manual::{Asked, asked, confirmation, confirmed, confirmed_key, manual_object};
pub use nginx::{Classes, Code, Finding, Severity, controller_findings};
pub use object::{ClaimKey, ObjectKind, ObjectRef, Part};
pub use originals::{ORIGINALS_PREFIX, PutBack};
pub use owner::{Claim, Owner, Refused, named};
pub use parents::Parents;
pub use patch::{Change, ObjectPatch, PatchBody};
pub use seen::{OUR_MANAGERS, Reading, Seen, Share};
pub use stamp::{NotAStamp, STAMP_PREFIX, Stamp, stamp_key};
pub use stock::Stock;
pub use target::{Target, Write, WriteMode};
pub use together::write_together;

#[cfg(test)]
mod tests;
