//! What a run has to say: counters if it went well, the broken rule if not.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::AddAssign;
use core::time::Duration;

use lockmaster_core::Instant;

use crate::fault::FaultCounts;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Steps: frames delivered, timers fired, actions of owners and of the weather.
    pub steps: u64,
    /// Requests and conversions that were taken.
    pub asked: u64,
    /// Grants, in a call or by an event.
    pub grants: u64,
    /// Grants without any message.
    pub retained: u64,
    /// Grants and releases that left nothing to be driven.
    pub at_rest: u64,
    /// Locks that were lent.
    pub lent: u64,
    /// Denials by an event, and refusals because of other locks.
    pub denials: u64,
    /// Requests and conversions that were cancelled or abandoned while they waited.
    pub cancels: u64,
    /// Requests that ran out of patience.
    pub timeouts: u64,
    /// Refusals because a table was full.
    pub full: u64,
    /// Calls that were refused because they made no sense.
    pub refusals: u64,
    /// Conversion deadlocks found.
    pub deadlocks: u64,
    /// Conversions granted after they were demoted to NL.
    pub demotions: u64,
    /// Grants of an alternate mode.
    pub alternates: u64,
    /// Demands that owners were told of.
    pub demands: u64,
    /// Values read and compared.
    pub values_read: u64,
    /// Values written.
    pub values_written: u64,
    /// Frames sent.
    pub frames: u64,
    /// Messages sent.
    pub messages: u64,
    /// Frames that overtook an earlier one of the same sender and receiver.
    pub reordered: u64,
    /// Outboxes that needed more than one frame.
    pub spilled: u64,
    /// Frames that the receiver dropped, because it had not heard the sender yet.
    pub dropped: u64,
    /// Virtual time that passed.
    pub span: Duration,
    /// Virtual time that the cluster took to end all transfers and waits once the network was well; the longest of
    /// several runs.
    pub healing: Duration,
    /// What went wrong, by kind.
    pub faults: FaultCounts,
    /// What became of transfers.
    pub moves: MoveCounts,
    /// What became of members.
    pub changes: ChangeCounts,
    /// What happened only because hosts had several machines.
    pub machines: MachineCounts,
    /// Hash over all that happened: the same for the same seed, on every storage. The sum of several runs does not
    /// depend on their order.
    pub trace: u64,
}

/// What became of members, as seen from outside and from nodes' own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeCounts([u64; Change::ALL.len()]);

impl Default for ChangeCounts {
    fn default() -> Self {
        Self([0; Change::ALL.len()])
    }
}

/// Something that becomes of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    View,
    Installed,
    Missed,
    NoPlaces,
    Crash,
    Restart,
    Replaced,
    Leave,
    Left,
    Suspect,
    Certain,
    FencedByTime,
    FencedByCall,
    FencedByView,
    Rejoined,
    Lost,
    Stranger,
    OtherView,
    Offered,
    Balanced,
    MoveDone,
    MoveCut,
    MoveRefused,
    Withdrawn,
    RebuiltSlots,
    Early,
    RebuiltLocks,
    PurgedLocks,
    Invalid,
    Absent,
    Overtaken,
    PlacesKept,
    ValuesKept,
}

impl Change {
    /// Every kind, and what is counted of it.
    const ALL: [(Self, &'static str); 33] = [
        (Self::View, "views made"),
        (Self::Installed, "views installed"),
        (Self::Missed, "views missed"),
        (Self::NoPlaces, "views without places"),
        (Self::Crash, "crashes"),
        (Self::Restart, "nodes started"),
        (Self::Replaced, "members replaced by their next life"),
        (Self::Leave, "leaves begun"),
        (Self::Left, "leaves ended"),
        (Self::Suspect, "certainties withheld"),
        (Self::Certain, "certainties given again in time"),
        (Self::FencedByTime, "members fenced by time"),
        (Self::FencedByCall, "members fenced by a call"),
        (Self::FencedByView, "members fenced by a view"),
        (Self::Rejoined, "nodes rejoined"),
        (Self::Lost, "locks lost"),
        (Self::Stranger, "hellos of strangers"),
        (Self::OtherView, "frames dropped"),
        (Self::Offered, "transfers asked for"),
        (Self::Balanced, "transfers begun by balance"),
        (Self::MoveDone, "transfers done"),
        (Self::MoveCut, "transfers cut"),
        (Self::MoveRefused, "transfers refused"),
        (Self::Withdrawn, "transfers withdrawn"),
        (Self::RebuiltSlots, "slots rebuilt"),
        (Self::Early, "resources opened before their slots"),
        (Self::RebuiltLocks, "locks rebuilt"),
        (Self::PurgedLocks, "locks purged"),
        (Self::Invalid, "values read as invalid"),
        (Self::Absent, "values read as absent after a write"),
        (Self::Overtaken, "views made before all had the last"),
        (Self::PlacesKept, "acknowledged places kept in a rebuild"),
        (Self::ValuesKept, "value blocks kept in a rebuild"),
    ];
}

impl ChangeCounts {
    /// Every counter with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counts = self.0;
        Change::ALL.into_iter().map(move |(change, what)| (what, counts[change as usize]))
    }

