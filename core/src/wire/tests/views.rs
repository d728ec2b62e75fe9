//! Messages about views: short ones, pages of maps, and reports.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::super::view::{REPORT_HEAD_MAX, REPORT_UNIT_MAX};
use super::super::*;
use super::random::view_samples;
use super::{check_each_byte_wrong, decoded, encoded_view, example_header, push_view, token, write_len};
use crate::flags::Flags;
use crate::id::{DemandId, Epoch, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId, SpaceId, Token};
use crate::mode::Mode;
use crate::transfer::Room;
use crate::value::{Value, ValueCopy, ValueState};
use crate::view::Claimed;

/// Bytes of a page before its runs, and of each run.
const RUNS_AT: usize = 4 + 20;
const RUN_LEN: usize = 19;
/// Offsets in a report: after the header of a message.
const POSITION_AT: usize = 4 + 4;
const END_AT: usize = POSITION_AT + 8;
const BITS_AT: usize = END_AT + 8 + 8;
const UNITS_AT: usize = BITS_AT + 1;

/// A message about a view that owns its pieces.
#[derive(Clone, Debug)]
pub(super) enum ViewSample {
    Short(ViewMessage<'static>),
    Page(PageSample),
    Report(ReportSample),
}

#[derive(Clone, Debug)]
pub(super) struct PageSample {
    pub(super) kind: PageKind,
    pub(super) first: SlotId,
    pub(super) room: Room,
    pub(super) runs: Vec<MapRun>,
}

#[derive(Clone, Debug)]
pub(super) struct ReportSample {
    pub(super) head: ReportHead,
    pub(super) end: u64,
    pub(super) is_last: bool,
    pub(super) units: Vec<ReportUnitSample>,
}

#[derive(Clone, Debug)]
pub(super) struct ReportUnitSample {
    pub(super) space: SpaceId,
    pub(super) name: Vec<u8>,
    pub(super) position: Position,
    pub(super) token: Token,
    pub(super) ticket: Option<QueueTicket>,
    pub(super) value: Option<ValueCopy>,
    pub(super) since: Token,
}

impl ReportUnitSample {
    pub(super) fn unit(&self) -> ReportUnit<'_> {
        let Self { space, name, position, token, ticket, value, since } = self;
        let (token, ticket, value, since) = (*token, *ticket, *value, *since);
        ReportUnit { space: *space, name, position: *position, token, ticket, value, since }
    }
}

impl PageSample {
    fn slots(&self) -> u32 {
        self.runs.iter().map(|run| run.len).sum()
    }

    fn push_to(&self, frame: &mut FrameWriter<'_>, most: usize) -> Option<u32> {
        frame.push_page(self.kind, self.first, self.room, self.runs.iter().copied(), most)
    }

    fn is_said_by(&self, kind: PageKind, page: &MapPage<'_>) -> bool {
        (self.kind, self.first, self.room) == (kind, page.first, page.room)
            && page.runs.eq(self.runs.iter().copied())
    }
}

impl ReportSample {
    /// Appends the whole report; `false` if it does not fit.
    fn push_to(&self, frame: &mut FrameWriter<'_>) -> bool {
        let Some(mut report) = frame.begin_report(&self.head) else { return false };
        if !self.units.iter().all(|unit| report.push(&unit.unit())) {
            return false;
        }
        report.finish(self.end, self.is_last);
        true
    }

    fn is_said_by(&self, report: &Report<'_>) -> bool {
        (self.head, self.end, self.is_last) == (report.head, report.end, report.is_last)
            && report.units.eq(self.units.iter().map(ReportUnitSample::unit))
    }
}

impl ViewSample {
    /// Appends the whole message; `false` if it does not fit.
    fn push_to(&self, frame: &mut FrameWriter<'_>) -> bool {
        match self {
            Self::Short(message) => frame.push_view(message),
            Self::Page(page) => page.push_to(frame, FRAME_MAX) == Some(page.slots()),
            Self::Report(report) => report.push_to(frame),
        }
    }

    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut buf = vec![0; FRAME_MAX];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        assert!(self.push_to(&mut frame), "{self:?}");
        let len = frame.finish();
        buf[FRAME_HEADER_LEN..len].to_vec()
    }

    /// Is this what the message says?
    pub(super) fn is_said_by(&self, message: &Message<'_>) -> bool {
        match (self, message) {
            (Self::Short(said), Message::View(message)) => said == message,
            (Self::Page(said), Message::View(ViewMessage::MapReport(page))) => {
                said.is_said_by(PageKind::Report, page)
            }
            (Self::Page(said), Message::View(ViewMessage::MapInstall(page))) => {
                said.is_said_by(PageKind::Install, page)
            }
            (Self::Report(said), Message::View(ViewMessage::Report(report))) => said.is_said_by(report),
            _ => false,
        }
    }
}

