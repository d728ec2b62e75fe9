use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

/// What the demonstration is told by these words.
fn check(words: &str) -> Result<DemoArgs, ErrorKind> {
    let Command::Demo(args) = parse(&format!("demo {words}"))? else { panic!("another command") };
    Ok(args)
}

/// The command that these words make.
fn parse(words: &str) -> Result<Command, ErrorKind> {
    let words = ["lockmaster"].into_iter().chain(words.split_whitespace());
    Args::try_parse_from(words).map(|args| args.command).map_err(|error| error.kind())
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

#[test]
fn a_command_talks_to_one_node() {
    assert!(parse("status --dir d --id 3").is_ok());
    assert!(parse("status --socket s --json").is_ok());
    for wrong in ["status", "lock NAME -- true", "drain"] {
        assert_eq!(parse(wrong).unwrap_err(), ErrorKind::MissingRequiredArgument, "{wrong}");
    }
    for wrong in ["status --dir d --socket s", "status --socket s --id 3"] {
        assert_eq!(parse(wrong).unwrap_err(), ErrorKind::ArgumentConflict, "{wrong}");
    }
}

#[test]
fn a_node_meets_others_in_one_place() {
    assert!(parse("node --dir d").is_ok());
    assert!(parse("node --etcd http://a http://b --etcd-state d --socket s").is_ok());
    assert_eq!(parse("node").unwrap_err(), ErrorKind::MissingRequiredArgument);
    for wrong in [
        "node --etcd http://a --etcd-state d",
        "node --etcd http://a --socket s",
        "node --dir d --etcd-ttl 5",
        "node --etcd http://a --etcd-state d --socket s --etcd-user u",
        "node --etcd http://a --etcd-state d --socket s --etcd-password-file f",
        "node --dir d --etcd-user u --etcd-password-file f",
    ] {
        assert_eq!(parse(wrong).unwrap_err(), ErrorKind::MissingRequiredArgument, "{wrong}");
    }
    assert_eq!(parse("node --dir d --etcd http://a").unwrap_err(), ErrorKind::ArgumentConflict);
    assert!(
        parse("node --etcd http://a --etcd-state d --socket s --etcd-user u --etcd-password-file f").is_ok()
    );
    // The highest number stands for nobody.
    for number in [0, 65_535, 65_536] {
        assert_eq!(parse(&format!("node --dir d --id {number}")).unwrap_err(), ErrorKind::ValueValidation);
        let issue = format!("ca issue --dir d --node {number}");
        assert_eq!(parse(&issue).unwrap_err(), ErrorKind::ValueValidation);
    }
    assert!(parse("node --dir d --id 65534").is_ok());
    assert_eq!(parse("node --dir d --listen here").unwrap_err(), ErrorKind::ValueValidation);
}

#[test]
fn a_lock_has_a_mode_a_patience_and_a_command() {
    let lock = |words: &str| {
        let Command::Lock(args) = parse(&format!("lock --dir d {words}"))? else { panic!("another command") };
        Ok::<_, ErrorKind>(args)
    };
    let args = lock("-m pr -w 1.5 jobs/a -- sh -c true -n").unwrap();
    assert_eq!(
        (args.mode, args.wait),
        (lockmaster_tokio::Mode::ProtectedRead, Some(Duration::from_millis(1500)))
    );
    assert_eq!((args.name.as_str(), args.no_wait), ("jobs/a", false));
    assert_eq!(args.command, ["sh", "-c", "true", "-n"]);
    assert!(lock("-n a -- true").unwrap().no_wait);
    assert_eq!(lock("-n -w 1 a -- true").unwrap_err(), ErrorKind::ArgumentConflict);
    assert_eq!(lock("a").unwrap_err(), ErrorKind::MissingRequiredArgument);
    assert_eq!(lock("a true").unwrap_err(), ErrorKind::UnknownArgument);
    for wrong in ["-m XX a -- true", "-w -1 a -- true", "-w NaN a -- true", "-w 86401 a -- true"] {
        assert!(lock(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_range_has_both_its_ends() {
    let range = |first, last| Ok(RangeArg { first, last });
    assert_eq!(RangeArg::parse("16..31"), range(16, 31));
    assert_eq!(RangeArg::parse("16..=31"), range(16, 31));
    assert_eq!(RangeArg::parse("16"), range(16, 16));
    for wrong in ["31..16", "..", "a..b", "1..", "-1..2", "1..2..3", ""] {
        assert!(RangeArg::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_a_node_proves_itself_with_is_whole_and_of_a_number() {
    assert!(parse("node --dir d --id 1 --tls t").is_ok());
    assert!(parse("node --dir d --id 1 --tls-ca a --tls-cert c --tls-key k").is_ok());
    for wrong in ["--tls t", "--id 1 --tls-ca a --tls-cert c", "--id 1 --tls-key k"] {
        let kind = parse(&format!("node --dir d {wrong}")).unwrap_err();
        assert_eq!(kind, ErrorKind::MissingRequiredArgument, "{wrong}");
    }
    let kind = parse("node --dir d --id 1 --tls t --tls-ca a --tls-cert c --tls-key k").unwrap_err();
    assert_eq!(kind, ErrorKind::ArgumentConflict);
}

#[test]
fn a_mix_has_modes_with_weights() {
    let mix = |words: &str| {
        let Command::Bench(args) = parse(&format!("bench --dir d {words}"))? else {
            panic!("another command")
        };
        Ok::<_, ErrorKind>(args.mix)
    };
    assert_eq!(mix("").unwrap().to_string(), "PR=95,EX=5");
    let both = mix("--mix pr=3,EX=1").unwrap();
    let mut lots = fastrand::Rng::with_seed(1);
    let drawn: Vec<_> = (0..4000).map(|_| both.draw(&mut lots)).collect();
    let readers = drawn.iter().filter(|mode| **mode == lockmaster_tokio::Mode::ProtectedRead).count();
    assert!((2800..3200).contains(&readers), "{readers} of 4000");
    assert!(drawn.contains(&lockmaster_tokio::Mode::Exclusive));
    for wrong in ["", "PR", "PR=", "PR=0", "XX=1", "PR=1,PR=2", "PR=1,", "PR=-1", "PR=1000001"] {
        assert_eq!(mix(&format!("--mix={wrong}")).unwrap_err(), ErrorKind::ValueValidation, "{wrong}");
    }
}

#[test]
fn a_bench_ends_by_time_or_by_number() {
    assert!(parse("bench --dir d --operations 5").is_ok() && parse("bench --dir d --seconds 0.5").is_ok());
    let both = parse("bench --dir d --operations 5 --seconds 1");
    assert_eq!(both.unwrap_err(), ErrorKind::ArgumentConflict);
    assert_eq!(parse("bench").unwrap_err(), ErrorKind::MissingRequiredArgument);
}
