//! Rules of the protocol that a test can switch off, to see that it notices. Never part of a real build: the
//! module exists under a private `cfg` only.

/// Which rules are switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u64);

impl Faults {
    /// Every rule holds.
    pub const NONE: Self = Self(0);
    /// A Downgrade or Cancel keeps its request's number.
    pub const NUMBER_REUSED: Self = Self(1);
    /// A Grant is believed because its number is not lower than the pending one's.
    pub const GRANT_NOT_LOWER: Self = Self(1 << 1);
    /// Numbers are counted for each resource and forgotten with its record.
    pub const NUMBER_PER_RESOURCE: Self = Self(1 << 2);
    /// There are no floors.
    pub const NO_FLOORS: Self = Self(1 << 3);
    /// A value block write is taken because its sender is on record at EX, whatever its token.
    pub const WRITE_BY_MODE: Self = Self(1 << 4);
    /// PR is granted to a node that keeps NL without being asked, under the number on record, and believed.
    pub const GRANT_UNASKED: Self = Self(1 << 5);
    /// A holder obeys a demand before its owners are done.
    pub const EAGER_DOWNGRADE: Self = Self(1 << 6);
    /// No grant pass runs after a release.
    pub const NO_PASS: Self = Self(1 << 7);
    /// A grant that arrives after its waiter was cancelled is used.
    pub const GRANT_AFTER_CANCEL: Self = Self(1 << 8);
    /// A node's copy of the value block is thought current at any mode.
    pub const STALE_VALUE: Self = Self(1 << 9);
    /// Floors do not travel with their slot.
    pub const FLOORS_STAY: Self = Self(1 << 10);
    /// Authority leaves a slot only with its last chunk, while records were already packed.
    pub const AUTHORITY_LATE: Self = Self(1 << 11);
    /// A repeated chunk is installed again.
    pub const CHUNK_TWICE: Self = Self(1 << 12);
    /// The new master drops an installed record that became empty before the slot is complete.
    pub const EMPTY_DROPPED: Self = Self(1 << 13);
    /// The transfer interval ends before every member has acknowledged.
    pub const END_EARLY: Self = Self(1 << 14);
    /// Repeats of a chunk are made from records that go on changing.
    pub const REPEAT_LIVE: Self = Self(1 << 15);
    /// A node without a record leaves a demand unanswered: a release that was lost is never said again.
    pub const UNLOCK_LOST: Self = Self(1 << 16);
    /// A conversion that is denied while it waits stays in the convert queue of its master.
    pub const VICTIM_QUEUED: Self = Self(1 << 17);
    /// The counter that makes tokens does not travel with its slot.
    pub const TOKENS_STAY: Self = Self(1 << 18);
    /// The value block does not travel with its resource.
    pub const VALUE_STAYS: Self = Self(1 << 19);

    /// The coordinator decides before everybody who could know has reported its map.
    pub const DECIDE_EARLY: Self = Self(1 << 20);
    /// Map reports are made from what is so when they are sent.
    pub const MAP_LIVE: Self = Self(1 << 21);
    /// Who is an orphan is judged by the merged map, not by what members claim.
    pub const ORPHANS_BY_MAP: Self = Self(1 << 22);
    /// A rebuilt slot is decided about before everybody who could know has reported.
    pub const OPEN_EARLY: Self = Self(1 << 23);
    /// Reports do not carry the counter that becomes the floor.
    pub const REPORT_WITHOUT_COUNTER: Self = Self(1 << 24);
    /// A report is acknowledged before the map that makes this node a master has come.
    pub const REPORT_ACKED_EARLY: Self = Self(1 << 25);
    /// A rebuild leaves out what does not fit.
    pub const REBUILD_PARTIAL: Self = Self(1 << 26);
    /// No grant pass runs after the locks of a departed member were dropped.
    pub const NO_PASS_AFTER_PURGE: Self = Self(1 << 27);
    /// Frames of earlier and later views are heard.
    pub const OTHER_VIEWS: Self = Self(1 << 28);
    /// A master that rebuilds a slot hears requests for it.
    pub const REBUILD_HEARS: Self = Self(1 << 29);
    /// Floors are those of a place, whoever has it.
    pub const FLOORS_STAY_BEHIND: Self = Self(1 << 30);
    /// Resources come and go in a slot while it is reported in parts.
    pub const REPORT_LIVE: Self = Self(1 << 31);
    /// A node is master of what any install says that it is.
    pub const INSTALL_ANY: Self = Self(1 << 32);
    /// A copy of the value block that was given as invalid is reported as valid.
    pub const INVALID_AS_VALID: Self = Self(1 << 33);
    /// Who could know is who was in the view before, as installed here.
    pub const KNOWING_AS_INSTALLED: Self = Self(1 << 34);
    /// A node goes on after the end of its membership.
    pub const LIVES_ON: Self = Self(1 << 35);
    /// A master grants although its membership is not certain.
    pub const SUSPECT_GRANTS: Self = Self(1 << 36);
    /// The value block stays valid when its writer departs.
    pub const PURGE_KEEPS_VALUE: Self = Self(1 << 37);
    /// A value block that was lost with its master is absent, as if there had been none.
    pub const LOST_VALUE_ABSENT: Self = Self(1 << 38);
    /// A packed lock of a departed member goes to whoever has its place.
    pub const PACKED_KEEPS_DEPARTED: Self = Self(1 << 39);

