//! What the bench says to another process, and hears from it: lines of text over a connection of their own.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Lines of text, both ways.
pub(crate) struct Control {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Control {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP option");
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    pub(crate) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.writer.write_all(line.as_bytes()).await.expect("the other process is there");
    }

    /// The next line; empty when there are no more.
    pub(crate) async fn hear(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.expect("the other process is there");
        line.truncate(line.trim_end().len());
        line
    }

    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.hear().await
    }
}