#[test]
fn messages_come_back_as_they_went() {
    check_samples(2000, 6, |sample, bytes| {
        let message = decoded(bytes);
        assert!(sample.is_said_by(&message), "{sample:?}, {message:?}");
    });
}

#[test]
fn each_kind_has_its_number_and_its_length() {
    let reported = Reported { position: 1, frontier: SlotId(2), is_full: true, is_again: false };
    for (sample, kind, len) in [
        (ViewSample::Short(ViewMessage::Here { known: Epoch(1) }), 21, 4),
        (page(PageKind::Report, 0, &[1, 2]), 22, 20 + 2 * 19),
        (ViewSample::Short(ViewMessage::MapReported(SlotId(1))), 23, 4),
        (page(PageKind::Install, 0, &[1]), 24, 20 + 19),
        (ViewSample::Short(ViewMessage::MapInstalled(SlotId(1))), 25, 4),
        (report(&[]), 26, 29),
        (report(&[longest_unit()]), 26, 29 + 327),
        (ViewSample::Short(ViewMessage::Reported(reported)), 27, 13),
    ] {
        let bytes = sample.encoded();
        assert_eq!((bytes[0], bytes.len()), (kind, 4 + len), "{sample:?}");
    }
}

#[test]
fn the_smallest_frame_holds_the_longest_unit() {
    assert_eq!((REPORT_HEAD_MAX, REPORT_UNIT_MAX), (33, 327));
    let mut buf = [0; FRAME_LEAST];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    assert!(report(&[longest_unit()]).push_to(&mut frame));
    assert_eq!(frame.finish(), FRAME_HEADER_LEN + REPORT_HEAD_MAX + REPORT_UNIT_MAX);
    check_samples(500, 1, |sample, bytes| {
        if let ViewSample::Report(_) = sample {
            assert!(bytes.len() <= REPORT_HEAD_MAX + REPORT_UNIT_MAX);
        }
    });
}

#[test]
fn a_message_that_does_not_fit_is_not_written() {
    check_samples(200, 4, |sample, bytes| {
        for len in 0..bytes.len() {
            let mut buf = vec![0xa5; FRAME_HEADER_LEN + bytes.len()];
            let mut frame = FrameWriter::new(example_header(), &mut buf[..FRAME_HEADER_LEN + len]);
            let is_whole = sample.push_to(&mut frame);
            assert!(!is_whole);
            // Of a page a part may have been written.
            assert!(frame.is_empty() || matches!(sample, ViewSample::Page(_)));
            assert!(buf[FRAME_HEADER_LEN + len..].iter().all(|byte| *byte == 0xa5), "nothing beyond it");
            if let ViewSample::Short(message) = sample {
                assert_eq!(encode_view(message, &mut vec![0; len]), None);
            }
        }
    });
}

#[test]
fn a_page_has_as_many_runs_as_fit() {
    let ViewSample::Page(page) = page(PageKind::Install, 7, &[3, 1, 5]) else { panic!("it is a page") };
    for (most, slots) in [
        (0, None),
        (RUNS_AT + RUN_LEN - 1, None),
        (RUNS_AT + RUN_LEN, Some(3)),
        (RUNS_AT + 2 * RUN_LEN - 1, Some(3)),
        (RUNS_AT + 2 * RUN_LEN, Some(4)),
        (RUNS_AT + 3 * RUN_LEN, Some(9)),
        (FRAME_MAX, Some(9)),
    ] {
        let mut buf = vec![0; FRAME_MAX];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        assert_eq!(page.push_to(&mut frame, most), slots, "in {most} bytes");
        let len = frame.finish();
        let Some(slots) = slots else {
            assert_eq!(len, 0);
            continue;
        };
        let Message::View(ViewMessage::MapInstall(read)) = decoded(&buf[FRAME_HEADER_LEN..len]) else {
            panic!("no page was written");
        };
        assert_eq!(read.runs.map(|run| run.len).sum::<u32>(), slots);
        assert!(page.runs.starts_with(&read.runs.collect::<Vec<_>>()));
    }
}

