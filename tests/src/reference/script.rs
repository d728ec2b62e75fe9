//! Lists of verbs by lot, done by the reference and by the real core: they must say the same.

use core::fmt;
use core::panic::AssertUnwindSafe;
use std::collections::BTreeSet;
use std::panic::catch_unwind;

use lockmaster_core::{Config, Flags, HeapMemory, Mode};
use quickcheck::{Arbitrary, Gen};

use super::{Level, Mistake, Reference};
use crate::masters::Masters;
use crate::notation::{Marks, Operation, Outcome, Queues};
use crate::owners::Owners;

/// Verbs of the longest lists.
pub const LEN: usize = 60;
/// Seed of the lists that wrong readings are hunted with.
#[cfg(lockmaster_faults)]
const HUNTED: u64 = 7;

/// Who takes part.
const LETTERS: [char; 5] = ['A', 'B', 'C', 'D', 'E'];

/// One verb before it is known whether it makes sense: whoever has no lock asks for one, whoever has one does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    who: char,
    kind: Kind,
    mode: Mode,
    flags: Flags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A request, or a conversion if there is a lock.
    Want,
    Unlock,
    Cancel,
}

/// A list of verbs.
#[derive(Clone, PartialEq, Eq)]
pub struct Script(pub Vec<Verb>);

impl Arbitrary for Verb {
    fn arbitrary(g: &mut Gen) -> Self {
        let kinds = [Kind::Want, Kind::Want, Kind::Want, Kind::Unlock, Kind::Cancel];
        // Most verbs have no flags, the others a few.
        let flags = match u8::arbitrary(g) % 3 {
            0 | 1 => Flags::NONE,
            _ => Flags::from_bits(u16::arbitrary(g) & u16::arbitrary(g)).without(Flags::VALUE),
        };
        Self {
            who: *g.choose(&LETTERS).expect("there are letters"),
            kind: *g.choose(&kinds).expect("there are kinds"),
            mode: *g.choose(&Mode::ALL).expect("there are modes"),
            flags,
        }
    }

    /// Towards nothing, without flags, in the weakest mode.
    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let this = *self;
        let flags = (0..u16::BITS).map(|bit| Flags::from_bits(1 << bit));
        let fewer = flags.filter(move |flag| *flag != Flags::NONE && this.flags.has(*flag));
        let fewer = fewer.map(move |flag| Self { flags: this.flags.without(flag), ..this });
        let weaker = Mode::ALL.into_iter().filter(move |mode| *mode < this.mode);
        let weaker = weaker.filter(move |_| this.kind == Kind::Want).map(move |mode| Self { mode, ..this });
        Box::new(fewer.chain(weaker))
    }
}

impl Arbitrary for Script {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(Vec::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Self))
    }
}

impl Verb {
    /// What is done, if that makes sense where the reference stands.
    fn operation(self, reference: &Reference) -> Option<Operation> {
        let Self { who, kind, mode, mut flags } = self;
        let lock = reference.look(who);
        // A member that waits states another position; it does not try and fail as an owner does.
        let is_refused = reference.level == Level::Members;
        // What no-queue comes to at a node where others wait depends on what the node holds (rule H9).
        let may_pass = lock.is_some() || flags.has(Flags::NO_ORDER);
        if reference.level == Level::Owners && reference.has_waiters() && may_pass {
            flags = flags.without(Flags::NO_QUEUE);
        }
        Some(match (kind, lock) {
            (Kind::Want, None) => Operation::New(who, mode, for_request(flags, mode)),
            (Kind::Want, Some((_, true))) if is_refused => return None,
            // Nothing is asked of a master for a mode that is held.
            (Kind::Want, Some((Some(held), false))) if is_refused && held == mode => return None,
            (Kind::Want, Some((held, _))) => {
                let mut flags = for_conversion(flags, held, mode);
                // Until a member has demoted its owner the alternate mode may come to be free.
                if is_refused && flags.has(Flags::DEMOTE_ON_DEADLOCK) {
                    flags = flags.without(Flags::ALTERNATE_PR | Flags::ALTERNATE_CW);
                }
                Operation::Convert(who, mode, flags)
            }
            (Kind::Unlock, Some((_, true))) | (Kind::Cancel, Some((_, false))) if is_refused => return None,
            (Kind::Unlock, Some(_)) => Operation::Unlock(who),
            (Kind::Cancel, Some(_)) => Operation::Cancel(who),
            (Kind::Unlock | Kind::Cancel, None) => return None,
        })
    }
}

/// The flags that a new request may have.
fn for_request(flags: Flags, mode: Mode) -> Flags {
    let mut flags = for_either(flags.without(Flags::QUEUE_CONVERT).without(Flags::DEMOTE_ON_DEADLOCK));
    if mode != Mode::Null || flags.has(Flags::NO_QUEUE) {
        flags = flags.without(Flags::EXPEDITE);
    }
    assert_eq!(flags.check_request(mode), Ok(()), "the flags go together");
    flags
}

