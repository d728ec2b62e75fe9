//! Value blocks: the cases V1 to V17, among the owners of one node and between two nodes.
//!
//! V18 is about VMS's blocks of two sizes and has no counterpart here. Where the table speaks of the caller's
//! buffer: an owner keeps its own, and takes the block that its node offers after a grant only where the table
//! says so. So what is checked is what is offered there, and what a later reader gets.

use Mode::{ConcurrentRead, ConcurrentWrite, Exclusive, Null, ProtectedRead, ProtectedWrite};
use lockmaster_core::{
    Cancelled, ConvertError, Flags, LockId, Mode, NodeId, Retention, Value, ValueState, ValueWrite,
};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, MASTER};

const OLD: &[u8] = b"old";
const MINE: &[u8] = b"mine";

/// Who writes and who reads in a case, and where the resource is mastered.
#[derive(Clone, Copy, Debug)]
struct Cast {
    writer: NodeId,
    reader: NodeId,
}

/// Everybody on the master's node; a writer elsewhere; a reader elsewhere; both elsewhere.
const CASTS: [Cast; 5] = [
    Cast { writer: MASTER, reader: MASTER },
    Cast { writer: ANNA, reader: MASTER },
    Cast { writer: MASTER, reader: BERT },
    Cast { writer: ANNA, reader: BERT },
    Cast { writer: ANNA, reader: ANNA },
];

const RETENTIONS: [Retention; 2] = [Retention::Never, Retention::UntilDemanded];

fn valid(bytes: &[u8]) -> ValueState {
    ValueState::Valid(Value::new(bytes).expect("the value is short"))
}

fn invalid(bytes: &[u8]) -> ValueState {
    ValueState::Invalid(Value::new(bytes).expect("the value is short"))
}

fn set(bytes: &[u8]) -> ValueWrite {
    ValueWrite::Set(Value::new(bytes).expect("the value is short"))
}

/// A resource whose block is `old`, kept alive by somebody at NL.
struct Stage {
    cluster: Cluster,
    cast: Cast,
}

impl Stage {
    fn new(cast: Cast, retention: Retention) -> Self {
        let mut cluster = Cluster::trio(retention);
        cluster.lock(MASTER, Null, Flags::NONE);
        let first = cluster.lock(BERT, Exclusive, Flags::VALUE);
        cluster.release_with(BERT, first, set(OLD));
        cluster.run();
        Self { cluster, cast }
    }

    /// The writer gets a lock with the block.
    fn lock(&mut self, mode: Mode) -> LockId {
        self.cluster.lock(self.cast.writer, mode, Flags::VALUE)
    }

    fn convert(&mut self, lock: LockId, mode: Mode, write: ValueWrite) {
        self.convert_with(lock, mode, Flags::VALUE, write);
    }

    fn convert_with(&mut self, lock: LockId, mode: Mode, flags: Flags, write: ValueWrite) {
        let converted = self.cluster.convert(self.cast.writer, lock, mode, flags, write);
        assert!(converted.is_ok(), "the conversion is taken: {converted:?}");
        self.cluster.run();
        assert_eq!(self.cluster.mode(self.cast.writer, lock), Some(mode), "the conversion is granted");
    }

    fn release(&mut self, lock: LockId, write: ValueWrite) {
        self.cluster.release_with(self.cast.writer, lock, write);
        self.cluster.run();
    }

    /// What the writer is offered.
    fn offered(&mut self, lock: LockId) -> ValueState {
        self.cluster.value(self.cast.writer, lock)
    }

    /// What a reader gets in a mode that is compatible with what is held.
    fn read(&mut self, mode: Mode) -> ValueState {
        let lock = self.cluster.lock(self.cast.reader, mode, Flags::VALUE);
        let value = self.cluster.value(self.cast.reader, lock);
        self.cluster.release(self.cast.reader, lock);
        self.cluster.run();
        value
    }
}

/// Plays a case with every cast, with and without retention.
fn play(case: impl Fn(Stage)) {
    for cast in CASTS {
        for retention in RETENTIONS {
            case(Stage::new(cast, retention));
        }
    }
}

/// The strongest mode in which somebody can read beside a holder.
fn reader_beside(mode: Mode) -> Mode {
    Mode::ALL.into_iter().rev().find(|other| mode.is_compatible(*other)).expect("NL always is")
}

