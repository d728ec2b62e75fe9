//! Messages, as values; those of a transfer are in `transfer.rs`.

use crate::flags::Flags;
use crate::id::{
    DemandId, Incarnation, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId, SpaceId, Token,
};
use crate::mode::Mode;
use crate::value::{Value, ValueCopy};

use super::transfer::TransferMessage;
use super::view::ViewMessage;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// About a resource.
    Lock(LockMessage<'a>),
    /// About a transfer.
    Transfer(TransferMessage<'a>),
    /// About the view.
    View(ViewMessage<'a>),
}

/// One message about one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockMessage<'a> {
    /// Space of the resource.
    pub space: SpaceId,
    /// Name of the resource, 1 to 64 bytes.
    pub name: &'a [u8],
    /// What is said of it.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Node to master: Request, Downgrade or Cancel.
    Position(Position),
    /// Master to node: the request waits.
    Queued(Queued),
    /// Master to node: the request is granted.
    Grant(Grant),
    /// Master to node: the request has ended without a grant.
    Deny(Deny),
    /// Master to node: lower what you hold (VMS: blocking AST).
    Demand(Demand),
    /// Master to node: the value block write under this number, and all before it, need no repeat.
    Written(Number),
    /// Any node to a node that took it for the master.
    Redirect(Redirect),
    /// Old master to new master: a position that came during a transfer (seed claims 3 and 7: updated lock
    /// information).
    UpdatedLocks(UpdatedLocks),
}

/// A position that an old master passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdatedLocks {
    /// Who stated it.
    pub from: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// What it stated.
    pub position: Position,
}

/// Why a position is stated. All three state the whole of it and are treated alike by the master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PositionKind {
    /// The node asks for something.
    Request,
    /// The node lowers what it holds, releases it, writes the value block or answers a demand.
    #[default]
    Downgrade,
    /// The node withdraws what it asked for.
    Cancel,
}

/// What a node holds, pins and wants on a resource, under a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Why it is stated.
    pub kind: PositionKind,
    /// Fresh for each change, kept by a repeat.
    pub number: Number,
    /// Number under which what is wanted was first asked for; 0 if nothing is wanted.
    pub asked: Number,
    /// Mode of the physical lock.
    pub held: Option<Mode>,
    /// Strongest mode held by an owner that itself waits for this request; makes it a conversion.
    pub pinned: Option<Mode>,
    /// Mode asked for.
    pub wanted: Option<Mode>,
    /// Flags of the request.
    pub flags: Flags,
    /// Priority of the request.
    pub priority: Priority,
    /// What is left of the owner's patience in milliseconds, a hint; 0 if it has no end.
    pub patience_ms: u32,
    /// Local grants that sent nothing since the last message.
    pub hits: u32,
    /// Version of the node's copy of the value block; [`Token::NONE`] without one.
    pub copy: Token,
    /// Demand that this answers; 0 for none.
    pub answers: DemandId,
    /// Value block written and not yet acknowledged.
    pub write: Option<Write>,
}

/// A value block as its writer left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Physical token of the grant under which it was written.
    pub version: Token,
    /// The block; absent to mark it invalid.
    pub value: Option<Value>,
}

/// A request has its place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Number of the request.
    pub number: Number,
    /// Its place.
    pub ticket: QueueTicket,
}

/// A request is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Number of the request.
    pub number: Number,
    /// Mode granted: the mode wanted, or what its flags accept instead.
    pub mode: Mode,
    /// Physical token.
    pub token: Token,
    /// The value block, if the request asked for it and the node's copy is another version.
    pub value: Option<ValueCopy>,
    /// A demand that is already known: its id and the mode that may stay.
    pub demand: Option<(DemandId, Mode)>,
}

/// A request has ended without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deny {
    /// Number of the request.
    pub number: Number,
    /// Why.
    pub reason: DenyReason,
}

/// Why a master denied a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// It could not be granted at once and was asked not to wait.
    Busy,
    /// A conversion deadlock.
    Deadlock,
    /// The master's tables are full.
    Full,
    /// The number is not above the floor: ask again under a fresh one.
    Renew,
}

/// A holder is in somebody's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Names the demand; echoed in the answer.
    pub id: DemandId,
    /// Number of the position on record.
    pub number: Number,
    /// Mode on record.
    pub held: Mode,
    /// Mode that may stay.
    pub stay: Mode,
    /// Priority of the most urgent waiter.
    pub priority: Priority,
    /// The converting owner is to be demoted to NL, to end a conversion deadlock.
    pub demote: bool,
}

/// The slot of this resource has another master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot.
    pub slot: SlotId,
    /// Its master.
    pub master: NodeId,
    /// Version of the map entry that says so.
    pub version: MapVersion,
}
