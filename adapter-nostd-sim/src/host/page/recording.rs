//! What was seen of a run, in the form in which the page reads it: one list of values for each thing.

use core::cell::RefCell;
use core::mem;
use std::collections::BTreeMap;

use lockmaster_core::wire::{Body, Message, Messages, PositionKind, TransferBody};
use lockmaster_core::{Instant, NodeId, Stage, TransferId};
use lockmaster_sim::{FaultKind, LockSight, ShownBody, ShownTransfer, Sight};

use super::{micros, quoted};

#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) nodes: usize,
    pub(super) end: Instant,
    flights: BTreeMap<u64, Flight>,
    lost: Vec<String>,
    pub(super) marks: Vec<String>,
    pub(super) spells: Vec<String>,
    pub(super) phases: Vec<String>,
    transfers: BTreeMap<(NodeId, TransferId), Transfer>,
}

/// A frame on its way.
#[derive(Debug)]
struct Flight {
    begin: Instant,
    arrives: Option<Instant>,
    from: NodeId,
    to: NodeId,
    again: Option<FaultKind>,
    messages: Vec<(&'static str, String)>,
}

#[derive(Debug)]
struct Transfer {
    begin: Instant,
    to: NodeId,
    what: String,
    stages: Vec<(Instant, Stage)>,
}

thread_local! {
    static RECORDING: RefCell<Recording> = RefCell::default();
}

/// Takes note of a sight.
pub(super) fn record(at: Instant, sight: &Sight<'_>) {
    RECORDING.with_borrow_mut(|recording| recording.add(at, sight));
}

/// What this thread has seen.
pub(super) fn take() -> Recording {
    RECORDING.with_borrow_mut(mem::take)
}

impl Recording {
    fn add(&mut self, at: Instant, sight: &Sight<'_>) {
        self.end = self.end.max(at);
        match *sight {
            Sight::Begins { nodes } => self.nodes = nodes,
            Sight::Phase(what) => self.phases.push(format!("[{},{}]", micros(at), quoted(what))),
            Sight::Departs { number, from, to, frame, again } => {
                let messages = messages_in(frame);
                self.flights.insert(number, Flight { begin: at, arrives: None, from, to, again, messages });
            }
            Sight::Arrives { number } => {
                if let Some(flight) = self.flights.get_mut(&number) {
                    flight.arrives = Some(at);
                }
            }
            Sight::Lost { from, to, frame, by } => {
                let messages = messages_in(frame).into_iter();
                self.lost.extend(
                    messages.map(|(kind, text)| message(at, None, (from, to), kind, Some(by), &text)),
                );
            }
            Sight::Spell { kind, node, to, until } => {
                let to = to.map_or_else(|| "null".to_owned(), |to| to.to_string());
                let times = format!("{},{}", micros(at), micros(until));
                self.spells.push(format!("[{times},{node},{to},{}]", quoted(kind.name())));
            }
            Sight::Connection { node, peer, is_made } => {
                let text =
                    if is_made { format!("hears node {peer}") } else { format!("has lost node {peer}") };
                self.mark(at, node, "connection", &text);
            }
            Sight::Timeout { node } => self.mark(at, node, "timeout", "timeout"),
            Sight::Leap { node, by } => self.mark(at, node, "leap", &format!("the clock leaps by {by:?}")),
            Sight::Lock { node, owner, resource, what } => {
                let text = format!("owner {} of resource {resource} {what}", owner.0);
                self.mark(at, node, name_of(what), &text);
            }
            Sight::TransferAsked { from, to, range, id } => {
                let what = format!("slots {range} from node {from} to node {to}");
                self.transfers.insert((from, id), Transfer { begin: at, to, what, stages: Vec::new() });
            }
            Sight::TransferTold { from, progress } => {
                if let Some(transfer) = self.transfers.get_mut(&(from, progress.transfer)) {
                    transfer.stages.push((at, progress.stage));
                }
            }
        }
    }

    fn mark(&mut self, at: Instant, node: NodeId, kind: &str, text: &str) {
        self.marks.push(format!("[{},{node},{},{}]", micros(at), quoted(kind), quoted(text)));
    }