#[test]
fn pages_and_reports_are_not_written_as_one_piece() {
    for sample in [page(PageKind::Report, 0, &[1]), page(PageKind::Install, 0, &[1]), report(&[])] {
        let bytes = sample.encoded();
        let Message::View(message) = decoded(&bytes) else { panic!("it is about a view") };
        assert_eq!(encode_view(&message, &mut [0; FRAME_LEAST]), None);
        assert_eq!(encoded_view(&message), bytes, "but piece by piece");
    }
}

#[test]
fn a_part_of_a_message_is_no_message() {
    check_samples(200, 3, |_, bytes| {
        for len in 0..bytes.len() {
            assert_eq!(decode_message(&bytes[..len]), Err(DecodeError::Truncated));
        }
    });
}

#[test]
fn a_message_too_short_for_its_kind_is_malformed() {
    check_samples(200, 3, |sample, bytes| {
        let wholes = shorter_wholes(sample);
        for len in 4..bytes.len() {
            let mut short = bytes[..len].to_vec();
            write_len(&mut short);
            match wholes.iter().find(|(end, _)| *end == len) {
                None => assert_eq!(decode_message(&short), Err(DecodeError::Malformed), "{len} bytes"),
                Some((_, whole)) => assert!(whole.is_said_by(&decoded(&short)), "{len} bytes"),
            }
        }
    });
}

#[test]
fn any_byte_may_be_wrong() {
    check_samples(100, 2, |sample, bytes| {
        if bytes.len() < 500 {
            check_each_byte_wrong(bytes);
        }
        assert!(sample.is_said_by(&decoded(bytes)));
    });
}

#[test]
fn random_bytes_of_any_kind_are_read_or_refused() {
    let mut random = super::random::Random(47);
    let mut read = [0; 7];
    for _ in 0..40_000 {
        let kind = random.below(7);
        let pieces = random.below(4);
        let len = if [1, 3].contains(&kind) { 20 + RUN_LEN * pieces } else { random.below(120) };
        let mut bytes = vec![21 + u8::try_from(kind).unwrap(), 0, 0, 0];
        bytes.extend(random.bytes(len));
        write_len(&mut bytes);
        if let Ok((message, len)) = decode_message(&bytes) {
            assert_eq!(len, bytes.len());
            super::check_again(&message.unwrap());
            read[kind] += 1;
        }
    }
    assert!(read.iter().all(|read| *read > 10), "some of every kind are read: {read:?}");
}

#[test]
fn fields_of_a_newer_version_are_passed_over_where_they_can_be() {
    check_samples(500, 3, |sample, bytes| {
        let mut longer = bytes.to_vec();
        longer[1] = 0xff;
        longer.extend([0, 0, 0, 4, 5]);
        write_len(&mut longer);
        match sample {
            ViewSample::Short(message) => assert_eq!(decoded(&longer), Message::View(*message)),
            ViewSample::Page(_) | ViewSample::Report(_) => {
                assert_eq!(decode_message(&longer), Err(DecodeError::Malformed), "{sample:?}");
            }
        }
    });
}

#[test]
fn bits_of_a_newer_version_are_ignored() {
    check_samples(500, 1, |sample, bytes| {
        let mut newer = bytes.to_vec();
        match sample {
            ViewSample::Short(ViewMessage::Reported(_)) => newer[4 + 12] |= 0xfc,
            ViewSample::Report(report) => {
                newer[BITS_AT] |= 0xfe;
                if let [unit] = &report.units[..] {
                    newer[fields_at(unit, bytes)] |= 0xf0;
                }
            }
            ViewSample::Short(_) | ViewSample::Page(_) => return,
        }
        assert_ne!(newer, bytes);
        assert!(sample.is_said_by(&decoded(&newer)), "{sample:?}");
    });
}

