use lockmaster_tokio::Path;

use super::*;
use crate::demo::tests::args;

#[test]
fn a_right_run_has_this_table() {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_millis(10_040), false);
    summary.audit.total = summary.expected_total();
    summary.figures.transfers = 400_000;
    summary.figures.audits = 600_000;
    summary.figures.messages = 1_234_567;
    for _ in 0..3 {
        summary.figures.acquired(Path::Retained, Duration::from_nanos(812));
    }
    summary.figures.acquired(Path::Remote, Duration::from_micros(150));
    let table = "\
ran          3 nodes with 16 tasks each on 256 pages, for 10.0 s
with         skew 0.8, read share 0.5, retention demanded, grants after demand 0, seed 1
operations   1,000,000, 99,601 a second: 400,000 transfers, 600,000 audits
messages     1.23 an operation, 1,234,567 in all

acquired locks             count    share        p50        p99      p99.9        max
retained                       3   75.0 %     812 ns     812 ns     812 ns     812 ns
locally mastered               0        -          -          -          -          -
remotely mastered              1   25.0 %     150 µs     150 µs     150 µs     150 µs

money        conserved: 261120000 before and after
pages        none torn
tokens       none went back
verdict      clean
";
    assert_eq!(render(&summary), table);
}

#[test]
fn everything_wrong_is_said() {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_secs(1), true);
    summary.missing.push("node 2 died: killed by signal 9".to_owned());
    summary.figures.unfinished = 2;
    summary.figures.refused = 1;
    summary.figures.torn = 3;
    summary.figures.tokens_back = 4;
    summary.figures.note("what it was".to_owned());
    let text = render(&summary);
    for line in [
        "for 1.0 s, then interrupted\n",
        "operations   0, 0 a second: 0 transfers, 0 audits\n",
        "messages     - an operation, 0 in all\n",
        "NODE         node 2 died: killed by signal 9; the figures above are without it\n",
        "TASKS        2 tasks did not end in time and had to be abandoned\n",
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
