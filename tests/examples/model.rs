//! Checks the large models and prints what they come by; `cargo xtask model` runs it.
//! With names of scenarios it checks those only.

use std::process::ExitCode;

use lockmaster_tests::model::{Search, explore, full};

/// States after which a search is given up.
const MOST: usize = 20_000_000;

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    let mut is_sound = true;
    for scenario in full().into_iter().filter(|scenario| is_chosen(scenario.name)) {
        let outcome = explore(&scenario, Search::Depth, MOST, 2);
        println!("{outcome}");
        is_sound &= outcome.is_complete;
    }
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
