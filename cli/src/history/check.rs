//! What must be true of a history, entry by entry.

use std::collections::BTreeSet;

use lockmaster_tokio::Mode;

use crate::history::entry::Happening;
use crate::history::merge::{FileIdx, Seen};
use crate::history::names::NameIdx;

/// Violations that are kept to be shown; all are counted.
const SHOWN_MAX: usize = 5;

/// Something that must not be in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A lock was granted while another owner held the resource in an incompatible mode.
    Overlap { held: Seen, granted: Seen },
    /// A token is not higher than that of an earlier grant that is incompatible with it.
    TokenNotHigher { before: Seen, granted: Seen },
    /// A lock was granted to an owner that held one on the resource already.
    GrantedTwice { held: Seen, granted: Seen },
    /// A lock was released or lost by an owner that held none on the resource.
    NotHeld { ended: Seen },
    /// A lock was released or lost in another mode, or with another token, than it was granted.
    EndedOtherwise { held: Seen, ended: Seen },
}

impl Violation {
    /// Place of its kind in [`Violation::KINDS`].
    pub(super) fn kind(self) -> usize {
        match self {
            Self::Overlap { .. } => 0,
            Self::TokenNotHigher { .. } => 1,
            Self::GrantedTwice { .. } => 2,
            Self::NotHeld { .. } => 3,
            Self::EndedOtherwise { .. } => 4,
        }
    }

    /// What each kind is called.
    pub(super) const KINDS: [&'static str; 5] = [
        "incompatible locks held at once",
        "tokens not higher than an earlier one",
        "locks granted to an owner that had one",
        "locks ended that were not held",
        "locks ended otherwise than granted",
    ];
}

/// What a history held.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Entries: granted, released, lost.
    pub(super) entries: [u64; 3],
    /// Grants by mode.
    pub(super) grants: [u64; Mode::ALL.len()],
    /// Times of the first and the last entry.
    pub(super) span: Option<(u64, u64)>,
    /// Resources that had entries.
    pub(super) resources: u64,
    /// Owners that had entries.
    pub(super) owners: u64,
    /// Locks without an end, in order of resource.
    pub(super) open: Vec<Seen>,
    /// Grants that are the first to be incompatible with an open lock of a file that was cut short: nobody knows whether
    /// that lock was still held. Their tokens are compared all the same.
    pub(super) unjudged: u64,
    /// Violations by kind.
    pub(super) violations: [u64; Violation::KINDS.len()],
    /// The first of them.
    pub(super) shown: Vec<Violation>,
}

impl Findings {
    /// Is there no violation?
    pub(super) fn is_clean(&self) -> bool {
        self.violations.iter().all(|count| *count == 0)
    }

    fn violate(&mut self, violation: Violation) {
        self.violations[violation.kind()] += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(violation);
        }
    }
}

/// Takes a history in order and says what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Checker {
    resources: Vec<Option<Resource>>,
    owners: BTreeSet<(u16, NameIdx)>,
    findings: Findings,
}

#[derive(Debug, Default)]
struct Resource {
    holds: Vec<Hold>,
    /// The grant with the highest token in each mode.
    highest: [Option<Seen>; Mode::ALL.len()],
}

#[derive(Debug)]
struct Hold {
    granted: Seen,
    /// The file of its owner was cut short: how long it was held is not known.
    is_cut_short: bool,
    /// A later grant that is incompatible with it has shown that it has ended.
    is_over: bool,
}

impl Checker {
    /// Takes the next entry.
    pub(super) fn take(&mut self, seen: Seen) {
        let entry = seen.entry;
        let first = self.findings.span.map_or(entry.t, |(first, _)| first);
        self.findings.span = Some((first, entry.t));
        self.findings.entries[entry.happening as usize] += 1;
        self.owners.insert((entry.owner.node, entry.owner.name));

        let place = entry.resource.place();
        if self.resources.len() <= place {
            self.resources.resize_with(place + 1, || None);
        }
        let resource = self.resources[place].get_or_insert_default();
        match entry.happening {
            Happening::Granted => resource.take_grant(seen, &mut self.findings),
            Happening::Released | Happening::Lost => resource.take_end(seen, &mut self.findings),
        }
    }

    /// This file ends here, in the middle of a line: nothing is known of its owners any more.
    pub(super) fn cut_short(&mut self, file: FileIdx) {
        let holds = self.resources.iter_mut().flatten().flat_map(|resource| &mut resource.holds);
        for hold in holds.filter(|hold| hold.granted.file == file) {
            hold.is_cut_short = true;
        }
    }

    /// The history ends here.
    pub(super) fn finish(mut self) -> Findings {
        let count = |count: usize| u64::try_from(count).expect("a count fits 64 bits");
        self.findings.owners = count(self.owners.len());
        self.findings.resources = count(self.resources.iter().flatten().count());
        let holds = self.resources.iter().flatten().flat_map(|resource| &resource.holds);
        self.findings.open = holds.map(|hold| hold.granted).collect();
        self.findings
    }
}

impl Resource {
    fn take_grant(&mut self, granted: Seen, findings: &mut Findings) {
        let mode = granted.entry.mode;
        findings.grants[mode as usize] += 1;
        for hold in &mut self.holds {
            let held = hold.granted;
            let is_same = held.entry.owner == granted.entry.owner;
            let is_compatible = held.entry.mode.is_compatible(mode);
            match hold.is_cut_short {
                // Held until now at the latest: whoever comes later comes after this grant too.
                true if !is_compatible && !hold.is_over => {
                    findings.unjudged += 1;
                    hold.is_over = true;
                }
                true => {}
                false if is_same => findings.violate(Violation::GrantedTwice { held, granted }),
                false if !is_compatible => findings.violate(Violation::Overlap { held, granted }),
                false => {}
            }
        }
        let incompatible = Mode::ALL.into_iter().filter(|other| !other.is_compatible(mode));
        let before = incompatible.filter_map(|other| self.highest[other as usize]);
        if let Some(before) = before.max_by_key(|before| before.entry.token)
            && before.entry.token >= granted.entry.token
        {
            findings.violate(Violation::TokenNotHigher { before, granted });
        }
        let highest = &mut self.highest[mode as usize];
        if highest.is_none_or(|highest| highest.entry.token < granted.entry.token) {
            *highest = Some(granted);
        }
        self.holds.push(Hold { granted, is_cut_short: false, is_over: false });
    }

    fn take_end(&mut self, ended: Seen, findings: &mut Findings) {
        let mine = |hold: &Hold| hold.granted.entry.owner == ended.entry.owner && !hold.is_cut_short;
        let Some(place) = self.holds.iter().position(mine) else {
            findings.violate(Violation::NotHeld { ended });
            return;
        };
        let held = self.holds.swap_remove(place).granted;
        if (held.entry.mode, held.entry.token) != (ended.entry.mode, ended.entry.token) {
            findings.violate(Violation::EndedOtherwise { held, ended });
        }
    }
}
