//! What a demonstration did, and whether it is as it should be.

use core::time::Duration;

use crate::args::DemoArgs;
use crate::demo::cluster::Member;
use crate::demo::data_file::{Audit, expected_total};
use crate::demo::disturber::Event;
use crate::demo::figures::{Figures, SlotTransfers, Survey};

/// All that is known in the end.
pub(super) struct Summary<'a> {
    pub(super) args: &'a DemoArgs,
    /// How long the tasks worked.
    pub(super) elapsed: Duration,
    /// Somebody wanted it to end early.
    pub(super) was_interrupted: bool,
    /// Of all nodes that told theirs.
    pub(super) figures: Figures,
    /// Of each of these nodes.
    pub(super) nodes: Vec<NodeSummary>,
    /// What became of nodes that did not.
    pub(super) missing: Vec<String>,
    /// What is in the data file.
    pub(super) audit: Audit,
    /// What happened to nodes.
    pub(super) events: Vec<Event>,
}

/// What a node told of its slots.
pub(super) struct NodeSummary {
    pub(super) node: u16,
    pub(super) transfers: SlotTransfers,
    /// Absent if nobody asked, because another node was missing.
    pub(super) survey: Option<Survey>,
}

impl<'a> Summary<'a> {
    /// Of a demonstration whose nodes have not told anything yet.
    pub(super) fn new(args: &'a DemoArgs, elapsed: Duration, was_interrupted: bool) -> Self {
        Self {
            args,
            elapsed,
            was_interrupted,
            figures: Figures::default(),
            nodes: Vec::new(),
            missing: Vec::new(),
            audit: Audit::default(),
            events: Vec::new(),
        }
    }

    /// Adds what a node told.
    pub(super) fn take(&mut self, member: &mut Member) {
        for (event, disturbance) in core::mem::take(&mut member.disturbances) {
            self.figures.disturbances.entry(event).or_default().add(&disturbance);
        }
        match (&member.death, member.figures.take()) {
            (Some(death), _) => self.missing.push(format!("node {} died: {death}", member.node)),
            (None, None) => self.missing.push(format!("node {} did not answer", member.node)),
            (None, Some(figures)) => {
                let transfers = figures.slots.clone();
                self.nodes.push(NodeSummary { node: member.node, transfers, survey: member.survey.take() });
                self.figures.add(figures);
            }
        }
    }

    /// Is all the money still there?
    pub(super) fn is_money_conserved(&self) -> bool {
        self.audit.total == self.expected_total()
    }

    /// The money at the start.
    pub(super) fn expected_total(&self) -> u128 {
        expected_total(self.args.pages)
    }

    /// Torn pages that were found, while the tasks worked or in the end.
    pub(super) fn torn(&self) -> u64 {
        self.figures.torn + u64::try_from(self.audit.torn.len()).unwrap_or(u64::MAX)
    }

    /// Do slots move in such a demonstration?
    pub(super) fn has_transfers(&self) -> bool {
        !self.args.transfer_interval.is_zero() && self.args.nodes > 1 && !self.args.without_locks
    }

    /// Do all nodes say the same of who is the master of what?
    pub(super) fn is_map_agreed(&self) -> bool {
        let surveys = || self.nodes.iter().filter_map(|node| node.survey.as_ref());
        surveys().zip(surveys().skip(1)).all(|(one, other)| one.shares == other.shares)
    }

    /// Is everything as it should be?
    pub(super) fn is_clean(&self) -> bool {
        self.is_money_conserved()
            && self.torn() == 0
            && self.figures.tokens_back == 0
            && self.figures.refused == 0
            && self.figures.unfinished == 0
            && self.figures.slots.unfinished == 0
            && self.is_map_agreed()
            && self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests;
