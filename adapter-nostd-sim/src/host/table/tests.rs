use lockmaster_core::Limits;
use lockmaster_sim::seeds::examine_all;

use super::*;

#[test]
fn a_kind_that_was_on_and_never_happened_is_missed() {
    // Tables of a fixed size may be full, but these are too large for it.
    let options = Options { limits: Some(Limits::uniform(1000)), ..Options::default() };
    let few = examine_all(0..RUNS_MIN - 1, 1, &options).expect("every rule holds");
    assert_eq!(missed(&few, &options), [], "too few seeds to say so");
    let many = examine_all(0..RUNS_MIN, 1, &options).expect("every rule holds");
    assert_eq!(missed(&many, &options), [FaultKind::Tight]);
    let short = Options { steps: 10, ..options };
    assert_eq!(missed(&many, &short), [], "short runs prove nothing");
}

#[test]
fn columns_stand_under_each_other() {
    let rows =
        [Row::new("seeds", grouped(1_234_567)), Row::heading("what"), Row::new("a longer one", grouped(7))];
    let lines = "seeds         1,234,567\n-- what\na longer one          7\n";
    assert_eq!(lay_out(&rows), lines);
}
