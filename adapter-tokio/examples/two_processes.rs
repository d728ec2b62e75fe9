//! Two processes count in one file. Each of them reads it, adds one, and writes it, under a lock: nothing gets lost.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example two_processes
//! ```

use core::error::Error;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;

use lockmaster_tokio::{LocalDir, Mode, Node};

/// How often each process adds one.
const ROUNDS: u32 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(directory) => count(Path::new(&directory)),
        None => start(),
    }
}

/// The first process starts the two that count, which are this program again, and looks at what came of it.
fn start() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("count"), "0")?;
    let mut processes = Vec::new();
    for _ in 0..2 {
        let mut command = Command::new(std::env::current_exe()?);
        processes.push(command.arg(directory.path()).spawn()?);
    }
    for process in &mut processes {
        assert!(process.wait()?.success());
    }
    let count = fs::read_to_string(directory.path().join("count"))?;
    println!("together they counted to {count}");
    assert_eq!(count, (2 * ROUNDS).to_string());
    Ok(())
}

/// One of the two.
#[tokio::main(flavor = "current_thread")]
async fn count(directory: &Path) -> Result<(), Box<dyn Error>> {
    // The directory gives each process a number of its own, too.
    let members = LocalDir::new(directory.join("members"));
    let node = Node::builder("counting").listen(([127, 0, 0, 1], 0).into()).join(members).start().await?;

    // It would also count alone, but then there would be nothing to see. A change that comes between the look and the wait
    // is not missed, since `changed` was called before.
    loop {
        let changed = node.changed();
        if node.members().len() == 2 {
            break;
        }
        changed.await;
    }
    println!("node {} begins", node.id());

    let file = directory.join("count");
    for _ in 0..ROUNDS {
        let guard = node.lock("count", Mode::Exclusive).await?;
        let count: u32 = fs::read_to_string(&file)?.parse()?;
        fs::write(&file, (count + 1).to_string())?;
        drop(guard);
    }
    println!("node {} is done", node.id());
    assert!(node.leave(Duration::from_secs(10)).await.is_clean());
    Ok(())
}