    /// Each message of each frame: begin, end or nothing, sender, receiver, kind, fault or nothing, text.
    pub(super) fn messages(&self) -> Vec<String> {
        let mut lines = self.lost.clone();
        for flight in self.flights.values() {
            for (kind, text) in &flight.messages {
                let ends = (flight.from, flight.to);
                lines.push(message(flight.begin, flight.arrives, ends, kind, flight.again, text));
            }
        }
        lines
    }

    /// Each transfer: begin, end, old and new master, how it ended, text, and when it came to which stage.
    pub(super) fn transfers(&self) -> Vec<String> {
        let line = |((from, _), transfer): (&(NodeId, TransferId), &Transfer)| {
            let last = transfer.stages.last();
            let end = last.filter(|(_, stage)| stage.is_end()).map_or(self.end, |(at, _)| *at);
            let how = last.map_or_else(|| "Offered".to_owned(), |(_, stage)| format!("{stage:?}"));
            let stage = |(at, stage): &(Instant, Stage)| {
                format!("[{},{}]", micros(*at), quoted(&format!("{stage:?}")))
            };
            let stages: Vec<String> = transfer.stages.iter().map(stage).collect();
            let (begin, end, to) = (micros(transfer.begin), micros(end), transfer.to);
            format!(
                "[{begin},{end},{from},{to},{},{},[{}]]",
                quoted(&how),
                quoted(&transfer.what),
                stages.join(",")
            )
        };
        self.transfers.iter().map(line).collect()
    }
}

fn message(
    begin: Instant,
    end: Option<Instant>,
    (from, to): (NodeId, NodeId),
    kind: &str,
    fault: Option<FaultKind>,
    text: &str,
) -> String {
    let end = end.map_or_else(|| "null".to_owned(), micros);
    let fault = fault.map_or_else(|| "null".to_owned(), |fault| quoted(fault.name()));
    format!("[{},{end},{from},{to},{},{fault},{}]", micros(begin), quoted(kind), quoted(text))
}

/// The messages of a frame, each with its kind and as text.
fn messages_in(frame: &[u8]) -> Vec<(&'static str, String)> {
    let Ok((_, messages)) = Messages::new(frame) else { return Vec::new() };
    let shown = messages.into_iter().map(|message| match message {
        Message::Lock(message) => {
            let name = String::from_utf8_lossy(message.name);
            (kind_of(&message.body), format!("resource {name:.1}: {}", ShownBody(&message.body)))
        }
        Message::Transfer(message) => (kind_of_transfer(&message.body), ShownTransfer(&message).to_string()),
        Message::View(message) => panic!("the members never change: {message:?}"),
    });
    shown.collect()
}

fn kind_of(body: &Body) -> &'static str {
    match body {
        Body::Position(position) => match position.kind {
            PositionKind::Request => "Request",
            PositionKind::Downgrade => "Downgrade",
            PositionKind::Cancel => "Cancel",
        },
        Body::Queued(_) => "Queued",
        Body::Grant(_) => "Grant",
        Body::Deny(_) => "Deny",
        Body::Demand(_) => "Demand",
        Body::Written(_) => "Written",
        Body::Redirect(_) => "Redirect",
        Body::UpdatedLocks(_) => "UpdatedLocks",
    }
}

fn kind_of_transfer(body: &TransferBody<'_>) -> &'static str {
    match body {
        TransferBody::Offer { .. } | TransferBody::OfferAnswer(_) => "Offer",
        TransferBody::InitialLocks(_) | TransferBody::Received { .. } => "InitialLocks",
        TransferBody::NewMaster { .. } | TransferBody::NewMasterAck => "NewMaster",
        TransferBody::End | TransferBody::EndAck => "End",
        TransferBody::Withdraw | TransferBody::WithdrawAck => "Withdraw",
    }
}

fn name_of(what: LockSight) -> &'static str {
    match what {
        LockSight::Asked(_) | LockSight::Converts(_) => "ask",
        LockSight::Granted(..) => "grant",
        LockSight::Denied(_) => "denial",
        LockSight::Demanded(_) => "demand",
        LockSight::Released => "release",
        LockSight::GivenUp => "cancel",
    }
}
