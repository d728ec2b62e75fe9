use super::*;
use crate::config::SpaceConfig;
use crate::id::{Incarnation, NodeId};
use crate::wire::VersionRange;

extern crate std;
use std::vec::Vec;
use std::{format, vec};

/// A node with spaces of so many slots, on so many machines.
fn divided(slots: &[u32], machines: u8) -> Division {
    Division::new(whole(slots), machines).unwrap()
}

/// A node with spaces of so many slots.
fn whole(slots: &[u32]) -> Config {
    let mut config = Config::new(ClusterId(7), NodeId(1), Incarnation(1));
    config.hash_seed = 3;
    for (at, slots) in slots.iter().enumerate() {
        let space = SpaceConfig { slots: *slots, ..SpaceConfig::new(&format!("space {at}")).unwrap() };
        config.spaces.push(space).unwrap();
    }
    config
}

#[test]
fn every_slot_is_one_of_one_machine_and_comes_back() {
    for machines in 1..=MACHINES_MAX {
        let division = divided(&[48, 16, 17, 4096], machines);
        let mut seen = vec![0; division.machines()];
        for slot in division.all_slots().slots() {
            let (machine, there) = division.place(slot).unwrap();
            assert_eq!(division.whole_slot(machine, there), Some(slot));
            assert_eq!(there.0, seen[machine], "slots of a machine follow each other in their order");
            seen[machine] += 1;
        }
        for (machine, seen) in seen.into_iter().enumerate() {
            assert_eq!(seen, division.config(machine).slots());
        }
        assert_eq!(division.place(SlotId(division.all_slots().len)), None);
        let beyond = SlotId(division.config(0).slots());
        assert_eq!(division.whole_slot(0, beyond), None);
        assert_eq!(division.whole_slot(division.machines(), SlotId(0)), None);
    }
}

#[test]
fn with_one_machine_everything_is_as_it_is_configured() {
    let division = divided(&[48, 16], 1);
    let (config, whole) = (division.config(0), whole(&[48, 16]));
    assert_eq!((config.cluster, config.digest()), (whole.cluster, whole.digest()));
    assert_eq!(division.limits(Limits::default()), Limits::default());
    for slot in division.all_slots().slots() {
        assert_eq!(division.place(slot), Some((0, slot)));
    }
}

#[test]
fn a_range_is_a_range_on_every_machine() {
    let division = divided(&[48, 16, 17], 3);
    let all = division.all_slots().len;
    for first in 0..=all {
        for len in 0..=all - first {
            let range = SlotRange { first: SlotId(first), len };
            let mut slots: Vec<SlotId> = Vec::new();
            for machine in 0..3 {
                let there = division.range(machine, range);
                let there = there.into_iter().flat_map(SlotRange::slots);
                slots.extend(there.map(|slot| division.whole_slot(machine, slot).unwrap()));
            }
            slots.sort_unstable();
            assert!(slots.into_iter().eq(range.slots()), "{range}");
        }
    }
}

#[test]
fn machines_have_their_parts_of_the_resources() {
    let division = divided(&[4096], 4);
    let mut resources = [0_u32; 4];
    for number in 0..40_000 {
        resources[division.machine_of(SpaceId(0), format!("resource {number}").as_bytes())] += 1;
    }
    assert!(resources.iter().all(|count| (9_500..10_500).contains(count)), "{resources:?}");
}

#[test]
fn a_machine_has_its_share_and_some_more_but_never_more_than_all() {
    let division = divided(&[16], 4);
    let shares = [0, 1, 4, 100, 65_536].map(|count| division.share(count));
    assert_eq!(shares, [0, 1, 4, 60, 18_464]);
}

#[test]
fn who_is_divided_otherwise_is_known_by_its_hello() {
    let own = divided(&[48], 3);
    for machines in 1..=MACHINES_MAX {
        let other = divided(&[48], machines);
        for machine in 0..other.machines() {
            let hello = hello(&other.config(machine));
            let expected = (machines != 3).then_some(machines);
            assert_eq!(own.machines_of(&hello), expected);
            assert_eq!(own.machine_meant(&hello), if machine < 3 { machine } else { 0 });
        }
    }
    let foreign = divided(&[47], 2);
    assert_eq!(own.machines_of(&hello(&foreign.config(1))), None, "that is wrong in another way");
}

#[test]
fn no_two_machines_take_each_other_for_one() {
    let mut digests: Vec<u64> = (1..=MACHINES_MAX)
        .map(|machines| divided(&[48], machines))
        .flat_map(|division| (0..division.machines()).map(move |machine| division.config(machine).digest()))
        .collect();
    let all = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), all);
}

fn hello(config: &Config) -> Hello {
    Hello {
        cluster: config.cluster,
        node: NodeId(2),
        incarnation: config.incarnation,
        versions: VersionRange::OURS,
        epoch: config.epoch,
        digest: config.digest(),
        frame_max: 1 << 16,
    }
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let refused = |slots: &[u32], machines| Division::new(whole(slots), machines).err();
    assert_eq!(refused(&[48], 0), Some(DivisionError::Machines));
    assert_eq!(refused(&[48], MACHINES_MAX + 1), Some(DivisionError::Machines));
    assert_eq!(refused(&[48, 3], 4), Some(DivisionError::Slots), "a machine would have no slot of a space");
    assert_eq!(refused(&[48, 4], 4), None);
    assert_eq!(refused(&[65_537], 4), Some(DivisionError::Slots));
}

/// Whoever runs another version has to find the same: these are figures of the first one.
#[test]
fn what_is_whose_never_changes() {
    let division = divided(&[48, 17], 3);
    let names = [&b"a"[..], b"b", b"invoice/42", b"orders/7", b"jobs/a"];
    let machines = names.map(|name| division.machine_of(SpaceId(1), name));
    assert_eq!(machines, [2, 2, 2, 0, 0]);
    let configs = [0, 1, 2].map(|machine| {
        let config = division.config(machine);
        (config.cluster.0, config.hash_seed, config.digest())
    });
    let expected = [
        (0x7, 0x12b1_ad32_9ee9_64ee, 0xfcc3_872d_a33f_3e51),
        (0xdbac_54f5_3741_3bcc, 0x46f5_e5db_f300_01a3, 0x98dd_c357_6c5b_cc4f),
        (0x07ac_db80_712c_8702, 0x484a_aaa8_200a_dfab, 0x87fe_a759_ea26_25b0),
    ];
    assert_eq!(configs, expected);
    assert_eq!(division.place(SlotId(50)), Some((2, SlotId(16))));
}
