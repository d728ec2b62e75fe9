//! The wait for a lock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use lockmaster_core::{Asked, Flags, Grant, Instant, LockId, OwnerId, Request, RequestError};

use crate::errands::Errands;
use crate::error::LockError;
use crate::guard::{Block, Guard};
use crate::held::Held;
use crate::lane;
use crate::node::{Handle, Node};
use crate::options::LockOptions;
use crate::registry::Unmet;
use crate::runtime::{Runtime, Writer};
use crate::shared::{CALL_BUDGET, State};
use crate::shelf::Sought;
use crate::stale::Stale;
use crate::sync::Arc;

/// Grants without a wait in a row, after which a task lets others run: with a thread for all of them nobody would else hear
/// what other nodes want.
pub(crate) const RESTED_MAX: u32 = 128;

/// Asks for a lock when it is first polled, and resolves to its guard.
///
/// Dropped before that, it leaves nothing behind: a request that waits is taken back, a lock that was
/// granted but not fetched is released.
#[derive(Debug)]
#[must_use = "a lock is asked for when its future is awaited"]
pub struct Acquire<'a, R: Runtime, N> {
    node: &'a Node<R>,
    name: N,
    options: LockOptions,
    stage: Stage<'a, R>,
}

#[derive(Debug)]
enum Stage<'a, R: Runtime> {
    New,
    /// At the machine of the resource.
    Waiting(&'a Arc<Handle<R>>, LockId),
    Over,
}

/// What the call asks for.
struct Wish<'a> {
    name: &'a [u8],
    options: &'a LockOptions,
    /// How it is looked for on the shelf, if it may lie there.
    sought: Option<Sought>,
}

/// What came of the call that asked.
enum Begun {
    Granted(Held, Option<Box<Block>>),
    Waiting(LockId),
    /// It begins anew when others have run: so much was granted without a wait, or it was granted and lost in one turn.
    Anew,
}

// Nothing in it is ever pinned.
impl<R: Runtime, N> Unpin for Acquire<'_, R, N> {}

impl<'a, R: Runtime, N: AsRef<[u8]>> Acquire<'a, R, N> {
    pub(crate) const fn new(node: &'a Node<R>, name: N, options: LockOptions) -> Self {
        Self { node, name, options, stage: Stage::New }
    }

    /// The first poll, and with luck the last.
    // Inlined is what most calls find: the lock lies ready. The guard is made where the caller wants it.
    #[inline(always)]
    fn begin(&mut self, context: &Context<'_>) -> Poll<Result<Guard<R>, LockError>> {
        let Self { node, name, options, stage } = self;
        *stage = Stage::Over;
        // This may be code of the application, so it runs before the mutex is locked.
        let name = name.as_ref();
        let handle = node.handle_of(options.space, name);
        let shared = &handle.shared;
        let sought =
            if options.is_plain() { shared.shelf.sought(options.space, name, options.mode) } else { None };
        // What lies ready is taken without a turn.
        if let Some(sought) = &sought {
            if lane::takes_a_rest() {
                return stage.begin_anew(context);
            }
            if let Some(taken) = shared.shelf.take(sought, || shared.runtime.now()) {
                lane::rest();
                return Poll::Ready(Ok(Guard::new(handle, Held::lent(taken, options.mode), None)));
            }
        }
        match handle.ask(&Wish { name, options, sought }, context.waker()) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Begun::Granted(held, block)) => Poll::Ready(Ok(Guard::new(handle, held, block))),
            Ok(Begun::Waiting(lock)) => {
                *stage = Stage::Waiting(handle, lock);
                Poll::Pending
            }
            Ok(Begun::Anew) => stage.begin_anew(context),
        }
    }

    /// Any later poll: has the wait ended?
    #[inline(never)]
    fn go_on(
        &mut self,
        handle: &Arc<Handle<R>>,
        lock: LockId,
        context: &Context<'_>,
    ) -> Poll<Result<Guard<R>, LockError>> {
        let mut stale = Stale::new();
        let mut state = handle.shared.lock();
        if state.lifecycle.is_closed() {
            self.stage = Stage::Over;
            state.registry.forget(lock, &mut stale);
            return Poll::Ready(Err(LockError::Closed));
        }
        let Poll::Ready(outcome) = state.registry.poll(lock, context.waker(), &mut stale) else {
            return Poll::Pending;
        };
        self.stage = Stage::Over;
        let now = if state.node.certain_until() == Instant::NEVER {
            state.now()
        } else {
            state.advance(handle.shared.runtime.now())
        };
        match outcome {
            Ok(grant) if !state.is_lost(now, lock) => {
                let block = state.begin_guard(&self.options, lock);
                drop(state);
                Poll::Ready(Ok(Guard::new(handle, Held::new(lock, grant, None), block)))
            }
            Err(Unmet::Denied(denied)) => Poll::Ready(Err(denied.reason.into())),
            Err(Unmet::Closed) => Poll::Ready(Err(LockError::Closed)),
            // It was granted, but its time was over, or the node fenced, before anybody fetched it: it goes on waiting, as a
            // new request, in a poll of its own.
            Ok(_) | Err(Unmet::Lost) => {
                drop(state);
                self.stage.begin_anew(context)
            }
        }
    }
}

