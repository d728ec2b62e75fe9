//! The control socket: how the commands of this program talk to a node on the same machine.
//!
//! It is a Unix domain socket with permissions 0600. Beside that the node asks the kernel who is at the other end, and
//! serves nobody but its own user and root.
//!
//! Both sides send lines of JSON, each a message of [`message`] and at most [`line::LINE_MAX`] bytes long. A connection
//! begins with a hello from each side, which names the version of the protocol. Then the client asks, one thing at a
//! time, and the node answers: with rows and an end, or with a refusal.
//!
//! ```text
//! client                                            node
//! {"hello":{"protocol":1}}                      ──▶
//!                                               ◀── {"hello":{"protocol":1,"program":"0.1.0","node":1,…}}
//! "members"                                     ──▶
//!                                               ◀── {"row":{"row":"member","node":1,…}}
//!                                               ◀── "done"
//! ```
//!
//! A lock lives on its connection: it is released when the client says so. If the connection ends without that, the
//! node ends the process group that works under the lock, and keeps the lock until it is gone; how it knows that is
//! described in [`hold`].

pub(crate) mod client;
mod hold;
mod line;
pub(crate) mod message;
pub(crate) mod place;
mod query;
pub(crate) mod server;
mod session;
mod slots;

pub(crate) use self::client::{Client, ClientError};
pub(crate) use self::line::{LineError, Lines};
