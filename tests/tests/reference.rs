//! The real core against the plain reference of the lock rules, on lists of verbs by lot.
//!
//! `cargo xtask scoreboard` hunts bugs with the same lists.

use std::sync::Mutex;

use lockmaster_core::{Flags, Mode};
use lockmaster_tests::notation::{Marks, Operation, Outcome};
use lockmaster_tests::owners::Owners;
use lockmaster_tests::reference::script::{Compared, LEN, Script, scripts};
use lockmaster_tests::reference::{Level, Mistake};
use quickcheck::{Gen, QuickCheck};

/// Lists of verbs that are tried at each level.
const SCRIPTS: u64 = 20_000;
const SEED: u64 = 20;

/// Tries many lists; the shortest that differs is shown.
fn agree(level: Level) {
    static TOTALS: Mutex<[Compared; 2]> = Mutex::new([Compared::ZERO; 2]);
    fn of_owners(script: Script) -> Result<(), String> {
        compare(&script, Level::Owners)
    }
    fn of_members(script: Script) -> Result<(), String> {
        compare(&script, Level::Members)
    }
    fn compare(script: &Script, level: Level) -> Result<(), String> {
        let compared = script.compare(level, None, |_| {})?;
        TOTALS.lock().expect("nobody panics under it")[level as usize] += compared;
        Ok(())
    }
    let mut check =
        QuickCheck::new().rng(Gen::from_size_and_seed(LEN, SEED)).tests(SCRIPTS).max_tests(SCRIPTS);
    match level {
        Level::Owners => check.quickcheck(of_owners as fn(Script) -> _),
        Level::Members => check.quickcheck(of_members as fn(Script) -> _),
    }
    let totals = TOTALS.lock().expect("nobody panics under it")[level as usize];
    println!("{level:?}: {totals:?}");
    let Compared { verbs, grants, refusals, demands } = totals;
    let occurs = |count: &u64| *count > SCRIPTS / 10;
    assert!([verbs, grants, refusals, demands].iter().all(occurs), "all that is compared occurs");
}

#[test]
fn owners_of_a_node() {
    agree(Level::Owners);
}

#[test]
fn members_at_their_master() {
    agree(Level::Members);
}

/// Each mistake is noticed at both levels, but that of demands at one only, and few verbs show it.
#[test]
fn a_wrong_reference_is_noticed() {
    const VERBS: usize = 7;
    let mistakes = [
        Mistake::NoFairness,
        Mistake::ConversionsLast,
        Mistake::NoPassAfterCancel,
        Mistake::NoDeadlock,
        Mistake::NoDemands,
    ];
    for level in [Level::Owners, Level::Members] {
        for mistake in mistakes {
            if (level, mistake) == (Level::Members, Mistake::NoDemands) {
                // There only demands that are missing count.
                continue;
            }
            let differs = |script: &Script| script.compare_or_panic(level, Some(mistake), |_| {}).is_err();
            let found = scripts(SEED).take(1000).find(differs).expect("the mistake is noticed");
            let shortest = found.shortest(differs);
            println!("{level:?}, {mistake:?}: {shortest:?}");
            assert!(
                shortest.0.len() <= VERBS,
                "{mistake:?} shows in {VERBS} verbs, not only in {shortest:?}"
            );
        }
    }
}

/// Found by these lists: a conversion that waits though in deadlock was not given its alternate mode.
#[test]
fn the_alternate_mode_is_given_in_a_deadlock_too() {
    let mut owners = Owners::on_heap();
    owners.operate(Operation::New('A', Mode::ConcurrentRead, Flags::NONE));
    owners.operate(Operation::New('C', Mode::ProtectedRead, Flags::NONE));
    owners.operate(Operation::Convert('C', Mode::Exclusive, Flags::NONE));
    let flags = Flags::NO_DEADLOCK_WAIT | Flags::ALTERNATE_PR;
    let told = owners.operate(Operation::Convert('A', Mode::ConcurrentWrite, flags));
    let marks = Marks { alternate: true, demoted: false };
    assert!(told.contains(&Outcome::Granted('A', Mode::ProtectedRead, marks)), "{told:?}");
}
