//! Loss, repetition, delay and reordering of packets, by lot.
//!
//! Not every kernel has a network emulator, but it hands packets to a program (NFQUEUE) and does with them what that
//! says. A packet either passes at once, or is dropped and copies of it are sent later, each at its time: so a lost one has
//! no copy, a repeated one has two, and one that is late lets others overtake it.
//!
//! ```text
//! router ──NFQUEUE──▶ decide ──accept──────────────────────▶ on
//!                        └────copies, by time──▶ deliver ──▶ on (raw socket)
//! ```

use core::cmp::Reverse;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::AddAssign;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use fastrand::Rng;
use nfq::{Queue, Verdict};
use socket2::{Domain, Protocol, Socket, Type};

use crate::failure::{Failure, Result, broken};
use crate::space::Space;

/// Number of the queue in its namespace.
pub(crate) const QUEUE: u16 = 0;
/// A packet to here goes to the queue too, to wake the thread that waits at it.
pub(crate) const POKED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
/// Packets that may wait for a decision.
const QUEUE_LEN: u32 = 8192;
/// The protocol of a socket whose packets come with their headers.
const RAW: i32 = 255;

/// How often what happens to a packet, in thousandths, and how late it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// It is lost.
    pub(crate) loss: u32,
    /// It comes twice.
    pub(crate) double: u32,
    /// It is held back for the longest time, so that others overtake it.
    pub(crate) straggle: u32,
    /// Least time that any packet takes.
    pub(crate) delay: Duration,
    /// Most time beside that.
    pub(crate) jitter: Duration,
}

impl Rates {
    /// How late a straggler is beside the delay.
    fn longest(self) -> Duration {
        self.jitter * 3
    }

    /// When the copies of a packet are due, counted from now.
    fn draw(self, lots: &mut Rng) -> Vec<Duration> {
        let mut is_hit = |rate| lots.u32(..1000) < rate;
        if is_hit(self.loss) {
            return Vec::new();
        }
        let (is_doubled, is_straggler) = (is_hit(self.double), is_hit(self.straggle));
        let first = if is_straggler { self.longest() } else { self.jitter.mul_f64(lots.f64()) };
        let second = is_doubled.then(|| self.longest().mul_f64(lots.f64()));
        [Some(first), second].into_iter().flatten().map(|late| self.delay + late).collect()
    }
}

/// What a weather has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Toll {
    pub(crate) seen: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) delayed: u64,
    /// Sent after one that came later.
    pub(crate) overtaken: u64,
}

impl AddAssign for Toll {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.delayed += other.delayed;
        self.overtaken += other.overtaken;
    }
}

/// A weather that goes on.
pub(crate) struct Weather {
    toll: Arc<Mutex<Toll>>,
    is_over: Arc<AtomicBool>,
    poke: UdpSocket,
    threads: [JoinHandle<Result<()>>; 2],
}

/// A copy of a packet that is due at a time. Those of one time go in the order in which they came.
type Copy = (Instant, u64, Vec<u8>);

impl Weather {
    /// Begins in the router, whose rules hand packets to it from then on.
    pub(crate) fn start(router: &Space, rates: Rates, seed: u64) -> Result<Self> {
        let toll = Arc::new(Mutex::new(Toll::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let opened = router.within(|| Ok::<_, Failure>((open_queue()?, open_raw()?, open_poke()?)))?;
        let (queue, raw, poke) = opened?;
        let (copies, due) = channel();
        let decide = Decide {
            queue,
            rates,
            lots: Rng::with_seed(seed),
            copies,
            toll: Arc::clone(&toll),
            is_over: Arc::clone(&is_over),
        };
        let deliver = Deliver { raw, due, toll: Arc::clone(&toll) };
        let threads = [std::thread::spawn(|| decide.run()), std::thread::spawn(|| deliver.run())];
        Ok(Self { toll, is_over, poke, threads })
    }

    /// Ends when all packets that wait have been sent on.
    pub(crate) fn end(self) -> Result<Toll> {
        self.is_over.store(true, Ordering::Release);
        // The thread waits for a packet.
        self.poke.send_to(b"over", POKED).map_err(broken("ending the weather"))?;
        for thread in self.threads {
            thread.join().map_err(|_| Failure::Broken("the weather has panicked".to_owned()))??;
        }
        let toll = *self.toll.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(toll)
    }
}

fn open_queue() -> Result<Queue> {
    let doing = "opening the queue of packets";
    let mut queue = Queue::open().map_err(broken(doing))?;
    queue.bind(QUEUE).map_err(broken(doing))?;
    queue.set_queue_max_len(QUEUE, QUEUE_LEN).map_err(broken(doing))?;
    Ok(queue)
}

fn open_raw() -> Result<Socket> {
    let doing = "opening a raw socket";
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).map_err(broken(doing))?;
    raw.set_header_included_v4(true).map_err(broken(doing))?;
    Ok(raw)
}

fn open_poke() -> Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken("opening a socket"))
}