/// The flags that a conversion may have. Of one that waits already nothing is looked at.
fn for_conversion(flags: Flags, held: Option<Mode>, mode: Mode) -> Flags {
    let mut flags = for_either(flags.without(Flags::EXPEDITE));
    if !held.is_some_and(|held| held.allows_queue_convert(mode)) {
        flags = flags.without(Flags::QUEUE_CONVERT);
    }
    if flags.has(Flags::NO_QUEUE) {
        flags = flags.without(Flags::DEMOTE_ON_DEADLOCK);
    }
    flags
}

fn for_either(flags: Flags) -> Flags {
    let flags = if flags.has(Flags::NO_QUEUE) { flags } else { flags.without(Flags::NO_QUEUE_DEMAND) };
    if flags.has(Flags::ALTERNATE_PR) { flags.without(Flags::ALTERNATE_CW) } else { flags }
}

/// The real thing, at one of its levels.
enum Real {
    Owners(Box<Owners<HeapMemory>>),
    Members(Box<Masters>),
}

impl Real {
    fn operate(&mut self, operation: Operation) -> (BTreeSet<Outcome>, Vec<Outcome>) {
        match self {
            Self::Owners(owners) => (owners.operate(operation), owners.grants()),
            Self::Members(members) => (members.operate(operation), members.grants()),
        }
    }

    fn queues(&mut self) -> Queues {
        match self {
            Self::Owners(owners) => owners.queues(),
            Self::Members(members) => members.queues(),
        }
    }
}

/// Switches a rule of the core off and says after how many lists of verbs, at most this many at each level, the
/// reference notices; nothing if it never does. The lists are the same at each call.
#[cfg(lockmaster_faults)]
#[must_use]
pub fn hunt(reading: lockmaster_core::fault::Faults, cases: u64) -> Option<u64> {
    let mut scripts = scripts(HUNTED);
    (1..=cases).find(|_| {
        let script = scripts.next().expect("scripts do not end");
        [Level::Owners, Level::Members].into_iter().any(|level| {
            let compared = script.compare_or_panic(level, None, |config| config.faults = reading);
            compared.is_err()
        })
    })
}

/// Lists of verbs from a seed, without end.
pub fn scripts(seed: u64) -> impl Iterator<Item = Script> {
    let mut random = Gen::from_size_and_seed(LEN, seed);
    core::iter::repeat_with(move || Script::arbitrary(&mut random))
}

impl Level {
    /// What can be known of an outcome: a member whose request is granted before it has demoted its owner is not told
    /// that it should have.
    const fn known(self, outcome: Outcome) -> Outcome {
        match (self, outcome) {
            (Self::Members, Outcome::Granted(who, mode, Marks { alternate, demoted: _ })) => {
                Outcome::Granted(who, mode, Marks { alternate, demoted: false })
            }
            (Self::Members | Self::Owners, outcome) => outcome,
        }
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Verbs that made sense.
    pub verbs: u64,
    /// Grants, in the same order.
    pub grants: u64,
    /// Refusals.
    pub refusals: u64,
    /// Demands.
    pub demands: u64,
}

impl Compared {
    /// Nothing yet.
    pub const ZERO: Self = Self { verbs: 0, grants: 0, refusals: 0, demands: 0 };
}

impl core::ops::AddAssign for Compared {
    fn add_assign(&mut self, more: Self) {
        self.verbs += more.verbs;
        self.grants += more.grants;
        self.refusals += more.refusals;
        self.demands += more.demands;
    }
}

impl Script {
    /// As [`Script::compare`]; what the core's own checks or a member's script object to is a difference too.
    ///
    /// # Errors
    /// The first difference, for people.
    pub fn compare_or_panic(
        &self,
        level: Level,
        mistake: Option<Mistake>,
        change: impl FnOnce(&mut Config),
    ) -> Result<Compared, String> {
        let compare = AssertUnwindSafe(|| self.compare(level, mistake, change));
        catch_unwind(compare).unwrap_or_else(|_| Err("a check of its own has failed".to_owned()))
    }

    /// The shortest list and the weakest verbs that still differ, found from this one.
    #[must_use]
    pub fn shortest(&self, differs: impl Fn(&Self) -> bool) -> Self {
        let mut shortest = self.clone();
        while let Some(shorter) = shortest.shrink().find(&differs) {
            shortest = shorter;
        }
        shortest
    }

