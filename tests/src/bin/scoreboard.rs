//! Which stage notices which bug; `cargo xtask scoreboard` builds it with switches for the bugs, and runs it.

use std::process::ExitCode;

#[cfg(lockmaster_faults)]
fn main() -> ExitCode {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/cluster");
    match lockmaster_tests::scoreboard::run(&corpus) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {}: {problem}", corpus.display());
            ExitCode::from(2)
        }
    }
}

#[cfg(not(lockmaster_faults))]
fn main() -> ExitCode {
    eprintln!(
        "error: nothing can be switched off without `--cfg lockmaster_faults`; see `cargo xtask scoreboard`"
    );
    ExitCode::from(2)
}