impl<R: Runtime, N: AsRef<[u8]>> Future for Acquire<'_, R, N> {
    type Output = Result<Guard<R>, LockError>;

    // Inlined is what most calls find, as above.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.stage {
            Stage::New => this.begin(context),
            Stage::Waiting(handle, lock) => this.go_on(handle, lock, context),
            Stage::Over => panic!("a lock's future was polled after it resolved"),
        }
    }
}

impl<R: Runtime, N> Drop for Acquire<'_, R, N> {
    fn drop(&mut self) {
        let Stage::Waiting(handle, lock) = self.stage else { return };
        // Nothing if the node is shut down: the lock went with it.
        let _: Option<()> = handle.shared.turn(|state, errands| {
            state.registry.forget(lock, &mut errands.stale);
            // A request that was denied has ended already.
            let _ = state.node.abandon(lock);
        });
    }
}

impl<R: Runtime> Stage<'_, R> {
    /// Others come first; then it begins anew.
    fn begin_anew<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        *self = Stage::New;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime> Handle<R> {
    /// Asks the machine, in one turn.
    #[inline(never)]
    fn ask(&self, wish: &Wish<'_>, waker: &Waker) -> Result<Begun, LockError> {
        let shared = &self.shared;
        let begun = shared.turn_at_rest(
            |state| state.begin_at_rest(&*shared.runtime, wish).map(Ok),
            |state, errands| state.begin_driven(&*shared.runtime, errands, wish, waker),
        );
        // Nothing if the node is shut down.
        begun.unwrap_or(Err(LockError::Closed))
    }
}

impl<'a> Wish<'a> {
    fn request(&self, owner: impl FnOnce() -> OwnerId) -> Request<'a> {
        let Self { name, options, .. } = *self;
        Request {
            space: options.space,
            name,
            owner: options.owner.unwrap_or_else(owner),
            mode: options.mode,
            flags: options.all_flags(),
            priority: options.priority,
            patience: options.timeout,
        }
    }
}

impl<W: Writer> State<W> {
    /// Takes the lock if it is merely retained, and lends it if it may be: then nothing is to be driven.
    fn begin_at_rest<R: Runtime>(&mut self, runtime: &R, wish: &Wish<'_>) -> Option<Begun> {
        if self.rested >= RESTED_MAX {
            self.rested = 0;
            return Some(Begun::Anew);
        }
        let request = wish.request(|| self.fresh_owner());
        let (lock, grant) = self.request_at_rest(runtime, &request)?;
        let lent = wish.sought.as_ref().and_then(|sought| self.lend(sought, lock, grant.token));
        let held = lent.map_or(Held::new(lock, grant, None), |taken| Held::lent(taken, wish.options.mode));
        Some(Begun::Granted(held, None))
    }