    /// Does the verbs on both sides. `change` is made to the core's configuration.
    ///
    /// # Errors
    /// The first difference, for people.
    pub fn compare(
        &self,
        level: Level,
        mistake: Option<Mistake>,
        change: impl FnOnce(&mut Config),
    ) -> Result<Compared, String> {
        let mut reference = Reference::new(level, mistake);
        let mut real = match level {
            Level::Owners => Real::Owners(Box::new(Owners::on_heap_with(change))),
            Level::Members => Real::Members(Box::new(Masters::with(change))),
        };
        let mut compared = Compared::default();
        for (at, verb) in self.0.iter().enumerate() {
            let Some(operation) = verb.operation(&reference) else { continue };
            let expected = reference.operate(operation);
            let (told, grants) = real.operate(operation);
            let is_told = |outcome: &Outcome| match outcome {
                // Who was granted before the call returned did not wait.
                Outcome::Waits(who) | Outcome::Converts(who) => {
                    !grants.iter().any(|grant| grant.who() == *who)
                }
                Outcome::Demanded(who, _) => !reference.may_be_told_early(*who),
                Outcome::Granted(..)
                | Outcome::Busy(_)
                | Outcome::Deadlock(_)
                | Outcome::InFlight(_)
                | Outcome::Unlocked(_)
                | Outcome::Cancelled(..)
                | Outcome::NothingToCancel(_) => true,
            };
            let told: BTreeSet<Outcome> =
                told.into_iter().filter(is_told).map(|said| level.known(said)).collect();
            let expected: Vec<Outcome> =
                expected.into_iter().filter(is_told).map(|said| level.known(said)).collect();
            let grants: Vec<Outcome> = grants.iter().map(|said| level.known(*said)).collect();
            let differs = |what: String| Err(format!("verb {at}, {operation:?}: {what}"));
            let is_grant = |outcome: &&Outcome| matches!(outcome, Outcome::Granted(..));
            let expected_grants: Vec<Outcome> = expected.iter().filter(is_grant).copied().collect();
            if grants != expected_grants {
                return differs(format!("grants are {grants:?}, not {expected_grants:?}"));
            }
            let expected: BTreeSet<Outcome> = expected.into_iter().collect();
            if let Some(difference) = real.difference(&told, &expected, &mut reference) {
                return differs(difference);
            }
            let (queues, expected_queues) = (real.queues(), reference.queues());
            if queues != expected_queues {
                return differs(format!("queues are {queues}, not {expected_queues}"));
            }
            compared.add(&expected);
        }
        Ok(compared)
    }
}

impl Real {
    /// What was said and should not, or should and was not.
    fn difference(
        &self,
        told: &BTreeSet<Outcome>,
        expected: &BTreeSet<Outcome>,
        reference: &mut Reference,
    ) -> Option<String> {
        let is_demand = |outcome: &&Outcome| matches!(outcome, Outcome::Demanded(..));
        let (demands, others): (BTreeSet<Outcome>, BTreeSet<Outcome>) = expected.iter().partition(is_demand);
        let (told_demands, told_others): (BTreeSet<Outcome>, BTreeSet<Outcome>) =
            told.iter().partition(is_demand);
        if told_others != others {
            return Some(format!("{told_others:?}, not {others:?}"));
        }
        match self {
            Self::Owners(_) => demands_of_owners(&told_demands, &demands, reference),
            Self::Members(members) => demands_of_members(members, &demands, reference),
        }
    }
}

/// Who should be told was told, now or before. Others may be told of what they are in the way of; that counts then.
fn demands_of_owners(
    told: &BTreeSet<Outcome>,
    expected: &BTreeSet<Outcome>,
    reference: &mut Reference,
) -> Option<String> {
    for demand in told {
        let Outcome::Demanded(who, mode) = *demand else { continue };
        if !reference.hear(who, mode) && !expected.contains(demand) {
            return Some(format!("{demand:?} though {who} is in nobody's way"));
        }
    }
    expected.iter().find_map(|demand| {
        let Outcome::Demanded(who, mode) = *demand else { return None };
        (!reference.has_heard(who, mode)).then(|| format!("{demand:?} is missing in {told:?}"))
    })
}

/// A master's demand names what may stay instead of who waits, and one that is out is not said again: it must let no
/// more stay than what is waited for leaves. From who waits itself it cannot take all of that (rule M4).
fn demands_of_members(
    members: &Masters,
    expected: &BTreeSet<Outcome>,
    reference: &Reference,
) -> Option<String> {
    expected.iter().find_map(|demand| {
        let Outcome::Demanded(who, mode) = *demand else { return None };
        if reference.look(who).is_some_and(|(_, is_waiting)| is_waiting) {
            return None;
        }
        let stay = members.demanded(who);
        let is_enough = stay.is_some_and(|stay| mode.leaves().covers(stay));
        (!is_enough).then(|| format!("{who} may keep {stay:?} though {mode} is waited for"))
    })
}

impl Compared {
    fn add(&mut self, outcomes: &BTreeSet<Outcome>) {
        self.verbs += 1;
        for outcome in outcomes {
            match outcome {
                Outcome::Granted(..) => self.grants += 1,
                Outcome::Busy(_) | Outcome::Deadlock(_) | Outcome::InFlight(_) => self.refusals += 1,
                Outcome::Demanded(..) => self.demands += 1,
                Outcome::Waits(_)
                | Outcome::Converts(_)
                | Outcome::Unlocked(_)
                | Outcome::Cancelled(..)
                | Outcome::NothingToCancel(_) => {}
            }
        }
    }
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Want => {
                write!(f, "{} wants {}", self.who, self.mode)?;
                if self.flags == Flags::NONE { Ok(()) } else { write!(f, " {:?}", self.flags) }
            }
            Kind::Unlock => write!(f, "{} unlocks", self.who),
            Kind::Cancel => write!(f, "{} cancels", self.who),
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}
