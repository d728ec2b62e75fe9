//! The shelf: retained locks that lie ready, to be taken and given back without the machine and its mutex.
//!
//! The machine lends them ([`lockmaster_core::Node::lend`]). To the machine they are held all the time, so whoever finds one
//! on the shelf has all that a grant needs, and threads that use different resources have nothing in common:
//!
//! ```text
//!            put                       take
//!   empty ─────────► held ◀─────────────────────── ready
//!     ▲               │ └─────────────────────────▶  │
//!     └───────────────┴── withdraw      give back    ┘ withdraw
//! ```
//!
//! Whoever has the machine's mutex puts locks on the shelf and withdraws them; nobody else does. Anybody takes and gives
//! back, by one exchange of the word that says how the place stands. What else is in a place changes only while it is empty,
//! and each lock that is put there has a number of its own in that word: so who has exchanged the word that it had read
//! before has read what belongs to it. Once a lock is withdrawn nobody takes it, and who still holds it finds that its place
//! is not its own any more, and turns to the machine.

use core::num::{NonZeroU32, NonZeroU64};

use lockmaster_core::{
    Config, Epoch, Instant, LOAN, LockId, Mode, Retention, SpaceConfig, SpaceId, Token, Use, hash,
};

use crate::sync::{AtomicU16, AtomicU64, Ordering};

/// Places that a name may have; models do with one, of one in all, for each of its words is something to choose an order of.
const PLACES_A_NAME: usize = if IS_MODEL { 1 } else { 8 };
const IS_MODEL: bool = cfg!(any(lockmaster_loom, lockmaster_shuttle));
/// Most places: what half of them hold is about what a core's cache holds of it.
const PLACES_MAX: usize = 1 << 15;
/// Words of eight bytes that a name has room in; the lock of a longer one is not lent.
const WORDS: usize = 3;

/// Locks that lie ready, each in one of the places that its name may have.
pub(crate) struct Shelf {
    seed: u64,
    /// For each space, whether its locks are lent: those that are retained until they are demanded.
    spaces: Box<[bool]>,
    /// Until when a lock may be taken, by the clock.
    until: AtomicU64,
    /// A part of the hash of what is in each place; 0 where it is empty. They only say where it is worth a look.
    tags: Box<[AtomicU16]>,
    places: Box<[Place]>,
}

/// A lock that is lent, or an empty place: one line of the cache. Many processors read two lines together, so no other place
/// is in the next one, and threads that use different locks do not take them from each other.
#[derive(Default)]
#[repr(align(128))]
struct Place {
    /// How it stands: see [`Stand`].
    stand: AtomicU64,
    lock: AtomicU64,
    /// The token under which the lock was put here.
    epoch: AtomicU64,
    grant: AtomicU64,
    /// Its local part; the space, the mode, and the length of the name.
    local: AtomicU64,
    name: [AtomicU64; WORDS],
}
const _: () =
    assert!(IS_MODEL || size_of::<[u64; 8]>() == size_of::<Place>() / 2, "a place is one line of two");

/// How a place stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    /// Of the lock that is there, or was there last.
    number: u32,
    /// How often that was taken here.
    taken: u16,
    lying: Lying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lying {
    /// The place is empty.
    Nothing,
    /// Nobody uses the lock.
    Ready,
    /// A guard has it.
    Held,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Sought {
    hash: u64,
    /// Space, mode, and length of the name.
    what: u32,
    name: [u64; WORDS],
}

/// The number of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId(NonZeroU32);

/// A lock that somebody has from the shelf, as it is given back: the number of its place, and its own there. It is one
/// word, as all that a guard knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loan(NonZeroU64);

/// A lock that was taken from the shelf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) lock: LockId,
    pub(crate) token: Token,
    pub(crate) loan: Loan,
}

impl Shelf {
    /// A shelf for so many locks, if they are not too many: half of the places stay empty, so that few names find none.
    pub(crate) fn new(locks: usize, config: &Config) -> Self {
        let places = (2 * locks).clamp(PLACES_A_NAME, PLACES_MAX).next_power_of_two();
        let places = if IS_MODEL { 1 } else { places };
        let is_lent = |space: &SpaceConfig| space.retention == Retention::UntilDemanded;
        Self {
            seed: config.hash_seed,
            spaces: config.spaces.iter().map(is_lent).collect(),
            until: AtomicU64::new(Instant::START.as_nanos()),
            tags: (0..places).map(|_| AtomicU16::new(0)).collect(),
            places: (0..places).map(|_| Place::default()).collect(),
        }
    }

