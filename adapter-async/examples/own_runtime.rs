//! A runtime of one's own, out of threads and `std::net`: all that a node needs of one.
//!
//! ```sh
//! cargo run -p lockmaster-async --example own_runtime
//! ```

use core::cell::Cell;
use core::error::Error;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant as Clock;

use lockmaster_async::{
    Instant, Listener, LockOptions, Mode, Node, NodeId, Reader, Runtime, SlotRange, SpaceId, ValueState,
    Writer,
};

// ---- The runtime. Each task is a thread, so it may block for a moment: nobody else waits for it. ----

/// Threads. There is nothing to keep.
#[derive(Clone, Copy, Debug, Default)]
struct Threads;

// When this thread is to look at its task again, if nobody wakes it before.
thread_local! {
    static ALARM: Cell<Instant> = const { Cell::new(Instant::NEVER) };
}

/// Runs a task on this thread.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(result) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        // Who was woken meanwhile is not put to sleep.
        let alarm = ALARM.get();
        match alarm {
            Instant::NEVER => thread::park(),
            until => thread::park_timeout(until.since(Threads.now())),
        }
        if alarm <= Threads.now() {
            ALARM.set(Instant::NEVER);
        }
    }
}

/// `std` has no clock that goes on while the machine sleeps. Use one that does where membership ends by the clock.
static START: LazyLock<Clock> = LazyLock::new(Clock::now);
/// Pause between two looks at a socket that is seldom used, or full.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest that a task blocks in a read before it looks after what else it waits for.
const READ: Duration = Duration::from_millis(50);
/// Longest that a call blocks in a write whose socket is full. Zero would mean for ever.
const WRITE: Duration = Duration::from_millis(1);
/// Longest that a task blocks in an attempt to connect.
const CONNECT: Duration = Duration::from_secs(2);

impl Runtime for Threads {
    type Listener = Door;
    type Reader = Incoming;
    type Writer = Outgoing;

    fn now(&self) -> Instant {
        Instant::START.after(START.elapsed())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(|| block_on(task));
    }

    /// A task that waits for anything else besides sets the alarm anew each time that it is looked at.
    async fn sleep_until(&self, until: Instant) {
        poll_fn(|_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            ALARM.set(ALARM.get().min(until));
            Poll::Pending
        })
        .await;
    }

    /// The socket does not block: the node has seen to that.
    fn listen(&self, listener: TcpListener) -> io::Result<Door> {
        Ok(Door(listener))
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(Incoming, Outgoing)> {
        split(TcpStream::connect_timeout(&to, CONNECT)?)
    }
}

/// A listening socket.
struct Door(TcpListener);

/// What a peer says.
struct Incoming(TcpStream);

/// What is said to a peer.
struct Outgoing(TcpStream);

fn split(stream: TcpStream) -> io::Result<(Incoming, Outgoing)> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ))?;
    stream.set_write_timeout(Some(WRITE))?;
    Ok((Incoming(stream.try_clone()?), Outgoing(stream)))
}

/// Would it have taken longer than it may?
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Listener for Door {
    type Reader = Incoming;
    type Writer = Outgoing;

    async fn accept(&self) -> io::Result<(Incoming, Outgoing)> {
        loop {
            match self.0.accept() {
                Ok((stream, _)) => return split(stream),
                Err(error) if is_late(&error) => Threads.sleep_until(Threads.now().after(PAUSE)).await,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Reader for Incoming {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| match self.0.read(buf) {
            Err(error) if is_late(&error) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            read => Poll::Ready(read),
        })
        .await
    }
}

impl Writer for Outgoing {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&self.0).write(bytes);
        written.map_err(|error| if is_late(&error) { ErrorKind::WouldBlock.into() } else { error })
    }

    async fn writable(&self) -> io::Result<()> {
        Threads.sleep_until(Threads.now().after(PAUSE)).await;
        Ok(())
    }

    fn close(&self) {
        // It fails if the peer was faster.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

// ---- And what it is good for: two nodes count in the value block of a lock. ----

const ROUNDS: u64 = 100;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    block_on(async {
        let sockets = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [first, second] = [sockets[0].local_addr()?, sockets[1].local_addr()?];
        let [one, two] = sockets;
        let one = Node::<Threads>::builder("threads").node(1).listener(one).member(2, second).start().await?;
        let two = Node::<Threads>::builder("threads").node(2).listener(two).member(1, first).start().await?;

        // Clones are the same node, and any thread may use it.
        let counting = [&one, &two].map(|node| {
            let node = node.clone();
            thread::spawn(move || block_on(count(&node)))
        });
        for thread in counting {
            thread.join().map_err(|_| "a thread has panicked")??;
        }

        let guard = two.lock_with("count", LockOptions::new(Mode::ProtectedRead).value(true)).await?;
        let Some(ValueState::Valid(value)) = guard.value() else { return Err("nobody has counted".into()) };
        let total = u64::from_be_bytes(value.as_bytes().try_into()?);
        println!("two nodes counted to {total}");
        assert_eq!(total, 2 * ROUNDS);

        // Slots move while the lock is held: transfers and their timers need nothing more of a runtime.
        let slots = one.slots(SpaceId(0)).ok_or("a node has a space")?;
        let half = SlotRange { len: slots.len / 2, ..slots };
        one.transfer(half, NodeId(2)).await?;
        println!("node 2 masters all {} slots", two.map().slots_of(NodeId(2)));
        assert_eq!(two.map().slots_of(NodeId(2)), slots.len);

        drop(guard);
        one.shutdown().await;
        two.shutdown().await;
        Ok(())
    })
}

async fn count(node: &Node<Threads>) -> Result<(), Box<dyn Error + Send + Sync>> {
    for _ in 0..ROUNDS {
        let mut guard = node.lock_with("count", LockOptions::new(Mode::Exclusive).value(true)).await?;
        let count = match guard.value() {
            Some(ValueState::Valid(value)) => u64::from_be_bytes(value.as_bytes().try_into()?),
            Some(ValueState::Absent | ValueState::Invalid(_)) | None => 0,
        };
        guard.set_value(&(count + 1).to_be_bytes())?;
    }
    Ok(())
}