#[test]
fn v1_a_new_lock_reads() {
    for mode in Mode::ALL {
        play(|mut stage| {
            let lock = stage.lock(mode);
            assert_eq!(stage.offered(lock), valid(OLD));
            stage.release(lock, ValueWrite::Keep);
            assert_eq!(stage.read(ProtectedRead), valid(OLD));
        });
    }
}

#[test]
fn v2_from_nl_every_conversion_reads() {
    for mode in Mode::ALL {
        play(|mut stage| {
            let lock = stage.lock(Null);
            stage.convert(lock, mode, set(MINE));
            assert_eq!(stage.offered(lock), valid(OLD));
            assert_eq!(stage.read(reader_beside(mode)), valid(OLD));
        });
    }
}

#[test]
fn v3_below_pw_lowering_changes_nothing() {
    let lowered = [
        (ConcurrentRead, Null),
        (ConcurrentWrite, Null),
        (ConcurrentWrite, ConcurrentRead),
        (ProtectedRead, Null),
        (ProtectedRead, ConcurrentRead),
        (ProtectedRead, ConcurrentWrite),
    ];
    for (from, to) in lowered {
        play(|mut stage| {
            let lock = stage.lock(from);
            stage.convert(lock, to, set(MINE));
            assert_eq!(stage.read(reader_beside(to)), valid(OLD));
        });
    }
}

#[test]
fn v4_below_pw_rising_reads() {
    let raised = [
        (ConcurrentRead, ConcurrentRead),
        (ConcurrentRead, ConcurrentWrite),
        (ConcurrentRead, ProtectedRead),
        (ConcurrentRead, ProtectedWrite),
        (ConcurrentRead, Exclusive),
        (ConcurrentWrite, ConcurrentWrite),
        (ConcurrentWrite, ProtectedRead),
        (ConcurrentWrite, ProtectedWrite),
        (ConcurrentWrite, Exclusive),
        (ProtectedRead, ProtectedRead),
        (ProtectedRead, ProtectedWrite),
        (ProtectedRead, Exclusive),
    ];
    for (from, to) in raised {
        play(|mut stage| {
            let lock = stage.lock(from);
            stage.convert(lock, to, set(MINE));
            assert_eq!(stage.offered(lock), valid(OLD));
            assert_eq!(stage.read(reader_beside(to)), valid(OLD));
        });
    }
}

#[test]
fn v5_from_pw_down_to_itself_writes() {
    for mode in [Null, ConcurrentRead, ConcurrentWrite, ProtectedRead, ProtectedWrite] {
        play(|mut stage| {
            let lock = stage.lock(ProtectedWrite);
            stage.convert(lock, mode, set(MINE));
            assert_eq!(stage.read(reader_beside(mode)), valid(MINE));
        });
    }
}

#[test]
fn v6_from_pw_to_ex_reads_and_an_unsaved_edit_is_lost() {
    play(|mut stage| {
        let lock = stage.lock(ProtectedWrite);
        stage.convert(lock, Exclusive, set(MINE));
        assert_eq!(stage.offered(lock), valid(OLD));
        stage.release(lock, ValueWrite::Keep);
        assert_eq!(stage.read(ProtectedRead), valid(OLD));
    });
}

#[test]
fn v7_from_ex_every_conversion_writes() {
    for mode in Mode::ALL {
        play(|mut stage| {
            let lock = stage.lock(Exclusive);
            stage.convert(lock, mode, set(MINE));
            assert_eq!(stage.read(reader_beside(mode)), valid(MINE));
        });
    }
}

#[test]
fn v8_a_release_from_pw_or_ex_writes() {
    for mode in [ProtectedWrite, Exclusive] {
        play(|mut stage| {
            let lock = stage.lock(mode);
            stage.release(lock, set(MINE));
            for mode in Mode::ALL {
                assert_eq!(stage.read(mode), valid(MINE));
            }
        });
    }
}

#[test]
fn v9_a_release_from_less_does_not() {
    for mode in [Null, ConcurrentRead, ConcurrentWrite, ProtectedRead] {
        play(|mut stage| {
            let lock = stage.lock(mode);
            stage.release(lock, set(MINE));
            assert_eq!(stage.read(ProtectedRead), valid(OLD));
        });
    }
}

