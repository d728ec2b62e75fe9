use core::pin::pin;
use core::task::{Context, Poll, Waker};

use lockmaster_core::wire::FRAME_MAX;

use super::super::tests::{Authority, Line, ONE, TWO, both, draw, handshake, secured};
use super::super::{Identity, Secured};
use super::*;
use crate::FailedHandshakes;
use crate::connection::Side;
use crate::handshake::Failed;
use crate::tls::shake_hands;

/// What is sent: no two places alike.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1;
    (0..len).map(|_| draw(&mut state).to_le_bytes()[0]).collect()
}

/// Writes all of these.
async fn write(sealing: &mut Sealing, writer: &Arc<Line>, bytes: &[u8]) -> bool {
    let mut start = 0;
    loop {
        match sealing.write(writer, bytes, &mut start) {
            Written::All => return true,
            Written::Broken => return false,
            Written::Part => writer.writable().await.unwrap(),
        }
    }
}

/// Reads as many bytes as this, or until the end, or until something is wrong.
async fn read(opening: &mut Opening, line: &Arc<Line>, len: usize) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut reader) = (Vec::new(), Arc::clone(line));
    while all.len() < len {
        let mut room = vec![0; 2 * FRAME_MAX];
        match opening.read(&mut reader, &mut room).await {
            Ok(0) => break,
            Ok(opened) => all.extend_from_slice(&room[..opened]),
            Err(error) => return (all, Err(error)),
        }
    }
    (all, Ok(()))
}

/// Sends from one side to the other; gives what came out there.
fn sent(from: &mut Secured, to: &mut Secured, lines: &[Arc<Line>; 2], at: usize, what: &[u8]) -> Vec<u8> {
    let line = &lines[at];
    let ends = both(write(&mut from.sealing, line, what), read(&mut to.opening, line, what.len()), lines);
    let (Some(true), Some((came, Ok(())))) = ends else { panic!("{ends:?}") };
    came
}

#[test]
fn everything_comes_out_as_it_went_in_however_slow_the_socket_is() {
    for (step, room) in [(1, 8), (1, 64), (3, 100), (4096, 5000), (usize::MAX, usize::MAX)] {
        let lines = [Line::new(step, room), Line::new(step, room)];
        let (mut one, mut two) = secured(&lines);
        for len in [1, 48, 512, 16_384, 16_385, FRAME_MAX, 36] {
            let what = bytes(len);
            assert!(sent(&mut one, &mut two, &lines, 0, &what) == what, "{step} {room} {len}");
            assert!(sent(&mut two, &mut one, &lines, 1, &what) == what, "{step} {room} {len}");
        }
    }
}

#[test]
fn nothing_can_be_read_on_the_way_and_nothing_is_sent_twice_alike() {
    let lines = [Line::wide(), Line::wide()];
    let (mut one, _two) = secured(&lines);
    let mut start = 0;
    assert_eq!(one.sealing.write(&lines[0], &[7; 1000], &mut start), Written::All);
    let first: Vec<u8> = lines[0].flow.lock().unwrap().bytes.drain(..).collect();
    assert_eq!(one.sealing.write(&lines[0], &[7; 1000], &mut 0), Written::All);
    let second: Vec<u8> = lines[0].flow.lock().unwrap().bytes.drain(..).collect();
    assert!(first.len() > 1000 && first.windows(4).all(|four| four != [7; 4]));
    assert_ne!(first, second);
}

#[test]
fn what_waits_for_a_full_socket_is_bounded_and_comes_first() {
    let lines = [Line::new(usize::MAX, 4096), Line::wide()];
    let (mut one, mut two) = secured(&lines);
    let (what, mut start) = (bytes(FRAME_MAX), 0);
    for _ in 0..3 {
        assert_eq!(one.sealing.write(&lines[0], &what, &mut start), Written::Part);
        assert_eq!(start, SEAL, "no more is sealed before the first has left");
        assert!(!one.sealing.is_empty());
        assert!(one.sealing.sealed.len() < SEAL + 256);
    }
    // The rest of the frame, and then the next one.
    let ends = both(
        async {
            write(&mut one.sealing, &lines[0], &what[start..]).await
                && write(&mut one.sealing, &lines[0], b"next").await
        },
        read(&mut two.opening, &lines[0], FRAME_MAX + 4),
        &lines,
    );
    let (Some(true), Some((came, Ok(())))) = ends else { panic!("{ends:?}") };
    assert!(came == [&what[..], b"next"].concat());
    assert!(one.sealing.is_empty());
}

#[test]
fn keys_change_while_both_sides_speak() {
    let lines = [Line::wide(), Line::wide()];
    let (mut one, mut two) = secured(&lines);
    for round in 0..4 {
        one.sealing.session.with(|connection| connection.refresh_traffic_keys().map_err(invalid)).unwrap();
        let what = bytes(100 + round);
        assert_eq!(sent(&mut one, &mut two, &lines, 0, &what), what);
        // This carries the answer to the change.
        assert_eq!(sent(&mut two, &mut one, &lines, 1, &what), what);
        assert_eq!(sent(&mut one, &mut two, &lines, 0, &what), what);
    }
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let what = bytes(600);
    let mut found = 0;
    for at in 0..3 * (600 + 22) {
        let lines = [Line::wide(), Line::wide()];
        let (mut one, mut two) = quick(&lines);
        {
            let mut flow = lines[0].flow.lock().unwrap();
            flow.flipped = Some(flow.passed + at);
        }
        for _ in 0..3 {
            let mut start = 0;
            assert_eq!(one.sealing.write(&lines[0], &what, &mut start), Written::All);
        }
        let (_, came) = both(async {}, read(&mut two.opening, &lines[0], 1800), &lines);
        // A length that was changed may make it wait for more.
        let Some((came, ended)) = came else { continue };
        assert!([&what[..], &what[..], &what[..]].concat().starts_with(&came));
        assert_eq!(came.len() % 600, 0);
        match ended {
            // The version in a record's head is not looked at, since it means nothing any more.
            Ok(()) => assert_eq!((came.len(), at % 622), (1800, 2), "{at}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}"),
        }
        found += 1;
    }
    assert!(found > 1800, "{found}");
}

