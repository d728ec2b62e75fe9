//! The bench: it measures a cluster that runs, and leaves it as it was.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{Cluster, check, check_output, program, until};

const WORKLOADS: [&str; 5] = ["retained", "handover", "mix", "value", "remote"];

/// Members and map of the cluster, as its first node sees them once they have come to rest.
fn at_rest(cluster: &Cluster, members: usize) {
    let rows = |command: &str| -> Vec<serde_json::Value> {
        let text = check(&mut cluster.command(command, "--json"), 0);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    until("the members are those of before", || rows("members").len() == members);
    until("every slot has a master that stays", || {
        rows("map").iter().all(|row| {
            !row["master"].is_null() && row["is_moving"] != true && row["moving"].as_u64().unwrap_or(0) == 0
        })
    });
    assert_eq!(check(&mut cluster.command("locks", ""), 0), "", "no lock is left behind");
}

/// What the first two nodes had to find out because a member was gone without a word: slots and locks. Locks that were
/// purged are none of it: a release that a view overtakes is not said again, and the member's departure makes it good.
fn found_out(cluster: &Cluster) -> Vec<u64> {
    let mut counters = Vec::new();
    for node in ["--id 1 --json", "--id 2 --json"] {
        let dump = check(&mut cluster.command("dump", node), 0);
        let mut rows = dump.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let stats = rows.find(|row| row["row"] == "stats").unwrap();
        let count = |name: &str| stats[name].as_u64().unwrap();
        counters.extend(["slots_rebuilt", "locks_rebuilt"].map(count));
    }
    counters
}

#[test]
fn every_workload_is_measured_and_the_cluster_is_left_as_it_was() {
    let cluster = Cluster::new();
    let _nodes = [
        cluster.node("--slots 64 --cluster orders --space one --space two"),
        cluster.node("--slots 64 --cluster orders --space one --space two"),
    ];
    at_rest(&cluster, 2);
    let before = found_out(&cluster);
    let page = cluster.scratch().join("page.html");
    let arguments = "--operations 300 --tasks 2 --resources 20 --mix PR=3,EX=1 --json --report";
    let text = check(cluster.command("bench", arguments).arg(&page), 0);
    let rows: Vec<serde_json::Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        rows.iter().map(|row| row["workload"].as_str().unwrap()).collect::<Vec<_>>(),
        WORKLOADS,
        "{text}"
    );
    for row in &rows {
        assert_eq!((&row["row"], &row["operations"]), (&"bench".into(), &300.into()), "{text}");
        assert_eq!((&row["refused"], &row["unfinished"]), (&0.into(), &0.into()), "{text}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("in cluster orders, 4 members") && page.ends_with("</html>\n"), "{page}");
    assert!(WORKLOADS.iter().all(|workload| page.contains(&format!("<h2>{workload}</h2>"))), "{page}");
    at_rest(&cluster, 2);
    assert_eq!(found_out(&cluster), before, "the nodes of the bench gave all back before they went");
}

#[test]
fn an_interrupt_ends_it_with_the_table_of_what_was_done() {
    let cluster = Cluster::new();
    let _nodes = [cluster.node("--slots 16"), cluster.node("--slots 16")];
    at_rest(&cluster, 2);
    let before = found_out(&cluster);
    let mut bench =
        cluster.command("bench", "--seconds 1000 --tasks 1 --nodes 1 --workload value --workload remote");
    let mut bench = bench.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&bench);
    let mut line = String::new();
    let mut errors = BufReader::new(bench.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    assert_eq!(line, "running: value, 1 node with 1 task each\n");
    until("it is a member", || check(&mut cluster.command("members", ""), 0).lines().count() == 4);
    kill_process(pid, Signal::INT).unwrap();
    let text = check_output(bench.wait_with_output().unwrap(), 0);
    assert!(text.contains("then interrupted\n") && text.contains("\nvalue "), "{text}");
    assert!(!text.contains("\nremote "), "{text}");
    at_rest(&cluster, 2);
    assert_eq!(found_out(&cluster), before, "it left as it should");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let cluster = Cluster::new();
    let mut node = cluster.node("--slots 16");
    let text = check(&mut cluster.command("bench", "--report /proc/page.html"), 2);
    assert!(text.starts_with("error: /proc/page.html: "), "{text}");
    check(&mut cluster.command("bench", "--listen 127.0.0.1:7"), 2);
    check(&mut cluster.command("bench", "--workload nothing"), 2);
    check(&mut program("bench --seconds 1"), 2);
    node.signal(Signal::TERM);
    node.check(0);
    let text = check(&mut cluster.command("bench", ""), 69);
    assert!(text.contains("no node answers in this directory"), "{text}");
}
