//! A network that only grows: every message that was ever sent to a member may arrive at any time, again and again.

use std::sync::Arc;

use super::locals::MessageId;

/// The messages that were ever sent to one member, a bit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Network(Arc<[u64]>);

impl Network {
    pub(crate) fn has(&self, message: MessageId) -> bool {
        let (word, bit) = place_of(message);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn add(&mut self, message: MessageId) {
        if self.has(message) {
            return;
        }
        let (word, bit) = place_of(message);
        let mut words = self.0.to_vec();
        // The last word has a bit, so that equal sets are equal.
        words.resize(words.len().max(word + 1), 0);
        words[word] |= bit;
        self.0 = words.into();
    }

    /// Has the other one all of these messages?
    pub(crate) fn is_part_of(&self, other: &Self) -> bool {
        self.0.len() <= other.0.len()
            && self.0.iter().zip(&*other.0).all(|(mine, others)| mine & !others == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MessageId> {
        (0..).zip(&*self.0).flat_map(|(at, word): (u32, &u64)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}

fn place_of(message: MessageId) -> (usize, u64) {
    ((message / 64) as usize, 1 << (message % 64))
}