    /// How this is looked for; nothing if it is never lent.
    pub(crate) fn sought(&self, space: SpaceId, name: &[u8], mode: Mode) -> Option<Sought> {
        if self.spaces.get(usize::from(space.0)) != Some(&true) {
            return None;
        }
        let mut bytes = [[0; 8]; WORDS];
        bytes.as_flattened_mut().get_mut(..name.len())?.copy_from_slice(name);
        let len = u8::try_from(name.len()).ok()?;
        let [low, high] = space.0.to_le_bytes();
        let what = u32::from_le_bytes([low, high, len, mode as u8]);
        Some(Sought { hash: hash(self.seed, space, name), what, name: bytes.map(u64::from_le_bytes) })
    }

    /// Takes a lock that lies ready. Asks for the time only if it counts.
    pub(crate) fn take(&self, sought: &Sought, now: impl FnOnce() -> Instant) -> Option<Taken> {
        let (id, place, stand) = self.places_of(sought).find_map(|id| {
            let place = &self.places[id.at()];
            let is_tagged = self.tags[id.at()].load(Ordering::Relaxed) == sought.tag();
            let stand = if is_tagged { place.stand(Ordering::Acquire) } else { return None };
            (stand.lying == Lying::Ready && place.is_of(sought)).then_some((id, place, stand))
        })?;
        let until = Instant::from_nanos(self.until.load(Ordering::Relaxed));
        if until != Instant::NEVER && now() >= until {
            return None;
        }
        let (lock, token) = place.lent();
        let held = Stand { taken: stand.taken + 1, lying: Lying::Held, ..stand };
        place.exchange(stand, held).then(|| Taken {
            lock,
            token: Token { local: token.local + u32::from(held.taken), ..token },
            loan: Loan::new(id, stand.number),
        })
    }

    /// Gives back what was taken, or put here; `false` if it was withdrawn meanwhile, or cannot be taken once more.
    pub(crate) fn give_back(&self, loan: Loan) -> bool {
        let place = &self.places[loan.place().at()];
        let stand = place.stand(Ordering::Relaxed);
        let is_there = stand.number == loan.number() && stand.lying == Lying::Held;
        is_there && stand.taken < LOAN && place.exchange(stand, Stand { lying: Lying::Ready, ..stand })
    }

    // ---- by whoever has the machine's mutex ----

    /// Locks may be taken until then.
    pub(crate) fn set_until(&self, until: Instant) {
        if self.until.load(Ordering::Relaxed) != until.as_nanos() {
            self.until.store(until.as_nanos(), Ordering::Relaxed);
        }
    }

    /// A place for this, if there is one.
    pub(crate) fn vacant(&self, sought: &Sought) -> Option<PlaceId> {
        self.places_of(sought).find(|place| self.tags[place.at()].load(Ordering::Relaxed) == 0)
    }

    /// Puts a lock that is held into an empty place.
    pub(crate) fn put(&self, id: PlaceId, sought: &Sought, lock: LockId, token: Token) -> Taken {
        let place = &self.places[id.at()];
        let empty = place.stand(Ordering::Relaxed);
        assert_eq!(empty.lying, Lying::Nothing, "a place has one lock");
        place.lock.store(lock.to_u64(), Ordering::Relaxed);
        place.epoch.store(token.epoch.0.into(), Ordering::Relaxed);
        place.grant.store(token.grant, Ordering::Relaxed);
        place.local.store(word(token.local, sought.what), Ordering::Relaxed);
        for (word, name) in place.name.iter().zip(sought.name) {
            word.store(name, Ordering::Relaxed);
        }
        let stand = Stand { number: empty.number.wrapping_add(1), taken: 0, lying: Lying::Held };
        place.stand.store(stand.to_word(), Ordering::Release);
        self.tags[id.at()].store(sought.tag(), Ordering::Relaxed);
        Taken { lock, token, loan: Loan::new(id, stand.number) }
    }

    /// Takes a lock away from here, and says whether somebody uses it.
    pub(crate) fn withdraw(&self, id: PlaceId) -> Option<(LockId, Use)> {
        self.withdraw_if(id, |_| true)
    }

    /// The same, if nobody does.
    pub(crate) fn withdraw_idle(&self, id: PlaceId) -> Option<(LockId, Use)> {
        self.withdraw_if(id, |used| matches!(used, Use::Idle(_)))
    }

    fn withdraw_if(&self, id: PlaceId, is_it: impl Fn(&Use) -> bool) -> Option<(LockId, Use)> {
        let place = &self.places[id.at()];
        let mut stand = place.stand(Ordering::Relaxed);
        // Whoever takes and gives back comes in between now and then.
        while let Some(used) = stand.used().filter(&is_it) {
            if place.exchange(stand, Stand { lying: Lying::Nothing, ..stand }) {
                self.tags[id.at()].store(0, Ordering::Relaxed);
                return Some((self.lock_at(id), used));
            }
            stand = place.stand(Ordering::Relaxed);
        }
        None
    }

