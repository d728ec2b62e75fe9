//! A runtime of one's own, out of threads and `std::net`: all that a node needs of one.
//!
//! ```sh
//! cargo run -p lockmaster-async --example own_runtime
//! ```

use core::error::Error;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant as Clock;

use lockmaster_async::{Instant, Listener, Mode, Node, Reader, Runtime, Writer};

// ---- The runtime. Each task is a thread, so it may block for a moment: nobody else waits for it. ----

#[derive(Default)]
struct Threads;
struct Door(TcpListener);
/// Either half of a connection.
struct Line(TcpStream);

/// `std` has no clock that goes on while the machine sleeps. Use one that does where membership ends by the clock.
static START: LazyLock<Clock> = LazyLock::new(Clock::now);
/// Longest pause between two looks at a socket or the clock: `std` cannot wait for a socket and for a waker at once.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs a task on this thread.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut task = Box::pin(task);
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            // Who was woken meanwhile is not put to sleep.
            Poll::Pending => thread::park(),
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

    /// Blocks until the task is woken, or for one pause; then the task looks after what else it waits for.
    async fn sleep_until(&self, until: Instant) {
        while self.now() < until {
            thread::park_timeout(PAUSE.min(until.since(self.now())));
            self.yield_now().await;
        }
    }

    fn listen(&self, listener: TcpListener) -> io::Result<Door> {
        Ok(Door(listener))
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(Line, Line)> {
        lines(TcpStream::connect_timeout(&to, Duration::from_secs(2))?)
    }
}

fn lines(stream: TcpStream) -> io::Result<(Line, Line)> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok((Line(stream.try_clone()?), Line(stream)))
}

/// Tries until the socket has something: again at once at first, and then less and less often.
async fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = Duration::from_micros(20);
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Threads.sleep_until(Threads.now().after(pause)).await;
                pause = PAUSE.min(2 * pause);
            }
            done => return done,
        }
    }
}

impl Listener for Door {
    type Reader = Line;
    type Writer = Line;

    async fn accept(&self) -> io::Result<(Line, Line)> {
        lines(patiently(|| self.0.accept()).await?.0)
    }
}

impl Reader for Line {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // However much there is to read, the task looks after what else it waits for.
        Threads.yield_now().await;
        patiently(|| self.0.read(buf)).await
    }
}

impl Writer for Line {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
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

// ---- And what it is good for: a lock goes back and forth between two nodes. ----

fn main() -> Result<(), Box<dyn Error>> {
    let [one, two] = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    let [first, second] = [one.local_addr()?, two.local_addr()?];
    let one = Node::<Threads>::builder("threads").node(1).listener(one).member(2, second);
    let two = Node::<Threads>::builder("threads").node(2).listener(two).member(1, first);
    let nodes = [block_on(one.start())?, block_on(two.start())?];
    let mut tokens = Vec::new();
    for node in nodes.iter().cycle().take(200) {
        tokens.push(block_on(node.lock("turn", Mode::Exclusive))?.fencing_token());
    }
    assert!(tokens.is_sorted_by(|earlier, later| earlier < later));
    println!("a lock went back and forth {} times", tokens.len());
    Ok(())
}
