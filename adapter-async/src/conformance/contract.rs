//! What a runtime has promised, by itself: no node is here.

use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::rig::{Rig, poll_once, socket};
use super::task::on_thread;
use super::wakers::strictly;
use crate::{Instant, Listener, Reader, Runtime, Writer};

/// More than any socket takes.
const MUCH: usize = 1 << 28;

/// Polls a future with a waker that nobody hears.
fn poll_deaf<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for a future that was polled with another waker before: it must remember the last one.
async fn moved<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    match poll_deaf(&mut future) {
        Poll::Ready(output) => output,
        Poll::Pending => strictly(future).await,
    }
}

/// A socket of the runtime that listens, and where.
fn listen<R: Runtime>(rig: &Rig<R>) -> (R::Listener, SocketAddr) {
    let (listener, address) = socket();
    listener.set_nonblocking(true).unwrap();
    (rig.runtime.listen(listener).unwrap(), address)
}

/// A connection of which the runtime has both ends: who dialled, and who accepted.
async fn pair<R: Runtime>(rig: &Rig<R>) -> [(R::Reader, R::Writer); 2] {
    let (listener, address) = listen(rig);
    let dialled = rig.runtime.connect(address).await.unwrap();
    [dialled, listener.accept().await.unwrap()]
}

/// A connection of which the runtime has the end that accepted.
async fn half<R: Runtime>(rig: &Rig<R>) -> (R::Reader, R::Writer, TcpStream) {
    let (listener, address) = listen(rig);
    let far = TcpStream::connect(address).unwrap();
    far.set_nodelay(true).unwrap();
    let (reader, writer) = listener.accept().await.unwrap();
    (reader, writer, far)
}

/// Writes until the socket takes no more, and gives the number of bytes. They count up.
fn fill(writer: &impl Writer, from: usize) -> usize {
    let mut len = from;
    loop {
        let bytes: Vec<_> = (len..len + 5000).map(byte_at).collect();
        match writer.try_write(&bytes) {
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return len,
            Err(error) => panic!("{error}"),
        }
        assert!(len < MUCH, "a socket that nobody reads takes no more");
    }
}

/// What a place of a stream holds.
fn byte_at(place: usize) -> u8 {
    u8::try_from(place % 251).unwrap()
}

pub(super) async fn the_clock_never_goes_back<R: Runtime + Clone>(rig: &Rig<R>) {
    let other = rig.runtime.clone();
    let mut last = rig.runtime.now();
    for _ in 0..1000 {
        for runtime in [&rig.runtime, &other] {
            let now = runtime.now();
            assert!(now >= last, "all clones show the same");
            last = now;
        }
    }
}

/// The time since the start of the machine, that of its sleep included, as the system tells it: in hundredths of a second.
#[cfg(target_os = "linux")]
fn uptime() -> Instant {
    let told = std::fs::read_to_string("/proc/uptime").unwrap();
    let (secs, hundredths) = told.split(' ').next().unwrap().split_once('.').unwrap();
    let hundredths = secs.parse::<u64>().unwrap() * 100 + hundredths.parse::<u64>().unwrap();
    Instant::from_nanos(hundredths * 10_000_000)
}

pub(super) async fn the_clock_is_that_of_all_processes<R: Runtime + Clone>(rig: &Rig<R>) {
    #[cfg(target_os = "linux")]
    {
        let before = uptime();
        let now = rig.runtime.now();
        let after = uptime().after(Duration::from_millis(10));
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
    }
    assert!(rig.runtime.now() > Instant::START);
}

pub(super) async fn sleep_ends_when_its_time_has_come<R: Runtime + Clone>(rig: &Rig<R>) {
    let runtime = &rig.runtime;
    runtime.sleep_until(Instant::START).await;
    runtime.sleep_until(runtime.now()).await;
    for _ in 0..5 {
        let until = runtime.now().after(Duration::from_millis(2));
        strictly(runtime.sleep_until(until)).await;
        assert!(runtime.now() >= until, "not before its time");
        let until = runtime.now().after(Duration::from_millis(2));
        moved(runtime.sleep_until(until)).await;
        assert!(runtime.now() >= until, "not before its time");
    }
}

