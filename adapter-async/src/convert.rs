//! The wait for a conversion.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use lockmaster_core::{Cancelled, Conversion, Flags, Grant, Mode, ValueState, ValueTransfer, ValueWrite};

use crate::error::ConvertError;
use crate::guard::{Block, Guard};
use crate::registry::{Denied, Outcome, Unmet};
use crate::runtime::Runtime;
use crate::shared::CALL_BUDGET;
use crate::stale::Stale;

/// Asks for a conversion when it is first polled.
///
/// Dropped before it resolves, it cancels the conversion: the guard keeps its mode, unless the grant came
/// first.
#[derive(Debug)]
#[must_use = "a conversion is asked for when its future is awaited"]
pub struct Convert<'g, R: Runtime> {
    guard: &'g mut Guard<R>,
    mode: Mode,
    conversion: Conversion,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Waiting,
    Over,
}

impl<'g, R: Runtime> Convert<'g, R> {
    pub(crate) fn new(guard: &'g mut Guard<R>, mode: Mode, flags: Flags, patience: Option<Duration>) -> Self {
        let flags = if guard.block.is_some() { flags | Flags::VALUE } else { flags };
        Self { guard, mode, conversion: Conversion { flags, patience }, stage: Stage::New }
    }

    fn begin(&mut self, context: &Context<'_>) -> Poll<Result<(), ConvertError>> {
        // The future of an earlier conversion was leaked.
        self.guard.settle();
        let (lock, write, mode, conversion) =
            (self.guard.lock(), self.guard.write(), self.mode, self.conversion);
        let shared = &self.guard.handle.shared;
        let now = shared.runtime.now();
        let begun = shared.turn(|state, errands| {
            let now = state.advance(now);
            state.take_back(lock);
            if conversion.flags.has(Flags::NO_QUEUE) || conversion.patience.is_some() {
                state.take_back_against(|node| node.lent_beside(lock, mode));
            }
            if let Some(grant) = state.node.convert(now, lock, mode, conversion, write)? {
                return Ok(Poll::Ready((Ok(grant), state.value(lock))));
            }
            state.registry.wait(lock, &mut errands.stale);
            if state.registry.waiting() > 1 {
                errands.defer();
            }
            // The answer may be there already: then there is no wait.
            state.drain(&*shared.runtime, errands, CALL_BUDGET);
            let polled = state.registry.poll(lock, context.waker(), &mut errands.stale);
            Ok(polled.map(|outcome| (outcome, state.value(lock))))
        });
        match begun {
            None => Poll::Ready(Err(ConvertError::Closed)),
            Some(Err(refused)) => Poll::Ready(Err(refused)),
            Some(Ok(Poll::Ready((outcome, value)))) => Poll::Ready(self.guard.end(outcome, value)),
            Some(Ok(Poll::Pending)) => {
                self.guard.held.begin_conversion(conversion.flags);
                Poll::Pending
            }
        }
    }

    fn go_on(&mut self, context: &Context<'_>) -> Poll<Result<(), ConvertError>> {
        let lock = self.guard.lock();
        let mut stale = Stale::new();
        let (outcome, value) = {
            let mut state = self.guard.handle.shared.lock();
            if state.lifecycle.is_closed() {
                state.registry.stop(lock, &mut stale);
                return Poll::Ready(Err(ConvertError::Closed));
            }
            let Poll::Ready(outcome) = state.registry.poll(lock, context.waker(), &mut stale) else {
                return Poll::Pending;
            };
            (outcome, state.value(lock))
        };
        Poll::Ready(self.guard.end(outcome, value))
    }
}

impl<R: Runtime> Future for Convert<'_, R> {
    type Output = Result<(), ConvertError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = match this.stage {
            Stage::New => this.begin(context),
            Stage::Waiting => this.go_on(context),
            Stage::Over => panic!("a conversion's future was polled after it resolved"),
        };
        this.stage = if polled.is_pending() { Stage::Waiting } else { Stage::Over };
        polled
    }
}

impl<R: Runtime> Drop for Convert<'_, R> {
    fn drop(&mut self) {
        self.guard.settle();
    }
}

/// What a cancel came to.
enum Settled {
    Ended(Outcome, ValueState),
    Kept {
        held: Option<Mode>,
    },
    /// The grant was made, but others' events stand before it.
    Later,
}

impl<R: Runtime> Guard<R> {
    /// A conversion has ended.
    fn end(&mut self, outcome: Outcome, value: ValueState) -> Result<(), ConvertError> {
        let _ = self.held.end_conversion();
        match outcome {
            Ok(grant) => {
                self.end_granted(grant, value);
                Ok(())
            }
            Err(Unmet::Denied(Denied { reason, held })) => {
                self.demoted_to(held);
                Err(reason.into())
            }
            Err(Unmet::Lost) => Err(ConvertError::Lost),
            Err(Unmet::Closed) => Err(ConvertError::Closed),
        }
    }

    fn end_granted(&mut self, grant: Grant, value: ValueState) {
        let from = if grant.demoted { Mode::Null } else { self.mode() };
        if let Some(block) = &mut self.block {
            match Mode::value_transfer(Some(from), grant.mode) {
                ValueTransfer::Read => **block = Block::read(value),
                ValueTransfer::Write => block.write = ValueWrite::Keep,
                ValueTransfer::Keep => {}
            }
        }
        self.held.renew(grant);
    }

    /// The lock may be held in another mode since it began to wait.
    fn demoted_to(&mut self, mode: Option<Mode>) {
        if let Some(mode) = mode {
            self.held.set_mode(mode);
        }
    }

    /// Ends a conversion that nobody waits for any more. If the grant came first, it counts.
    fn settle(&mut self) {
        let Some(flags) = self.held.end_conversion() else { return };
        let lock = self.lock();
        loop {
            let shared = &self.handle.shared;
            let settled = shared.turn(|state, errands| {
                if let Some(outcome) = state.registry.take(lock) {
                    return Settled::Ended(outcome, state.value(lock));
                }
                match state.node.cancel(lock) {
                    Ok(Cancelled::Nothing) => {}
                    Ok(Cancelled::Conversion | Cancelled::Request) | Err(_) => {
                        state.registry.stop(lock, &mut errands.stale);
                        let may_be_lower = flags.has(Flags::DEMOTE_ON_DEADLOCK);
                        return Settled::Kept {
                            held: may_be_lower.then(|| state.node.held(lock).ok().flatten()).flatten(),
                        };
                    }
                }
                state.drain(&*shared.runtime, errands, CALL_BUDGET);
                match state.registry.take(lock) {
                    Some(outcome) => Settled::Ended(outcome, state.value(lock)),
                    None => Settled::Later,
                }
            });
            match settled {
                Some(Settled::Ended(outcome, value)) => {
                    // Whoever asked is gone; what counts is the mode.
                    let _ = self.end(outcome, value);
                    return;
                }
                Some(Settled::Kept { held }) => {
                    self.demoted_to(held);
                    return;
                }
                Some(Settled::Later) => {}
                None => return,
            }
        }
    }
}
