//! The history of one resource's value block, as its writers made it.

use alloc::vec::Vec;
use core::fmt;

use lockmaster_core::{NodeId, Value, ValueState};

use crate::report::{Violation, broken, ensure};
use crate::show::ShownValue;

/// States of the block in the order in which they came into being.
#[derive(Debug)]
pub(crate) struct History {
    states: Vec<ValueState>,
    /// The states from here on are those that the block can be in now.
    last: usize,
    /// The oldest state that the master can be in.
    applied: usize,
    /// The oldest state that each node may still be shown.
    seen: Vec<usize>,
}

impl History {
    pub(crate) fn new(nodes: usize) -> Self {
        let states = alloc::vec![ValueState::Absent];
        Self { states, last: 0, applied: 0, seen: alloc::vec![0; nodes] }
    }

    // ---- what changes the block ----

    pub(crate) fn set(&mut self, node: NodeId, value: Value) {
        self.last = self.states.len();
        self.states.push(ValueState::Valid(value));
        self.saw(node, self.last);
    }

    pub(crate) fn invalidate(&mut self, node: NodeId) {
        let marked: Vec<ValueState> = self.states[self.last..].iter().copied().map(invalid).collect();
        self.last = self.states.len();
        self.states.extend(marked);
        self.saw(node, self.last);
    }

    /// The master has no record of the resource any more.
    pub(crate) fn dropped(&mut self) {
        if self.states[self.last..] != [ValueState::Absent] {
            self.last = self.states.len();
            self.states.push(ValueState::Absent);
        }
        self.applied = self.last;
    }

    /// The master may have been without a record of the resource for a moment.
    pub(crate) fn perhaps_dropped(&mut self) {
        if !self.states[self.last..].contains(&ValueState::Absent) {
            self.states.push(ValueState::Absent);
        }
    }

    /// Whoever had the last value may be gone: the block may be marked invalid.
    pub(crate) fn doubt(&mut self) {
        for at in self.last..self.states.len() {
            self.may_be(invalid(self.states[at]));
        }
    }

    /// The record may have been without locks for a moment, wherever it is.
    pub(crate) fn may_be_absent(&mut self) {
        self.may_be(ValueState::Absent);
    }

    /// The block can be in this state from now on, for whoever has seen any other one.
    fn may_be(&mut self, state: ValueState) {
        let seen = self.seen.iter().copied().max().unwrap_or(0);
        let newest = self.last.max(self.applied).max(seen);
        if !self.states[newest..].contains(&state) {
            self.states.push(state);
        }
    }

    /// The next life of a node knows nothing.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.seen[usize::from(node.0)] = 0;
    }

    /// The master has this block on record.
    pub(crate) fn applied(&mut self, state: ValueState) {
        if state != ValueState::Absent
            && let Some(at) = self.states.iter().position(|known| *known == state)
        {
            self.applied = self.applied.max(at);
        }
    }

    /// Did the block ever have a value?
    pub(crate) fn was_written(&self) -> bool {
        self.states.len() > 1
    }

    // ---- what readers see ----

    /// The oldest state that a node may be shown by what it asks for now.
    pub(crate) fn floor(&self, node: NodeId) -> usize {
        self.applied.max(self.seen[usize::from(node.0)])
    }

    pub(crate) fn read_last(&mut self, node: NodeId, state: ValueState) -> Result<(), Violation> {
        let Some(at) = self.find(self.last, state) else {
            let last = &self.states[self.last..];
            return Err(broken!(
                Values,
                "node {node} was given {}; it is {}",
                ShownValue(state),
                Shown(last)
            ));
        };
        self.saw(node, at);
        Ok(())
    }

    pub(crate) fn read_since(
        &mut self,
        node: NodeId,
        floor: usize,
        state: ValueState,
    ) -> Result<(), Violation> {
        let known = self.find(0, state);
        ensure!(known.is_some(), Values, "node {node} was given {}, which nobody wrote", ShownValue(state));
        let Some(at) = self.find(floor, state) else {
            let since = &self.states[floor..];
            return Err(broken!(
                Values,
                "node {node} was given {}; newer are {}",
                ShownValue(state),
                Shown(since)
            ));
        };
        self.saw(node, at);
        Ok(())
    }

    fn find(&self, from: usize, state: ValueState) -> Option<usize> {
        self.states[from..].iter().position(|known| self.is_shown_by(*known, state)).map(|at| from + at)
    }

    /// Whoever is told that a block is invalid may be shown any bytes that it ever had.
    fn is_shown_by(&self, known: ValueState, state: ValueState) -> bool {
        match (known, state) {
            (ValueState::Invalid(_), ValueState::Invalid(value)) => {
                value == Value::EMPTY || self.states.contains(&ValueState::Valid(value))
            }
            (known, state) => known == state,
        }
    }

    fn saw(&mut self, node: NodeId, at: usize) {
        let seen = &mut self.seen[usize::from(node.0)];
        *seen = (*seen).max(at);
    }
}

/// A block that is marked keeps its bytes.
const fn invalid(state: ValueState) -> ValueState {
    match state {
        ValueState::Absent => ValueState::Invalid(Value::EMPTY),
        ValueState::Valid(value) | ValueState::Invalid(value) => ValueState::Invalid(value),
    }
}

/// States of a block, one after the other.
struct Shown<'a>(&'a [ValueState]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, state) in self.0.iter().enumerate() {
            let before = if at == 0 { "" } else { " or " };
            write!(f, "{before}{}", ShownValue(*state))?;
        }
        Ok(())
    }
}
