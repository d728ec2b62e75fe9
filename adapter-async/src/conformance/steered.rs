//! A runtime whose clock and network do what a case says.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use super::rig::Rig;
use crate::{Instant, Listener, Reader, Runtime};

/// Another runtime, but for what the case has changed.
#[derive(Clone, Debug)]
pub(super) struct Steered<R> {
    inner: R,
    helm: Helm,
}

/// What its clones, listeners and readers share.
#[derive(Clone, Debug)]
struct Helm(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    clock: Clock,
    /// Nobody is given what comes on a connection.
    is_held: bool,
    /// Who waits for that.
    waiting: Vec<Waker>,
}

/// What the clock shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    /// So much more than the runtime's. A timer that was set before knows nothing of it, as one that stood still while
    /// the machine slept.
    Ahead(Duration),
    /// Always the same.
    Still(Instant),
}

impl<R: Runtime + Clone> Steered<R> {
    /// The runtime of a rig, as it is until something is said.
    pub(super) fn rig(rig: &Rig<R>) -> Rig<Self> {
        let state = State { clock: Clock::Ahead(Duration::ZERO), is_held: false, waiting: Vec::new() };
        Rig::new(Self { inner: rig.runtime.clone(), helm: Helm(Arc::new(Mutex::new(state))) }, rig.machines)
    }

    pub(super) fn set(&self, clock: Clock) {
        self.helm.state().clock = clock;
    }

    /// Nothing that comes on a connection is read any more.
    pub(super) fn hold(&self) {
        self.helm.state().is_held = true;
    }

    /// It is read again, and so is what came meanwhile.
    pub(super) fn let_go(&self) {
        let waiting = {
            let mut state = self.helm.state();
            state.is_held = false;
            core::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Helm {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Resolves when nothing is held.
    async fn pass(&self) {
        poll_fn(|context| {
            let mut state = self.state();
            if !state.is_held {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl<R: Runtime + Clone> Runtime for Steered<R> {
    type Listener = SteeredListener<R::Listener>;
    type Reader = SteeredReader<R::Reader>;
    type Writer = R::Writer;

    fn now(&self) -> Instant {
        let clock = self.helm.state().clock;
        match clock {
            Clock::Ahead(span) => self.inner.now().after(span),
            Clock::Still(now) => now,
        }
    }

    fn listen(&self, listener: TcpListener) -> io::Result<Self::Listener> {
        let listener = self.inner.listen(listener)?;
        Ok(SteeredListener { listener, helm: self.helm.clone() })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(Self::Reader, Self::Writer)> {
        let (reader, writer) = self.inner.connect(to).await?;
        Ok((SteeredReader { reader, helm: self.helm.clone() }, writer))
    }

    async fn sleep_until(&self, until: Instant) {
        while self.now() < until {
            self.inner.sleep_until(self.inner.now().after(until.since(self.now()))).await;
        }
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send {
        self.inner.yield_now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }
}

#[derive(Debug)]
pub(super) struct SteeredListener<L> {
    listener: L,
    helm: Helm,
}

impl<L: Listener> Listener for SteeredListener<L> {
    type Reader = SteeredReader<L::Reader>;
    type Writer = L::Writer;

    async fn accept(&self) -> io::Result<(Self::Reader, Self::Writer)> {
        let (reader, writer) = self.listener.accept().await?;
        Ok((SteeredReader { reader, helm: self.helm.clone() }, writer))
    }
}

#[derive(Debug)]
pub(super) struct SteeredReader<T> {
    reader: T,
    helm: Helm,
}

impl<T: Reader> Reader for SteeredReader<T> {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.helm.pass().await;
        let read = self.reader.read(buf).await;
        // It may have been held meanwhile. Nobody drops this future and reads on.
        self.helm.pass().await;
        read
    }
}
