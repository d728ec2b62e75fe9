extern crate std;

use core::time::Duration;
use std::vec::Vec;

use super::*;
use crate::event::Denial;
use crate::flags::Flags;
use crate::id::{ClusterId, Incarnation, NodeId, OwnerId, Priority};
use crate::memory::ArrayMemory;
use crate::value::Value;
use crate::{Retention, SpaceConfig};

type Small = ArrayMemory<16, 32, 8, 24, 3>;

const NOW: Instant = Instant::from_nanos(1_000);

fn node(id: u16, members: &[u16], retention: Retention) -> Node<Small> {
    let mut config = Config::new(ClusterId(1), NodeId(id), Incarnation(7));
    config.members = members.iter().map(|id| NodeId(*id)).collect();
    let space = SpaceConfig { slots: 8, retention, ..SpaceConfig::new("space").unwrap() };
    config.spaces.push(space).unwrap();
    Node::new(config, Small::VACANT).unwrap()
}

fn ask(node: &mut Node<Small>, name: &str, mode: Mode, flags: Flags) -> Result<Asked, RequestError> {
    let request = Request {
        space: SpaceId(0),
        name: name.as_bytes(),
        owner: OwnerId(1),
        mode,
        flags,
        priority: Priority(0),
        patience: None,
    };
    node.request(NOW, &request)
}

/// Two nodes that hear each other, and everything they say delivered at once.
struct Pair {
    nodes: [Node<Small>; 2],
    frames: Vec<Vec<u8>>,
}

impl Pair {
    fn new(retention: Retention) -> Self {
        let mut nodes = [node(1, &[1, 2], retention), node(2, &[1, 2], retention)];
        let hellos = [nodes[0].hello(), nodes[1].hello()];
        nodes[0].handle_hello(NOW, &hellos[1]).unwrap();
        nodes[1].handle_hello(NOW, &hellos[0]).unwrap();
        Self { nodes, frames: Vec::new() }
    }

    /// A name that the given node masters.
    fn name_at(&mut self, master: u16) -> std::string::String {
        let mut names = (0..).map(|at| std::format!("name/{at}"));
        let is_there = |name: &std::string::String| {
            self.nodes[0].master_of(SpaceId(0), name.as_bytes()) == Ok(Some(NodeId(master)))
        };
        names.find(is_there).unwrap()
    }

