//! Messages about views: short ones, pages of maps, reports, and single positions.

extern crate std;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::super::view::{REPORT_HEAD_MAX, REPORT_UNIT_MAX};
use super::super::*;
use super::random::{Random, view_samples};
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
/// Offsets of the one unit of a message that has no more.
const WANTED_AT: usize = 4;
const TOLD_AT: usize = 4 + 4 + 8;

/// A message about a view that owns its pieces.
#[derive(Clone, Debug)]
pub(super) enum ViewSample {
    Short(ViewMessage<'static>),
    Page(PageSample),
    Report(ReportSample),
    Wanted(Box<ReportUnitSample>),
    /// The numbers of the question and of the last position, and what is told.
    Told((u32, Number), Option<Box<ReportUnitSample>>),
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
            Self::Wanted(unit) => frame.push_wanted(&unit.unit()),
            Self::Told((question, number), None) => frame.push_told(*question, *number, None),
            Self::Told((question, number), Some(unit)) => {
                frame.push_told(*question, *number, Some(&unit.unit()))
            }
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
            (Self::Wanted(said), Message::View(ViewMessage::Wanted(units))) => (*units).eq([said.unit()]),
            (Self::Told(numbers, said), Message::View(ViewMessage::Told(told))) => {
                (told.question, told.number) == *numbers && told.units.eq(said.iter().map(|unit| unit.unit()))
            }
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
    let (position, frontier) = (1, SlotId(2));
    let reported = Reported { position, frontier, is_full: true, is_again: false, is_wanted_again: false };
    for (sample, kind, len) in [
        (ViewSample::Short(ViewMessage::Here { known: Epoch(1) }), 21, 4),
        (page(PageKind::Report, 0, &[1, 2]), 22, 20 + 2 * 19),
        (ViewSample::Short(ViewMessage::MapReported(SlotId(1))), 23, 4),
        (page(PageKind::Install, 0, &[1]), 24, 20 + 19),
        (ViewSample::Short(ViewMessage::MapInstalled(SlotId(1))), 25, 4),
        (report(&[]), 26, 29),
        (report(&[longest_unit()]), 26, 29 + 327),
        (ViewSample::Short(ViewMessage::Reported(reported)), 27, 13),
        (wanted(shortest_unit()), 28, 18),
        (wanted(longest_unit()), 28, 327),
        (ask(&[7]), 29, 8),
        (ask(&[7; 64]), 29, 71),
        (told(None), 30, 12),
        (told(Some(shortest_unit())), 30, 12 + 18),
        (told(Some(longest_unit())), 30, 12 + 327),
        (ViewSample::Short(ViewMessage::Parting(Number(1))), 31, 8),
        (ViewSample::Short(ViewMessage::Parted(Number(1))), 32, 8),
    ] {
        let bytes = sample.encoded();
        assert_eq!((bytes[0], bytes.len()), (kind, 4 + len), "{sample:?}");
    }
}

#[test]
fn the_smallest_frame_holds_the_longest_unit() {
    assert_eq!((REPORT_HEAD_MAX, REPORT_UNIT_MAX), (33, 327));
    for (sample, units_at) in [
        (report(&[longest_unit()]), UNITS_AT),
        (wanted(longest_unit()), WANTED_AT),
        (told(Some(longest_unit())), TOLD_AT),
    ] {
        let mut buf = [0; FRAME_LEAST];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        assert!(sample.push_to(&mut frame));
        assert_eq!(frame.finish(), FRAME_HEADER_LEN + units_at + REPORT_UNIT_MAX);
    }
    check_samples(500, 1, |sample, bytes| {
        let most = match sample {
            ViewSample::Report(_) => REPORT_HEAD_MAX + REPORT_UNIT_MAX,
            ViewSample::Wanted(_) => WANTED_AT + REPORT_UNIT_MAX,
            ViewSample::Told(..) => TOLD_AT + REPORT_UNIT_MAX,
            ViewSample::Short(_) => 75,
            ViewSample::Page(_) => return,
        };
        assert!(bytes.len() <= most, "{sample:?}");
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
fn pages_and_units_are_not_written_as_one_piece() {
    for sample in [
        page(PageKind::Report, 0, &[1]),
        page(PageKind::Install, 0, &[1]),
        report(&[]),
        wanted(shortest_unit()),
        told(None),
        told(Some(shortest_unit())),
    ] {
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
    let mut random = Random(47);
    let (mut read, mut units) = ([0; 10], 0);
    for _ in 0..60_000 {
        let kind = random.below(read.len());
        let pieces = random.below(4);
        let len = if [1, 3].contains(&kind) { 20 + RUN_LEN * pieces } else { random.below(120) };
        let mut bytes = vec![21 + u8::try_from(kind).unwrap(), 0, 0, 0];
        bytes.extend(random.bytes(len));
        write_len(&mut bytes);
        let unit_at = [(5, UNITS_AT), (7, WANTED_AT), (9, TOLD_AT)].into_iter().find(|(of, _)| *of == kind);
        if let Some((_, at)) = unit_at.filter(|_| !random.one_in(4)) {
            begin_unit(&mut random, bytes.get_mut(at..).unwrap_or_default());
        }
        if let Ok((message, len)) = decode_message(&bytes) {
            assert_eq!(len, bytes.len());
            let message = message.unwrap();
            super::check_again(&message);
            read[kind] += 1;
            units += usize::from(has_unit(&message));
        }
    }
    assert!(read.iter().all(|read| *read > 10), "some of every kind are read: {read:?}");
    assert!(units > 1000, "units are read: {units}");
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
            // Of units the same bytes are left.
            ViewSample::Wanted(_) | ViewSample::Told(_, Some(_)) => {
                assert_eq!(decoded(&longer), decoded(bytes))
            }
            // There is no unit after which it could stand, and as one it has no name.
            ViewSample::Told(_, None) | ViewSample::Page(_) | ViewSample::Report(_) => {
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
            ViewSample::Short(ViewMessage::Reported(_)) => newer[4 + 12] |= 0xf8,
            ViewSample::Report(report) => {
                newer[BITS_AT] |= 0xfe;
                if let [unit] = &report.units[..] {
                    newer[fields_at(unit, UNITS_AT)] |= 0xf0;
                }
            }
            ViewSample::Wanted(unit) => newer[fields_at(unit, WANTED_AT)] |= 0xf0,
            ViewSample::Told(_, Some(unit)) => newer[fields_at(unit, TOLD_AT)] |= 0xf0,
            ViewSample::Short(_) | ViewSample::Page(_) | ViewSample::Told(_, None) => return,
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
    for (sample, at) in [
        (report(core::slice::from_ref(&unit)), UNITS_AT),
        (wanted(unit.clone()), WANTED_AT),
        (told(Some(unit.clone())), TOLD_AT),
    ] {
        let good = sample.encoded();
        let (name, kind, position) = (at + 2, at + 3 + 64, at + 4 + 64);
        let state = fields_at(&unit, at) + 1 + 16 + 12 + 16;
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
    }
}

#[test]
fn names_that_cannot_be_are_not_written() {
    let unit = longest_unit();
    let long = [1; 300];
    for name in [&long[..0], &long[..65], &long[..]] {
        let mut buf = vec![0; FRAME_MAX];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        let unit = ReportUnit { name, ..unit.unit() };
        assert!(!frame.push_wanted(&unit), "a name of {} bytes", name.len());
        assert!(!frame.push_told(6, Number(7), Some(&unit)), "a name of {} bytes", name.len());
        let ask = ViewMessage::Ask(Ask { question: 6, space: SpaceId(3), name });
        assert!(!frame.push_view(&ask), "a name of {} bytes", name.len());
        assert!(frame.is_empty());
        let mut writer = frame.begin_report(&report_head()).unwrap();
        assert!(!writer.push(&unit), "a name of {} bytes", name.len());
        assert_eq!(writer.used(), REPORT_HEAD_MAX);
    }
}

#[test]
fn a_question_about_a_name_that_cannot_be_is_malformed() {
    let good = ask(&[7; 64]).encoded();
    for (len, is_question) in [(0, false), (1, true), (63, true), (64, true), (65, false), (255, false)] {
        let mut bytes = good.clone();
        bytes[4 + 4 + 2] = len;
        assert_eq!(decode_message(&bytes).is_ok(), is_question, "a name of {len} bytes");
        // Its bytes are there, so it is the length that is refused.
        bytes.extend([7; 255]);
        write_len(&mut bytes);
        assert_eq!(decode_message(&bytes).is_ok(), is_question, "a name of {len} bytes");
    }
}

#[test]
fn of_more_units_than_one_the_first_is_read() {
    let rest = wanted(shortest_unit()).encoded().split_off(WANTED_AT);
    for sample in [wanted(longest_unit()), told(Some(longest_unit()))] {
        let good = sample.encoded();
        let mut bytes = [&good[..], &rest].concat();
        write_len(&mut bytes);
        assert_eq!(decoded(&bytes), decoded(&good));
        assert!(sample.is_said_by(&decoded(&bytes)));
    }
    let mut bytes = [&told(None).encoded()[..], &rest].concat();
    write_len(&mut bytes);
    assert!(told(Some(shortest_unit())).is_said_by(&decoded(&bytes)));
    let mut bytes = wanted(shortest_unit()).encoded();
    bytes.truncate(WANTED_AT);
    write_len(&mut bytes);
    assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "a wish for nothing");
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
        ViewSample::Short(_) | ViewSample::Wanted(_) | ViewSample::Told(_, None) => Vec::new(),
        ViewSample::Told(question, Some(_)) => vec![ViewSample::Told(*question, None)],
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

fn wanted(unit: ReportUnitSample) -> ViewSample {
    ViewSample::Wanted(Box::new(unit))
}

fn ask(name: &'static [u8]) -> ViewSample {
    ViewSample::Short(ViewMessage::Ask(Ask { question: 6, space: SpaceId(3), name }))
}

fn told(unit: Option<ReportUnitSample>) -> ViewSample {
    ViewSample::Told((6, Number(7)), unit.map(Box::new))
}

/// Does a message have a unit?
fn has_unit(message: &Message<'_>) -> bool {
    let Message::View(message) = message else { return false };
    match message {
        ViewMessage::Report(report) => report.units.count() > 0,
        ViewMessage::Wanted(units) => units.count() > 0,
        ViewMessage::Told(told) => told.units.count() > 0,
        ViewMessage::Here { .. }
        | ViewMessage::MapReport(_)
        | ViewMessage::MapReported(_)
        | ViewMessage::MapInstall(_)
        | ViewMessage::MapInstalled(_)
        | ViewMessage::Reported(_)
        | ViewMessage::Ask(_)
        | ViewMessage::Parting(_)
        | ViewMessage::Parted(_) => false,
    }
}

/// Makes bytes begin as a unit could: with a name, a kind, modes and few fields.
fn begin_unit(random: &mut Random, bytes: &mut [u8]) {
    let name = 1 + random.below(8);
    let Some((begin, rest)) = bytes.split_at_mut_checked(3 + name) else { return };
    begin[2] = u8::try_from(name).unwrap();
    if let [kind, _, _, _, _, _, _, _, _, held, wanted, fields, ..] = rest {
        *kind = 1 + u8::try_from(random.below(3)).unwrap();
        (*held, *wanted) = (0xf5, 0x35);
        *fields &= u8::try_from(random.below(256)).unwrap();
    }
}

/// A unit with nothing that one can do without.
fn shortest_unit() -> ReportUnitSample {
    ReportUnitSample {
        space: SpaceId(3),
        name: vec![7],
        position: Position::default(),
        token: Token::NONE,
        ticket: None,
        value: None,
        since: Token::NONE,
    }
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

/// Where a unit that stands at an offset says which fields it has beside its position.
fn fields_at(unit: &ReportUnitSample, at: usize) -> usize {
    let without = ReportUnitSample {
        token: Token::NONE,
        ticket: None,
        value: None,
        since: Token::NONE,
        ..unit.clone()
    };
    let shorter = report(&[without]).encoded().len() - UNITS_AT;
    at + shorter - 1
}
