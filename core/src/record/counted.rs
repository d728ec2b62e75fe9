//! Counters within an epoch as large records keep them: twelve bytes that can stand at any multiple of four.

use crate::id::{Epoch, QueueTicket, Token};

/// A physical token or a ticket. They compare as these do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    epoch: Epoch,
    high: u32,
    low: u32,
}

impl Counted {
    pub(crate) const NONE: Self = Self { epoch: Epoch(0), high: 0, low: 0 };

    const fn new(epoch: Epoch, count: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = count.to_be_bytes();
        Self { epoch, high: u32::from_be_bytes([a, b, c, d]), low: u32::from_be_bytes([e, f, g, h]) }
    }

    const fn count(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// A token as a physical one.
    pub(crate) const fn token(self) -> Token {
        Token { epoch: self.epoch, grant: self.count(), local: 0 }
    }

    pub(crate) const fn ticket(self) -> QueueTicket {
        QueueTicket { epoch: self.epoch, count: self.count() }
    }
}

impl From<Token> for Counted {
    /// The physical token; a master has no others on record.
    fn from(token: Token) -> Self {
        Self::new(token.epoch, token.grant)
    }
}

impl From<QueueTicket> for Counted {
    fn from(ticket: QueueTicket) -> Self {
        Self::new(ticket.epoch, ticket.count)
    }
}
