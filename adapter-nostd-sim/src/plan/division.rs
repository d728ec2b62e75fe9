//! Nodes of several machines: more slots, names and owners, and a configuration for each machine.

use alloc::vec::Vec;

use lockmaster_core::{Config, Division, SpaceConfig, SpaceId};

use super::Appetite;
use crate::layout::Layout;
use crate::random::Random;

/// There is as much for each machine as there would be for the only one, but slots and names do not come out even. It has
/// random numbers of its own, so that a seed with one machine is the seed that it was.
pub(super) fn widen(
    divider: &mut Random,
    layout: Layout,
    spaces: &mut [SpaceConfig],
    resources: &mut Vec<(SpaceId, Vec<u8>)>,
    appetite: &mut Appetite,
) {
    if layout.machines() == 1 {
        return;
    }
    let machines = u32::try_from(layout.machines()).expect("machines are few");
    for space in spaces {
        let fewer = u32::try_from(divider.below(machines.into())).expect("machines are few");
        space.slots = (space.slots * machines - fewer).max(machines);
    }
    for nth in resources.len()..resources.len() * layout.machines() {
        let (space, like) = divider.pick(resources).clone();
        let letter = b'a'.wrapping_add(u8::try_from(nth).expect("resources are few"));
        resources.push((space, alloc::vec![letter; like.len()]));
    }
    appetite.locks_max *= layout.machines();
}

/// The configuration of each machine, and for each host how it is divided.
pub(super) fn divide(whole: Vec<Config>, layout: Layout) -> (Vec<Config>, Vec<Division>) {
    let machines = u8::try_from(layout.machines()).expect("machines are few");
    let divide = |whole| Division::new(whole, machines).expect("every machine has a slot of each space");
    let divisions: Vec<Division> = whole.into_iter().map(divide).collect();
    let config = |node| {
        let mut config = divisions[layout.host(node)].config(layout.machine(node));
        config.node = node;
        for member in &mut config.members {
            // Whole configurations name hosts by their places.
            *member = layout.cluster(layout.machine(node)).nth(usize::from(member.0)).expect("it is a host");
        }
        config
    };
    (layout.nodes().map(config).collect(), divisions)
}
