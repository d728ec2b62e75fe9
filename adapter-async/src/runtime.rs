//! What a runtime has to offer: a clock, sleep, tasks and sockets.

use core::future::{Future, poll_fn};
use core::mem;
use core::net::SocketAddr;
use core::task::Poll;
use std::io;
use std::net::TcpListener;

use lockmaster_core::Instant;

/// An async runtime, as far as a node needs one.
///
/// Futures may be dropped at any point. Every socket must have `TCP_NODELAY` set: frames are small, and a
/// peer waits for each.
pub trait Runtime: Send + Sync + 'static {
    /// Socket that waits for peers.
    type Listener: Listener<Reader = Self::Reader, Writer = Self::Writer>;
    /// Reading half of a connection.
    type Reader: Reader;
    /// Writing half of a connection.
    type Writer: Writer;

    /// Nanoseconds on a monotonic clock that all of this machine's processes share and that goes on while the machine
    /// sleeps: `CLOCK_BOOTTIME`, or what comes nearest. A node whose membership ends by the clock must not wake up and
    /// believe that no time has passed, and providers compare their own readings with the node's.
    fn now(&self) -> Instant;

    /// Takes over a bound socket, whose calls do not block.
    ///
    /// # Errors
    /// Whatever the system says.
    fn listen(&self, listener: TcpListener) -> io::Result<Self::Listener>;

    /// Connects to a peer.
    ///
    /// # Errors
    /// Whatever the system says; the future does.
    fn connect(
        &self,
        to: SocketAddr,
    ) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer)>> + Send;

    /// Sleeps until the clock shows `until`, or somewhat longer: also as long as the machine sleeps, because whoever
    /// wakes up reads the clock before anything else.
    fn sleep_until(&self, until: Instant) -> impl Future<Output = ()> + Send;

    /// Lets other tasks run, and lets the runtime look at its sockets, before it goes on.
    ///
    /// Wakes itself at once, unless a runtime has something better: some look at their sockets only after many tasks.
    fn yield_now(&self) -> impl Future<Output = ()> + Send {
        let mut is_first = true;
        poll_fn(move |context| {
            if !mem::take(&mut is_first) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Runs a task to its end.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// A socket that waits for peers.
pub trait Listener: Send + Sync + 'static {
    /// Reading half of a connection.
    type Reader: Reader;
    /// Writing half of a connection.
    type Writer: Writer;

    /// The next connection.
    ///
    /// # Errors
    /// Whatever the system says; the future does.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer)>> + Send;
}

/// Reading half of a connection.
pub trait Reader: Send + 'static {
    /// Reads what there is, at least one byte, and gives the number of bytes; 0 at the end of the stream.
    ///
    /// Now and then it lets other tasks run although there is something to read: a peer that never stops must not keep
    /// its task going for ever.
    ///
    /// # Errors
    /// Whatever the system says; the future does.
    fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Writing half of a connection.
///
/// Unlike the usual traits it can be tried without waiting: a call that has something to send writes it
/// itself, with no task in between.
pub trait Writer: Send + Sync + 'static {
    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it takes nothing now; otherwise the connection is broken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Resolves when [`Writer::try_write`] is worth trying again.
    ///
    /// # Errors
    /// The connection is broken; the future says how.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// Ends the connection in both directions: reads that wait see the end of the stream.
    fn close(&self);
}
