//! A lock that is held.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use lockmaster_core::{
    Flags, Grant, Instant, LockId, Mode, Path, ReleaseError, Standing, Token, Value, ValueState, ValueWrite,
};

use crate::convert::Convert;
use crate::error::SetValueError;
use crate::held::Held;
use crate::loss::Lost;
use crate::node::Handle;
use crate::registry::WatchId;
use crate::runtime::{Runtime, Writer};
use crate::shared::{CALL_BUDGET, State};
use crate::stale::Stale;
use crate::sync::Arc;

/// A lock that is held, until it is dropped.
///
/// Dropping never waits. A guard keeps its node running.
///
/// If it was asked for, the guard has a value block of its own, as VMS has it: a grant that reads the resource's block
/// replaces it, [`Guard::set_value`] changes it, and a release or conversion to the same or a lower mode from PW or EX
/// writes it back if it was set. A conversion from PW to EX reads: write first what must not be lost.
#[must_use = "a lock is released when its guard is dropped"]
pub struct Guard<R: Runtime> {
    pub(crate) handle: Arc<Handle<R>>,
    pub(crate) held: Held,
    /// The guard's own block; absent if it was not asked for. On the heap, so that a guard is small.
    pub(crate) block: Option<Box<Block>>,
}

/// The value block of a guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) value: ValueState,
    /// What is written back.
    pub(crate) write: ValueWrite,
}

impl Block {
    /// The resource's block, not changed yet.
    pub(crate) const fn read(value: ValueState) -> Self {
        Self { value, write: ValueWrite::Keep }
    }
}

impl<R: Runtime> Guard<R> {
    #[inline]
    pub(crate) fn new(handle: &Arc<Handle<R>>, held: Held, block: Option<Box<Block>>) -> Self {
        Self { handle: Arc::clone(handle), held, block }
    }

    /// The node's handle of the lock.
    pub(crate) const fn lock(&self) -> LockId {
        self.held.lock()
    }

    /// Mode in which the lock is held.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.held.mode()
    }

    /// Fencing token of the last grant: send it with each write to a storage that checks it.
    #[must_use]
    pub const fn fencing_token(&self) -> Token {
        self.held.token()
    }

    /// How far the last grant had to come.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.held.grant().path
    }

    /// The last grant with all that was told of it.
    #[must_use]
    pub const fn grant(&self) -> Grant {
        self.held.grant()
    }

    /// The guard's value block; absent unless [`LockOptions::value`](crate::LockOptions::value) asked for it.
    #[must_use]
    pub fn value(&self) -> Option<ValueState> {
        self.block.as_ref().map(|block| block.value)
    }

    /// Sets the guard's value block, to be written back. At most 64 bytes.
    ///
    /// # Errors
    /// [`SetValueError`]; the block is as it was.
    pub fn set_value(&mut self, bytes: &[u8]) -> Result<(), SetValueError> {
        let value = Value::new(bytes)?;
        let block = self.writable_block()?;
        block.value = ValueState::Valid(value);
        block.write = ValueWrite::Set(value);
        Ok(())
    }

    /// Has the resource's value block marked invalid where it would be written back (DLM_LKF_IVVALBLK).
    ///
    /// # Errors
    /// [`SetValueError`], but never for the length; the block is as it was.
    pub fn invalidate_value(&mut self) -> Result<(), SetValueError> {
        self.writable_block()?.write = ValueWrite::Invalidate;
        Ok(())
    }

    fn writable_block(&mut self) -> Result<&mut Block, SetValueError> {
        let mode = self.mode();
        let block = self.block.as_mut().ok_or(SetValueError::NotAsked)?;
        if mode.may_write_value() { Ok(block) } else { Err(SetValueError::NotWritable) }
    }

    /// What is done to the resource's block where this guard writes it.
    pub(crate) fn write(&self) -> ValueWrite {
        self.block.as_ref().map_or(ValueWrite::Keep, |block| block.write)
    }

    /// Converts the lock to another mode and waits for it.
    ///
    /// To a mode that the present one covers it never waits. If the future is dropped before it resolves, the
    /// conversion is cancelled and the lock keeps its mode; if the grant came first, it counts.
    ///
    /// # Errors
    /// The future resolves to a [`ConvertError`](crate::ConvertError); the lock is still held.
    pub fn convert(&mut self, mode: Mode) -> Convert<'_, R> {
        self.convert_with(mode, Flags::NONE, None)
    }

    /// Converts with flags and patience.
    ///
    /// # Errors
    /// The future resolves to a [`ConvertError`](crate::ConvertError); the lock is still held. Only
    /// [`Flags::DEMOTE_ON_DEADLOCK`] may have lowered it to NL by then.
    pub fn convert_with(&mut self, mode: Mode, flags: Flags, timeout: Option<Duration>) -> Convert<'_, R> {
        Convert::new(self, mode, flags, timeout)
    }

    /// Resolves when somebody waits for a mode that this lock is in the way of, with that mode (VMS: blocking
    /// AST). Never resolves once the lock is lost: wait for [`Guard::lost`] beside it.
    pub fn contended(&self) -> Contended<'_, R> {
        Contended { guard: self, watch: None }
    }

    /// Resolves when the lock is lost: the node is no member any more, or was shut down. Stop what the lock protects.
    ///
    /// Others may have the lock from then on, but not before [`Guard::certain_until`]. A guard that is lost holds
    /// nothing; dropping it does nothing.
    pub const fn lost(&self) -> Lost<'_, R> {
        Lost::new(self)
    }

    /// Is the lock lost? Asks the clock, so it is true from the instant on at which the lock is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let now = self.handle.shared.runtime.now();
        self.handle.shared.lock().is_lost(now, self.lock())
    }

    /// Until when the lock is certain to be held, on the clock of [`Node::now`](crate::Node::now), as far as is known
    /// now: it rises as long as the node's membership is renewed. Where no clock ends it, it is [`Instant::NEVER`].
    ///
    /// Once the lock is lost it is [`Instant::START`].
    #[must_use]
    pub fn certain_until(&self) -> Instant {
        let now = self.handle.shared.runtime.now();
        let mut state = self.handle.shared.lock();
        if state.is_lost(now, self.lock()) { Instant::START } else { state.node.certain_until() }
    }

    /// Is the lock held, and has the node's membership been renewed lately? If not, begin nothing that takes long.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        let now = self.handle.shared.runtime.now();
        let mut state = self.handle.shared.lock();
        !state.is_lost(now, self.lock()) && state.node.standing(now) == Standing::Member
    }

    /// Releases the lock, as dropping the guard does.
    pub fn release(self) {
        drop(self);
    }
}

