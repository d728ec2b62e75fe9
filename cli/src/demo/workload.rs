//! What a task does next: chosen at random, the same for the same seed.

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::demo::message::Plan;
use crate::page::{ACCOUNTS_PER_PAGE, AccountPlace, PageNumber};

/// Most money that is moved at once.
const AMOUNT_MAX: u64 = 100;

/// Part of the pages that is hot: one in so many, the first ones.
const HOT_PART: u32 = 10;

/// An account anywhere in the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) page: PageNumber,
    pub(super) place: AccountPlace,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Look whether a page is whole.
    Audit(PageNumber),
    /// Move money from an account to another, or as much of it as is there.
    Transfer { from: Account, to: Account, amount: u64 },
}

/// The operations of one task, without an end.
pub(super) struct Workload {
    random: Rng,
    pages: u32,
    hot: u32,
    skew: f64,
    read_share: f64,
}

impl Workload {
    /// The operations of the task with this number.
    pub(super) fn new(plan: &Plan, task: u32) -> Self {
        let place = u64::from(plan.node) << 32 | u64::from(task);
        Self {
            random: Rng::with_seed(xxh3_64_with_seed(&place.to_le_bytes(), plan.seed)),
            pages: plan.pages,
            hot: plan.pages.div_ceil(HOT_PART),
            skew: plan.skew,
            read_share: plan.read_share,
        }
    }

    /// The next operation.
    pub(super) fn next(&mut self) -> Operation {
        if self.random.f64() < self.read_share {
            return Operation::Audit(self.page());
        }
        let (from, to) = (self.account(), self.account());
        Operation::Transfer { from, to, amount: self.random.u64(1..=AMOUNT_MAX) }
    }

    fn account(&mut self) -> Account {
        let page = self.page();
        Account { page, place: AccountPlace::new(self.random.u16(..ACCOUNTS_PER_PAGE)) }
    }

    fn page(&mut self) -> PageNumber {
        let is_hot = self.hot == self.pages || self.random.f64() < self.skew;
        PageNumber(if is_hot { self.random.u32(..self.hot) } else { self.random.u32(self.hot..self.pages) })
    }
}

#[cfg(test)]
mod tests;
