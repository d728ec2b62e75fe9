//! Deterministic simulator of a Lockmaster cluster.
//!
//! A [`Cluster`] is some real nodes on one virtual clock, with a network between them that loses, repeats,
//! delays and reorders frames, and owners that ask for locks at random. One seed decides everything. After
//! every step checkers compare what owners were told with what may be true; they keep their own account and
//! never take the core's word for itself.
//!
//! ```text
//!  unruly ──► still ──────────────► healing ─────────────► swept
//!  anything   the network is well,  owners release what    every table is empty,
//!  happens    owners do nothing:    they get: everything   or holds what may be
//!             nothing is overlooked that waits ends        retained
//! ```
//!
//! In most seeds slots move from node to node meanwhile, some of them in every phase. An account of its own follows
//! each transfer by its messages: who decides about what, what was sent and what has arrived.
//!
//! With [`Options::changing`] members come and go, too: nodes crash and start as other lives, leave, and are fenced by
//! time, by a call or by a view. An oracle makes the views and brings them to each node in its own time; it removes a
//! life only when that is over. What an owner held on a node that crashed counts as held until a view without that
//! life is made, and in the end all that run agree about the map, have found balance, and retain what they may.
//!
//! With [`Options::machines`] each node runs several machines side by side, divided as
//! [`Division`](lockmaster_core::Division) says. A machine is a node of the core with a number of its own here; those with
//! equal places on their hosts are a cluster. Owners ask for names, and who holds a name is judged over all machines. What
//! happens to a host happens to all its machines at once, but for what the adapters may do one after the other.
//!
//! [`run`] takes one seed through all four phases. No clock, no randomness and no thread of the host is used,
//! so a failure repeats exactly; its text names the seed.
//!
//! The library needs no `std`. With the feature `std` it can also run many seeds on the threads of a host
//! ([`seeds`]), which is what the program of this package does.
#![no_std]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod clock;
mod cluster;
mod fault;
mod ghost;
mod guided;
mod layout;
mod moves;
mod network;
mod options;
mod plan;
mod random;
mod report;
mod run;
#[cfg(feature = "std")]
pub mod seeds;
mod show;
mod sight;
mod tables;
mod trace;

pub use cluster::Cluster;
pub use fault::{FaultCount, FaultCounts, FaultKind, FaultKinds};
pub use guided::run_guided;
#[cfg(lockmaster_faults)]
pub use guided::run_guided_wrong;
pub use options::{Moving, Options};
pub use plan::{NODES_MAX, SLOTS_MAX};
pub use random::Random;
pub use report::{ChangeCounts, Failure, MachineCounts, MoveCounts, Report, Rule};
pub use run::{run, run_on};
pub use show::{ShownBody, ShownTransfer};
pub use sight::{LockSight, Sight, Watch};