impl<R: Runtime> fmt::Debug for Guard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("mode", &self.mode())
            .field("grant", &self.grant())
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Drop for Guard<R> {
    // Inlined is what most guards find: their place on the shelf.
    #[inline]
    fn drop(&mut self) {
        let shelf = &self.handle.shared.shelf;
        if !self.held.loan.is_some_and(|loan| shelf.give_back(loan)) {
            self.drop_in_turn();
        }
    }
}

impl<R: Runtime> Guard<R> {
    /// Gives the lock back to the machine.
    #[inline(never)]
    fn drop_in_turn(&self) {
        let (lock, write) = (self.lock(), self.write());
        let rest = |state: &mut State<R::Writer>| {
            if self.held.loan.is_some() {
                // It was taken back meanwhile, or was taken so often that it has to be lent anew.
                state.take_back(lock);
            }
            (write == ValueWrite::Keep && state.release_at_rest(lock)).then_some(())
        };
        // Nothing if the node is shut down: the lock went with it.
        let shared = &self.handle.shared;
        let _: Option<()> = shared.turn_at_rest(rest, |state, errands| {
            // The next request takes the release along, if it comes soon.
            errands.defer();
            state.guards -= 1;
            if state.guards == 0 && state.members.is_leaving() {
                state.lifecycle.waiters.wake(|waker| errands.wake(waker));
            }
            match state.node.release(lock, write) {
                // It is lost already, if it is unknown.
                Ok(()) | Err(ReleaseError::Unknown) => {}
                // The future of a conversion was leaked.
                Err(ReleaseError::InFlight | ReleaseError::WithoutValue) => {
                    state.registry.forget(lock, &mut errands.stale);
                    let _ = state.node.abandon(lock);
                }
            }
            state.drain(&*shared.runtime, errands, CALL_BUDGET);
        });
    }
}

impl<W: Writer> State<W> {
    /// Gives a lock back that stays here, retained, if nobody is to be told of it.
    fn release_at_rest(&mut self, lock: LockId) -> bool {
        let is_released = !self.members.is_leaving() && self.node.release_at_rest(lock);
        if is_released {
            self.guards -= 1;
        }
        is_released
    }
}

/// Resolves when somebody waits for a mode that the guard is in the way of.
#[derive(Debug)]
#[must_use = "a guard is watched when the future is awaited"]
pub struct Contended<'a, R: Runtime> {
    guard: &'a Guard<R>,
    watch: Option<WatchId>,
}

impl<R: Runtime> Future for Contended<'_, R> {
    type Output = Mode;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Mode> {
        let (guard, lock) = (self.guard, self.guard.lock());
        let watch = &mut self.watch;
        let mode = guard.handle.shared.turn(|state, errands| {
            // A lock that is lost has no place to wait in.
            state.node.held(lock).ok()?;
            state.take_back(lock);
            let stale = &mut errands.stale;
            if let Poll::Ready(mode) = state.registry.poll_watch(lock, watch, context.waker(), stale) {
                return Some(mode);
            }
            let mode = state.node.watch(lock).ok().flatten();
            if mode.is_some()
                && let Some(watch) = watch.take()
            {
                state.registry.unwatch(lock, watch, stale);
            }
            mode
        });
        mode.flatten().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R: Runtime> Drop for Contended<'_, R> {
    fn drop(&mut self) {
        let Some(watch) = self.watch else { return };
        let mut stale = Stale::new();
        self.guard.handle.shared.lock().registry.unwatch(self.guard.lock(), watch, &mut stale);
    }
}