#[test]
fn v10_an_owner_that_gives_no_block_leaves_it() {
    for mode in [ProtectedWrite, Exclusive] {
        play(|mut stage| {
            let lock = stage.cluster.lock(stage.cast.writer, mode, Flags::NONE);
            stage.convert_with(lock, ConcurrentRead, Flags::NONE, ValueWrite::Keep);
            assert_eq!(stage.read(ProtectedRead), valid(OLD));
        });
    }
}

#[test]
fn v11_to_v14_a_block_marked_invalid_stays_so_until_somebody_writes() {
    for mode in [ProtectedWrite, Exclusive] {
        play(|mut stage| {
            let lock = stage.lock(mode);
            stage.convert(lock, Null, ValueWrite::Invalidate);
            assert_eq!(stage.read(ProtectedRead), invalid(OLD));
            assert_eq!(stage.read(ConcurrentRead), invalid(OLD));
            stage.convert(lock, mode, ValueWrite::Keep);
            assert_eq!(stage.offered(lock), invalid(OLD));
            stage.convert(lock, Null, set(MINE));
            assert_eq!(stage.read(ProtectedRead), valid(MINE));
        });
    }
}

#[test]
fn v12_a_release_can_mark_it_too() {
    for mode in [ProtectedWrite, Exclusive] {
        play(|mut stage| {
            let lock = stage.lock(mode);
            stage.release(lock, ValueWrite::Invalidate);
            assert_eq!(stage.read(ProtectedRead), invalid(OLD));
            assert_eq!(stage.read(ProtectedRead), invalid(OLD));
        });
    }
}

#[test]
fn v15_a_cancelled_conversion_transfers_nothing() {
    play(|mut stage| {
        let other = stage.cluster.lock(stage.cast.reader, ProtectedRead, Flags::NONE);
        let lock = stage.lock(ProtectedRead);
        let writer = stage.cast.writer;
        let converted = stage.cluster.convert(writer, lock, Exclusive, Flags::VALUE, set(MINE));
        assert_eq!(converted, Ok(None));
        stage.cluster.run();
        assert_eq!(stage.cluster.cancel(writer, lock), Cancelled::Conversion);
        stage.cluster.run();
        assert_eq!(stage.cluster.mode(writer, lock), Some(ProtectedRead));
        stage.cluster.release(stage.cast.reader, other);
        assert_eq!(stage.read(ProtectedRead), valid(OLD));
    });
}

#[test]
fn v16_a_refused_conversion_transfers_nothing() {
    play(|mut stage| {
        let writer = stage.cast.writer;
        let lock = stage.lock(ProtectedWrite);
        stage.cluster.lock(stage.cast.reader, ConcurrentRead, Flags::NONE);
        let flags = Flags::VALUE | Flags::NO_QUEUE;
        let converted = stage.cluster.convert(writer, lock, Exclusive, flags, set(MINE));
        assert!(matches!(converted, Ok(None) | Err(ConvertError::Busy)), "{converted:?}");
        stage.cluster.run();
        assert_eq!(stage.cluster.mode(writer, lock), Some(ProtectedWrite));
        stage.release(lock, ValueWrite::Keep);
        assert_eq!(stage.read(ProtectedRead), valid(OLD));
    });
}

#[test]
fn v17_the_block_goes_with_the_last_lock() {
    for cast in CASTS {
        let mut cluster = Cluster::trio(Retention::Never);
        let writer = cluster.lock(cast.writer, Exclusive, Flags::VALUE);
        cluster.release_with(cast.writer, writer, set(MINE));
        cluster.run();
        assert!(!cluster.look(MASTER).is_known, "the resource is gone");
        let mut stage = Stage { cluster, cast };
        assert_eq!(stage.read(ProtectedRead), ValueState::Absent);
        let keeper = stage.lock(Null);
        let writer = stage.lock(Exclusive);
        stage.release(writer, set(MINE));
        assert_eq!(stage.read(ProtectedRead), valid(MINE));
        stage.release(keeper, ValueWrite::Keep);
        assert_eq!(stage.read(ProtectedRead), ValueState::Absent);
    }
}
