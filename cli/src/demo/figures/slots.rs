//! What became of slots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::demo::figures::Latencies;

/// Transfers of slots that one or more nodes gave away.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::demo) struct SlotTransfers {
    /// Transfers that came to their end.
    pub(in crate::demo) done: u64,
    /// Those that were refused, by the reason.
    pub(in crate::demo) refusals: BTreeMap<String, u64>,
    /// Those that did not end in time.
    pub(in crate::demo) unfinished: u64,
    /// Slots that have a new master.
    pub(in crate::demo) slots: u64,
    /// Physical locks that were on record in them, granted and waiting.
    pub(in crate::demo) locks: u64,
    /// Bytes that it took to send them.
    pub(in crate::demo) bytes: u64,
    /// Time from asking for a transfer to its end.
    pub(in crate::demo) time: Latencies,
    /// Requests that were passed on to a new master.
    pub(in crate::demo) relayed: u64,
    /// Requests that had to be made again under a new number.
    pub(in crate::demo) renewed: u64,
    /// Requests that came to a node which is no longer the master, and were answered with who is.
    pub(in crate::demo) redirected: u64,
}

impl SlotTransfers {
    /// Transfers that were refused, for whatever reason.
    pub(in crate::demo) fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    /// A transfer was refused.
    pub(in crate::demo) fn refuse(&mut self, reason: String) {
        *self.refusals.entry(reason).or_default() += 1;
    }

    /// Adds the transfers of other nodes.
    pub(in crate::demo) fn add(&mut self, other: &Self) {
        self.done += other.done;
        for (reason, count) in &other.refusals {
            *self.refusals.entry(reason.clone()).or_default() += count;
        }
        self.unfinished += other.unfinished;
        self.slots += other.slots;
        self.locks += other.locks;
        self.bytes += other.bytes;
        self.time.add(&other.time);
        self.relayed += other.relayed;
        self.renewed += other.renewed;
        self.redirected += other.redirected;
    }
}

/// What a node says of the master map when nobody works or transfers any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::demo) struct Survey {
    /// Slots that it masters.
    pub(in crate::demo) slots: u64,
    /// Resources on record in them.
    pub(in crate::demo) resources: u64,
    /// Physical locks on record in them, granted and retained.
    pub(in crate::demo) locks: u64,
    /// Slots that each member masters as this node has it, in the order of their numbers.
    pub(in crate::demo) shares: Vec<u32>,
}
