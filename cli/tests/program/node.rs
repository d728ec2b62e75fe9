//! Nodes: how they start, what they tell of themselves, how they end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::common::{Cluster, NOBODY, Running, check, program, until};

#[test]
fn the_socket_is_for_its_user_alone_and_goes_with_the_node() {
    let cluster = Cluster::new();
    let mut node = cluster.node("");
    let socket = cluster.socket(1);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(node.line, format!("node 1 is ready, control socket {}", socket.display()));
    node.signal(Signal::TERM);
    node.check(0);
    assert_eq!(fs::read_dir(cluster.path()).unwrap().filter(is_socket).count(), 0);
}

fn is_socket(entry: &std::io::Result<fs::DirEntry>) -> bool {
    use std::os::unix::fs::FileTypeExt;
    entry.as_ref().unwrap().file_type().unwrap().is_socket()
}

/// A copy that every user may run. Another process writes it: what other tests start meanwhile would else inherit the open
/// file, and the kernel runs no file that somebody may write to.
fn copy_of_the_program(folder: &Path) -> PathBuf {
    let program = folder.join("program");
    check(Command::new("cp").arg(env!("CARGO_BIN_EXE_lockmaster")).arg(&program), 0);
    program
}

#[test]
#[ignore = "needs root, since it becomes another user: cargo xtask verify root"]
fn strangers_are_not_served() {
    let cluster = Cluster::new();
    let socket = cluster.scratch().join("socket");
    let _node = cluster.node(&format!("--socket {}", socket.display()));
    fs::set_permissions(cluster.scratch(), Permissions::from_mode(0o755)).unwrap();
    // The kernel already keeps them out.
    let program = copy_of_the_program(cluster.scratch());
    let mut status = Command::new(program);
    status.args(["status", "--socket"]).arg(&socket).uid(NOBODY).gid(NOBODY);
    let text = check(&mut status, 69);
    assert!(text.contains("Permission denied"), "{text}");
    // If it did not, the node would.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(check(&mut status, 1), "error: this node serves its own user and root\n");
}

#[test]
fn a_stale_socket_is_replaced() {
    let cluster = Cluster::new();
    let node = cluster.node("");
    node.signal(Signal::KILL);
    drop(node);
    assert!(cluster.socket(1).exists());
    let text = check(&mut cluster.command("status", ""), 69);
    assert!(text.contains("no node answers in this directory"), "{text}");
    let _node = cluster.node("");
    check(&mut cluster.command("status", ""), 0);
}

#[test]
fn a_socket_that_somebody_uses_is_not_replaced() {
    let cluster = Cluster::new();
    let path = cluster.scratch().join("mine");
    let listener = UnixListener::bind(&path).unwrap();
    let mut command = cluster.command("node", "--socket");
    let text = check(command.arg(&path), 2);
    assert!(text.contains("a living node has this control socket"), "{text}");
    drop(listener);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "no socket").unwrap();
    let text = check(&mut command, 2);
    assert!(text.contains("there is a file that is no socket"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "no socket");
}

#[test]
fn what_a_node_cannot_use_it_says() {
    let cluster = Cluster::new();
    if cfg!(not(feature = "etcd")) {
        let text = check(&mut program("node --etcd http://127.0.0.1:2379 --etcd-state d --socket s"), 2);
        assert!(text.contains("built without etcd") && text.contains("feature `etcd`"), "{text}");
    }
    let text = check(&mut cluster.command("node", "--listen 192.0.2.1:0"), 2);
    assert!(text.contains("is no loopback address"), "{text}");
    check(&mut cluster.command("node", "--space a --space a"), 2);
    check(program("node --dir").arg("/proc/none"), 2);
    let long = cluster.path().join("n".repeat(120));
    let text = check(program("node --dir").arg(long), 2);
    assert!(text.contains("the path of a socket may have"), "{text}");
}