#[test]
fn a_cut_connection_is_an_end_and_no_more_is_written() {
    let lines = [Line::wide(), Line::wide()];
    let (mut one, mut two) = secured(&lines);
    lines[0].close();
    let ends =
        both(write(&mut one.sealing, &lines[0], b"too late"), read(&mut two.opening, &lines[0], 8), &lines);
    assert!(matches!(ends, (Some(false), Some((came, Ok(())))) if came.is_empty()));
}

/// Two nodes whose certificates were made once.
fn quick(lines: &[Arc<Line>; 2]) -> (Secured, Secured) {
    let (one, two) = identities();
    let ends = handshake(one, two, lines);
    let (Some(Ok(one)), Some(Ok(two))) = ends else { panic!("{ends:?}") };
    (one, two)
}

fn identities() -> &'static (Identity, Identity) {
    static IDENTITIES: std::sync::OnceLock<(Identity, Identity)> = std::sync::OnceLock::new();
    IDENTITIES.get_or_init(|| {
        let authority = Authority::new();
        (authority.identity(ONE), authority.identity(TWO))
    })
}

/// What comes of a side that is given these bytes and then the end.
fn fed(side: Side, bytes: &[u8], step: usize) -> Failed {
    let (one, two) = identities();
    let lines = [Line::wide(), Line::new(step, usize::MAX)];
    lines[1].flow.lock().unwrap().bytes.extend(bytes);
    lines[1].close();
    let identity = if side == Side::Accepted { two } else { one };
    let mut reader = Arc::clone(&lines[1]);
    let mut ended = pin!(shake_hands(identity, side, &mut reader, &lines[0]));
    match ended.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(failed)) => failed,
        Poll::Ready(Ok(_)) => panic!("nobody has proved anything"),
        Poll::Pending => panic!("the stream has ended"),
    }
}

#[test]
fn random_bytes_prove_nothing() {
    const SEEDS: u64 = 4000;
    let mut failed = FailedHandshakes::default();
    for seed in 0..SEEDS {
        let mut state = seed;
        let mut bytes: Vec<u8> =
            (0..draw(&mut state) % 600).map(|_| draw(&mut state).to_le_bytes()[0]).collect();
        // Most of them look like records, some like the first message of one.
        let heads: [&[u8]; 5] =
            [&[], &[22, 3, 1], &[22, 3, 3, 0, 200, 1, 0, 0, 196, 3, 3], &[21, 3, 3, 0, 2], &[23, 3, 3, 1, 0]];
        let head = heads[usize::try_from(draw(&mut state) % 5).unwrap()];
        bytes.splice(0..0, head.iter().copied());
        let side = if seed % 2 == 0 { Side::Accepted } else { Side::Dialled(TWO) };
        let step = if seed % 3 == 0 { 1 } else { usize::MAX };
        fed(side, &bytes, step).count(&mut failed);
    }
    // A single `L` may be the beginning of a hello.
    let FailedHandshakes { unreachable, garbled, rejected, one_sided, .. } = failed;
    assert_eq!(unreachable + garbled + rejected + one_sided, SEEDS, "{failed:?}");
    assert!(unreachable > 100 && garbled > 100 && rejected > 20 && one_sided < 20, "{failed:?}");
}

#[test]
fn a_handshake_with_a_changed_byte_ends_or_waits() {
    let (one, two) = identities();
    let lines = [Line::wide(), Line::wide()];
    handshake(one, two, &lines);
    let passed = lines.each_ref().map(|line| line.flow.lock().unwrap().passed);
    let (mut refused, mut at) = (0, 0);
    while at < passed[0] + passed[1] {
        let lines = [Line::wide(), Line::wide()];
        let (line, place) = if at < passed[0] { (0, at) } else { (1, at - passed[0]) };
        lines[line].flow.lock().unwrap().flipped = Some(place);
        let (dialled, accepted) = handshake(one, two, &lines);
        // The version of a record's head is not looked at, and who dials is done before its proof was judged.
        if let Some(Ok(_)) = accepted {
            assert!(matches!(dialled, Some(Ok(_))), "{at}");
        }
        refused += usize::from(matches!(dialled, Some(Err(_))) || matches!(accepted, Some(Err(_))));
        at += 3;
    }
    assert!(refused * 3 > (passed[0] + passed[1]) * 9 / 10, "{refused} of {passed:?}");
}

#[test]
fn no_more_is_read_than_a_handshake_takes() {
    // Whole records that may come at any time, and none of which says anything.
    let endless = [20, 3, 3, 0, 1, 1].repeat(20_000);
    for side in [Side::Accepted, Side::Dialled(TWO)] {
        assert!(matches!(fed(side, &endless, usize::MAX), Failed::Garbled(_) | Failed::TooLong));
    }
    // A message that never ends.
    let mut long = vec![22, 3, 3, 0x40, 0, 1, 0, 0xff, 0xff];
    long.resize(5 + 0x4000, 0);
    for _ in 0..3 {
        long.extend([22, 3, 3, 0x40, 0]);
        long.resize(long.len() + 0x4000, 0);
    }
    assert!(matches!(fed(Side::Accepted, &long, usize::MAX), Failed::TooLong));
}
