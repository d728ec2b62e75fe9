//! What a demonstration did, and whether it is as it should be.

use core::time::Duration;

use crate::args::DemoArgs;
use crate::demo::cluster::Member;
use crate::demo::data_file::{Audit, expected_total};
use crate::demo::figures::Figures;

/// All that is known in the end.
pub(super) struct Summary<'a> {
    pub(super) args: &'a DemoArgs,
    /// How long the tasks worked.
    pub(super) elapsed: Duration,
    /// Somebody wanted it to end early.
    pub(super) was_interrupted: bool,
    /// Of all nodes that told theirs.
    pub(super) figures: Figures,
    /// What became of nodes that did not.
    pub(super) missing: Vec<String>,
    /// What is in the data file.
    pub(super) audit: Audit,
}

impl<'a> Summary<'a> {
    /// Of a demonstration whose nodes have not told anything yet.
    pub(super) fn new(args: &'a DemoArgs, elapsed: Duration, was_interrupted: bool) -> Self {
        Self {
            args,
            elapsed,
            was_interrupted,
            figures: Figures::default(),
            missing: Vec::new(),
            audit: Audit::default(),
        }
    }

    /// Adds what a node told.
    pub(super) fn take(&mut self, member: &mut Member) {
        match (member.figures.take(), &member.death) {
            (Some(figures), _) => self.figures.add(figures),
            (None, Some(death)) => self.missing.push(format!("node {} died: {death}", member.node)),
            (None, None) => self.missing.push(format!("node {} did not answer", member.node)),
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

    /// Is everything as it should be?
    pub(super) fn is_clean(&self) -> bool {
        self.is_money_conserved()
            && self.torn() == 0
            && self.figures.tokens_back == 0
            && self.figures.refused == 0
            && self.figures.unfinished == 0
            && self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests;
