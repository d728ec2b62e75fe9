//! Wakers: a future is polled when it was woken, and only then.

use core::future::Future;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Wake;

use super::rig::Rig;
use super::{connections, locks, membership, tls, transfers, waiting};
use crate::{Instant, Listener, Reader, Runtime, Writer};

/// A future that is polled when the waker of its last poll was woken, however often its own task is.
pub(super) struct Strictly<F> {
    future: Pin<Box<F>>,
    bell: Option<Arc<Bell>>,
}

pub(super) fn strictly<F: Future>(future: F) -> Strictly<F> {
    Strictly { future: Box::pin(future), bell: None }
}

/// The waker of one poll.
struct Bell(Mutex<Rung>);

struct Rung {
    has_rung: bool,
    task: Waker,
}

impl Bell {
    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.0.lock().unwrap()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut rung = self.rung();
            rung.has_rung = true;
            rung.task.clone()
        };
        task.wake();
    }
}

impl<F: Future> Future for Strictly<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if let Some(bell) = &this.bell {
            let mut rung = bell.rung();
            if !rung.has_rung {
                rung.task.clone_from(context.waker());
                return Poll::Pending;
            }
        }
        let bell = Arc::new(Bell(Mutex::new(Rung { has_rung: false, task: context.waker().clone() })));
        this.bell = Some(Arc::clone(&bell));
        this.future.as_mut().poll(&mut Context::from_waker(&Waker::from(bell)))
    }
}

/// A runtime that has every future of another one polled strictly, and every task.
#[derive(Clone, Debug)]
pub(super) struct Strict<T>(T);

impl<R: Runtime + Clone> Runtime for Strict<R> {
    type Listener = Strict<R::Listener>;
    type Reader = Strict<R::Reader>;
    type Writer = Strict<R::Writer>;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn listen(&self, listener: TcpListener) -> io::Result<Self::Listener> {
        self.0.listen(listener).map(Strict)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(Self::Reader, Self::Writer)> {
        let (reader, writer) = strictly(self.0.connect(to)).await?;
        Ok((Strict(reader), Strict(writer)))
    }

    fn sleep_until(&self, until: Instant) -> impl Future<Output = ()> + Send {
        strictly(self.0.sleep_until(until))
    }

    fn yield_now(&self) -> impl Future<Output = ()> + Send {
        strictly(self.0.yield_now())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(strictly(task));
    }
}

impl<L: Listener> Listener for Strict<L> {
    type Reader = Strict<L::Reader>;
    type Writer = Strict<L::Writer>;

    async fn accept(&self) -> io::Result<(Self::Reader, Self::Writer)> {
        let (reader, writer) = strictly(self.0.accept()).await?;
        Ok((Strict(reader), Strict(writer)))
    }
}

impl<T: Reader> Reader for Strict<T> {
    fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        strictly(self.0.read(buf))
    }
}

impl<W: Writer> Writer for Strict<W> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        strictly(self.0.writable())
    }

    fn close(&self) {
        self.0.close();
    }
}

fn strict<R: Runtime + Clone>(rig: &Rig<R>) -> Rig<Strict<R>> {
    Rig::new(Strict(rig.runtime.clone()), rig.machines)
}

pub(super) async fn nodes_share_and_exclude<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(locks::three_nodes_share_and_exclude(&strict(rig))).await;
}

pub(super) async fn thousands_of_tasks_all_finish<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(waiting::thousands_of_tasks_on_few_resources_all_finish(&strict(rig))).await;
}

pub(super) async fn shutdown_ends_every_wait<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(waiting::shutdown_ends_every_wait(&strict(rig))).await;
}

pub(super) async fn connections_are_made_again<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(connections::locks_come_and_go_while_connections_are_cut(&strict(rig))).await;
}

pub(super) async fn a_stuck_socket_goes_on<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(connections::a_slow_member_gets_everything_in_the_end(&strict(rig))).await;
}

pub(super) async fn slots_go_round<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(transfers::locks_come_and_go_while_slots_go_round(&strict(rig))).await;
}

pub(super) async fn members_come_back<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(membership::a_node_that_is_fenced_again_and_again_comes_back(&strict(rig))).await;
}

pub(super) async fn nodes_prove_themselves<R: Runtime + Clone>(rig: &Rig<R>) {
    strictly(tls::nodes_take_locks_from_one_another(&strict(rig))).await;
}