/// The thread that decides.
struct Decide {
    queue: Queue,
    rates: Rates,
    lots: Rng,
    copies: Sender<Copy>,
    toll: Arc<Mutex<Toll>>,
    is_over: Arc<AtomicBool>,
}

impl Decide {
    fn run(mut self) -> Result<()> {
        for number in 0.. {
            let mut packet = match self.queue.recv() {
                Ok(packet) => packet,
                // When rules change, the system drops what waits for a decision, which then comes too late.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(broken("receiving a packet")(error)),
            };
            if self.is_over.load(Ordering::Acquire) {
                break;
            }
            let now = Instant::now();
            let late = self.rates.draw(&mut self.lots);
            let passes = late == [Duration::ZERO];
            {
                let mut toll = self.toll.lock().unwrap_or_else(PoisonError::into_inner);
                toll.seen += 1;
                toll.lost += u64::from(late.is_empty());
                toll.doubled += u64::from(late.len() > 1);
                toll.delayed += u64::from(late.iter().any(|late| !late.is_zero()));
            }
            if !passes {
                for late in late {
                    let copy = (now + late, number, packet.get_payload().to_vec());
                    self.copies.send(copy).map_err(broken("delaying a packet"))?;
                }
            }
            packet.set_verdict(if passes { Verdict::Accept } else { Verdict::Drop });
            self.queue.verdict(packet).map_err(broken("deciding about a packet"))?;
        }
        Ok(())
    }
}

/// The thread that sends copies when they are due.
struct Deliver {
    raw: Socket,
    due: Receiver<Copy>,
    toll: Arc<Mutex<Toll>>,
}

impl Deliver {
    fn run(self) -> Result<()> {
        let mut waiting = BinaryHeap::new();
        let (mut latest, mut is_open) = (0, true);
        while is_open || !waiting.is_empty() {
            let next = waiting.peek().map(|Reverse((due, _, _)): &Reverse<Copy>| *due);
            let span = next.map(|due| due.saturating_duration_since(Instant::now()));
            match span {
                Some(Duration::ZERO) => {
                    let Some(Reverse((_, number, packet))) = waiting.pop() else { continue };
                    if number < latest {
                        self.toll.lock().unwrap_or_else(PoisonError::into_inner).overtaken += 1;
                    }
                    latest = latest.max(number);
                    self.send(&packet);
                }
                Some(span) if !is_open => std::thread::sleep(span),
                Some(span) => match self.due.recv_timeout(span) {
                    Ok(copy) => waiting.push(Reverse(copy)),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => is_open = false,
                },
                None => match self.due.recv() {
                    Ok(copy) => waiting.push(Reverse(copy)),
                    Err(_) => is_open = false,
                },
            }
        }
        Ok(())
    }

    /// A packet that cannot be sent is lost, as others are.
    fn send(&self, packet: &[u8]) {
        // The destination stands in the header of version 4, in its last four of twenty bytes.
        let Some(Ok(to)) = packet.get(16..20).map(<[u8; 4]>::try_from) else { return };
        let to = SocketAddrV4::new(Ipv4Addr::from(to), 0);
        let _ = self.raw.send_to(packet, &to.into());
    }
}
