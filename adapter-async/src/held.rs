//! What a guard knows of its lock.

use lockmaster_core::{Epoch, Flags, Grant, LockId, Mode, Path, Token};

use crate::shelf::{Loan, Taken, halves, word};

/// A lock that is held, as its guard knows it.
// All of it is whole words. A guard is moved as soon as it is made, and a processor cannot forward to a load what several
// smaller stores have just written: it waits until they are in its cache.
pub(crate) struct Held {
    lock: u64,
    /// Where it is given back, if it is lent.
    pub(crate) loan: Option<Loan>,
    /// Of the last grant's token.
    grant: u64,
    epoch_and_local: u64,
    /// All else: see [`How`].
    how: u64,
}
const _: () = assert!(size_of::<Held>() == 40, "five words");

/// What stands in [`Held::how`], a byte or two each.
struct How {
    /// Mode held: that of the last grant, or NL after a demotion without a grant.
    mode: Mode,
    granted: Mode,
    path: Path,
    alternate: bool,
    demoted: bool,
    /// Flags of the conversion that waits: its future is alive, or was leaked.
    converting: Option<Flags>,
}

/// The bits of the byte for what is so or not.
const ALTERNATE: u8 = 1;
const DEMOTED: u8 = 1 << 1;
const CONVERTING: u8 = 1 << 2;

impl Held {
    /// As it was granted.
    #[inline]
    pub(crate) const fn new(lock: LockId, granted: Grant, loan: Option<Loan>) -> Self {
        let Token { epoch: Epoch(epoch), grant, local } = granted.token;
        let (epoch_and_local, how) = (word(epoch, local), How::granted(granted).to_word());
        Self { lock: lock.to_u64(), loan, grant, epoch_and_local, how }
    }

    /// As it was taken from the shelf.
    #[inline]
    pub(crate) const fn lent(taken: Taken, mode: Mode) -> Self {
        let Taken { lock, token, loan } = taken;
        let granted = Grant { mode, token, alternate: false, demoted: false, path: Path::Retained };
        Self::new(lock, granted, Some(loan))
    }

    /// The node's handle of it.
    pub(crate) const fn lock(&self) -> LockId {
        LockId::from_u64(self.lock)
    }

    /// Mode held: that of the last grant, or NL after a demotion without a grant.
    pub(crate) const fn mode(&self) -> Mode {
        How::of_word(self.how).mode
    }

    /// The last grant.
    pub(crate) const fn grant(&self) -> Grant {
        let How { granted: mode, path, alternate, demoted, .. } = How::of_word(self.how);
        Grant { mode, token: self.token(), alternate, demoted, path }
    }

    /// Its token.
    pub(crate) const fn token(&self) -> Token {
        let [epoch, local] = halves(self.epoch_and_local);
        Token { epoch: Epoch(epoch), grant: self.grant, local }
    }

    /// It was granted anew; nothing waits.
    pub(crate) const fn renew(&mut self, granted: Grant) {
        *self = Self::new(self.lock(), granted, self.loan);
    }

    /// Another mode is held than that of the last grant.
    pub(crate) const fn set_mode(&mut self, mode: Mode) {
        self.how = How { mode, ..How::of_word(self.how) }.to_word();
    }

    /// A conversion with these flags waits.
    pub(crate) const fn begin_conversion(&mut self, flags: Flags) {
        self.how = How { converting: Some(flags), ..How::of_word(self.how) }.to_word();
    }

    /// Nothing waits any more; gives the flags of what did.
    pub(crate) const fn end_conversion(&mut self) -> Option<Flags> {
        let how = How::of_word(self.how);
        let flags = how.converting;
        self.how = How { converting: None, ..how }.to_word();
        flags
    }
}

impl How {
    /// As it was granted; nothing waits.
    const fn granted(grant: Grant) -> Self {
        let Grant { mode, path, alternate, demoted, token: _ } = grant;
        Self { mode, granted: mode, path, alternate, demoted, converting: None }
    }

    const fn to_word(&self) -> u64 {
        let mut marks = if self.alternate { ALTERNATE } else { 0 } | if self.demoted { DEMOTED } else { 0 };
        let mut flags = [0; 2];
        if let Some(converting) = self.converting {
            marks |= CONVERTING;
            flags = converting.bits().to_le_bytes();
        }
        let [low, high] = flags;
        u64::from_le_bytes([
            self.mode as u8,
            self.granted as u8,
            byte_of_path(self.path),
            marks,
            low,
            high,
            0,
            0,
        ])
    }

    const fn of_word(word: u64) -> Self {
        let [mode, granted, path, marks, low, high, ..] = word.to_le_bytes();
        let flags = Flags::from_bits(u16::from_le_bytes([low, high]));
        Self {
            mode: mode_of_byte(mode),
            granted: mode_of_byte(granted),
            path: path_of_byte(path),
            alternate: marks & ALTERNATE != 0,
            demoted: marks & DEMOTED != 0,
            converting: if marks & CONVERTING == 0 { None } else { Some(flags) },
        }
    }
}

const fn mode_of_byte(byte: u8) -> Mode {
    Mode::from_u8(byte).expect("it is a mode's byte")
}

const fn byte_of_path(path: Path) -> u8 {
    match path {
        Path::Retained => 0,
        Path::Local => 1,
        Path::Remote => 2,
    }
}

const fn path_of_byte(byte: u8) -> Path {
    match byte {
        0 => Path::Retained,
        1 => Path::Local,
        2 => Path::Remote,
        _ => panic!("it is a path's byte"),
    }
}

#[cfg(all(test, not(any(lockmaster_loom, lockmaster_shuttle))))]
mod tests;