    /// Nothing can be taken any more. Takes away what lay here.
    pub(crate) fn close(&self) -> Vec<(LockId, Use)> {
        self.set_until(Instant::START);
        self.occupied().filter_map(|place| self.withdraw(place)).collect()
    }

    /// The lock that lies there, or lay there last.
    pub(crate) fn lock_at(&self, id: PlaceId) -> LockId {
        LockId::from_u64(self.places[id.at()].lock.load(Ordering::Relaxed))
    }

    /// What lies here, and how it was used since it was put here.
    pub(crate) fn lying(&self) -> impl Iterator<Item = (LockId, Use)> {
        self.occupied().filter_map(|id| {
            let used = self.places[id.at()].stand(Ordering::Relaxed).used()?;
            Some((self.lock_at(id), used))
        })
    }

    /// Places with a lock.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = PlaceId> {
        self.occupied_of(0, usize::MAX)
    }

    /// Those of so many places, round from this one on.
    pub(crate) fn occupied_of(&self, first: usize, most: usize) -> impl Iterator<Item = PlaceId> {
        let count = self.places.len();
        let round = (0..count.min(most)).map(move |nth| PlaceId::new((first + nth) & (count - 1)));
        round.filter(|place| self.tags[place.at()].load(Ordering::Relaxed) != 0)
    }

    /// How many places there are.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    /// The first place that a name may have.
    pub(crate) fn first_place(&self, sought: &Sought) -> usize {
        let [a, b, c, d, ..] = sought.hash.to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) as usize & (self.places.len() - 1)
    }

    fn places_of(&self, sought: &Sought) -> impl Iterator<Item = PlaceId> + use<> {
        let (first, last) = (self.first_place(sought), self.places.len() - 1);
        (0..PLACES_A_NAME).map(move |nth| PlaceId::new((first + nth) & last))
    }
}

impl Place {
    fn stand(&self, ordering: Ordering) -> Stand {
        Stand::of_word(self.stand.load(ordering))
    }

    /// Whoever reads what is in the place afterwards, or read it before, is on the right side of this.
    fn exchange(&self, before: Stand, after: Stand) -> bool {
        let (before, after) = (before.to_word(), after.to_word());
        self.stand.compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn is_of(&self, sought: &Sought) -> bool {
        let [.., what] = halves(self.local.load(Ordering::Relaxed));
        let is_named = |(word, name): (&AtomicU64, u64)| word.load(Ordering::Relaxed) == name;
        what == sought.what && self.name.iter().zip(sought.name).all(is_named)
    }

    fn lent(&self) -> (LockId, Token) {
        let [_, epoch] = halves(self.epoch.load(Ordering::Relaxed));
        let [local, _] = halves(self.local.load(Ordering::Relaxed));
        let token = Token { epoch: Epoch(epoch), grant: self.grant.load(Ordering::Relaxed), local };
        (LockId::from_u64(self.lock.load(Ordering::Relaxed)), token)
    }
}

impl Stand {
    /// How the lock was used here; nothing if the place is empty.
    fn used(self) -> Option<Use> {
        let taken = u32::from(self.taken);
        match self.lying {
            Lying::Nothing => None,
            Lying::Ready => Some(Use::Idle(taken)),
            Lying::Held => Some(Use::Held(taken)),
        }
    }

    fn to_word(self) -> u64 {
        let [a, b] = self.taken.to_le_bytes();
        word(self.number, u32::from_le_bytes([a, b, self.lying as u8, 0]))
    }

    fn of_word(word: u64) -> Self {
        let [number, low] = halves(word);
        let [a, b, lying, _] = low.to_le_bytes();
        let lying = match lying {
            0 => Lying::Nothing,
            1 => Lying::Ready,
            _ => Lying::Held,
        };
        Self { number, taken: u16::from_le_bytes([a, b]), lying }
    }
}

impl Sought {
    /// Not 0, and of other bits than the place.
    fn tag(&self) -> u16 {
        let [.., g, h] = self.hash.to_le_bytes();
        u16::from_le_bytes([g, h]) | 1
    }
}

impl Loan {
    fn new(place: PlaceId, number: u32) -> Self {
        let word = word(place.0.get(), number);
        Self(NonZeroU64::new(word).expect("a place has a number"))
    }

    pub(crate) fn place(self) -> PlaceId {
        let [place, _] = halves(self.0.get());
        PlaceId(NonZeroU32::new(place).expect("a place has a number"))
    }

    fn number(self) -> u32 {
        let [_, number] = halves(self.0.get());
        number
    }
}

impl PlaceId {
    fn new(at: usize) -> Self {
        let number = u32::try_from(at + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("there are fewer places than locks"))
    }

    pub(crate) const fn at(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A word of two halves.
pub(crate) const fn word(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The halves of a word, the high one first.
pub(crate) const fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}
