use super::*;

const SAID: &str = "\
INFO: Seed: 1
#2\tINITED cov: 981 ft: 982 corp: 1/1b exec/s: 0 rss: 28Mb
#31462\tDONE   cov: 2479 ft: 4877 corp: 659/6591b lim: 17 exec/s: 1498 rss: 31Mb
Done 31462 runs in 21 second(s)
stat::number_of_executed_units: 31462
stat::average_exec_per_sec:     1498
stat::new_units_added:          706
";

#[test]
fn figures_are_read_off_what_is_said() {
    let figures = Figures { executions: 31_462, per_second: 1498, coverage: 2479, new_inputs: 706 };
    assert_eq!(Figures::read(SAID), figures);
    assert_eq!(Figures::read(""), Figures::default());
}

#[test]
fn rows_stand_under_their_heading() {
    let figures = Figures { executions: 31_462, per_second: 1498, coverage: 2479, new_inputs: 706 };
    assert_eq!(figures.row("node").len(), figures::HEADING.len());
}

#[test]
fn a_failure_is_shown_without_progress() {
    let said = format!("{SAID}thread panicked at core/src/x.rs:1:\nbroken\n#5\tpulse\nERROR: deadly\n");
    assert_eq!(figures::last_lines(&said), "thread panicked at core/src/x.rs:1:\nbroken\nERROR: deadly");
}

#[test]
fn who_names_no_target_is_told() {
    let problem = run(Path::new("."), &["nobody"]).unwrap_err();
    assert!(problem.contains("decode, roundtrip, node, cluster, table"), "{problem}");
    assert!(run(Path::new("."), &["--seconds", "many"]).is_err());
}
