//! Three nodes, and bytes that decide what happens to them.

use lockmaster_sim::run_guided;

/// Lines of the trace that a failure shows.
const LINES: usize = 80;

/// Runs a simulated cluster in which the bytes decide which frame arrives, is lost or comes again, whose timer fires,
/// what owners ask for and which slots move; the simulator's checkers look at it after every step, and most runs go on
/// until everything has ended.
///
/// # Panics
/// If a checker or the core finds something wrong; the text shows what happened last.
pub fn cluster(data: &[u8]) {
    if run_guided(data, 0).is_err() {
        let failure = run_guided(data, LINES).expect_err("the same bytes give the same run");
        panic!("{failure}");
    }
}
