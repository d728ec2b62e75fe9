//! What the tests of this module share: certificates, and a connection in memory.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use lockmaster_core::NodeId;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::handshake::{Secured, shake_hands};
use super::{Identity, TlsConfig, TlsError, node_name};
use crate::connection::Side;
use crate::handshake::Failed;
use crate::runtime::{Reader, Writer};

pub(crate) const ONE: NodeId = NodeId(1);
pub(crate) const TWO: NodeId = NodeId(2);
/// Certificates of tests are valid from this day on, in days since 1970.
pub(crate) const FIRST_DAY: u32 = 20_000;
/// And for so many days.
pub(crate) const DAYS: u32 = 10;
const DAY: Duration = Duration::from_secs(86_400);

/// An authority of tests.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate with this name, and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(1970, 1, 1) + DAY * FIRST_DAY;
        params.not_after = params.not_before + DAY * DAYS;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// What a node has that calls itself this.
    pub(crate) fn config(&self, name: &str, today: u32) -> TlsConfig {
        let (chain, key) = self.issue(name);
        let config = TlsConfig::from_pem(self.pem.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap();
        config.clock(move || SystemTime::UNIX_EPOCH + DAY * today + DAY / 2)
    }

    pub(crate) fn identity(&self, node: NodeId) -> Identity {
        let config = self.config(&node_name("test", node).unwrap(), FIRST_DAY);
        Identity::new(&config, "test", node).unwrap()
    }
}

/// A node with this name in its certificate on this day.
pub(crate) fn try_identity(name: &str, today: u32) -> Result<Identity, TlsError> {
    Identity::new(&Authority::new().config(name, today), "test", ONE)
}

/// One direction of a connection, in memory.
#[derive(Debug)]
pub(crate) struct Line {
    /// Most bytes that are taken or given at once.
    pub(crate) step: usize,
    /// Bytes that it holds.
    pub(crate) room: usize,
    pub(crate) flow: Mutex<Flow>,
}

#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) bytes: VecDeque<u8>,
    /// Bytes that have gone in.
    pub(crate) passed: usize,
    /// The byte that is changed on its way.
    pub(crate) flipped: Option<usize>,
    /// Nothing goes in any more, and the end comes out after what is in.
    pub(crate) is_cut: bool,
}

impl Line {
    pub(crate) fn new(step: usize, room: usize) -> Arc<Self> {
        Arc::new(Self { step, room, flow: Mutex::default() })
    }

    pub(crate) fn wide() -> Arc<Self> {
        Self::new(usize::MAX, usize::MAX)
    }
}

impl Writer for Arc<Line> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut flow = self.flow.lock().unwrap();
        if flow.is_cut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = bytes.len().min(self.step).min(self.room - flow.bytes.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for byte in &bytes[..len] {
            let is_flipped = flow.flipped == Some(flow.passed);
            flow.bytes.push_back(if is_flipped { byte ^ 0x10 } else { *byte });
            flow.passed += 1;
        }
        Ok(len)
    }

    async fn writable(&self) -> io::Result<()> {
        poll_fn(|_| {
            let flow = self.flow.lock().unwrap();
            if flow.is_cut || flow.bytes.len() < self.room { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    fn close(&self) {
        self.flow.lock().unwrap().is_cut = true;
    }
}

impl Reader for Arc<Line> {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        assert!(!buf.is_empty(), "who reads has room");
        poll_fn(|_| {
            let mut flow = self.flow.lock().unwrap();
            if flow.bytes.is_empty() && !flow.is_cut {
                return Poll::Pending;
            }
            let len = buf.len().min(self.step).min(flow.bytes.len());
            for (place, byte) in buf.iter_mut().zip(flow.bytes.drain(..len)) {
                *place = byte;
            }
            Poll::Ready(Ok(len))
        })
        .await
    }
}

/// Polls two futures in turn until both have resolved, or neither gets on.
pub(crate) fn both<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
    lines: &[Arc<Line>; 2],
) -> (Option<A>, Option<B>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut two) = (None, None);
    let mut context = Context::from_waker(Waker::noop());
    let state = || {
        lines.each_ref().map(|line| {
            let flow = line.flow.lock().unwrap();
            (flow.passed, flow.bytes.len())
        })
    };
    let mut idle = 0;
    while idle < 2 && (one.is_none() || two.is_none()) {
        let before = (state(), one.is_some(), two.is_some());
        if one.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(&mut context)
        {
            one = Some(output);
        }
        if two.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(&mut context)
        {
            two = Some(output);
        }
        idle = if before == (state(), one.is_some(), two.is_some()) { idle + 1 } else { 0 };
    }
    (one, two)
}

/// How each side ends: that of node 1, which dials, and that of node 2. Absent if it waits for more.
pub(crate) type Ends = (Option<Result<Secured, Failed>>, Option<Result<Secured, Failed>>);

/// Node 1 dials node 2.
pub(crate) fn handshake(one: &Identity, two: &Identity, lines: &[Arc<Line>; 2]) -> Ends {
    let [there, back] = lines;
    let mut readers = [Arc::clone(back), Arc::clone(there)];
    let [at_one, at_two] = &mut readers;
    both(
        shake_hands(one, Side::Dialled(TWO), at_one, there),
        shake_hands(two, Side::Accepted, at_two, back),
        lines,
    )
}

/// Both sides after a handshake.
pub(crate) fn secured(lines: &[Arc<Line>; 2]) -> (Secured, Secured) {
    let authority = Authority::new();
    let ends = handshake(&authority.identity(ONE), &authority.identity(TWO), lines);
    let (Some(Ok(one)), Some(Ok(two))) = ends else { panic!("{ends:?} {lines:?}") };
    (one, two)
}

/// The next number of the splitmix64 sequence.
pub(crate) const fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