pub(super) async fn a_long_sleep_is_no_short_one<R: Runtime + Clone>(rig: &Rig<R>) {
    let runtime = &rig.runtime;
    let hour = Duration::from_secs(3600);
    for until in [runtime.now().after(hour), runtime.now().after(24 * 10_000 * hour), Instant::NEVER] {
        let mut asleep = Box::pin(runtime.sleep_until(until));
        assert!(poll_once(&mut asleep).await.is_pending());
        rig.yield_now().await;
        assert!(poll_once(&mut asleep).await.is_pending());
    }
}

pub(super) async fn tasks_run_to_their_end<R: Runtime + Clone>(rig: &Rig<R>) {
    let mut tasks = Vec::new();
    for number in 0..1000_u32 {
        let (outer, inner) = (rig.clone(), rig.clone());
        tasks.push(rig.spawn(async move {
            outer.yield_now().await;
            // A task may be begun by a task, and awaited by nobody.
            let last = outer.spawn(async move {
                inner.yield_now().await;
                number
            });
            last.await.unwrap()
        }));
    }
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(task.await, Ok(number));
    }
}

pub(super) async fn who_yields_lets_others_run<R: Runtime + Clone>(rig: &Rig<R>) {
    // Each of both waits for the other one, round by round, and neither ever waits for anything else.
    let rounds = [0, 1].map(|_| Arc::new(AtomicU32::new(0)));
    let tasks = [0, 1].map(|at: usize| {
        let (rig, own, others) = (rig.clone(), rounds[at].clone(), rounds[1 - at].clone());
        rig.clone().spawn(async move {
            for round in 1..=100 {
                own.store(round, Ordering::SeqCst);
                rig.until(|| others.load(Ordering::SeqCst) >= round).await;
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

pub(super) async fn an_address_where_nobody_listens_is_an_error<R: Runtime + Clone>(rig: &Rig<R>) {
    let (listener, address) = socket();
    drop(listener);
    assert!(strictly(rig.runtime.connect(address)).await.is_err());
}

pub(super) async fn a_full_socket_says_so_and_goes_on<R: Runtime + Clone>(rig: &Rig<R>) {
    let [(_reader, writer), (mut far, _writer)] = pair(rig).await;
    let mut written = fill(&writer, 0);
    let mut read = 0;
    for _ in 0..3 {
        let wanted = written;
        let mut writable = Box::pin(writer.writable());
        let is_writable = poll_deaf(&mut writable).is_ready();
        while read < wanted {
            let mut bytes = [0; 3000];
            let len = strictly(far.read(&mut bytes)).await.unwrap();
            assert!(len > 0 && bytes[..len].iter().zip(read..).all(|(byte, place)| *byte == byte_at(place)));
            read += len;
        }
        if !is_writable {
            strictly(writable).await.unwrap();
        }
        // Somebody may have been woken for nothing: then it waits once more.
        while written == wanted {
            strictly(writer.writable()).await.unwrap();
            written = fill(&writer, written);
        }
    }
}

pub(super) async fn close_ends_every_wait<R: Runtime + Clone>(rig: &Rig<R>) {
    for at in [0, 1] {
        let [(first, one), (second, two)] = pair(rig).await;
        let waiting = Arc::new(AtomicU32::new(0));
        let ends = [first, second].map(|mut reader| {
            let waiting = Arc::clone(&waiting);
            rig.spawn(async move {
                let mut byte = [0];
                let mut reading = Box::pin(reader.read(&mut byte));
                assert!(poll_deaf(&mut reading).is_pending());
                waiting.fetch_add(1, Ordering::SeqCst);
                strictly(reading).await
            })
        });
        rig.until(|| waiting.load(Ordering::SeqCst) == 2).await;
        [&one, &two][at].close();
        for end in ends {
            assert!(matches!(end.await.unwrap(), Ok(0) | Err(_)), "it is at its end");
        }
        // Again, and from the other side: nothing.
        one.close();
        two.close();
    }
}

pub(super) async fn the_end_of_a_peer_is_heard_by_who_writes<R: Runtime + Clone>(rig: &Rig<R>) {
    let (_reader, writer, far) = half(rig).await;
    fill(&writer, 0);
    let mut writable = Box::pin(writer.writable());
    let is_writable = poll_deaf(&mut writable).is_ready();
    // What it has not read it never will: that is no end in good order.
    drop(far);
    if !is_writable {
        let _ = strictly(writable).await;
    }
    loop {
        match writer.try_write(&[0; 100]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = strictly(writer.writable()).await;
            }
            Ok(_) => rig.yield_now().await,
            Err(_) => return,
        }
    }
}

pub(super) async fn a_connection_ends_with_both_its_halves<R: Runtime + Clone>(rig: &Rig<R>) {
    for is_reader_first in [true, false] {
        let (reader, writer, mut far) = half(rig).await;
        if is_reader_first {
            drop(reader);
            drop(writer);
        } else {
            drop(writer);
            drop(reader);
        }
        let read = on_thread(move || far.read(&mut [0])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}

pub(super) async fn what_is_read_later_is_not_lost<R: Runtime + Clone>(rig: &Rig<R>) {
    let (mut reader, _writer, mut far) = half(rig).await;
    let mut bytes = [0; 8];
    for round in 0..100_u8 {
        // Reads that were begun and dropped, before there was anything and after.
        for _ in 0..round % 3 {
            assert!(poll_once(&mut Box::pin(reader.read(&mut bytes))).await.is_pending());
        }
        far.write_all(&[round]).unwrap();
        let mut is_there = false;
        for _ in 0..round % 4 {
            let mut reading = Box::pin(reader.read(&mut bytes));
            if let Poll::Ready(read) = poll_once(&mut reading).await {
                assert_eq!(read.unwrap(), 1);
                is_there = true;
                break;
            }
        }
        if !is_there {
            assert_eq!(strictly(reader.read(&mut bytes)).await.unwrap(), 1);
        }
        assert_eq!(bytes[0], round);
    }
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(strictly(reader.read(&mut bytes)).await.unwrap(), 0);
}

pub(super) async fn who_is_accepted_later_is_not_lost<R: Runtime + Clone>(rig: &Rig<R>) {
    let (listener, address) = listen(rig);
    for round in 0..10_u8 {
        let mut waiting = Box::pin(listener.accept());
        assert!(poll_once(&mut waiting).await.is_pending());
        if round % 2 == 0 {
            assert!(poll_deaf(&mut waiting).is_pending());
        } else {
            drop(waiting);
            waiting = Box::pin(listener.accept());
        }
        let mut far = TcpStream::connect(address).unwrap();
        far.write_all(&[round]).unwrap();
        let accepted = match poll_once(&mut waiting).await {
            Poll::Ready(accepted) => accepted,
            Poll::Pending if round % 3 == 0 => {
                drop(waiting);
                strictly(listener.accept()).await
            }
            Poll::Pending => strictly(waiting).await,
        };
        let (mut reader, _writer) = accepted.unwrap();
        let mut byte = [0];
        assert_eq!(strictly(reader.read(&mut byte)).await.unwrap(), 1);
        assert_eq!(byte, [round]);
    }
}

pub(super) async fn who_reads_lets_others_run<R: Runtime + Clone>(rig: &Rig<R>) {
    const LEN: usize = 4096;
    let (mut reader, _writer, mut far) = half(rig).await;
    far.write_all(&[7; LEN]).unwrap();
    // All of it is there once its last byte is: then no read has to wait.
    let mut reading = pin!(async {
        let mut byte = [0];
        for _ in 0..LEN {
            assert_eq!(reader.read(&mut byte).await.unwrap(), 1);
        }
    });
    let mut polls = 0;
    poll_fn(|context| {
        polls += 1;
        reading.as_mut().poll(context)
    })
    .await;
    assert!(polls > 1, "a peer that never stops does not keep a task going for ever");
}

/// Checks that a task which yields again and again lets the runtime look at its sockets, and let who waits for one run,
/// within so many times: [`Runtime::yield_now`] is how a node goes on with work that is left over. Call it where all tasks
/// of the runtime run on the thread that drives this.
///
/// # Panics
/// If it takes more.
pub async fn yields_to_its_sockets<R: Runtime + Clone>(runtime: R, times: u32) {
    let rig = Rig::new(runtime, 1);
    for _ in 0..20 {
        let (mut reader, _writer, mut far) = half(&rig).await;
        let waiting = rig.spawn(async move { reader.read(&mut [0]).await });
        let busy = rig.clone();
        // A task as any other: who drives it may be nearer to the sockets.
        let yields = rig.spawn(async move {
            busy.yield_now().await;
            busy.yield_now().await;
            assert!(!waiting.is_finished(), "it waits");
            far.write_all(&[1]).unwrap();
            let mut yields = 0;
            while !waiting.is_finished() {
                yields += 1;
                busy.yield_now().await;
            }
            yields
        });
        let yields: u32 = yields.await.unwrap();
        assert!(yields <= times, "{yields} times were none of the sockets looked at");
    }
}
