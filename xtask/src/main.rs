//! Chores of the workspace: `cargo xtask help`.

mod command;
mod etcd;
mod examples;
mod faults;
mod freestanding;
mod fuzz;
mod image;
mod manifest;
mod orders;
mod outside;
mod root;
mod scoreboard;
mod symbols;
mod tidy;
mod verify;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask verify [--fast] [STEP ...]   run the gate: all steps, or those named; writes nothing but build output
cargo xtask fuzz [--seconds N] [TARGET ...]   fuzz all targets, or those named, for 20 or N seconds each
cargo xtask model                        check the large models; prints what they come by, takes some minutes
cargo xtask scoreboard                   switch rules off one at a time; prints which stage notices, and how soon
cargo xtask relock                       bring the lock files of packages outside the workspace in line with Cargo.lock
cargo xtask help                         this text, and the steps

--fast leaves out the slow steps, unless they are named. STEP is one of:
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the workspace");
    let succeeded = match args.as_slice() {
        ["verify", selection @ ..] => verify::run(root, selection),
        ["fuzz", arguments @ ..] => fuzz::run(root, arguments),
        ["model"] => verify::model(root),
        ["scoreboard"] => scoreboard::run(root),
        ["relock"] => outside::relock(root),
        [] | ["help" | "--help" | "-h"] => {
            help();
            Ok(true)
        }
        [unknown, ..] => Err(format!("`{unknown}` is not understood here; see `cargo xtask help`")),
    };
    match succeeded {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn help() {
    print!("{HELP}");
    for step in verify::STEPS {
        let slow = if step.is_slow { " (slow)" } else { "" };
        println!("    {:<14} {}{slow}", step.name, step.proves);
    }
}
