//! The superloop, the seeds, and what is said of each.

use core::fmt::Write as _;

use lockmaster_core::{ArrayMemory, Limits, Storage as _, Tables};
use lockmaster_sim::{Moving, NODES_MAX, Options, SLOTS_MAX, run_on};

use crate::superloop::{self, Board};

/// The first seed.
pub(crate) const FIRST: u64 = 1;
/// How many seeds are run.
const SEEDS: u64 = 60;

const RECORDS: usize = 48;
const BUCKETS: usize = 128;
const NODES: usize = NODES_MAX as usize;
const SLOTS: usize = SLOTS_MAX as usize;

/// The tables of one node.
type Fixed = ArrayMemory<RECORDS, BUCKETS, SLOTS, { SLOTS * NODES }, NODES>;

/// The same without those of members, which are smaller on the board.
type Records = ArrayMemory<RECORDS, BUCKETS, SLOTS, { SLOTS * NODES }, 0>;

/// Where the nodes of the superloop live.
static mut BOARD: Board = Board::VACANT;

/// The tables of all nodes of the simulator.
static mut TABLES: [Fixed; NODES] = [const { Fixed::VACANT }; NODES];

/// Runs the superloop, says what the records of a node take, then runs the seeds. Tells whether all were sound, with some
/// grants and transfers among what happened.
pub(crate) fn run(first: u64, print: fn(&str)) -> bool {
    // SAFETY: nothing else runs, and this is done once.
    let board = unsafe { (&raw mut BOARD).as_mut() }.expect("a static has a place");
    assert!(superloop::run(board, &mut Printer(print)).is_ok(), "whatever is said is printed");
    let (mut grants, mut transfers) = (0, 0);
    let mut line = Line::default();
    assert!(writeln!(line, "{} bytes of records", size_of::<Records>()).is_ok(), "a line has room");
    print(line.text());
    for seed in first..first + SEEDS {
        let options = Options {
            limits: Some(Limits::uniform(48)),
            moving: Moving::Often,
            lines: 0,
            ..Options::default()
        };
        let mut at = 0;
        let run = run_on(seed, &options, |_, _| {
            at += 1;
            tables(at - 1)
        });
        let mut line = Line::default();
        let written = match run {
            Ok(report) => {
                grants += report.grants;
                transfers += report.moves.done;
                writeln!(
                    line,
                    "seed {seed}: trace {:016x}, {} steps, {} grants, {} transfers",
                    report.trace, report.steps, report.grants, report.moves.done
                )
            }
            Err(failure) => {
                print("unsound: ");
                grants = 0;
                writeln!(line, "seed {seed}: {:?}", failure.rule)
            }
        };
        assert!(written.is_ok(), "a line has room");
        print(line.text());
    }
    grants > 0 && transfers > 0
}

/// The vacant tables of one node.
fn tables(node: usize) -> Tables<'static> {
    assert!(node < NODES, "there are tables for every node");
    // SAFETY: nothing else runs, and a node's tables are asked for once in a run, after whose end nobody has them.
    let tables: &'static mut Fixed = unsafe { &mut *(&raw mut TABLES).cast::<Fixed>().add(node) };
    *tables = Fixed::VACANT;
    tables.tables()
}

/// Prints piece by piece.
struct Printer(fn(&str));

impl core::fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        (self.0)(text);
        Ok(())
    }
}

/// Text without a heap.
#[derive(Default)]
struct Line {
    bytes: Bytes,
    len: usize,
}

struct Bytes([u8; 160]);

impl Default for Bytes {
    fn default() -> Self {
        Self([0; 160])
    }
}

impl Line {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes.0[..self.len]).unwrap_or("?")
    }
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.0.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
