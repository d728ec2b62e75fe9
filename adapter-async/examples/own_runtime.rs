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
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant as Clock;

use lockmaster_async::{Instant, Listener, LockError, Mode, Node, Reader, Runtime, Writer};

// ---- The runtime. Each task is a thread, so it may block for a moment: nobody else waits for it. ----

#[derive(Default)]
struct Threads;
struct Door(TcpListener);
/// Either half of a connection.
struct Line(TcpStream);

/// `std` has no clock that goes on while the machine sleeps. Use one that does where membership ends by the clock.
static START: LazyLock<Clock> = LazyLock::new(Clock::now);
/// Pause between two looks at a socket that is seldom used, or full.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest that a task blocks in a read before it looks after what else it waits for, in a write, in an attempt to connect.
const READ: Duration = Duration::from_millis(50);
const WRITE: Duration = Duration::from_millis(1);
const CONNECT: Duration = Duration::from_secs(2);

thread_local! {
    /// When this thread is to look at its task again, if nobody wakes it before.
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
        thread::park_timeout(alarm.since(Threads.now()));
        if alarm <= Threads.now() {
            ALARM.set(Instant::NEVER);
        }
    }
}

impl Runtime for Threads {
    type Listener = Door;
    type Reader = Line;
    type Writer = Line;

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

    async fn connect(&self, to: SocketAddr) -> io::Result<(Line, Line)> {
        lines(TcpStream::connect_timeout(&to, CONNECT)?)
    }
}

fn lines(stream: TcpStream) -> io::Result<(Line, Line)> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(READ))?;
    stream.set_write_timeout(Some(WRITE))?;
    Ok((Line(stream.try_clone()?), Line(stream)))
}

/// Would it have taken longer than it may?
fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

impl Listener for Door {
    type Reader = Line;
    type Writer = Line;

    async fn accept(&self) -> io::Result<(Line, Line)> {
        loop {
            match self.0.accept() {
                Err(error) if is_late(&error) => Threads.sleep_until(Threads.now().after(PAUSE)).await,
                accepted => return lines(accepted?.0),
            }
        }
    }
}

impl Reader for Line {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Err(error) if is_late(&error) => Threads.yield_now().await,
                read => return read,
            }
        }
    }
}

impl Writer for Line {
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

// ---- And what it is good for: two nodes count, and without the lock some of that would be lost. ----

static COUNT: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Box<dyn Error>> {
    let sockets = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [first, second] = [sockets[0].local_addr()?, sockets[1].local_addr()?];
    let [one, two] = sockets;
    let one = Node::<Threads>::builder("threads").node(1).listener(one).member(2, second);
    let two = Node::<Threads>::builder("threads").node(2).listener(two).member(1, first);
    let nodes = [block_on(one.start())?, block_on(two.start())?];
    // Clones are the same node, and any thread may use it.
    for thread in nodes.clone().map(|node| thread::spawn(move || block_on(count(&node)))) {
        thread.join().expect("a thread does not panic")?;
    }
    println!("two nodes counted to {}", COUNT.load(Relaxed));
    assert_eq!(COUNT.load(Relaxed), 200);
    Ok(())
}

async fn count(node: &Node<Threads>) -> Result<(), LockError> {
    for _ in 0..100 {
        let _guard = node.lock("count", Mode::Exclusive).await?;
        COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    }
    Ok(())
}
