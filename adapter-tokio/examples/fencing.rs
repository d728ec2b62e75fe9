//! A writer that is stopped, loses its lock meanwhile, and wakes up too late. Its token gives it away.
//!
//! No lock can keep a stopped process from writing when it goes on: it has looked at the lock before it was stopped. What it
//! writes must be refused where it is written. Each grant has a fencing token that is higher than that of every earlier
//! grant in its way, so the storage keeps the highest that it has seen and refuses lower ones.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example fencing
//! ```

use core::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use lockmaster_tokio::{LocalDir, Mode, Node, Token};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

/// Exit status of a writer whose token was refused.
const REFUSED: u8 = 3;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [path, token] => write_late(Path::new(path), token),
        _ => coordinate(),
    }
}

/// A file whose first 16 bytes are the highest token that has written it.
struct Fenced<'a>(&'a Path);

impl Fenced<'_> {
    /// Writes the text, unless somebody with a higher token was here: then `false`.
    fn write(&self, token: Token, text: &str) -> io::Result<bool> {
        let mut file = File::options().create(true).read(true).write(true).truncate(false).open(self.0)?;
        // To look and to write must be one step. A database would do it in a transaction.
        file.lock()?;
        let mut highest = [0; 16];
        if file.metadata()?.len() > 0 {
            file.read_exact(&mut highest)?;
        }
        if token < Token::from_be_bytes(highest) {
            return Ok(false);
        }
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(&token.to_be_bytes())?;
        file.write_all(text.as_bytes())?;
        Ok(true)
    }

    fn read(&self) -> io::Result<String> {
        let bytes = std::fs::read(self.0)?;
        Ok(String::from_utf8_lossy(bytes.get(16..).unwrap_or_default()).into_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn coordinate() -> Result<ExitCode, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let start = |number| {
        let node = Node::builder("fencing").node(number).listen(([127, 0, 0, 1], 0).into());
        node.join(LocalDir::new(directory.path().join("members"))).start()
    };
    let (one, two) = (start(1).await?, start(2).await?);
    let path = directory.path().join("ledger");
    let ledger = Fenced(&path);

    // The first node takes the lock and starts a writer, which is stopped at the worst moment.
    let first = one.lock("ledger", Mode::Exclusive).await?;
    let token = first.fencing_token();
    assert!(ledger.write(token, "written in time")?);
    let mut command = Command::new(std::env::current_exe()?);
    let mut writer = command.arg(&path).arg(token.to_string()).spawn()?;
    let pid = i32::try_from(writer.id()).ok().and_then(Pid::from_raw).ok_or("a process has a number")?;
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)?.ok_or("it was waited for")?;
    assert!(status.stopped());
    println!("the writer of node 1 is stopped, with token {token}");

    // Its node dies. The lock is lost, and others may have it; the writer cannot be told.
    one.shutdown().await;
    assert!(first.is_lost());
    let second = two.lock("ledger", Mode::Exclusive).await?;
    assert!(second.fencing_token() > token);
    assert!(ledger.write(second.fencing_token(), "written by node 2")?);
    println!("node 2 has written, with token {}", second.fencing_token());

    // The writer wakes up, and writes as if nothing had happened.
    kill_process(pid, Signal::CONT)?;
    assert_eq!(writer.wait()?.code(), Some(REFUSED.into()));
    println!("the ledger says: {}", ledger.read()?);
    assert_eq!(ledger.read()?, "written by node 2");
    two.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// The writer, in a process of its own: it has the lock, as far as it knows.
fn write_late(path: &Path, token: &str) -> Result<ExitCode, Box<dyn Error>> {
    let token: Token = token.parse()?;
    // A virtual machine that is moved, a laptop that is closed, a long collection of garbage.
    kill_process(getpid(), Signal::STOP)?;
    if Fenced(path).write(token, "written too late")? {
        return Ok(ExitCode::SUCCESS);
    }
    println!("the writer of node 1 woke up, and was refused");
    Ok(ExitCode::from(REFUSED))
}
