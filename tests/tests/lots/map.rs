//! The map of masters against a list: transfers of any ranges by any nodes, taken back, refused, or carried through.

use lockmaster_core::{Limits, MapVersion, NodeId, SlotId, SlotRange, Stage};
use lockmaster_tests::cluster::Cluster;

use super::{Count, check};

const MEMBERS: u16 = 3;
/// Slots of each member in each of the two spaces.
const SLOTS: u32 = 3;

/// Most moves of one run.
const LEN: usize = 24;

/// Which node gives which slots, the first and how many, to which one, and whether it takes that back.
type Move = (u8, u8, u8, u8, bool);

/// What the map must be.
struct Model(Vec<(NodeId, MapVersion)>);

impl Model {
    fn of(cluster: &mut Cluster) -> Self {
        let slots = (0..).map(SlotId).map_while(|slot| cluster.node(NodeId(1)).slot(slot));
        Self(slots.map(|view| (view.master.expect("every slot has a master"), view.version)).collect())
    }

    /// May this node give these slots to that one?
    fn allows(&self, from: NodeId, range: SlotRange, to: NodeId) -> bool {
        let (first, len) = (range.first.0 as usize, range.len as usize);
        let slots = self.0.get(first..first + len).filter(|slots| !slots.is_empty());
        let is_master = slots.is_some_and(|slots| slots.iter().all(|(master, _)| *master == from));
        is_master && to != from && (1..=MEMBERS).contains(&to.0)
    }
}

#[test]
fn every_node_has_the_map_that_the_transfers_make() {
    static DONE: Count = Count::new();
    static TAKEN_BACK: Count = Count::new();
    static REFUSED: Count = Count::new();
    fn property(moves: Vec<Move>) -> bool {
        let mut cluster = Cluster::of_slots(&[Limits::uniform(16); MEMBERS as usize], SLOTS, |_| {});
        let mut model = Model::of(&mut cluster);
        assert_eq!(model.0.len(), 2 * usize::from(MEMBERS) * SLOTS as usize);
        for (from, first, len, to, is_taken_back) in moves.into_iter().take(LEN) {
            let range =
                SlotRange { first: SlotId(u32::from(first) % 20), len: u32::from(len.wrapping_add(1)) % 4 };
            // Mostly somebody who may.
            let from = match model.0.get(range.first.0 as usize) {
                Some((master, _)) if from % 4 > 0 => *master,
                Some(_) | None => NodeId(1 + u16::from(from) % MEMBERS),
            };
            let to = match to {
                0..240 => NodeId(1 + (from.0 + u16::from(to) % 2) % MEMBERS),
                240.. => NodeId(u16::from(to) % (MEMBERS + 2)),
            };
            let transfer = cluster.transfer(from, range, to);
            assert_eq!(transfer.is_ok(), model.allows(from, range, to), "{from} gives {range} to {to}");
            let Ok(transfer) = transfer else {
                REFUSED.add();
                continue;
            };
            if is_taken_back {
                TAKEN_BACK.add();
                cluster.withdraw(from, transfer).expect("nothing has moved yet");
            } else {
                DONE.add();
            }
            cluster.run();
            let end = if is_taken_back { Stage::Withdrawn } else { Stage::Done };
            assert_eq!(cluster.ends(from), [end]);
            for slot in range.slots().filter(|_| !is_taken_back) {
                let view = cluster.node(to).slot(slot).expect("there is such a slot");
                let known = &mut model.0[slot.0 as usize];
                assert!(view.version > known.1, "a version only rises");
                *known = (to, view.version);
            }
            for node in (1..=MEMBERS).map(NodeId) {
                for (slot, known) in (0..).map(SlotId).zip(&model.0) {
                    let view = cluster.node(node).slot(slot).expect("there is such a slot");
                    assert_eq!(
                        (view.master, view.version, view.is_moving),
                        (Some(known.0), known.1, false),
                        "{slot:?}"
                    );
                }
            }
        }
        true
    }
    check(500, LEN, property as fn(Vec<Move>) -> bool);
    assert!(DONE.is_above(200) && TAKEN_BACK.is_above(200) && REFUSED.is_above(200));
}
