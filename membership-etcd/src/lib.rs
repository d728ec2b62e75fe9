//! Membership for the Lockmaster distributed lock manager, with [etcd](https://etcd.io) (v3) as its engine: who is a
//! member is agreed upon by etcd's consensus, and a node that etcd cannot vouch for stops before anybody takes its place.
//!
//! ```no_run
//! use core::time::Duration;
//! use lockmaster_etcd::{Etcd, EtcdOptions};
//!
//! let servers = ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"];
//! let options = EtcdOptions::new(servers, "/var/lib/orders").ttl(Duration::from_secs(10));
//! let membership = Etcd::new(options)?;
//! # let _: &dyn lockmaster_async::Membership = &membership;
//! # Ok::<(), lockmaster_etcd::EtcdError>(())
//! ```
//!
//! # How it works
//!
//! A member holds a lease at etcd, with a time to live of T (10 s unless [`EtcdOptions::ttl`] says otherwise), and
//! renews it every T/5. Its membership is *certain* for T · 99.8 % less a margin, counted from when the last renewal
//! that was answered was *sent*, on a clock that goes on while the machine sleeps. After T/3 without an answer it is
//! *suspect*, and makes no new grants as a master; at the end of that time it is *fenced*, and has lost its locks. The
//! lease cannot end earlier, and the others wait for a while after it has.
//!
//! The view is one document. Whoever sees that it should be another writes the next one, with the next epoch, by a
//! transaction that compares: the document is the one that was read, the writer's own lease is alive, whoever is removed
//! has no lease, whoever is added has the one that was read. So there is one view for each epoch, whoever proposes; the
//! lowest live node does so at once and the others a little later, if it is still to be done.
//!
//! | key below `/lockmaster/<cluster>/` | lease | what it says |
//! |---|---|---|
//! | `members/<node>` | the node's | it lives: address, digest of its configuration, T, and whether it is about to leave; its incarnation is the revision that created the key |
//! | `leases/<node>` | the node's | what the key above said at first: that the lease has not ended, also if somebody deletes the key above |
//! | `reach/<node>` | the node's | which members it cannot talk to |
//! | `view` | none | configuration, epoch, members, and who was removed and why |
//! | `fence/<node>` | none | an operator keeps the node out; the value is for people |
//! | `fence/<node>/<incarnation>` | none | the lease of this life is revoked, by whom and why |
//!
//! Nothing is kept there for a lock or a slot: what etcd stores and does depends on how often members come and go.
//!
//! # What happens when
//!
//! | event | the node | the cluster |
//! |---|---|---|
//! | a node crashes | | removes it when its lease has ended and the settling time is over |
//! | it leaves in order | writes the view without it itself | has the new view at once |
//! | it finds members that run another number of machines | runs as many as they do, also if they founded the cluster after it had registered; with other spaces, slots or hash seed, or if it has run with another number already, it is refused | |
//! | all are gone without having left | founds the cluster anew as it was configured, if it can run so: the others may still come back | |
//! | it restarts | waits until the lease of its life before has ended | replaces that life by the new one |
//! | it cannot reach etcd | suspect after T/3, fenced before T | as after a crash |
//! | it cannot reach its peers, but etcd | stays, and reports whom it cannot reach | the larger connected side (of equal ones that with the lowest number) revokes the others' leases once that has lasted for T and the settling time, and removes them T and the settling time after that; whoever was revoked so stays away for T, then for 2 T, 4 T and so on up to 64 T, until a membership lasts for more than 16 T |
//! | etcd does not answer for less than T | nothing, or is suspect meanwhile | no view changes |
//! | etcd does not answer for longer | fenced | all come back as new incarnations: a total restart |
//! | a process is paused | finds itself fenced when it wakes; its tokens are refused by the storage | as after a crash |
//! | its driver is stuck | its lease is not renewed any more | as after a crash |
//! | somebody deletes its member key | is fenced as soon as it hears of it, and comes back as a new incarnation | as after a crash: its lease has to end first, which its next life may do |
//! | somebody revokes its lease | is fenced as soon as it hears of it; one that does not reach etcd believes in its membership for up to T | as after a crash, but nobody waits: see below |
//! | etcd is restored from a backup | refuses views that are older than the last it accepted | nobody goes on before an operator decides |
//!
//! # Setting up etcd
//!
//! Run three servers (or five) on machines of their own, version 3.5.23, 3.6.5 or later; a warning is logged through
//! `tracing` of older ones, in which a leader that is none any more may renew a lease. Several clusters, and other
//! applications, can share them. If etcd asks for users, give one a role that may read and write below `/lockmaster/`.
//!
//! To take a node out by hand, `etcdctl put /lockmaster/<cluster>/fence/<node> 'why'`; to let it in again, delete that
//! key. That revokes the lease, and is waited for: nobody else gets a lock before its holder has lost it, reached or not.
//! To delete a member key instead ends that membership too, but later, and the node comes back.
//!
//! Never revoke a lease by hand, nor delete all keys of a member: etcd does not say why a lease has ended, so the others
//! take it for one that has run out, whose holder has stopped long ago, and give its locks away after the settling time. A
//! holder that reaches etcd has stopped by then as well. One that does not may go on for up to T; then only its tokens
//! tell, which are lower than those of whoever was granted the locks since: every view has a higher epoch, and that comes
//! first in a token. Write no member key either: while a key makes no sense, no view changes, and every node says so in
//! its log.
//!
//! After etcd was restored from an older backup, nodes refuse to join. If that backup is to be lived with, stop all
//! nodes, delete their state files (`*.floor`), and make sure that no storage relies on tokens of before.

mod etcd;
mod exile;
mod floor;
mod keys;
mod link;
mod member;
mod options;
mod record;
mod sides;
mod store;
mod succession;
mod timing;
#[cfg(feature = "tls")]
mod tls;
mod version;
mod worker;

pub use etcd::Etcd;
pub use options::{EtcdError, EtcdOptions};
#[cfg(feature = "tls")]
pub use tls::EtcdTls;