    /// Asks the node, and drains it: the answer may be there after that.
    fn begin_driven<R: Runtime<Writer = W>>(
        &mut self,
        runtime: &R,
        errands: &mut Errands<W>,
        wish: &Wish<'_>,
        waker: &Waker,
    ) -> Result<Begun, LockError> {
        let request = wish.request(|| self.fresh_owner());
        let now = self.advance(runtime.now());
        let asked = self.request(now, &request);
        let begun = asked.map(|Asked { lock, grant }| match grant {
            Some(grant) => self.granted(wish.options, lock, grant),
            None => self.begin_wait(errands, lock),
        });
        self.drain(runtime, errands, CALL_BUDGET);
        match begun? {
            Begun::Waiting(lock) => self.look_for_answer(errands, wish.options, lock, waker),
            begun @ (Begun::Granted(..) | Begun::Anew) => Ok(begun),
        }
    }

    /// Takes a lock that is merely retained: most calls are no more than this. The clock is read if it can end that.
    fn request_at_rest<R: Runtime>(&mut self, runtime: &R, request: &Request<'_>) -> Option<(LockId, Grant)> {
        let now = if self.node.needs_time_at_rest() { self.advance(runtime.now()) } else { self.now() };
        let asked = self.node.request_at_rest(now, request)?;
        let grant = asked.grant.expect("what is taken at rest is granted at once");
        self.rested += 1;
        self.guards += 1;
        Some((asked.lock, grant))
    }

    /// Asks the node, without what is lent and not used in the way.
    fn request(&mut self, now: Instant, request: &Request<'_>) -> Result<Asked, RequestError> {
        if request.flags.has(Flags::NO_QUEUE) || request.patience.is_some() {
            self.take_back_against(|node| node.lent_against(request.space, request.name, request.mode));
        }
        match self.node.request(now, request) {
            Err(RequestError::Full(_)) if self.take_back_some() => self.node.request(now, request),
            asked => asked,
        }
    }

    /// A request was granted without a wait.
    fn granted(&mut self, options: &LockOptions, lock: LockId, grant: Grant) -> Begun {
        self.rested += 1;
        Begun::Granted(Held::new(lock, grant, None), self.begin_guard(options, lock))
    }

    /// Begins the wait for an answer, which may be there as soon as the node was drained.
    fn begin_wait(&mut self, errands: &mut Errands<W>, lock: LockId) -> Begun {
        self.registry.wait(lock, &mut errands.stale);
        if self.registry.waiting() > 1 {
            // Others are on the way too: one frame can carry all that ask in this round.
            errands.defer();
        }
        Begun::Waiting(lock)
    }

    /// The answer, if it is there already: then there is no wait.
    fn look_for_answer(
        &mut self,
        errands: &mut Errands<W>,
        options: &LockOptions,
        lock: LockId,
        waker: &Waker,
    ) -> Result<Begun, LockError> {
        match self.registry.poll(lock, waker, &mut errands.stale) {
            Poll::Pending => {
                self.rested = 0;
                Ok(Begun::Waiting(lock))
            }
            Poll::Ready(Ok(grant)) => Ok(self.granted(options, lock, grant)),
            Poll::Ready(Err(Unmet::Denied(denied))) => Err(LockError::from(denied.reason)),
            Poll::Ready(Err(Unmet::Closed)) => Err(LockError::Closed),
            Poll::Ready(Err(Unmet::Lost)) => Ok(Begun::Anew),
        }
    }

    /// Counts a guard that is about to be, and gives the value block that its grant brought if that was asked for.
    fn begin_guard(&mut self, options: &LockOptions, lock: LockId) -> Option<Box<Block>> {
        self.guards += 1;
        options.wants_value().then(|| Box::new(Block::read(self.value(lock))))
    }
}
