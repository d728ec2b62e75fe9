//! The wait for a transfer of slots to another node.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use lockmaster_core::{NodeId, Progress, SlotRange, Stage, TransferId, WithdrawError};

use crate::error::TransferError;
use crate::machines::Machines;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::shared::CALL_BUDGET;
use crate::stale::Stale;

/// Transfers slots to another node: begins when it is first polled, and resolves once the other node alone
/// decides about them and every member knows it.
///
/// Where a node runs several machines, each of them transfers the slots of the range that are its own. If one of these parts
/// is refused, the others are taken back, but those that have moved records by then go on to their end.
///
/// Dropped before that, it lets go of the transfer, which goes on to its end, because records that have moved cannot
/// be taken back; only `tracing` is told the end then. To take it back as long as that is possible, call
/// [`Transfer::withdraw`]. Dropped before it was polled, it does nothing.
///
/// ```
/// use lockmaster_async::{Node, NodeId, Runtime, SlotRange, SpaceId, TransferError};
///
/// /// Gives another node the management of the resource with this name, and of those that share its slot.
/// async fn give<R: Runtime>(node: &Node<R>, name: &str, to: NodeId) -> Result<(), TransferError> {
///     let slot = node.slot_of(SpaceId(0), name).ok_or(TransferError::Range)?;
///     let end = node.transfer(SlotRange::one(slot), to).await?;
///     println!("{} locks moved to node {to} while they were in use", end.locks);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "a transfer begins when its future is awaited"]
pub struct Transfer<'a, R: Runtime> {
    node: &'a Node<R>,
    range: SlotRange,
    to: NodeId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    New,
    Waiting(Vec<Part>),
    /// It has resolved; absent if it was refused in the call or the node was shut down.
    Over(Option<Progress>),
}

/// What one machine transfers.
#[derive(Clone, Copy, Debug)]
struct Part {
    machine: usize,
    transfer: TransferId,
    /// How it ended, once it has.
    end: Option<Progress>,
}

impl<'a, R: Runtime> Transfer<'a, R> {
    pub(crate) const fn new(node: &'a Node<R>, range: SlotRange, to: NodeId) -> Self {
        Self { node, range, to, phase: Phase::New }
    }

    /// How far it has come; absent before it was first polled, if it was refused in the call, and once the node is
    /// shut down.
    ///
    /// Where a node runs several machines, it is as far as the last of them, and their records are added up.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match &self.phase {
            Phase::New => None,
            Phase::Waiting(parts) => {
                let each: Option<Vec<_>> =
                    parts.iter().map(|part| part.progress(self.node.machines())).collect();
                Some(self.sum(&each?, last_stage))
            }
            Phase::Over(end) => *end,
        }
    }

    /// Takes it back before it has moved a record; the future then resolves to [`TransferError::Withdrawn`].
    ///
    /// # Errors
    /// [`WithdrawError::Begun`] if records are on their way, and [`WithdrawError::Unknown`] if it, or a part of it, has
    /// ended or if it was never polled. Nothing has changed then, but where a node runs several machines those are taken back that have moved
    /// nothing.
    pub fn withdraw(&self) -> Result<(), WithdrawError> {
        let Phase::Waiting(parts) = &self.phase else { return Err(WithdrawError::Unknown) };
        let each = parts.iter().map(|part| part.withdraw(self.node.machines()));
        each.reduce(Result::and).expect("a transfer has a part")
    }

    fn begin(&mut self, context: &Context<'_>) -> Poll<Result<Progress, TransferError>> {
        let machines = self.node.machines();
        let mut parts: Vec<Part> = Vec::new();
        for (machine, range) in self.begin_ranges() {
            match Part::begin(machines, machine, range, self.to, context) {
                Ok(part) => parts.push(part),
                Err(error) => {
                    for part in parts {
                        // What has begun in this moment goes on.
                        let _ = part.withdraw(machines);
                        part.forget(machines);
                    }
                    return self.resolve(None, Err(error));
                }
            }
        }
        self.wait_or_end(parts)
    }

    /// What each machine is to transfer.
    fn begin_ranges(&self) -> Vec<(usize, SlotRange)> {
        let Self { node, range, .. } = *self;
        let division = &node.machines().division;
        let all = division.all_slots().len;
        let is_there = range.first.0.checked_add(range.len).is_some_and(|end| range.len > 0 && end <= all);
        if !is_there {
            // There is none of it, which any machine will say.
            return vec![(0, range)];
        }
        let ranges = (0..division.machines()).map(|machine| (machine, division.range(machine, range)));
        ranges.filter_map(|(machine, range)| Some((machine, range?))).collect()
    }

    fn go_on(
        &mut self,
        mut parts: Vec<Part>,
        context: &Context<'_>,
    ) -> Poll<Result<Progress, TransferError>> {
        let machines = self.node.machines();
        if !parts.iter_mut().all(|part| part.go_on(machines, context)) {
            parts.iter().for_each(|part| part.forget(machines));
            return self.resolve(None, Err(TransferError::Closed));
        }
        if parts.iter().any(Part::has_failed) {
            for part in parts.iter().filter(|part| part.end.is_none()) {
                // What has moved records goes on, and what is being withdrawn already.
                let _ = part.withdraw(machines);
            }
        }
        self.wait_or_end(parts)
    }

    fn wait_or_end(&mut self, parts: Vec<Part>) -> Poll<Result<Progress, TransferError>> {
        let ends: Option<Vec<Progress>> = parts.iter().map(|part| part.end).collect();
        let Some(ends) = ends else {
            self.phase = Phase::Waiting(parts);
            return Poll::Pending;
        };
        let end = self.sum(&ends, worst_end);
        let outcome = match end.stage {
            Stage::Done => Ok(end),
            Stage::Refused(reason) => Err(TransferError::Refused(reason)),
            Stage::Withdrawn => Err(TransferError::Withdrawn),
            Stage::Cut => Err(TransferError::Cut),
            Stage::Offered | Stage::Moving | Stage::Announced => {
                unreachable!("what is over is in none of the stages on the way")
            }
        };
        self.resolve(Some(end), outcome)
    }

    /// What the parts come to, with one of their stages.
    fn sum(&self, parts: &[Progress], stage: fn(Stage) -> u8) -> Progress {
        let stages = parts.iter().map(|part| part.stage);
        Progress {
            transfer: parts[0].transfer,
            range: self.range,
            to: self.to,
            stage: stages.min_by_key(|one| stage(*one)).expect("a transfer has a part"),
            resources: parts.iter().map(|part| part.resources).sum(),
            locks: parts.iter().map(|part| part.locks).sum(),
            bytes: parts.iter().map(|part| part.bytes).sum(),
            relayed: parts.iter().map(|part| part.relayed).sum(),
        }
    }

    fn resolve(
        &mut self,
        end: Option<Progress>,
        outcome: Result<Progress, TransferError>,
    ) -> Poll<Result<Progress, TransferError>> {
        self.phase = Phase::Over(end);
        Poll::Ready(outcome)
    }
}