#[test]
fn a_page_has_runs_of_slots_that_have_numbers() {
    let last = u32::MAX;
    for (first, lens, is_page) in [
        (0, &[][..], false),
        (7, &[0], false),
        (7, &[1, 0], false),
        (7, &[0, 1], false),
        (0, &[last], true),
        (0, &[last, 1], false),
        (1, &[last - 1], true),
        (1, &[last], false),
        (last - 1, &[1], true),
        (last, &[1], false),
        (0, &[last, last, last], false),
        (last, &[last, last], false),
    ] {
        let mut bytes = page(PageKind::Report, 0, &vec![1; lens.len().max(1)]).encoded();
        bytes.truncate(RUNS_AT + lens.len() * RUN_LEN);
        write_len(&mut bytes);
        bytes[4..8].copy_from_slice(&first.to_le_bytes());
        for (at, len) in lens.iter().enumerate() {
            let at = RUNS_AT + at * RUN_LEN;
            bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
        assert_eq!(decode_message(&bytes).is_ok(), is_page, "{lens:?} slots from {first} on");

        let ViewSample::Page(page) = page(PageKind::Report, first, lens) else { panic!("it is a page") };
        let mut buf = vec![0; FRAME_LEAST];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        let written = page.push_to(&mut frame, FRAME_MAX);
        if is_page {
            assert_eq!(written, Some(page.slots()), "{lens:?} slots from {first} on");
        } else {
            assert_eq!(written, lens.first().copied().filter(|len| is_run(first, *len)), "{lens:?}");
        }
        let len = frame.finish();
        assert_eq!(len > 0, written.is_some());
        assert!(len == 0 || Messages::new(&buf[..len]).is_ok(), "what is written can be read");
    }
}

#[test]
fn claims_that_are_not_known_are_malformed() {
    let good = page(PageKind::Report, 0, &[1]).encoded();
    for (number, claim) in [(0, Claimed::Neither), (1, Claimed::Mine), (2, Claimed::Moving)] {
        let mut bytes = good.clone();
        bytes[RUNS_AT + 4] = number;
        let Message::View(ViewMessage::MapReport(page)) = decoded(&bytes) else { panic!("it is a page") };
        assert!(page.runs.map(|run| run.claim).eq([claim]));
    }
    for number in 3..=u8::MAX {
        let mut bytes = good.clone();
        bytes[RUNS_AT + 4] = number;
        assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "claim {number}");
    }
}

#[test]
fn a_report_takes_at_least_a_step() {
    for (position, end, is_report) in [
        (0, 0, false),
        (0, 1, true),
        (7, 7, false),
        (7, 6, false),
        (7, 0, false),
        (7, u64::MAX, true),
        (u64::MAX, u64::MAX, false),
        (u64::MAX, 0, false),
        (u64::MAX - 1, u64::MAX, true),
    ] {
        let mut bytes = report(&[longest_unit()]).encoded();
        bytes[POSITION_AT..END_AT].copy_from_slice(&position.to_le_bytes());
        bytes[END_AT..END_AT + 8].copy_from_slice(&end.to_le_bytes());
        assert_eq!(decode_message(&bytes).is_ok(), is_report, "steps {position} to {end}");
    }
}

#[test]
fn values_of_a_unit_that_cannot_be_are_malformed() {
    let unit = longest_unit();
    let good = report(core::slice::from_ref(&unit)).encoded();
    let fields = fields_at(&unit, &good);
    let (name, kind, position) = (UNITS_AT + 2, UNITS_AT + 3 + 64, UNITS_AT + 4 + 64);
    let state = fields + 1 + 16 + 12 + 16;
    for (at, wrong) in [
        (name, 0),
        (name, 65),
        (name, 255),
        (kind, 0),
        (kind, 4),
        (kind, 10),
        (kind, 255),
        (position + 8, 0x6f),
        (position + 9, 0x0e),
        (state, 3),
        (state, 255),
        (state + 1, 65),
        (state + 1, 255),
    ] {
        let mut bytes = good.clone();
        bytes[at] = wrong;
        assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "{wrong} at {at}");
    }
    let long = [1; 300];
    for name in [&long[..0], &long[..65], &long[..]] {
        let mut buf = vec![0; FRAME_MAX];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        let mut writer = frame.begin_report(&report_head()).unwrap();
        assert!(!writer.push(&ReportUnit { name, ..unit.unit() }), "a name of {} bytes", name.len());
        assert_eq!(writer.used(), REPORT_HEAD_MAX);
    }
}