#[test]
fn a_node_tells_what_it_is() {
    let cluster = Cluster::new();
    let node = cluster.node("--cluster orders --slots 64 --space one --space two");
    let text = check(&mut cluster.command("status", ""), 0);
    for line in [
        format!("node       1 of cluster orders, process {}\n", node.process.id()),
        "standing   member".to_owned(),
        "masters    128 of 128 slots\n".to_owned(),
        "spaces     one, two\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    let json = check(&mut cluster.command("status", "--json"), 0);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&row["row"], &row["slots"], &row["spaces"][1]), (&"node".into(), &128.into(), &"two".into()));
    let text = check(&mut cluster.command("map", ""), 0);
    assert!(text.contains("\nslots   master\n0..127  1\n"), "{text}");
    assert!(check(&mut cluster.command("members", ""), 0).contains("this"));
    assert_eq!(check(&mut cluster.command("locks", ""), 0), "");
    assert_eq!(check(&mut cluster.command("waiters", "--json"), 0), "");
}

#[test]
fn every_row_has_its_json() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let _held = Running::start(&mut cluster.lock("a", "echo $$; exec sleep 1000"));
    let mut waiting = cluster.lock("a", "true").spawn().unwrap();
    until("it waits", || !check(&mut cluster.command("waiters", ""), 0).is_empty());
    let dump = check(&mut cluster.command("dump", "--json"), 0);
    let rows: Vec<serde_json::Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for kind in ["node", "member", "share", "range", "client", "lock", "waiter", "stats"] {
        assert!(rows.iter().any(|row| row["row"] == kind), "{kind}: {dump}");
    }
    let waiter = rows.iter().find(|row| row["row"] == "waiter").unwrap();
    assert_eq!((&waiter["name"], &waiter["waiter_pid"]), (&"a".into(), &waiting.id().into()));
    let text = check(&mut cluster.command("dump", ""), 0);
    assert!(text.contains(&format!("(process {})", waiting.id())), "{text}");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

#[test]
fn a_pipe_that_is_closed_is_no_error() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    for arguments in ["dump", "dump --json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program(arguments);
        let output = command.arg("--dir").arg(cluster.path()).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

#[test]
fn a_node_that_leaves_waits_for_its_clients() {
    let cluster = Cluster::new();
    let mut node = cluster.node("--leave-within 3600");
    let script = "trap 'exit 5' USR1; echo $$; while :; do sleep 0.01; done";
    let mut held = Running::start(&mut cluster.lock("a", script));
    let mut waiting = cluster.lock("a", "true").spawn().unwrap();
    until("it waits", || !check(&mut cluster.command("waiters", ""), 0).is_empty());
    node.signal(Signal::TERM);
    until("it leaves", || check(&mut cluster.command("status", ""), 0).contains("leaving"));
    let text = check(&mut cluster.lock("b", "true"), 69);
    assert_eq!(text, "error: the node is about to leave\n");
    assert_eq!(waiting.wait().unwrap().code(), Some(69));
    held.signal(Signal::USR1);
    held.check(5);
    node.check(0);
}

#[test]
fn a_node_that_leaves_does_not_wait_for_ever() {
    let cluster = Cluster::new();
    let mut node = cluster.node("--leave-within 1.5");
    let mut held =
        Running::start(&mut cluster.lock("a", "trap '' TERM; echo $$; while :; do sleep 1000; done"));
    node.signal(Signal::INT);
    let text = held.check(79);
    assert!(text.contains("its node is about to end"), "{text}");
    node.check(0);
}

#[test]
fn a_second_signal_ends_a_node_at_once() {
    let cluster = Cluster::new();
    let mut node = cluster.node("--leave-within 3600");
    let mut held =
        Running::start(&mut cluster.lock("a", "trap '' TERM; echo $$; while :; do sleep 1000; done"));
    node.signal(Signal::TERM);
    until("it leaves", || check(&mut cluster.command("status", ""), 0).contains("leaving"));
    node.signal(Signal::TERM);
    node.check(128 + 15);
    held.check(79);
}

/// A row of a table of some node.
fn rows(cluster: &Cluster, command: &str, node: u16) -> Vec<serde_json::Value> {
    let text = check(&mut cluster.command(command, &format!("--json --id {node}")), 0);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many slots each member masters, as this node's map has it.
fn shares(cluster: &Cluster, node: u16) -> Vec<(u64, u64)> {
    let shares = rows(cluster, "map", node).into_iter().filter(|row| row["row"] == "share");
    // Slots that nobody masters are of node 0 here.
    shares.map(|row| (row["master"].as_u64().unwrap_or(0), row["slots"].as_u64().unwrap())).collect()
}

/// Each machine balances slots of its own, so a node may be off by a part of a slot for each.
fn until_balanced(cluster: &Cluster, nodes: &[u16]) {
    let machines = rows(cluster, "status", nodes[0])[0]["machines"].as_u64().unwrap();
    let share = 64 / nodes.len() as u64;
    let shared = share.saturating_sub(machines - 1)..=share + machines;
    for node in nodes {
        until("the slots are balanced", || {
            let shares = shares(cluster, *node);
            shares.len() == nodes.len() && shares.iter().all(|(_, slots)| shared.contains(slots))
        });
    }
}

#[test]
fn nodes_run_as_many_machines_as_the_one_that_founds_their_cluster() {
    let cluster = Cluster::new();
    let _nodes =
        ["--machines 3", "--machines 2", ""].map(|named| cluster.node(&format!("--slots 64 {named}")));
    for node in 1..=3 {
        let status = rows(&cluster, "status", node);
        assert_eq!(status[0]["machines"], 3, "{status:?}");
    }
}

#[test]
fn nodes_meet_balance_and_part() {
    let cluster = Cluster::new();
    let one = cluster.node("--slots 64");
    let mut two = cluster.node("--slots 64 --id 7");
    until_balanced(&cluster, &[1, 7]);
    let members = rows(&cluster, "members", 7);
    assert_eq!((&members[0]["node"], &members[1]["node"]), (&1.into(), &7.into()));
    assert_eq!((&members[0]["is_this"], &members[1]["is_this"]), (&false.into(), &true.into()));
    assert_eq!(rows(&cluster, "status", 7)[0]["connected"], 1);
    two.signal(Signal::TERM);
    two.check(0);
    assert_eq!(shares(&cluster, 1), [(1, 64)]);
    // What a dead node mastered comes back too.
    let two = cluster.node("--slots 64 --id 7");
    until_balanced(&cluster, &[1, 7]);
    one.signal(Signal::KILL);
    until("its slots are taken over", || shares(&cluster, 7) == [(7, 64)]);
    drop(two);
}

#[test]
fn a_drained_node_masters_nothing_and_stays() {
    let cluster = Cluster::new();
    let _one = cluster.node("--slots 64");
    let text = check(&mut cluster.command("drain", ""), 1);
    assert_eq!(text, "error: there is no other member that could take the slots\n");
    let _two = cluster.node("--slots 64");
    until_balanced(&cluster, &[1, 2]);
    check(&mut cluster.command("drain", "--id 1"), 0);
    assert_eq!(shares(&cluster, 1), [(2, 64)]);
    assert_eq!(rows(&cluster, "members", 2)[0]["is_leaving"], true);
    check(&mut cluster.lock("--id 1 a", "true"), 0);
    assert_eq!(shares(&cluster, 2), [(2, 64)]);
}

#[test]
fn slots_go_to_whom_they_are_given() {
    let cluster = Cluster::new();
    let _one = cluster.node("--slots 64");
    let _two = cluster.node("--slots 64");
    until_balanced(&cluster, &[1, 2]);
    let range = rows(&cluster, "map", 1).into_iter().find(|row| row["row"] == "range" && row["master"] == 1);
    let first = &range.unwrap()["first"];
    check(&mut cluster.command("transfer", &format!("{first} --to 2 --id 1")), 0);
    for (arguments, why) in [
        (format!("{first} --to 2 --id 1"), "not the master of every slot"),
        ("0..64 --to 2 --id 1".to_owned(), "there is no slot 64: the last one is 63"),
        ("0..4294967295 --to 2 --id 1".to_owned(), "there is no slot 4294967295: the last one is 63"),
        (format!("{first} --to 9 --id 2"), "node 9 is no other member"),
    ] {
        let text = check(&mut cluster.command("transfer", &arguments), 1);
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn a_node_that_listens_everywhere_says_where_it_is_reached() {
    let cluster = Cluster::new();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let text = check(&mut cluster.command("node", &format!("--insecure --listen {listen}")), 2);
        assert!(text.contains("--advertise ADDR"), "{text}");
    }
    for nowhere in ["0.0.0.0:7000", "127.0.0.1:0"] {
        let arguments = format!("--insecure --listen 0.0.0.0:0 --advertise {nowhere}");
        let text = check(&mut cluster.command("node", &arguments), 2);
        assert!(text.contains("no address that others can dial"), "{text}");
    }
    let text = check(&mut cluster.command("node", "--listen 0.0.0.0:0 --advertise 127.0.0.1:7000"), 2);
    assert!(text.contains("0.0.0.0"), "{text}");
    let _node = cluster.node("--insecure --listen 0.0.0.0:0 --advertise 127.0.0.1:7000");
    assert_eq!(rows(&cluster, "members", 1)[0]["address"], "127.0.0.1:7000");
}

#[test]
fn nodes_that_all_leave_at_once_wait_for_nobody() {
    let cluster = Cluster::new();
    let mut nodes = [1, 2, 3].map(|_| cluster.node("--slots 64 --leave-within 60"));
    until_balanced(&cluster, &[1, 2, 3]);
    nodes.iter().for_each(|node| node.signal(Signal::TERM));
    // Who has not left in time says so, and its exit status is another.
    for node in &mut nodes {
        assert_eq!(node.check(0), "");
    }
}

#[test]
fn a_number_is_for_one_node_alone() {
    let cluster = Cluster::new();
    let _one = cluster.node("--id 3");
    let text = check(&mut cluster.command("node", "--id 3"), 2);
    assert!(text.contains("node 3 is a member already"), "{text}");
    let text = check(&mut cluster.command("node", "--slots 7"), 2);
    assert!(text.contains("configured otherwise"), "{text}");
}
