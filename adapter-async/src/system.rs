//! What a runtime takes from the system below it: the clock of the machine, and sockets as nodes want them.
//!
//! For adapters, behind the feature `system`; an application has no use for it.

use core::future::Future;
use core::time::Duration;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;

use lockmaster_core::Instant;
use rustix::time::{ClockId, Timespec, clock_gettime};
use socket2::SockRef;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::TcpKeepalive;

/// The clock of all nodes: it goes on while the machine sleeps, where there is such a clock.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;
/// Longest that one timer of a runtime is set for.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an idle connection is probed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long the other end may leave data or probes unanswered. A process that is merely stopped answers as
/// long as its buffers have room: its system does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// `CLOCK_BOOTTIME`, which all processes of a machine share, or what comes nearest: as
/// [`Runtime::now`](crate::Runtime::now) wants it.
#[must_use]
pub fn now() -> Instant {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(CLOCK);
    let secs = u64::try_from(tv_sec).expect("the machine was not started in the future");
    let nanos = u64::try_from(tv_nsec).expect("nanoseconds are not negative");
    Instant::from_nanos(secs * 1_000_000_000 + nanos)
}

/// Sleeps until [`now`] shows `until`, by timers of the runtime that `sleep` makes: as
/// [`Runtime::sleep_until`](crate::Runtime::sleep_until) wants it.
///
/// A runtime's timer may stand still while the machine sleeps, and may not take any length. So it is set for a bounded
/// time, and what decides is the clock.
pub async fn sleep_until<S: Future + Send>(until: Instant, sleep: impl Fn(Duration) -> S + Send) {
    loop {
        let span = until.since(now());
        if span.is_zero() {
            return;
        }
        sleep(span.min(SLEEP_MAX)).await;
    }
}

/// Makes a connection ready for small frames, and has the kernel end it if its other end is silent for too long.
///
/// A network that drops what it cannot deliver tells nobody. Without a bound a connection through it would seem well for
/// a quarter of an hour, and after the network has healed, what was to be said would wait for a repeat about as long as
/// the cut had lasted. Only Linux lets a connection say so; elsewhere that is left to how the system is set up.
///
/// # Errors
/// Whatever the system says.
pub fn prepare(stream: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    prepare_for_silence(&socket)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn prepare_for_silence(socket: &SockRef<'_>) -> io::Result<()> {
    let probes = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn prepare_for_silence(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// Ends a connection in both directions: as [`Writer::close`](crate::Writer::close) wants it.
pub fn close(stream: &impl AsFd) {
    // It fails if the other side was faster.
    let _ = SockRef::from(stream).shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests;
