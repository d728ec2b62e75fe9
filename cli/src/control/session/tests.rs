use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::*;
use crate::control::message::RangeRow;

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_away_is_ended() {
    let (stream, mut slow) = UnixStream::pair().unwrap();
    let mut lines = Lines::new(stream);
    // Never so slow that it seems to be gone.
    let reading = tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        loop {
            sleep(Duration::from_secs(9)).await;
            if slow.read(&mut bytes).await.unwrap() == 0 {
                return;
            }
        }
    });
    let row = Row::Range(RangeRow { first: 0, last: 0, master: None, is_moving: false });
    let start = Instant::now();
    let sent = send_rows(&mut lines, core::iter::repeat_n(row, 100_000)).await;
    assert!(matches!(sent, Err(LineError::SlowToReceive)), "{sent:?}");
    assert_eq!(start.elapsed().as_secs(), ANSWER_TIME_MAX.as_secs());
    drop(lines);
    reading.await.unwrap();
}
