//! Checks the large models and prints what they come by; `cargo xtask model` runs it.
//! With names of scenarios it checks those only.

use core::sync::atomic::{AtomicBool, Ordering};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use lockmaster_tests::model::{Search, explore, full};

/// States after which a search is given up.
const MOST: usize = 20_000_000;
/// Scenarios that are searched side by side. Each has one thread: how much several looked at would depend on who came first.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    let left = Mutex::new(full().into_iter().filter(|scenario| is_chosen(scenario.name)));
    let next = || left.lock().expect("nobody panics with the next one").next();
    let is_sound = AtomicBool::new(true);
    let search = || {
        while let Some(scenario) = next() {
            let outcome = explore(&scenario, Search::Depth, MOST, 1);
            println!("{outcome}");
            is_sound.fetch_and(outcome.is_complete, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(search))));
    if is_sound.into_inner() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
