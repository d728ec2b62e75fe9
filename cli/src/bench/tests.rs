use core::time::Duration;

use clap::Parser;

use super::*;
use crate::args::{Args, Command, Workload};
use crate::bench::meter::Seen;
use crate::bench::timeline::{Sample, Timeline};

/// What the bench is told by these words.
pub(super) fn args(words: &str) -> BenchArgs {
    let words = format!("lockmaster bench --dir d {words}");
    let command = Args::try_parse_from(words.split_whitespace()).unwrap().command;
    let Command::Bench(args) = command else { unreachable!("the words are those of the bench") };
    *args
}

/// A run as it might have been; slots moved and a view came in each workload.
pub(super) fn run(args: &BenchArgs) -> Run {
    let facts = Facts {
        cluster: "orders & <more>".to_owned(),
        spaces: vec!["default".to_owned()],
        slots: 64,
        members: 4,
    };
    let figures = args.chosen().into_iter().map(figures).collect();
    Run { facts, figures, was_interrupted: true, trouble: None }
}

fn figures(workload: Workload) -> Figures {
    let mut seen = Seen::default();
    let mut lots = fastrand::Rng::with_seed(workload as u64);
    for _ in 0..12_345 {
        let most = 1 << lots.u32(1..30);
        seen.latencies.record(Duration::from_nanos(lots.u64(1..=most)));
    }
    if workload == Workload::Mix {
        (seen.refused, seen.reason) = (7, Some("it was <full> & \"more\"".to_owned()));
    }
    let sample = |number: u32| Sample {
        at: Duration::from_millis(50) * number,
        operations: u64::from(number) * 600,
        moving: u32::from((5..=7).contains(&number)),
        epoch: 3 + u32::from(number > 12),
        ..Sample::default()
    };
    let mut timeline = Timeline::new(sample(0));
    (1..=20).for_each(|number| timeline.add(sample(number)));
    Figures { workload, seen, elapsed: Duration::from_secs(1), unfinished: 0, timeline }
}

#[test]
fn the_table_and_the_rows_say_the_same() {
    let args = args("--workload mix --workload remote");
    let run = run(&args);
    let (table, rows) = (figures::table(&args, &run), figures::rows(&run.figures));
    assert!(
        table.starts_with("ran 2 nodes with 8 tasks each in cluster orders & <more>, 4 members "),
        "{table}"
    );
    assert!(table.contains("then interrupted"), "{table}");
    assert!(table.contains("mix: 7 locks REFUSED, the first one because it was <full>"), "{table}");
    assert!(table.contains("mix: 1 view came meanwhile, and slots were moving 1 time"), "{table}");
    for (line, name) in rows.lines().zip(["mix", "remote"]) {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&row["row"], &row["workload"]), (&"bench".into(), &name.into()));
        assert_eq!((&row["operations"], &row["per_second"]), (&12_345.into(), &12_345.into()));
        let order =
            ["p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"].map(|field| row[field].as_u64().unwrap());
        assert!(order.is_sorted(), "{line}");
        let listed = table.lines().find(|line| line.starts_with(name)).unwrap();
        for nanos in order {
            let time = crate::text::duration(Duration::from_nanos(nanos));
            assert!(listed.contains(&time), "{time}: {listed}");
        }
    }
    assert_eq!(rows.lines().count(), 2);
}

#[test]
fn what_does_not_go_together_is_refused() {
    for sound in ["", "--nodes 1 --listen 127.0.0.1:7001", "--nodes 1 --id 8 --tls pki/node-8"] {
        assert!(check(&args(sound)).is_ok(), "{sound}");
    }
    for wrong in ["--listen 127.0.0.1:7001", "--id 8 --tls pki/node-8", "--resources 65536 --room 100000"] {
        assert!(matches!(check(&args(wrong)), Err(Failure::Usage(_))), "{wrong}");
    }
}

#[test]
fn a_cluster_is_not_made_larger_than_it_has_places() {
    let facts = |members| Facts { members, ..run(&args("")).facts };
    assert!(facts(14).checked(&args("")).is_ok());
    for (members, words) in [(15, ""), (10, "--nodes 7"), (17, "--nodes 1")] {
        assert!(matches!(facts(members).checked(&args(words)), Err(Failure::Usage(_))), "{members} {words}");
    }
    assert!(facts(15).checked(&args("--nodes 1")).is_ok());
}

#[test]
fn those_that_are_not_retained_come_last() {
    let order = |words: &str| args(words).chosen().iter().map(|workload| workload.name()).collect::<Vec<_>>();
    assert_eq!(order(""), ["retained", "handover", "mix", "value", "remote"]);
    assert_eq!(order("--workload remote --workload mix --workload mix"), ["mix", "remote"]);
}
