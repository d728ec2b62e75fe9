//! What a guard knows comes out of its words as it went in.

use lockmaster_core::{ClusterId, Config, Incarnation, NodeId, SpaceConfig, SpaceId};

use super::*;
use crate::shelf::Shelf;

const LOCK: LockId = LockId::from_u64(u64::MAX / 3);
const TOKEN: Token = Token { epoch: Epoch(u32::MAX), grant: u64::MAX - 1, local: 5 };

/// Every grant there can be of one token.
fn grants() -> impl Iterator<Item = Grant> {
    let paths = [Path::Retained, Path::Local, Path::Remote].into_iter();
    let ways = paths.flat_map(|path| Mode::ALL.map(|mode| (path, mode)));
    ways.flat_map(|(path, mode)| {
        [(false, false), (false, true), (true, false), (true, true)].map(|(alternate, demoted)| Grant {
            mode,
            token: TOKEN,
            alternate,
            demoted,
            path,
        })
    })
}

#[test]
fn what_was_granted_is_told() {
    for grant in grants() {
        let held = Held::new(LOCK, grant, None);
        assert_eq!((held.lock(), held.grant(), held.token(), held.mode()), (LOCK, grant, TOKEN, grant.mode));
    }
}

#[test]
fn a_conversion_changes_no_more_than_it_says() {
    for grant in grants() {
        let mut held = Held::new(LOCK, grant, None);
        assert_eq!(held.end_conversion(), None, "nothing waits from the start");
        for flags in [Flags::NONE, Flags::DEMOTE_ON_DEADLOCK | Flags::VALUE] {
            held.begin_conversion(flags);
            assert_eq!((held.grant(), held.mode()), (grant, grant.mode));
            assert_eq!(held.end_conversion(), Some(flags));
            assert_eq!(held.end_conversion(), None);
        }
        held.begin_conversion(Flags::NONE);
        held.set_mode(Mode::Null);
        assert_eq!((held.grant(), held.mode()), (grant, Mode::Null));
        assert_eq!(held.end_conversion(), Some(Flags::NONE));
    }
}

#[test]
fn who_is_granted_anew_gives_back_where_it_was_taken() {
    let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(1));
    config.spaces.push(SpaceConfig::new("a").unwrap()).unwrap();
    let shelf = Shelf::new(4, &config);
    let sought = shelf.sought(SpaceId(0), b"a", Mode::Exclusive).unwrap();
    let place = shelf.vacant(&sought).unwrap();
    let taken = shelf.put(place, &sought, LOCK, TOKEN);
    let mut held = Held::lent(taken, Mode::Exclusive);
    for grant in grants() {
        held.begin_conversion(Flags::NONE);
        held.renew(grant);
        assert_eq!((held.lock(), held.grant(), held.mode()), (LOCK, grant, grant.mode));
        assert_eq!((held.loan, held.end_conversion()), (Some(taken.loan), None));
    }
}