    fn run(&mut self) {
        let mut frame = [0; 2048];
        loop {
            let mut is_quiet = true;
            for (from, to) in [(0, 1), (1, 0)] {
                let (from_id, to_id) = (self.nodes[from].config().node, self.nodes[to].config().node);
                while let Some(len) = self.nodes[from].poll_transmit(NOW, to_id, &mut frame) {
                    is_quiet = false;
                    self.frames.push(frame[..len].to_vec());
                    self.nodes[to].handle_frame(NOW, from_id, &frame[..len]).unwrap();
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

#[test]
fn a_lone_node_grants_in_the_call() {
    let mut node = node(1, &[1], Retention::Never);
    let asked = ask(&mut node, "a", Mode::Exclusive, Flags::NONE).unwrap();
    assert_eq!(asked.grant.unwrap().path, crate::Path::Local);
    let second = ask(&mut node, "a", Mode::ProtectedRead, Flags::NONE).unwrap();
    assert_eq!(second.grant, None);
    assert_eq!(node.poll_event(), None);
    node.release(asked.lock, ValueWrite::Keep).unwrap();
    let Some(Event::Granted { lock, grant, .. }) = node.poll_event() else { panic!("granted") };
    assert_eq!((lock, grant.mode), (second.lock, Mode::ProtectedRead));
    node.release(lock, ValueWrite::Keep).unwrap();
    assert_eq!(node.release(lock, ValueWrite::Keep), Err(ReleaseError::Unknown));
}

#[test]
fn a_retained_lock_is_taken_again_without_a_message() {
    let mut pair = Pair::new(Retention::UntilDemanded);
    let name = pair.name_at(2);
    let asked = ask(&mut pair.nodes[0], &name, Mode::Exclusive, Flags::NONE).unwrap();
    assert_eq!(asked.grant, None);
    pair.run();
    let Some(Event::Granted { grant, .. }) = pair.nodes[0].poll_event() else { panic!("granted") };
    assert_eq!(grant.path, crate::Path::Remote);
    pair.nodes[0].release(asked.lock, ValueWrite::Keep).unwrap();
    pair.run();
    let sent = pair.frames.len();
    let again = ask(&mut pair.nodes[0], &name, Mode::ProtectedWrite, Flags::NONE).unwrap();
    assert_eq!(again.grant.unwrap().path, crate::Path::Retained);
    assert!(again.grant.unwrap().token > grant.token);
    pair.nodes[0].release(again.lock, ValueWrite::Keep).unwrap();
    pair.run();
    assert_eq!(pair.frames.len(), sent);

    // The master's own owner wants it: one demand, one downgrade.
    let other = ask(&mut pair.nodes[1], &name, Mode::Exclusive, Flags::NONE).unwrap();
    assert_eq!(other.grant, None);
    pair.run();
    assert!(matches!(pair.nodes[1].poll_event(), Some(Event::Granted { lock, .. }) if lock == other.lock));
    assert_eq!(pair.frames.len(), sent + 2);
}

#[test]
fn a_value_block_goes_from_node_to_node() {
    let mut pair = Pair::new(Retention::UntilDemanded);
    let name = pair.name_at(1);
    let asked = ask(&mut pair.nodes[1], &name, Mode::Exclusive, Flags::VALUE).unwrap();
    pair.run();
    assert!(pair.nodes[1].poll_event().is_some());
    assert_eq!(pair.nodes[1].value(asked.lock), Ok(ValueState::Absent));
    let value = Value::new(b"one").unwrap();
    pair.nodes[1].release(asked.lock, ValueWrite::Set(value)).unwrap();
    pair.run();
    let read = ask(&mut pair.nodes[0], &name, Mode::ProtectedRead, Flags::VALUE).unwrap();
    pair.run();
    let _ = pair.nodes[0].poll_event();
    assert_eq!(pair.nodes[0].value(read.lock), Ok(ValueState::Valid(value)));
}

#[test]
fn no_queue_is_refused_what_is_in_use() {
    let mut pair = Pair::new(Retention::UntilDemanded);
    let name = pair.name_at(2);
    let _held = ask(&mut pair.nodes[0], &name, Mode::Exclusive, Flags::NONE).unwrap();
    pair.run();
    let _ = pair.nodes[0].poll_event();
    let refused = ask(&mut pair.nodes[1], &name, Mode::Exclusive, Flags::NO_QUEUE).unwrap();
    pair.run();
    assert!(matches!(
        pair.nodes[1].poll_event(),
        Some(Event::Denied { lock, reason: Denial::Busy, held: None, .. }) if lock == refused.lock
    ));
}

#[test]
fn no_queue_takes_what_is_merely_retained() {
    let mut pair = Pair::new(Retention::UntilDemanded);
    let name = pair.name_at(2);
    let asked = ask(&mut pair.nodes[0], &name, Mode::Exclusive, Flags::NONE).unwrap();
    pair.run();
    let _ = pair.nodes[0].poll_event();
    pair.nodes[0].release(asked.lock, ValueWrite::Keep).unwrap();
    let taken = ask(&mut pair.nodes[1], &name, Mode::Exclusive, Flags::NO_QUEUE).unwrap();
    assert_eq!(taken.grant, None);
    pair.run();
    assert!(matches!(pair.nodes[1].poll_event(), Some(Event::Granted { lock, .. }) if lock == taken.lock));
}

#[test]
fn patience_ends_a_wait() {
    let mut node = node(1, &[1], Retention::UntilDemanded);
    let _held = ask(&mut node, "a", Mode::Exclusive, Flags::NONE).unwrap();
    let request = Request {
        space: SpaceId(0),
        name: b"a",
        owner: OwnerId(2),
        mode: Mode::Exclusive,
        flags: Flags::NONE,
        priority: Priority(0),
        patience: Some(Duration::from_secs(1)),
    };
    let waiting = node.request(NOW, &request).unwrap();
    let until = node.poll_timeout().unwrap();
    assert_eq!(until, NOW.after(Duration::from_secs(1)));
    node.handle_timeout(NOW);
    assert_eq!(node.poll_event(), None);
    node.handle_timeout(until);
    assert!(matches!(
        node.poll_event(),
        Some(Event::Denied { lock, reason: Denial::TimedOut, .. }) if lock == waiting.lock
    ));
    assert!(node.poll_timeout().is_none_or(|next| next > until));
}

#[test]
fn a_demand_that_is_answered_when_it_is_due_again_is_still_repeated() {
    let mut pair = Pair::new(Retention::UntilDemanded);
    let name = pair.name_at(2);
    let held = ask(&mut pair.nodes[0], &name, Mode::Exclusive, Flags::NONE).unwrap();
    pair.run();
    let _ = pair.nodes[0].poll_event();
    let waiting = ask(&mut pair.nodes[1], &name, Mode::Exclusive, Flags::NONE).unwrap();
    let mut frame = [0; 512];
    let len = pair.nodes[1].poll_transmit(NOW, NodeId(1), &mut frame).unwrap();
    pair.nodes[0].handle_frame(NOW, NodeId(2), &frame[..len]).unwrap();
    let len = pair.nodes[0].poll_transmit(NOW, NodeId(2), &mut frame).unwrap();
    let until = pair.nodes[1].poll_timeout().unwrap();
    pair.nodes[1].handle_timeout(until);
    pair.nodes[1].handle_frame(until, NodeId(1), &frame[..len]).unwrap();
    // The release is lost. Only the next demand finds that out.
    pair.nodes[0].release(held.lock, ValueWrite::Keep).unwrap();
    let _ = pair.nodes[0].poll_transmit(until, NodeId(2), &mut frame).unwrap();
    let until = pair.nodes[1].poll_timeout().unwrap();
    pair.nodes[1].handle_timeout(until);
    pair.run();
    assert!(matches!(pair.nodes[1].poll_event(), Some(Event::Granted { lock, .. }) if lock == waiting.lock));
}

#[test]
fn only_the_master_is_believed() {
    let mut nodes = [node(1, &[1, 2, 3], Retention::Never), node(2, &[1, 2, 3], Retention::Never)];
    let hellos = [nodes[0].hello(), nodes[1].hello(), node(3, &[1, 2, 3], Retention::Never).hello()];
    nodes[0].handle_hello(NOW, &hellos[1]).unwrap();
    nodes[0].handle_hello(NOW, &hellos[2]).unwrap();
    let names = (0..).map(|at| std::format!("name/{at}"));
    let mut names =
        names.filter(|name| nodes[0].master_of(SpaceId(0), name.as_bytes()) == Ok(Some(NodeId(2))));
    let name = names.next().unwrap();
    let _asked = ask(&mut nodes[0], &name, Mode::Exclusive, Flags::NONE).unwrap();
    let mut frame = [0; 512];
    let header = crate::wire::FrameHeader {
        versions: crate::wire::VersionRange::OURS,
        cluster: ClusterId(1),
        epoch: crate::Epoch(1),
        from: NodeId(3),
        incarnation: Incarnation(7),
        len: 0,
    };
    let mut writer = crate::wire::FrameWriter::new(header, &mut frame);
    let grant = crate::wire::Grant {
        number: crate::Number(1),
        mode: Mode::Exclusive,
        token: Token { epoch: crate::Epoch(1), grant: 1, local: 0 },
        value: None,
        demand: None,
    };
    let body = crate::wire::Body::Grant(grant);
    assert!(writer.push(&crate::wire::LockMessage { space: SpaceId(0), name: name.as_bytes(), body }));
    let len = writer.finish();
    nodes[0].handle_frame(NOW, NodeId(3), &frame[..len]).unwrap();
    assert_eq!(nodes[0].poll_event(), None);
    assert_eq!(nodes[0].stats().messages_dropped, 1);
}
