use super::*;

fn figures(times: impl Iterator<Item = u64>) -> Figures {
    let mut figures = Figures { transfers: 2, audits: 3, messages: 5, ..Figures::default() };
    for micros in times {
        figures.acquired(Path::Remote, Some(Course::InTransfer), Duration::from_micros(micros));
    }
    figures
}

#[test]
fn figures_of_two_nodes_add_up() {
    let mut all = figures(1..=500);
    all.acquired(Path::Retained, None, Duration::from_nanos(300));
    all.acquired(Path::Remote, Some(Course::AtRest), Duration::from_micros(500));
    all.add(figures(501..=1000));
    assert_eq!((all.operations(), all.messages), (10, 10));
    let [retained, local, remote] = &all.acquire;
    assert_eq!((retained.count(), local.count(), remote.count()), (1, 0, 1001));
    let [at_rest, in_transfer] = &all.acquire_by_course[2];
    assert_eq!((at_rest.count(), in_transfer.count()), (1, 1000));
    assert_eq!(remote.quantile(0.5).as_micros(), 500);
    assert_eq!(remote.quantile(0.99).as_micros(), 990);
}

#[test]
fn figures_survive_the_pipe() {
    let sent = figures((1..10_000).map(|at| at * 37));
    let line = serde_json::to_string(&sent).unwrap();
    assert!(!line.contains('\n'));
    let mut received: Figures = serde_json::from_str(&line).unwrap();
    assert_eq!(received.acquire[2].count(), sent.acquire[2].count());
    for share in [0.0, 0.5, 0.99, 0.999, 1.0] {
        assert_eq!(received.acquire[2].quantile(share), sent.acquire[2].quantile(share));
    }
    received.add(sent);
    assert_eq!(received.operations(), 10);
}

#[test]
fn slot_transfers_of_two_nodes_add_up() {
    let mut one = SlotTransfers { done: 1, slots: 7, locks: 3, bytes: 100, ..SlotTransfers::default() };
    one.time.record(Duration::from_micros(10));
    one.refuse("no room".to_owned());
    one.refuse("no time".to_owned());
    let mut other = SlotTransfers { relayed: 1, renewed: 2, redirected: 3, unfinished: 1, ..one.clone() };
    other.refuse("no room".to_owned());
    one.add(&other);
    assert_eq!((one.done, one.slots, one.locks, one.bytes, one.time.count()), (2, 14, 6, 200, 2));
    assert_eq!((one.refused(), one.refusals["no room"]), (5, 3));
    assert_eq!((one.relayed, one.renewed, one.redirected, one.unfinished), (1, 2, 3, 1));
}

#[test]
fn only_some_notes_are_kept() {
    let mut figures = Figures::default();
    for at in 0..100 {
        figures.note(at.to_string());
    }
    assert_eq!(figures.notes, ["0", "1", "2", "3", "4"]);
}
