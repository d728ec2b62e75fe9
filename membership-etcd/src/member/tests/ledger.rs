//! An account of its own of who believes in its membership until when, in true time, and what must never be.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_async::{ClusterView, NodeId};

use crate::record::{ViewRecord, Why};
use crate::succession::Life;

/// What happened, over many runs. A run that never came by something has not tested it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) views: u64,
    pub(super) expired: u64,
    pub(super) unreachable: u64,
    pub(super) held: u64,
    pub(super) left: u64,
    pub(super) total_restarts: u64,
    pub(super) joined: u64,
    /// Those that run in another configuration than the one in which they would found a cluster.
    pub(super) adapted: u64,
    pub(super) fenced: u64,
    pub(super) refused: u64,
    pub(super) conflicts: u64,
    pub(super) unanswered: u64,
    pub(super) late: u64,
    /// Member keys of the living that were deleted by hand.
    pub(super) deleted: u64,
}

#[derive(Default)]
pub(super) struct Ledger {
    /// Until when each life may act as a member, in nanoseconds of true time.
    beliefs: BTreeMap<Life, u64>,
    /// Lives that have stopped by themselves, whatever they are told after that.
    stopped: BTreeSet<Life>,
    last: Option<ViewRecord>,
    known: BTreeMap<u32, ClusterView>,
    pub(super) counts: Counts,
}

impl Ledger {
    /// A life was told that it is certain until then.
    pub(super) fn believe(&mut self, life: Life, until: u64) {
        if !self.stopped.contains(&life) {
            let belief = self.beliefs.entry(life).or_insert(0);
            *belief = until.max(*belief);
        }
    }

    /// A life has ended, and knows it, or is dead.
    pub(super) fn stop(&mut self, life: Life, now: u64) {
        self.stopped.insert(life);
        let belief = self.beliefs.entry(life).or_insert(0);
        *belief = now.min(*belief);
    }

    /// A view was stored.
    pub(super) fn store(&mut self, now: u64, view: &ViewRecord) -> Result<(), String> {
        let last = self.last.take();
        let epoch = last.as_ref().map_or(0, |last| last.epoch);
        let digest = last.as_ref().map(|last| last.digest);
        if view.epoch != epoch + 1 {
            return Err(format!("epoch {} follows epoch {epoch}", view.epoch));
        }
        let before = last.map(|last| last.members).unwrap_or_default();
        let mut survivors = 0;
        for seat in &before {
            let life = Life { node: seat.node(), incarnation: seat.incarnation() };
            if view.has(life.node, life.incarnation) {
                survivors += 1;
                continue;
            }
            let until = self.beliefs.get(&life).copied().unwrap_or(0);
            if until > now {
                return Err(format!("{life:?} is removed at {now} and believes in itself until {until}"));
            }
            let removal = view
                .removed
                .iter()
                .find(|gone| (gone.node, gone.incarnation) == (seat.node, seat.incarnation));
            let removal = removal.ok_or_else(|| format!("{life:?} is removed without a reason"))?;
            *match removal.why {
                Why::Expired => &mut self.counts.expired,
                Why::Unreachable => &mut self.counts.unreachable,
                Why::Held => &mut self.counts.held,
                Why::Left => &mut self.counts.left,
            } += 1;
        }
        for seat in &view.members {
            let is_new =
                !before.iter().any(|old| (old.node, old.incarnation) == (seat.node, seat.incarnation));
            if is_new != (seat.joined == view.epoch) {
                return Err(format!("{seat:?} joined in another epoch than {}", view.epoch));
            }
        }
        if survivors > 0 && digest != Some(view.digest) {
            return Err(format!("epoch {} has another configuration than its members", view.epoch));
        }
        self.counts.views += 1;
        self.counts.total_restarts += u64::from(before.len() > 1 && survivors == 0);
        self.last = Some(view.clone());
        Ok(())
    }

    /// A life became a member.
    pub(super) fn join(&mut self, now: u64, life: Life, digest: u64) -> Result<(), String> {
        self.counts.joined += 1;
        let last = self.last.as_ref().ok_or("a member without a view")?;
        if last.has(life.node, life.incarnation) && last.digest != digest {
            return Err(format!("{life:?} runs in configuration {digest}, and the view has {}", last.digest));
        }
        if last.seat(life.node).is_some_and(|seat| seat.incarnation() < life.incarnation) {
            return Err(format!("{life:?} has joined, and a life before it is in the view"));
        }
        let mut others = self.beliefs.iter().filter(|(other, _)| other.node == life.node && **other != life);
        if let Some((other, until)) =
            others.find(|(other, until)| **until > now || other.incarnation > life.incarnation)
        {
            return Err(format!("{life:?} joined at {now} and {other:?} believes in itself until {until}"));
        }
        Ok(())
    }

    /// A life was told of a view.
    pub(super) fn tell(&mut self, life: Life, view: &ClusterView) -> Result<(), String> {
        if !view.members.iter().any(|seat| (seat.node, seat.incarnation) == (life.node, life.incarnation)) {
            return Err(format!("{life:?} was told of a view without it"));
        }
        let first = self.known.entry(view.epoch.0).or_insert_with(|| view.clone());
        if first != view {
            return Err(format!("epoch {} has two views", view.epoch.0));
        }
        Ok(())
    }

    /// The members of the stored view.
    pub(super) fn members(&self) -> Vec<NodeId> {
        let view = self.last.as_ref();
        view.map_or_else(Vec::new, |view| view.members.iter().map(crate::record::Seat::node).collect())
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for ((_, count), (_, more)) in self.fields().into_iter().zip(other.fields()) {
            *count += *more;
        }
    }

    /// What never happened.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let mut counts = *self;
        let fields = counts.fields().into_iter();
        fields.filter(|(_, count)| **count == 0).map(|(name, _)| name).collect()
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 14] {
        [
            ("views", &mut self.views),
            ("expired", &mut self.expired),
            ("unreachable", &mut self.unreachable),
            ("held", &mut self.held),
            ("left", &mut self.left),
            ("total restarts", &mut self.total_restarts),
            ("joined", &mut self.joined),
            ("adapted", &mut self.adapted),
            ("fenced", &mut self.fenced),
            ("refused", &mut self.refused),
            ("conflicts", &mut self.conflicts),
            ("unanswered", &mut self.unanswered),
            ("late", &mut self.late),
            ("deleted", &mut self.deleted),
        ]
    }
}
