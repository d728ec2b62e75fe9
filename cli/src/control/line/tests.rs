use super::*;

/// A pair of connected streams, the first of them with lines.
fn pair() -> (Lines, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Lines::new(one), other)
}

async fn say(stream: &UnixStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.writable().await.unwrap();
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn lines_are_messages_however_they_are_cut() {
    let (mut lines, other) = pair();
    say(&other, b"[1,2").await;
    say(&other, b"]\n[3]\n[").await;
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), Some(vec![1, 2]));
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), Some(vec![3]));
    say(&other, b"]\n").await;
    drop(other);
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), Some(vec![]));
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), None);
}

#[tokio::test]
async fn a_line_that_is_cut_short_is_no_message() {
    let (mut lines, other) = pair();
    say(&other, b"[1]").await;
    drop(other);
    assert!(matches!(lines.receive::<Vec<u8>>().await, Err(LineError::CutShort)));
}

#[tokio::test]
async fn a_line_has_a_greatest_length() {
    // With its end it is just short enough.
    let (mut lines, other) = pair();
    let text = format!("\"{}\"\n", "x".repeat(LINE_MAX - 3));
    let (received, ()) = tokio::join!(lines.receive::<String>(), say(&other, text.as_bytes()));
    assert_eq!(received.unwrap().unwrap().len(), LINE_MAX - 3);

    let (mut lines, other) = pair();
    let text = format!("\"{}\"\n", "x".repeat(LINE_MAX - 2));
    let (received, ()) = tokio::join!(lines.receive::<String>(), say(&other, text.as_bytes()));
    assert!(matches!(received, Err(LineError::TooLong)));
    assert!(lines.received.len() <= LINE_MAX);
}

#[tokio::test]
async fn what_is_too_long_is_not_sent() {
    let (mut lines, _other) = pair();
    lines.queue(&"before").unwrap();
    assert!(matches!(lines.queue(&"x".repeat(LINE_MAX)), Err(LineError::TooLong)));
    assert_eq!(lines.unsent, b"\"before\"\n");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_was_begun_has_to_end_in_time() {
    let (mut lines, other) = pair();
    say(&other, b"[1,").await;
    assert!(matches!(lines.receive::<Vec<u8>>().await, Err(LineError::SlowToSend)));
    // Who sends a byte now and then is no faster.
    let (mut lines, other) = pair();
    let dripping = async {
        loop {
            say(&other, b" ").await;
            tokio::time::sleep(LINE_TIME_MAX / 3).await;
        }
    };
    tokio::select! {
        received = lines.receive::<Vec<u8>>() => assert!(matches!(received, Err(LineError::SlowToSend))),
        () = dripping => {}
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_has_to_begin_a_line() {
    let (mut lines, _other) = pair();
    let waited = timeout(LINE_TIME_MAX * 100, lines.receive::<Vec<u8>>()).await;
    assert!(waited.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_receive_is_given_up() {
    let (mut lines, _other) = pair();
    let text = "x".repeat(LINE_MAX - 3);
    loop {
        match lines.send(&text).await {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, LineError::SlowToReceive), "{error}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_is_queued_is_sent_while_something_is_waited_for() {
    let (mut lines, other) = pair();
    let mut other = Lines::new(other);
    let text = "x".repeat(LINE_MAX - 3);
    // More than the system takes at once.
    for _ in 0..20 {
        lines.queue(&text).unwrap();
    }
    assert!(lines.has_unsent());
    let answer = async {
        for _ in 0..20 {
            assert_eq!(other.receive::<String>().await.unwrap().as_ref(), Some(&text));
        }
        other.send(&"all").await.unwrap();
    };
    let (received, ()) = tokio::join!(lines.receive::<String>(), answer);
    assert_eq!(received.unwrap().unwrap(), "all");
    assert!(!lines.has_unsent());
}

#[tokio::test]
async fn what_was_said_before_the_end_is_heard_by_who_still_talks() {
    let (mut lines, other) = pair();
    say(&other, b"[7]\n").await;
    drop(other);
    lines.queue(&"too late").unwrap();
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), Some(vec![7]));
    assert_eq!(lines.receive::<Vec<u8>>().await.unwrap(), None);
}
