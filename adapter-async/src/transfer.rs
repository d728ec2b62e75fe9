//! The wait for a transfer of slots to another node.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use lockmaster_core::{NodeId, Progress, SlotRange, Stage, TransferId, WithdrawError};

use crate::error::TransferError;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::shared::CALL_BUDGET;
use crate::stale::Stale;

/// Transfers slots to another node: begins when it is first polled, and resolves once the other node alone
/// decides about them and every member knows it.
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

#[derive(Clone, Copy, Debug)]
enum Phase {
    New,
    Waiting(TransferId),
    /// It has resolved; absent if it was refused in the call or the node was shut down.
    Over(Option<Progress>),
}

impl<'a, R: Runtime> Transfer<'a, R> {
    pub(crate) const fn new(node: &'a Node<R>, range: SlotRange, to: NodeId) -> Self {
        Self { node, range, to, phase: Phase::New }
    }

    /// How far it has come; absent before it was first polled, if it was refused in the call, and once the node is
    /// shut down.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match self.phase {
            Phase::New => None,
            Phase::Waiting(transfer) => {
                let state = self.node.life.shared.lock();
                if state.lifecycle.is_closed() {
                    return None;
                }
                state.node.progress(transfer).or_else(|| state.registry.transfers.end(transfer))
            }
            Phase::Over(end) => end,
        }
    }

    /// Takes it back before it has moved a record; the future then resolves to [`TransferError::Withdrawn`].
    ///
    /// # Errors
    /// [`WithdrawError::Begun`] if records are on their way, and [`WithdrawError::Unknown`] if it has ended or was
    /// never polled. Nothing has changed then.
    pub fn withdraw(&self) -> Result<(), WithdrawError> {
        let Phase::Waiting(transfer) = self.phase else { return Err(WithdrawError::Unknown) };
        let shared = &self.node.life.shared;
        let now = shared.runtime.now();
        let withdrawn = shared.turn(|state, _| {
            let now = state.advance(now);
            state.node.withdraw(now, transfer)
        });
        // With the node the transfer has ended.
        withdrawn.unwrap_or(Err(WithdrawError::Unknown))
    }

    fn begin(&mut self, context: &Context<'_>) -> Poll<Result<Progress, TransferError>> {
        let Self { node, range, to, .. } = *self;
        let shared = &node.life.shared;
        let now = shared.runtime.now();
        let begun = shared.turn(|state, errands| {
            if state.registry.transfers.is_full() {
                return Err(TransferError::TooMany);
            }
            let now = state.advance(now);
            let transfer = state.node.transfer(now, range, to)?;
            state.registry.transfers.wait(transfer);
            state.drain(&*shared.runtime, errands, CALL_BUDGET);
            Ok((transfer, state.registry.transfers.poll(transfer, context.waker(), &mut errands.stale)))
        });
        match begun {
            None => self.resolve(None, Err(TransferError::Closed)),
            Some(Err(error)) => self.resolve(None, Err(error)),
            Some(Ok((_, Poll::Ready(end)))) => self.end(end),
            Some(Ok((transfer, Poll::Pending))) => {
                self.phase = Phase::Waiting(transfer);
                Poll::Pending
            }
        }
    }

    fn go_on(
        &mut self,
        transfer: TransferId,
        context: &Context<'_>,
    ) -> Poll<Result<Progress, TransferError>> {
        let mut stale = Stale::new();
        let mut state = self.node.life.shared.lock();
        match state.registry.transfers.poll(transfer, context.waker(), &mut stale) {
            Poll::Ready(end) => {
                drop(state);
                self.end(end)
            }
            Poll::Pending if state.lifecycle.is_closed() => {
                state.registry.transfers.forget(transfer, &mut stale);
                drop(state);
                self.resolve(None, Err(TransferError::Closed))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn end(&mut self, end: Progress) -> Poll<Result<Progress, TransferError>> {
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

    fn resolve(
        &mut self,
        end: Option<Progress>,
        outcome: Result<Progress, TransferError>,
    ) -> Poll<Result<Progress, TransferError>> {
        self.phase = Phase::Over(end);
        Poll::Ready(outcome)
    }
}

impl<R: Runtime> Future for Transfer<'_, R> {
    type Output = Result<Progress, TransferError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.phase {
            Phase::New => this.begin(context),
            Phase::Waiting(transfer) => this.go_on(transfer, context),
            Phase::Over(_) => panic!("a transfer's future was polled after it resolved"),
        }
    }
}

impl<R: Runtime> Drop for Transfer<'_, R> {
    fn drop(&mut self) {
        let Phase::Waiting(transfer) = self.phase else { return };
        let mut stale = Stale::new();
        self.node.life.shared.lock().registry.transfers.forget(transfer, &mut stale);
    }
}
