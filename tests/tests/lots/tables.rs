//! The tables of a node against a map: what is taken is found, what is given back is free again, a handle that was given
//! back is nobody's, and a full table refuses.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::{
    Flags, Full, HeapMemory, Instant, Limits, LockId, Mode, Node, OwnerId, Priority, ReleaseError, Request,
    RequestError, Retention, SpaceId, ValueWrite,
};
use lockmaster_tests::cluster::config_of;

use super::{Count, check};

/// Locks, resources and so on that the node has room for.
const ROOM: u32 = 8;

/// Takes a lock on one of some names, or gives one back.
#[derive(Clone, Copy, Debug)]
enum Step {
    Take(u8),
    Give(u8),
}

/// Names short and long: long ones take a cell of their own.
fn name(number: u8) -> Vec<u8> {
    let len = if number.is_multiple_of(2) { 3 } else { 40 };
    vec![number; len]
}

fn request(name: &[u8]) -> Request<'_> {
    Request {
        space: SpaceId(0),
        name,
        owner: OwnerId(1),
        mode: Mode::ConcurrentRead,
        flags: Flags::NONE,
        priority: Priority(0),
        patience: None,
    }
}

/// Why a request must be refused, if it must.
fn refusal(live: &BTreeMap<LockId, u8>, number: u8) -> Option<Full> {
    let names: BTreeSet<u8> = live.values().copied().collect();
    let room = ROOM as usize;
    if live.len() == room {
        return Some(Full::Locks);
    }
    (!names.contains(&number) && names.len() == room).then_some(Full::Resources)
}

#[test]
fn tables_agree_with_a_map() {
    static TAKEN: Count = Count::new();
    static FULL: Count = Count::new();
    fn property(steps: Vec<(bool, u8)>) -> bool {
        let config = config_of(1, 1, Retention::Never);
        let memory = HeapMemory::new(&Limits::uniform(ROOM), &config);
        let mut node = Node::new(config, memory).expect("the memory fits");
        let mut live: BTreeMap<LockId, u8> = BTreeMap::new();
        let mut given_back = Vec::new();
        for step in steps
            .into_iter()
            .map(|(takes, with)| if takes { Step::Take(with % 12) } else { Step::Give(with) })
        {
            match step {
                Step::Take(number) => match node.request(Instant::START, &request(&name(number))) {
                    Ok(asked) => {
                        assert_eq!(refusal(&live, number), None, "a full table refuses");
                        assert!(live.insert(asked.lock, number).is_none(), "a handle names one lock");
                        assert!(!given_back.contains(&asked.lock), "no handle is given twice");
                        TAKEN.add();
                    }
                    Err(RequestError::Full(full)) => {
                        assert_eq!(refusal(&live, number), Some(full));
                        FULL.add();
                    }
                    Err(other) => panic!("{number} is refused: {other}"),
                },
                Step::Give(at) if !live.is_empty() => {
                    let lock =
                        *live.keys().nth(usize::from(at) % live.len()).expect("it is below the length");
                    live.remove(&lock);
                    assert_eq!(node.release(lock, ValueWrite::Keep), Ok(()));
                    given_back.push(lock);
                }
                Step::Give(_) => {}
            }
            while node.poll_event().is_some() {}
            node.check();
            for lock in live.keys() {
                assert_eq!(node.held(*lock), Ok(Some(Mode::ConcurrentRead)), "what is taken is found");
            }
            for lock in &given_back {
                assert_eq!(node.release(*lock, ValueWrite::Keep), Err(ReleaseError::Unknown));
            }
        }
        true
    }
    check(1500, 80, property as fn(Vec<(bool, u8)>) -> bool);
    assert!(TAKEN.is_above(5000) && FULL.is_above(500));
}
