use super::*;

fn member() -> MemberRecord {
    MemberRecord::new("127.0.0.1:7001".parse().unwrap(), u64::MAX, Duration::from_secs(10), false)
}

fn view(epoch: u32, nodes: &[u16]) -> ViewRecord {
    let seats = nodes.iter().map(|node| Seat::new(NodeId(*node), Incarnation(5), Epoch(1), &member()));
    ViewRecord::new(Epoch(epoch), 9, seats.collect(), Vec::new())
}

#[test]
fn records_come_back_as_they_were_written() {
    let removed = vec![Removal { node: 3, incarnation: 4, why: Why::Unreachable }];
    let view = ViewRecord { removed, ..view(2, &[1, 2]) };
    assert_eq!(ViewRecord::from_bytes(&view.to_bytes()), Ok(view));
    assert_eq!(MemberRecord::from_bytes(&member().to_bytes()), Ok(member()));
    let fence = FenceRecord::new(NodeId(1), Why::Held);
    assert_eq!(FenceRecord::from_bytes(&fence.to_bytes()), Ok(fence));
    let reach = ReachRecord::new([(NodeId(2), Incarnation(7))]);
    assert_eq!(ReachRecord::from_bytes(&reach.to_bytes()), Ok(reach));
}

#[test]
fn another_form_is_not_read() {
    let text = String::from_utf8(member().to_bytes()).unwrap();
    assert!(MemberRecord::from_bytes(text.as_bytes()).is_ok());
    let other = text.replace("\"form\":1", "\"form\":2");
    assert!(MemberRecord::from_bytes(other.as_bytes()).is_err_and(|garbled| garbled.0.contains("form 2")));
    assert!(MemberRecord::from_bytes(b"{}").is_err());
    assert!(MemberRecord::from_bytes(b"").is_err());
}

#[test]
fn a_view_that_contradicts_itself_is_not_read() {
    let read = |view: ViewRecord| ViewRecord::from_bytes(&view.to_bytes());
    assert!(read(view(1, &[1, 2])).is_ok());
    assert!(read(view(1, &[])).is_ok());
    assert!(read(view(0, &[])).is_err());
    assert!(read(view(1, &[2, 1])).is_err());
    assert!(read(view(1, &[1, 1])).is_err());
    let mut late = view(1, &[1]);
    late.members[0].joined = 2;
    assert!(read(late).is_err());
    for ttl_s in [0, 9_000_000_001, u64::MAX] {
        let mut endless = view(1, &[1]);
        endless.members[0].ttl_s = ttl_s;
        assert!(read(endless).is_err(), "{ttl_s}");
        let endless = MemberRecord { ttl_s, ..member() };
        assert!(MemberRecord::from_bytes(&endless.to_bytes()).is_err(), "{ttl_s}");
    }
    assert!(read(view(1, &[u16::MAX])).is_err());
    let crowd: Vec<u16> = (0..=64).collect();
    assert!(read(view(1, &crowd)).is_err());
}
