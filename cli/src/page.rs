//! A page of the data file: accounts, guarded by a checksum and the fencing token of the last writer.
//!
//! ```text
//! 0         8              16             32                                8192
//! | checksum | page number | fencing token | balance of account 0, 1, … 1019 |
//! ```
//!
//! All numbers are big-endian. The checksum is the XXH3-64 of everything after it.

use core::fmt;

use lockmaster_tokio::Token;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a page.
pub(crate) const PAGE_SIZE: usize = 8192;

const NUMBER: usize = 8;
const TOKEN: usize = 16;
const BALANCES: usize = 32;

/// Accounts on a page.
pub(crate) const ACCOUNTS_PER_PAGE: u16 = 1020;

const _: () = assert!(BALANCES + 8 * ACCOUNTS_PER_PAGE as usize == PAGE_SIZE);

/// Place of a page in the data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PageNumber(pub(crate) u32);

impl fmt::Display for PageNumber {
    /// The name of the page's lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page/{}", self.0)
    }
}

/// Place of an account on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountPlace(u16);

impl AccountPlace {
    /// The account with this place.
    ///
    /// # Panics
    /// If a page has fewer accounts.
    pub(crate) fn new(place: u16) -> Self {
        assert!(place < ACCOUNTS_PER_PAGE, "no page has an account {place}");
        Self(place)
    }
}

/// Why a page is torn: its bytes are not those of any one write to this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Torn {
    /// Parts are from different writes.
    #[error("checksum {written:016x}, but its bytes give {computed:016x}")]
    Checksum {
        /// What the page says.
        written: u64,
        /// What its bytes say.
        computed: u64,
    },
    /// It was written to another place.
    #[error("it says it is {0}")]
    Number(PageNumber),
}

/// One page in memory.
#[derive(Clone)]
pub(crate) struct Page {
    bytes: Box<[u8; PAGE_SIZE]>,
}

impl Page {
    /// A page of zeros, to read into; it does not pass [`Page::check`].
    pub(crate) fn vacant() -> Self {
        Self { bytes: Box::new([0; PAGE_SIZE]) }
    }

    /// A page that nobody has written yet, with this balance in every account.
    pub(crate) fn opened(number: PageNumber, balance: u64) -> Self {
        let mut page = Self::vacant();
        page.bytes[NUMBER..TOKEN].copy_from_slice(&u64::from(number.0).to_be_bytes());
        for place in 0..ACCOUNTS_PER_PAGE {
            page.set_balance(AccountPlace(place), balance);
        }
        page.seal(Token::NONE);
        page
    }

    /// Is this page whole, and the one that was asked for?
    ///
    /// # Errors
    /// [`Torn`] says what is wrong.
    pub(crate) fn check(&self, number: PageNumber) -> Result<(), Torn> {
        let written = self.word(0);
        let computed = xxh3_64(&self.bytes[NUMBER..]);
        if written != computed {
            return Err(Torn::Checksum { written, computed });
        }
        match u32::try_from(self.word(NUMBER)) {
            Ok(found) if found == number.0 => Ok(()),
            found => Err(Torn::Number(PageNumber(found.unwrap_or(u32::MAX)))),
        }
    }

    /// Place of the page in the data file, as it says.
    pub(crate) fn number(&self) -> PageNumber {
        PageNumber(u32::try_from(self.word(NUMBER)).unwrap_or(u32::MAX))
    }

    /// Fencing token of the last writer.
    pub(crate) fn token(&self) -> Token {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bytes[TOKEN..BALANCES]);
        Token::from_be_bytes(bytes)
    }

    /// Makes the page ready to be written under this token.
    pub(crate) fn seal(&mut self, token: Token) {
        self.bytes[TOKEN..BALANCES].copy_from_slice(&token.to_be_bytes());
        let checksum = xxh3_64(&self.bytes[NUMBER..]);
        self.bytes[..NUMBER].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Money in an account.
    pub(crate) fn balance(&self, account: AccountPlace) -> u64 {
        self.word(BALANCES + 8 * usize::from(account.0))
    }

    /// Puts this much money in an account.
    pub(crate) fn set_balance(&mut self, account: AccountPlace, balance: u64) {
        let at = BALANCES + 8 * usize::from(account.0);
        self.bytes[at..at + 8].copy_from_slice(&balance.to_be_bytes());
    }

    /// Money in all accounts of the page.
    pub(crate) fn total(&self) -> u128 {
        (0..ACCOUNTS_PER_PAGE).map(|place| u128::from(self.balance(AccountPlace(place)))).sum()
    }

    /// All bytes, to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..]
    }

    /// All bytes, to be read into.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    fn word(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.bytes[at..at + 8]);
        u64::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests;