/// How far a stage is; of several parts the one that is least far counts.
const fn last_stage(stage: Stage) -> u8 {
    match stage {
        Stage::Offered => 0,
        Stage::Moving => 1,
        Stage::Announced => 2,
        Stage::Cut | Stage::Refused(_) | Stage::Withdrawn => 3,
        Stage::Done => 4,
    }
}

/// How good an end is; of several parts the worst counts.
const fn worst_end(stage: Stage) -> u8 {
    match stage {
        Stage::Cut => 0,
        Stage::Refused(_) => 1,
        Stage::Withdrawn => 2,
        Stage::Done => 3,
        Stage::Offered | Stage::Moving | Stage::Announced => 4,
    }
}

impl Part {
    /// Asks a machine for its part.
    fn begin<R: Runtime>(
        machines: &Machines<R>,
        machine: usize,
        range: SlotRange,
        to: NodeId,
        context: &Context<'_>,
    ) -> Result<Self, TransferError> {
        let shared = &machines.each()[machine];
        let now = shared.runtime.now();
        let begun = shared.turn(|state, errands| {
            if state.registry.transfers.is_full() {
                return Err(TransferError::TooMany);
            }
            let now = state.advance(now);
            let transfer = state.node.transfer(now, range, to)?;
            state.registry.transfers.wait(transfer);
            state.drain(&*shared.runtime, errands, CALL_BUDGET);
            let polled = state.registry.transfers.poll(transfer, context.waker(), &mut errands.stale);
            let end = if let Poll::Ready(end) = polled { Some(end) } else { None };
            Ok(Self { machine, transfer, end })
        });
        begun.unwrap_or(Err(TransferError::Closed))
    }

    /// Has it ended otherwise than it should?
    fn has_failed(&self) -> bool {
        self.end.is_some_and(|end| end.stage != Stage::Done)
    }

    /// Looks whether it has ended; `false` if its machine is shut down.
    fn go_on<R: Runtime>(&mut self, machines: &Machines<R>, context: &Context<'_>) -> bool {
        if self.end.is_some() {
            return true;
        }
        let mut stale = Stale::new();
        let mut state = machines.each()[self.machine].lock();
        match state.registry.transfers.poll(self.transfer, context.waker(), &mut stale) {
            Poll::Ready(end) => {
                self.end = Some(end);
                true
            }
            Poll::Pending => !state.lifecycle.is_closed(),
        }
    }

    fn progress<R: Runtime>(&self, machines: &Machines<R>) -> Option<Progress> {
        if self.end.is_some() {
            return self.end;
        }
        let state = machines.each()[self.machine].lock();
        if state.lifecycle.is_closed() {
            return None;
        }
        state.node.progress(self.transfer).or_else(|| state.registry.transfers.end(self.transfer))
    }

    fn withdraw<R: Runtime>(&self, machines: &Machines<R>) -> Result<(), WithdrawError> {
        let shared = &machines.each()[self.machine];
        let now = shared.runtime.now();
        let withdrawn = shared.turn(|state, _| {
            let now = state.advance(now);
            state.node.withdraw(now, self.transfer)
        });
        // With the node the transfer has ended.
        withdrawn.unwrap_or(Err(WithdrawError::Unknown))
    }

    /// Nobody waits for it any more.
    fn forget<R: Runtime>(&self, machines: &Machines<R>) {
        if self.end.is_none() {
            let mut stale = Stale::new();
            machines.each()[self.machine].lock().registry.transfers.forget(self.transfer, &mut stale);
        }
    }
}

impl<R: Runtime> Future for Transfer<'_, R> {
    type Output = Result<Progress, TransferError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match &mut this.phase {
            Phase::New => this.begin(context),
            Phase::Waiting(parts) => {
                let parts = core::mem::take(parts);
                this.go_on(parts, context)
            }
            Phase::Over(_) => panic!("a transfer's future was polled after it resolved"),
        }
    }
}

impl<R: Runtime> Drop for Transfer<'_, R> {
    fn drop(&mut self) {
        let Phase::Waiting(parts) = &self.phase else { return };
        parts.iter().for_each(|part| part.forget(self.node.machines()));
    }
}
