//! The text of the files.

use super::*;

fn record() -> Record {
    let member = |node: u16, joined: u32, is_leaving: bool| ClusterMember {
        node: NodeId(node),
        incarnation: Incarnation(u64::from(node) + 3),
        joined: Epoch(joined),
        is_leaving,
        address: SocketAddr::from(([127, 0, 0, 1], 7000 + node)),
    };
    let members = vec![member(1, 3, false), member(2, 7, true)];
    let view = ClusterView { epoch: Epoch(7), members };
    Record { cluster: ClusterId(0x8f6e_34a2), digest: 77, incarnations: 12, view }
}

#[test]
fn a_view_is_read_as_it_was_written() {
    let record = record();
    assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
    let empty = Record { view: ClusterView { epoch: Epoch(9), members: Vec::new() }, ..record };
    assert_eq!(Record::decode(&empty.encode()), Ok(empty.clone()));
    let mark = Mark { cluster: ClusterId(5), epoch: Epoch(9), boot: "0b1c".to_owned() };
    assert_eq!(Mark::decode(&mark.encode()), Ok(mark));
}

#[test]
fn no_part_and_no_change_of_a_view_is_taken_for_one() {
    let text = record().encode();
    for end in 0..text.len() {
        assert_eq!(Record::decode(&text[..end]), Err(Odd::Damaged));
    }
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        assert_eq!(Record::decode(&changed), Err(Odd::Damaged), "byte {at}");
    }
    assert_eq!(Record::decode(&format!("{text}{text}")), Err(Odd::Damaged));
}

#[test]
fn a_view_that_cannot_be_is_refused() {
    let mut twice = record();
    twice.view.members[1].node = NodeId(1);
    let mut late = record();
    late.view.members[0].joined = Epoch(8);
    let mut unknown = record();
    unknown.incarnations = 4;
    let mut nobody = record();
    nobody.view.members[0].incarnation = Incarnation(0);
    let mut crowd = record();
    let member = crowd.view.members[0];
    crowd.view.members = (1..=65).map(|node| ClusterMember { node: NodeId(node), ..member }).collect();
    for odd in [twice, late, unknown, nobody, crowd] {
        assert_eq!(Record::decode(&odd.encode()), Err(Odd::Unsound));
    }
}
