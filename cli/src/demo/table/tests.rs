use lockmaster_tokio::Path;

use super::*;
use crate::args::DemoArgs;
use crate::demo::disturber::{Event, Kind};
use crate::demo::figures::{Course, SlotTransfers, Survey};
use crate::demo::summary::NodeSummary;
use crate::demo::tests::args;
use crate::demo::watch::Disturbance;

fn node(node: u16, transfers: SlotTransfers) -> NodeSummary {
    let survey =
        Survey { slots: u64::from(node) * 100, resources: 80, locks: 1000, shares: vec![100, 200, 300] };
    NodeSummary { node, transfers, survey: Some(survey) }
}

#[test]
fn events_have_a_line_each() {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_secs(10), false);
    let event = |kind, node, secs| Event { kind, node, at: Duration::from_secs(secs) };
    summary.events = vec![event(Kind::Killed, 2, 2), event(Kind::Joined, 4, 3)];
    let mut disturbance = Disturbance { rebuilt: 47, ..Disturbance::default() };
    disturbance.concerned.record(Duration::from_millis(40));
    disturbance.others.record(Duration::from_millis(2));
    summary.figures.disturbances.insert(1, disturbance);
    let table = "\
events          after  its slots      p50      max  others      p50      max  rebuilt
node 2 killed  2.00 s          1  40.0 ms  40.0 ms       1  2.00 ms  2.00 ms       47
node 4 joined  3.00 s          0        -        -       0        -        -        0
";
    let text = render(&summary);
    assert!(text.contains(table), "{text}");
}

#[test]
fn a_right_run_has_this_table() {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_millis(10_040), false);
    summary.audit.total = summary.expected_total();
    summary.figures.transfers = 400_000;
    summary.figures.audits = 600_000;
    summary.figures.messages = 1_234_567;
    for _ in 0..3 {
        summary.figures.acquired(Path::Retained, None, Duration::from_nanos(812));
    }
    summary.figures.acquired(Path::Remote, Some(Course::InTransfer), Duration::from_micros(150));
    let mut transfers = SlotTransfers {
        done: 2,
        slots: 300,
        locks: 45,
        bytes: 7000,
        relayed: 8,
        renewed: 9,
        redirected: 10,
        ..SlotTransfers::default()
    };
    for micros in [1500, 2500] {
        transfers.time.record(Duration::from_micros(micros));
    }
    transfers.refuse("the other node has no room".to_owned());
    summary.nodes = vec![node(1, transfers.clone()), node(2, SlotTransfers::default()), node(3, transfers)];
    for node in &summary.nodes {
        summary.figures.slots.add(&node.transfers);
    }
    let table = "\
ran          3 nodes with 16 tasks each on 256 pages, for 10.0 s
with         skew 0.8, read share 0.5, retention demanded, grants after demand 0, slot transfers every 200 ms, seed 1
operations   1,000,000, 99,601 a second: 400,000 transfers, 600,000 audits
messages     1.23 an operation, 1,234,567 in all

acquired locks             count    share        p50        p99      p99.9        max
retained                       3   75.0 %     812 ns     812 ns     812 ns     812 ns
locally mastered               0        -          -          -          -          -
  slot at rest                 0        -          -          -          -          -
  slot in transfer             0        -          -          -          -          -
remotely mastered              1   25.0 %     150 µs     150 µs     150 µs     150 µs
  slot at rest                 0        -          -          -          -          -
  slot in transfer             1   25.0 %     150 µs     150 µs     150 µs     150 µs

slot transfers  done  refused  slots  locks     bytes      p50      max  relayed  renewed  redirected
node 1             2        1    300     45  6.84 KiB  1.50 ms  2.50 ms        8        9          10
node 2             0        0      0      0       0 B        -        -        0        0           0
node 3             2        1    300     45  6.84 KiB  1.50 ms  2.50 ms        8        9          10
all nodes          4        2    600     90  13.7 KiB  1.50 ms  2.50 ms       16       18          20
2 refused: the other node has no room

masters in the end  slots  resources  locks
node 1                100         80  1,000
node 2                200         80  1,000
node 3                300         80  1,000
all nodes             600        240  3,000

money        conserved: 261120000 before and after
pages        none torn
tokens       none went back
verdict      clean
";
    assert_eq!(render(&summary), table);
}

#[test]
fn without_slot_transfers_there_are_no_lines_about_them() {
    let mut args = args();
    for change in [
        |args: &mut DemoArgs| args.transfer_interval = Duration::ZERO,
        |args: &mut DemoArgs| args.nodes = 1,
        |args: &mut DemoArgs| args.without_locks = true,
    ] {
        let before = args.clone();
        change(&mut args);
        let text = render(&Summary::new(&args, Duration::from_secs(1), false));
        assert!(text.contains(", no slot transfers, seed 1"), "{text}");
        assert!(!text.contains("slot at rest") && !text.contains("redirected"), "{text}");
        args = before;
    }
}

#[test]
fn everything_wrong_is_said() {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_secs(1), true);
    summary.missing.push("node 2 died: killed by signal 9".to_owned());
    summary.figures.unfinished = 2;
    summary.figures.slots.unfinished = 1;
    summary.figures.refused = 1;
    summary.figures.torn = 3;
    summary.figures.tokens_back = 4;
    summary.figures.note("what it was".to_owned());
    summary.nodes = vec![node(1, SlotTransfers::default()), node(3, SlotTransfers::default())];
    summary.nodes[1].survey.as_mut().unwrap().shares[0] = 99;
    let text = render(&summary);
    for line in [
        "for 1.0 s, then interrupted\n",
        "operations   0, 0 a second: 0 transfers, 0 audits\n",
        "messages     - an operation, 0 in all\n",
        "NODE         node 2 died: killed by signal 9; the figures above are without it\n",
        "TASKS        2 tasks did not end in time and had to be abandoned\n",
        "SLOTS        1 slot transfer did not end in time and had to be abandoned\n",
        "MASTERS      NODES DISAGREE who decides about which slots\n",
        "LOCKS        1 lock refused\n",
        "MONEY        NOT CONSERVED: 261120000 before, 0 after\n",
        "PAGES        TORN: found 3 times\n",
        "TOKENS       WENT BACK: found 4 times\n",
        "             what it was\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(text.ends_with("verdict      FAILED\n"));
}
