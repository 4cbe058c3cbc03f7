//! Messages to people: what is told, in whose form, and from a bounded queue for each receiver.
//!
//! Nothing waits for a message. [`Outbox::send`] puts it into the queue of every receiver whose least severity it
//! reaches; a full queue loses the oldest of its quietest, counted. Each receiver is told on its own, with patience and a rate that
//! it can bear: one that hangs delays neither another nor a write. A message has an idempotency key: after a crash one
//! may come twice, and a receiver that remembers keys shows it once.

mod format;
mod message;
mod outbox;
mod receiver;
mod secret;
mod waiting;

pub use format::{Kind, dingtalk_signature};
pub use message::{Figure, Message, Severity, Topic};
pub use outbox::{Counts, Outbox};
pub use receiver::{Failure, Receiver, Setup, Where};
pub use secret::Secret;
