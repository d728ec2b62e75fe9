//! Views by the word of the bench: they come as lines over a member's input, so nobody has to find out anything.

use core::net::SocketAddr;
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as Clock;

use lockmaster_tokio::{
    Candidate, ClusterMember, ClusterView, Epoch, Inbox, Incarnation, Joined, Membership, MembershipError,
    NodeId, Session,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::clock;

/// Every process is one life of its node, and its number is the life's.
const LIFE: Incarnation = Incarnation(1);
/// What a line that is a view begins with.
const VIEW: &str = "view ";

/// Where views are told, and when the last one came. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Told {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    inbox: Option<Inbox>,
    arrival: Option<Arrival>,
}

/// When a view came, before the node was told.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Clock,
    /// The same on the clock that all processes share.
    pub(super) shared: u64,
}

impl Told {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the last view came.
    pub(super) fn arrival(&self) -> Arrival {
        self.state().arrival.expect("a view has come")
    }

    /// Reads lines on a thread of its own, which tells the node of views. Other lines are handed on. The process ends
    /// with its input.
    pub(super) fn listen(&self) -> UnboundedReceiver<String> {
        let (hand_on, lines) = unbounded_channel();
        let told = self.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { break };
                match line.strip_prefix(VIEW) {
                    Some(view) => told.tell(view),
                    None => hand_on.send(line).expect("the member listens until the process ends"),
                }
            }
            std::process::exit(0);
        });
        lines
    }

    fn tell(&self, view: &str) {
        let arrival = Arrival { at: Clock::now(), shared: clock() };
        let inbox = {
            let mut state = self.state();
            state.arrival = Some(arrival);
            state.inbox.clone().expect("the node joins before it is told anything")
        };
        inbox.view(from_line(view));
    }
}

impl Membership for Told {
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError> {
        self.state().inbox = Some(inbox);
        let node = candidate.node.expect("each node has its number");
        let digest = candidate.choose(None)?;
        Ok(Joined { node, incarnation: LIFE, digest, session: Box::new(Member) })
    }
}

/// A node's side of it: the bench is told what it does.
struct Member;

impl Session for Member {
    fn announce_leaving(&self) -> Result<(), MembershipError> {
        println!("leaving");
        Ok(())
    }

    fn leave(self: Box<Self>) {}
}

/// A view as a line of text.
pub(super) fn to_line(view: &ClusterView) -> String {
    let members = view.members.iter().map(|member| {
        let ClusterMember { node, incarnation: _, joined, is_leaving, address } = member;
        format!(" {} {} {} {address}", node.0, joined.0, u8::from(*is_leaving))
    });
    format!("{VIEW}{}{}", view.epoch.0, members.collect::<String>())
}

fn from_line(line: &str) -> ClusterView {
    let mut words = line.split_whitespace();
    let epoch = Epoch(words.next().and_then(|word| word.parse().ok()).expect("an epoch"));
    let mut members = Vec::new();
    while let Some(node) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
        let (node, joined, is_leaving) =
            (NodeId(node.parse().expect("a node")), Epoch(number()), number() == 1);
        let address = words.next().and_then(|word| word.parse::<SocketAddr>().ok()).expect("an address");
        members.push(ClusterMember { node, incarnation: LIFE, joined, is_leaving, address });
    }
    ClusterView { epoch, members }
}

/// One more member, as the bench knows it.
pub(super) fn member(node: u16, joined: Epoch, address: SocketAddr) -> ClusterMember {
    ClusterMember { node: NodeId(node), incarnation: LIFE, joined, is_leaving: false, address }
}
