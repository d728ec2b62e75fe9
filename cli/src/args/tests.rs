use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

/// What the demonstration is told by these words.
fn check(words: &str) -> Result<DemoArgs, ErrorKind> {
    let words = ["lockmaster", "demo"].into_iter().chain(words.split_whitespace());
    match Args::try_parse_from(words).map_err(|error| error.kind())?.command {
        Command::Demo(args) => Ok(args),
        Command::DemoNode | Command::Ca(_) | Command::CheckHistory { .. } => panic!("another command"),
    }
}

#[test]
fn the_command_line_does_not_contradict_itself() {
    Args::command().debug_assert();
}

#[test]
fn retention_has_three_forms() {
    assert_eq!(check("").unwrap().retention, Retain::UntilDemanded);
    assert_eq!(check("--retention demanded").unwrap().retention, Retain::UntilDemanded);
    assert_eq!(check("--retention never").unwrap().retention, Retain::Never);
    assert_eq!(check("--retention idle:250").unwrap().retention, Retain::Idle(Duration::from_millis(250)));
    for wrong in ["always", "idle", "idle:", "idle:0", "idle:-1", "idle:1s"] {
        assert_eq!(check(&format!("--retention {wrong}")).unwrap_err(), ErrorKind::ValueValidation);
    }
}

#[test]
fn shares_are_from_0_to_1() {
    assert!(check("--skew 0 --read-share 1").is_ok());
    for wrong in ["--skew 1.1", "--skew=-0.1", "--read-share NaN", "--read-share half"] {
        assert_eq!(check(wrong).unwrap_err(), ErrorKind::ValueValidation);
    }
}

#[test]
fn the_interval_of_transfers_has_a_unit() {
    let interval = |words: &str| check(words).map(|args| args.transfer_interval);
    assert_eq!(interval("").unwrap(), Duration::from_millis(200));
    assert_eq!(interval("--transfer-interval 50ms").unwrap(), Duration::from_millis(50));
    assert_eq!(interval("--transfer-interval 2s").unwrap(), Duration::from_secs(2));
    for never in ["0", "0s", "0ms"] {
        assert_eq!(interval(&format!("--transfer-interval {never}")).unwrap(), Duration::ZERO);
    }
    for wrong in ["50", "ms", "-1s", "1.5s", "1h", "1 s", "86401s", "99999999999999999999s", "1µs"] {
        let wrong = ["lockmaster".to_owned(), "demo".to_owned(), format!("--transfer-interval={wrong}")];
        assert_eq!(Args::try_parse_from(wrong).unwrap_err().kind(), ErrorKind::ValueValidation);
    }
}

#[test]
fn counts_have_bounds() {
    for wrong in ["--nodes 0", "--nodes 65", "--tasks 0", "--pages 0", "--pages 65537", "--seconds 0"] {
        assert_eq!(check(wrong).unwrap_err(), ErrorKind::ValueValidation);
    }
}