    pub(crate) const fn of(&self, change: Change) -> u64 {
        self.0[change as usize]
    }

    pub(crate) fn hit(&mut self, change: Change) {
        self.add(change, 1);
    }

    pub(crate) fn add(&mut self, change: Change, times: u64) {
        self.0[change as usize] += times;
    }
}

impl AddAssign for ChangeCounts {
    fn add_assign(&mut self, other: Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count += other;
        }
    }
}

/// What became of transfers, as seen from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveCounts {
    /// Transfers asked for and taken.
    pub asked: u64,
    /// Transfers that came to their end.
    pub done: u64,
    /// Transfers that the other node did not want.
    pub refused: u64,
    /// Transfers taken back.
    pub withdrawn: u64,
    /// Calls refused, of transfers and of withdrawals.
    pub nonsense: u64,
    /// Chunks sent, those that were sent again included.
    pub chunks: u64,
    /// Times that an old master went back to a unit that it had sent.
    pub repeats: u64,
    /// Chunks after which the window had no room for another one.
    pub full_windows: u64,
    /// Records of resources sent.
    pub records: u64,
    /// Locks sent.
    pub locks: u64,
    /// Chunks that went on with a record that the one before had begun.
    pub split: u64,
    /// Positions passed on.
    pub relays: u64,
    /// Grants about a resource of a slot whose transfer had begun and not ended.
    pub grants: u64,
}

impl MoveCounts {
    /// Every counter with its name.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, u64); 13] {
        [
            ("transfers asked for", self.asked),
            ("transfers done", self.done),
            ("transfers refused", self.refused),
            ("transfers withdrawn", self.withdrawn),
            ("transfers without sense", self.nonsense),
            ("chunks", self.chunks),
            ("chunks sent again", self.repeats),
            ("windows filled", self.full_windows),
            ("records moved", self.records),
            ("locks moved", self.locks),
            ("records in several chunks", self.split),
            ("positions passed on", self.relays),
            ("grants during transfers", self.grants),
        ]
    }
}

impl AddAssign for MoveCounts {
    fn add_assign(&mut self, other: Self) {
        self.asked += other.asked;
        self.done += other.done;
        self.refused += other.refused;
        self.withdrawn += other.withdrawn;
        self.nonsense += other.nonsense;
        self.chunks += other.chunks;
        self.repeats += other.repeats;
        self.full_windows += other.full_windows;
        self.records += other.records;
        self.locks += other.locks;
        self.split += other.split;
        self.relays += other.relays;
        self.grants += other.grants;
    }
}

/// What happened only because hosts had several machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineCounts {
    /// Hellos that came to another machine than the one that was meant.
    pub astray: u64,
    /// Crashes of one machine that the others of its host heard of later.
    pub crashes_alone: u64,
    /// Machines that were ended because another one of their host was over.
    pub ended_with: u64,
    /// Grants of a host whose owners held something of another of its machines.
    pub grants_beside: u64,
}

impl MachineCounts {
    /// Every counter with its name.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, u64); 4] {
        [
            ("hellos to the wrong machine", self.astray),
            ("crashes of one machine before the others", self.crashes_alone),
            ("machines ended with another one", self.ended_with),
            ("grants beside locks of another machine", self.grants_beside),
        ]
    }
}

impl AddAssign for MachineCounts {
    fn add_assign(&mut self, other: Self) {
        self.astray += other.astray;
        self.crashes_alone += other.crashes_alone;
        self.ended_with += other.ended_with;
        self.grants_beside += other.grants_beside;
    }
}