#[test]
fn a_report_that_is_given_up_leaves_no_traces() {
    let mut buf = vec![0; FRAME_LEAST];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    let here = ViewMessage::Here { known: Epoch(3) };
    assert!(frame.push_view(&here));
    let mut writer = frame.begin_report(&report_head()).unwrap();
    assert!(writer.push(&longest_unit().unit()));
    let _unfinished = writer;
    assert!(push_view(&mut frame, &here));
    let len = frame.finish();
    let (_, messages) = Messages::new(&buf[..len]).unwrap();
    assert!(messages.eq([Message::View(here); 2]));
}

// What the tests above are made of.

/// Encodes samples of all kinds and hands each to `check` with its bytes.
fn check_samples(count: usize, pieces: usize, check: impl Fn(&ViewSample, &[u8])) {
    for sample in view_samples(count, pieces) {
        check(&sample, &sample.encoded());
    }
}

/// The same messages with fewer of their pieces, which are messages, too, and their lengths.
fn shorter_wholes(sample: &ViewSample) -> Vec<(usize, ViewSample)> {
    let shorter: Vec<_> = match sample {
        ViewSample::Short(_) => Vec::new(),
        ViewSample::Page(page) => {
            let cut = |runs| PageSample { runs: page.runs[..runs].to_vec(), ..page.clone() };
            (1..page.runs.len()).map(|runs| ViewSample::Page(cut(runs))).collect()
        }
        ViewSample::Report(report) => {
            let cut = |units| ReportSample { units: report.units[..units].to_vec(), ..report.clone() };
            (0..report.units.len()).map(|units| ViewSample::Report(cut(units))).collect()
        }
    };
    shorter.into_iter().map(|whole| (whole.encoded().len(), whole)).collect()
}

fn page(kind: PageKind, first: u32, lens: &[u32]) -> ViewSample {
    let run = |(at, len): (u16, u32)| MapRun {
        len,
        claim: Claimed::Neither,
        master: Some(NodeId(at)),
        version: MapVersion { epoch: Epoch(2), count: 5 },
    };
    let runs = (1..).zip(lens.iter().copied()).map(run).collect();
    ViewSample::Page(PageSample { kind, first: SlotId(first), room: Room::NONE, runs })
}

/// Are there as many slots from this one on?
const fn is_run(first: u32, len: u32) -> bool {
    len > 0 && first.checked_add(len).is_some()
}

const fn report_head() -> ReportHead {
    ReportHead { slot: SlotId(1), position: 2, number: Number(3) }
}

fn report(units: &[ReportUnitSample]) -> ViewSample {
    ViewSample::Report(ReportSample { head: report_head(), end: 4, is_last: true, units: units.to_vec() })
}

/// A unit with everything that one can have.
fn longest_unit() -> ReportUnitSample {
    let value = Value::new(&[7; 64]).unwrap();
    ReportUnitSample {
        space: SpaceId(3),
        name: vec![7; 64],
        position: Position {
            kind: PositionKind::Request,
            number: Number(5),
            asked: Number(4),
            held: Some(Mode::ProtectedRead),
            pinned: Some(Mode::ConcurrentRead),
            wanted: Some(Mode::Exclusive),
            flags: Flags::VALUE,
            priority: Priority(1),
            patience_ms: 1,
            hits: 1,
            copy: token(1),
            answers: DemandId(1),
            write: Some(Write { version: token(2), value: Some(value) }),
        },
        token: token(3),
        ticket: Some(QueueTicket { epoch: Epoch(2), count: 6 }),
        value: Some(ValueCopy { version: token(4), state: ValueState::Valid(value) }),
        since: token(5),
    }
}

/// Where the only unit of a report says which fields it has beside its position.
fn fields_at(unit: &ReportUnitSample, bytes: &[u8]) -> usize {
    let without = ReportUnitSample {
        token: Token::NONE,
        ticket: None,
        value: None,
        since: Token::NONE,
        ..unit.clone()
    };
    let shorter = report(&[without]).encoded().len();
    assert!(shorter <= bytes.len());
    shorter - 1
}