    /// A rebuilt queue is in the order of nodes, whatever places were acknowledged.
    pub const REBUILD_BY_NODE: Self = Self(1 << 40);
    /// A copy of the value block that a survivor reports is not taken.
    pub const COPY_UNHEARD: Self = Self(1 << 41);
    /// The value block is lost with whoever departs, whatever that member held.
    pub const PURGE_LOSES_VALUE: Self = Self(1 << 42);

    /// A resource is opened before its slot when not all who could know have answered.
    pub const EARLY_HALF: Self = Self(1 << 43);
    /// What was opened before its slot stays open in the next view.
    pub const EARLY_STAYS: Self = Self(1 << 44);
    /// What others said of a resource alone is forgotten when its slot's turn comes.
    pub const EARLY_CLEARED: Self = Self(1 << 45);

    /// All switches, with the names that the tests print.
    pub const ALL: [(&'static str, Self); 46] = [
        ("a Downgrade or Cancel reuses its request's number", Self::NUMBER_REUSED),
        ("a Grant is believed because its number is not lower", Self::GRANT_NOT_LOWER),
        ("numbers are counted per resource", Self::NUMBER_PER_RESOURCE),
        ("there are no floors", Self::NO_FLOORS),
        ("a value write is taken by mode, without its token", Self::WRITE_BY_MODE),
        ("PR is granted ahead of need without a request", Self::GRANT_UNASKED),
        ("a holder obeys before its owners are done", Self::EAGER_DOWNGRADE),
        ("no grant pass after a release", Self::NO_PASS),
        ("a grant is used after its waiter was cancelled", Self::GRANT_AFTER_CANCEL),
        ("a stale copy of the value block is handed out", Self::STALE_VALUE),
        ("floors do not travel", Self::FLOORS_STAY),
        ("authority leaves a slot with its last chunk", Self::AUTHORITY_LATE),
        ("a repeated chunk is installed again", Self::CHUNK_TWICE),
        ("an installed record is dropped before its slot is complete", Self::EMPTY_DROPPED),
        ("a transfer ends before all have acknowledged", Self::END_EARLY),
        ("repeats of a chunk are made from live records", Self::REPEAT_LIVE),
        ("an unlock that was lost is not said again", Self::UNLOCK_LOST),
        ("a denied conversion stays in the convert queue", Self::VICTIM_QUEUED),
        ("tokens are counted anew after a transfer", Self::TOKENS_STAY),
        ("the value block does not travel", Self::VALUE_STAYS),
        ("a map is decided before all have reported theirs", Self::DECIDE_EARLY),
        ("map reports are made from live state", Self::MAP_LIVE),
        ("orphans are judged by the merged map", Self::ORPHANS_BY_MAP),
        ("a rebuilt slot is opened before all have reported", Self::OPEN_EARLY),
        ("reports have no counter", Self::REPORT_WITHOUT_COUNTER),
        ("a report is acknowledged before the install", Self::REPORT_ACKED_EARLY),
        ("a rebuild leaves out what does not fit", Self::REBUILD_PARTIAL),
        ("no grant pass after a purge", Self::NO_PASS_AFTER_PURGE),
        ("frames of other views are heard", Self::OTHER_VIEWS),
        ("a rebuilding master hears requests", Self::REBUILD_HEARS),
        ("floors stay for who comes next", Self::FLOORS_STAY_BEHIND),
        ("a report is made from a table that changes", Self::REPORT_LIVE),
        ("any install makes a master", Self::INSTALL_ANY),
        ("a copy told invalid is reported as valid", Self::INVALID_AS_VALID),
        ("who could know is judged by the last view installed", Self::KNOWING_AS_INSTALLED),
        ("a node goes on after its membership", Self::LIVES_ON),
        ("a suspect master grants", Self::SUSPECT_GRANTS),
        ("a value stays valid without its writer", Self::PURGE_KEEPS_VALUE),
        ("a value that was lost is absent", Self::LOST_VALUE_ABSENT),
        ("a packed lock of a departed member stays", Self::PACKED_KEEPS_DEPARTED),
        ("a rebuilt queue is in the order of nodes", Self::REBUILD_BY_NODE),
        ("a copy in a report is not taken", Self::COPY_UNHEARD),
        ("a value is lost with any member", Self::PURGE_LOSES_VALUE),
        ("a resource is opened before all have answered", Self::EARLY_HALF),
        ("a resource stays open in the next view", Self::EARLY_STAYS),
        ("what was said of a resource alone is forgotten", Self::EARLY_CLEARED),
    ];

    /// Is it a rule about views?
    #[must_use]
    pub const fn is_of_views(self) -> bool {
        self.0 >= Self::DECIDE_EARLY.0
    }

    /// Is a rule switched off?
    #[must_use]
    pub const fn has(self, fault: Self) -> bool {
        self.0 & fault.0 != 0
    }
}

/// Is a rule switched off? Always false in a real build.
macro_rules! fault_on {
    ($machine:expr, $fault:ident) => {
        $machine.s.config.faults.has($crate::fault::Faults::$fault)
    };
}
pub(crate) use fault_on;
