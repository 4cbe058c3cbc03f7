//! Object JSON to weights, weights to patches. Pure; one file per router.
//!
//! [`targets`] lists the objects of a component. Each [`Target`] reads what its object says ([`Seen`]) and drafts the
//! [`ObjectPatch`] that makes it say something else. Only what the resource names is written, and beside it one
//! annotation, the [`Stamp`], and at the first write another with the originals; every other byte of the object stays.

mod backend;
mod controller_switch;
mod destination;
mod error;
mod gateway_api;
mod istio;
mod object;
mod originals;
mod pair;
mod parents;
mod patch;
mod preview;
mod seen;
mod service;
mod stamp;
mod switch_config_map;
mod switch_deployment;
mod switch_restart;
mod target;

pub use error::RoutingError;
pub use object::{ClaimKey, ObjectKind, ObjectRef, Part};
pub use originals::{ORIGINALS_PREFIX, PutBack};
pub use parents::Parents;
pub use patch::{Change, ObjectPatch, PatchBody};
pub use seen::{OUR_MANAGERS, Reading, Seen, Share};
pub use stamp::{NotAStamp, STAMP_PREFIX, Stamp, stamp_key};
pub use target::{Target, WriteMode, targets};

#[cfg(test)]
mod tests;