impl Report {
    /// Every counter of what owners did, with its name, but for that of what was lent, which they do not do by themselves.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, u64); 21] {
        [
            ("steps", self.steps),
            ("asked", self.asked),
            ("grants", self.grants),
            ("retained", self.retained),
            ("denials", self.denials),
            ("cancels", self.cancels),
            ("timeouts", self.timeouts),
            ("full", self.full),
            ("refusals", self.refusals),
            ("deadlocks", self.deadlocks),
            ("demotions", self.demotions),
            ("alternates", self.alternates),
            ("demands", self.demands),
            ("values read", self.values_read),
            ("at rest", self.at_rest),
            ("values written", self.values_written),
            ("frames", self.frames),
            ("messages", self.messages),
            ("frames reordered", self.reordered),
            ("outboxes of several frames", self.spilled),
            ("frames dropped", self.dropped),
        ]
    }
}

impl AddAssign for Report {
    /// Adds the counters and mixes the hashes.
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.asked += other.asked;
        self.grants += other.grants;
        self.retained += other.retained;
        self.denials += other.denials;
        self.cancels += other.cancels;
        self.timeouts += other.timeouts;
        self.full += other.full;
        self.refusals += other.refusals;
        self.deadlocks += other.deadlocks;
        self.demotions += other.demotions;
        self.alternates += other.alternates;
        self.demands += other.demands;
        self.values_read += other.values_read;
        self.at_rest += other.at_rest;
        self.lent += other.lent;
        self.values_written += other.values_written;
        self.frames += other.frames;
        self.messages += other.messages;
        self.reordered += other.reordered;
        self.spilled += other.spilled;
        self.dropped += other.dropped;
        self.span += other.span;
        self.healing = self.healing.max(other.healing);
        self.faults += other.faults;
        self.moves += other.moves;
        self.changes += other.changes;
        self.machines += other.machines;
        self.trace = self.trace.wrapping_add(other.trace);
    }
}

/// What a run checks. The invariants and laws are those of `docs/protocol.md` and of the core's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Owners that hold a resource are compatible, cluster-wide.
    LogicalExclusion,
    /// Nodes that a master has on record are compatible.
    PhysicalExclusion,
    /// Master's record, node's mode and owners' modes cover each other, in this order.
    Coverage,
    /// A grant or denial answers one request that was made and has not ended.
    ExactlyOnce,
    /// A grant is in the mode asked for or in an accepted alternate; a denial has a cause.
    Answer,
    /// Requests are granted, denied, cancelled or pending.
    Conservation,
    /// At most one node decides about a resource, and authority goes from the old master to the new one only.
    Authority,
    /// A transfer goes step by step, and each message about it is true.
    Transfer,
    /// In the end all nodes agree who is master of which slot.
    Map,
    /// Tokens rise over grants that exclude each other.
    Tokens,
    /// A reader gets the last value, or is told that there is none.
    Values,
    /// Nothing at the head of a queue could be granted.
    LostWakeup,
    /// A holder that somebody waits for is told.
    LostDemand,
    /// Once the network is well and owners release what they get, every request ends.
    Progress,
    /// Tables stay within their capacities, and are empty when everything is released.
    Bounds,
    /// Nothing is granted before every member was heard.
    Opening,
    /// L1: after a drain, a timeout at the same instant yields nothing.
    QuietTimeout,
    /// L2: after a timeout the next deadline is later.
    DeadlineMoves,
    /// L3: without an input there is nothing new.
    NothingUnasked,
    /// L6: messages per input are bounded.
    BoundedOutput,
    /// L7: a refused call changes nothing.
    RefusalUnchanged,
    /// Each lock that was granted is lost once when its node is no member any more, and never otherwise.
    Lost,
    /// A node takes the views that it must, and stands as its views and its certainty say.
    Membership,
    /// Who waits keeps an acknowledged place when its master is lost.
    Order,
    /// A run does something.
    Exercise,
}

/// A rule that does not hold, and where it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) what: String,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Seed of the run.
    pub seed: u64,
    /// Step at which it was seen.
    pub step: u64,
    /// Virtual time at which it was seen.
    pub now: Instant,
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
    /// The last lines of the trace.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "    {line}")?;
        }
        let micros = self.now.as_nanos() / 1000;
        write!(f, "seed {}, step {}, {micros} us: {:?}: {}", self.seed, self.step, self.rule, self.what)
    }
}

/// Makes a violation.
macro_rules! broken {
    ($rule:ident, $($what:tt)+) => {
        $crate::report::Violation { rule: $crate::report::Rule::$rule, what: alloc::format!($($what)+) }
    };
}

/// Returns with a violation unless something holds.
macro_rules! ensure {
    ($holds:expr, $rule:ident, $($what:tt)+) => {
        if !$holds {
            return Err($crate::report::broken!($rule, $($what)+));
        }
    };
}

pub(crate) use {broken, ensure};
