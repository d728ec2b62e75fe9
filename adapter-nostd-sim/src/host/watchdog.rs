//! Notices a seed that never ends: a core that does not come back from a call cannot be stopped, only be named.

use core::time::Duration;
use std::collections::BTreeSet;
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;

use lockmaster_sim::Options;

use super::args::command;

/// How long a seed may take; they take milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the program if a seed does not end. Seeds are begun in order, so that one is the lowest that has not ended.
pub(super) struct Watchdog {
    ended: Arc<Mutex<Ended>>,
}

/// All seeds below `below`, and some others.
struct Ended {
    below: u64,
    others: BTreeSet<u64>,
    is_over: bool,
}

impl Watchdog {
    pub(super) fn start(first: u64, options: &Options) -> Self {
        let ended = Arc::new(Mutex::new(Ended { below: first, others: BTreeSet::new(), is_over: false }));
        let (seen, options) = (Arc::clone(&ended), options.clone());
        thread::spawn(move || watch(&seen, &options));
        Self { ended }
    }

    /// A seed has ended.
    pub(super) fn ended(&self, seed: u64) {
        let mut ended = self.ended.lock().expect("no holder panics");
        ended.others.insert(seed);
        while let below = ended.below
            && ended.others.remove(&below)
        {
            ended.below += 1;
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended.lock().expect("no holder panics").is_over = true;
    }
}

fn watch(ended: &Mutex<Ended>, options: &Options) {
    let look = || {
        let ended = ended.lock().expect("no holder panics");
        (ended.below, ended.is_over)
    };
    loop {
        let (before, _) = look();
        thread::sleep(PATIENCE);
        let (below, is_over) = look();
        if is_over {
            return;
        }
        if below == before {
            eprintln!("seed {below} does not end");
            eprintln!("repeat it:  {}", command(below, options));
            process::exit(1);
        }
    }
}
