//! Commands under locks.

use std::fs;
use std::io::Read;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::common::{Cluster, Running, check, exists, lives, until};
use crate::fake::Fake;

/// Ignores what asks it to end, tells its number, and goes on for ever, as do two more that it has started.
const STUBBORN: &str = "trap '' TERM INT HUP; (trap '' TERM; sleep 1000; sleep 1000) & \
                        sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & echo $$; while :; do sleep 1000; done";

/// Like it, but one of the others leaves the process group.
const STUBBORN_AND_SPREAD: &str = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' & echo $$; while :; do sleep 1000; done";

fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Waits until the node knows that a command runs under this lock.
fn until_running(cluster: &Cluster, group: Pid) {
    let sign = format!(r#""group":{}"#, group.as_raw_pid());
    until("the node knows the group", || check(&mut cluster.command("dump", "--json"), 0).contains(&sign));
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    for status in [0, 1, 7, 75, 255] {
        check(&mut cluster.lock("a", &format!("exit {status}")), status);
    }
    check(&mut cluster.lock("a", "kill -KILL $$"), 128 + 9);
    check(&mut cluster.lock("a", "kill -TERM $$"), 128 + 15);
    let text = check(cluster.command("lock", "a").args(["--", "/none/such"]), 127);
    assert!(text.starts_with("error: /none/such: "), "{text}");
    check(cluster.command("lock", "a").args(["--", "/proc/version"]), 126);
}

#[test]
fn the_command_knows_its_token_and_name() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let text = check(&mut cluster.lock("jobs/a", "echo $LOCKMASTER_TOKEN $LOCKMASTER_NAME"), 0);
        let (token, name) = text.trim_end().split_once(' ').unwrap();
        assert_eq!(name, "jobs/a");
        assert!(token.len() == 32 && token.bytes().all(|digit| digit.is_ascii_hexdigit()), "{token}");
        tokens.push(token.to_owned());
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

#[test]
fn arguments_and_input_go_to_the_command_as_they_are() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut command = cluster.command("lock", "a");
    command.args(["--", "printf", "%s|", "a b", "", "$HOME;*", "-n", "--"]);
    assert_eq!(check(&mut command, 0), "a b||$HOME;*|-n|--|");
    let mut command = cluster.command("lock", "a");
    let input = fs::File::open("/proc/self/status").unwrap();
    assert!(check(command.args(["--", "head", "-c5"]).stdin(input), 0).starts_with("Name:"));
}

#[test]
fn who_does_not_wait_is_told_that_it_is_busy_or_that_time_is_over() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let held = Running::start(&mut cluster.lock("a", "echo $$; exec sleep 1000"));
    check(&mut cluster.lock("-n a", "true"), 75);
    check(&mut cluster.lock("-w 0.05 a", "true"), 124);
    check(&mut cluster.lock("-n -m NL a", "true"), 0);
    check(&mut cluster.lock("-n b", "true"), 0);
    held.signal(Signal::TERM);
    check(&mut cluster.lock("a", "true"), 0);
}

#[test]
fn shared_locks_are_shared() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let _held = Running::start(&mut cluster.lock("-m pr a", "echo $$; exec sleep 1000"));
    check(&mut cluster.lock("-n -m PR a", "true"), 0);
    check(&mut cluster.lock("-n -m EX a", "true"), 75);
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let cluster = Cluster::new();
    check(&mut cluster.lock("a", "true"), 69);
    let _node = cluster.node("--space one --space two");
    check(&mut cluster.lock("--space two a", "true"), 0);
    let text = check(&mut cluster.lock("--space three a", "true"), 125);
    assert_eq!(text, "error: the node has no space three\n");
    check(&mut cluster.lock(&"n".repeat(65), "true"), 125);
    check(&mut cluster.lock("--id 2 a", "true"), 69);
}

#[test]
fn signals_are_passed_on() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script = "trap 'echo USR1' USR1; trap 'echo USR2' USR2; trap 'echo WINCH' WINCH; trap 'echo HUP' HUP; \
                  trap 'echo QUIT' QUIT; trap 'echo INT; exit 42' INT; echo $$; while :; do sleep 0.01; done";
    let mut held = Running::start(&mut cluster.lock("a", script));
    for (signal, name) in [
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::INT, "INT"),
    ] {
        if is_ignored(signal) {
            // A shell cannot trap what its parents ignore, such as HUP below `nohup`.
            continue;
        }
        held.signal(signal);
        assert_eq!(held.next_line(), name);
    }
    held.check(42);
    let mut held = Running::start(&mut cluster.lock("a", "echo $$; exec sleep 1000"));
    held.signal(Signal::TERM);
    held.check(128 + 15);
}

/// Is a signal ignored by this process, and so by those that it starts?
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    ignored >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn signals_that_were_ignored_stay_ignored() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script = "trap '' HUP; exec \"$0\" lock --dir \"$1\" a -- sh -c 'echo $$; exec sleep 1000'";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_lockmaster")]).arg(cluster.path());
    let mut held = Running::start(&mut command);
    held.signal(Signal::HUP);
    held.signal(Signal::TERM);
    held.check(128 + 15);
}

#[test]
fn who_waits_can_be_interrupted_and_leaves_nothing() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut held = Running::start(&mut cluster.lock("a", "echo $$; exec sleep 1000"));
    let waiters = || check(&mut cluster.command("waiters", "--json"), 0);
    let mut waiting = cluster.lock("a", "true").spawn().unwrap();
    until("it waits", || waiters().contains(&format!(r#""waiter_pid":{}"#, waiting.id())));
    kill_process(Pid::from_child(&waiting), Signal::INT).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(128 + 2));
    until("it waits no more", || waiters().is_empty());
    held.signal(Signal::TERM);
    held.check(128 + 15);
}

#[test]
fn what_the_command_leaves_in_its_group_ends_with_it() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    // It has the output too, which ends only when it does.
    let text =
        check(&mut cluster.lock("--grace 0.2 a", "trap '' TERM; (sleep 1000; sleep 1000) & exit 3"), 3);
    assert_eq!(text, "");
    check(&mut cluster.lock("-n a", "true"), 0);
}

#[test]
fn a_daemon_is_let_go() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script = "setsid sh -c 'echo $$ > \"$FILE\"; exec sleep 1000 >&- 2>&-' & \
                  until [ -s \"$FILE\" ]; do sleep 0.01; done; cat \"$FILE\"";
    let mut held = Running::start(cluster.lock("a", script).env("FILE", cluster.scratch().join("pid")));
    let daemon = held.printed_pid();
    held.check(0);
    check(&mut cluster.lock("-n a", "true"), 0);
    assert!(lives(daemon));
    kill_process(daemon, Signal::KILL).unwrap();
}

#[test]
fn the_command_ends_with_its_node() {
    for script in [STUBBORN, STUBBORN_AND_SPREAD] {
        let cluster = Cluster::new();
        let node = cluster.node("");
        let mut held = Running::start(&mut cluster.lock("a", script));
        node.signal(Signal::KILL);
        // The output ends when all of them have.
        let text = held.check(79);
        assert!(text.starts_with("error: the lock is lost: "), "{text}");
    }
}

#[test]
fn the_lock_outlives_its_client_until_the_group_is_gone() {
    for script in [STUBBORN, "echo $$; exec sleep 1000"] {
        let cluster = Cluster::new();
        let _node = cluster.node("");
        let mut held = Running::start(&mut cluster.lock("a", script));
        let group = held.printed_pid();
        until_running(&cluster, group);
        held.signal(Signal::KILL);
        // Whoever gets the lock next finds nobody of the group.
        let script = format!("kill -0 -- -{} 2>/dev/null && echo alive || echo gone", group.as_raw_pid());
        assert_eq!(check(&mut cluster.lock("a", &script), 0), "gone\n");
        assert_eq!(held.rest_of_output(), "");
    }
}

#[test]
fn an_orphan_outside_of_its_group_keeps_the_lock() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut held = Running::start(&mut cluster.lock("a", "setsid sh -c 'echo $$; exec sleep 1000' & wait"));
    let daemon = held.printed_pid();
    until("the node knows the group", || {
        !check(&mut cluster.command("dump", "--json"), 0).contains(r#""group":null,"name":"a""#)
    });
    held.signal(Signal::KILL);
    held.process.wait().unwrap();
    check(&mut cluster.lock("-n a", "true"), 75);
    assert!(lives(daemon));
    kill_process(daemon, Signal::KILL).unwrap();
    check(&mut cluster.lock("a", "true"), 0);
}

#[test]
fn the_command_ends_before_the_lock_can_be_lost() {
    let ends_at = since_boot() + 2_000_000_000;
    let mut fake = Fake::grant("", STUBBORN_AND_SPREAD, Some(ends_at));
    // The leash ends with the last of all that the command has started.
    fake.leash.read_to_end(&mut Vec::new()).unwrap();
    assert!(since_boot() < ends_at);
    assert_eq!(fake.client.hear(), r#""release""#);
    fake.client.say(r#""done""#);
    let text = fake.command.check(79);
    assert_eq!(text, "error: the lock is lost: its node cannot prove its membership\n");
}

#[test]
fn the_command_may_clean_up_before_the_lock_can_be_lost() {
    let script = "trap 'echo cleaned up; exit 0' TERM; echo $$; while :; do sleep 0.01; done";
    let mut fake = Fake::grant("", script, Some(since_boot() + 2_000_000_000));
    assert_eq!(fake.client.hear(), r#""release""#);
    fake.client.say(r#""done""#);
    assert!(fake.command.check(79).starts_with("cleaned up\n"));
}

#[test]
fn certainty_that_is_renewed_lets_the_command_go_on() {
    const SCRIPT: &str = "trap 'exit 5' USR1; echo $$; while :; do sleep 0.01; done";
    let mut fake = Fake::grant("", SCRIPT, Some(since_boot() + 2_000_000_000));
    fake.client.say(&format!(r#"{{"certain":{{"until":{}}}}}"#, since_boot() + 7_200_000_000_000));
    fake.client.say(r#"{"certain":{"until":null}}"#);
    fake.command.signal(Signal::USR1);
    assert_eq!(fake.client.hear(), r#""release""#);
    fake.client.say(r#""done""#);
    fake.command.check(5);

    let mut fake = Fake::grant("", SCRIPT, None);
    fake.client.say(&format!(r#"{{"certain":{{"until":{}}}}}"#, since_boot()));
    assert_eq!(fake.client.hear(), r#""release""#);
    fake.client.say(r#""done""#);
    fake.command.check(79);
}

#[test]
fn the_command_is_killed_when_the_lock_is_lost() {
    let words = [r#"{"lost":{"why":"of the test"}}"#, "no word", r#"{"granted":{"token":"0","until":null}}"#];
    for word in words {
        let mut fake = Fake::grant("--grace 1000", STUBBORN_AND_SPREAD, None);
        fake.client.say(word);
        fake.leash.read_to_end(&mut Vec::new()).unwrap();
        drop(fake.client);
        fake.command.check(79);
    }
}

#[test]
fn the_command_ends_before_the_node_does() {
    let mut fake = Fake::grant("", STUBBORN, None);
    fake.client.say(r#"{"ending":{"within_ms":1000}}"#);
    fake.leash.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(fake.client.hear(), r#""release""#);
    fake.client.say(r#""done""#);
    fake.command.check(79);
}

#[test]
fn only_a_release_that_the_node_confirms_counts() {
    let mut fake = Fake::grant("", "echo $$", None);
    assert_eq!(fake.client.hear(), r#""release""#);
    drop(fake.client);
    let text = fake.command.check(79);
    assert_eq!(text, "error: the lock is lost: the node ended the connection\n");
}

#[test]
fn the_command_is_killed_with_its_keeper_even_without_a_node() {
    let mut fake = Fake::grant("", "echo $$; exec sleep 1000", None);
    let command = fake.command.printed_pid();
    fake.command.signal(Signal::KILL);
    fake.leash.read_to_end(&mut Vec::new()).unwrap();
    until("the command is gone", || !exists(command));
}

#[test]
fn a_lock_is_held_against_other_nodes_until_everything_has_ended() {
    for who in ["node", "client"] {
        let cluster = Cluster::new();
        let one = cluster.node("");
        let _two = cluster.node("");
        let mut held = Running::start(&mut cluster.lock("--id 1 a", STUBBORN));
        let group = held.printed_pid();
        check(&mut cluster.lock("--id 2 -n a", "true"), 75);
        until_running(&cluster, group);
        match who {
            "node" => one.signal(Signal::KILL),
            _ => held.signal(Signal::KILL),
        }
        let script = format!("kill -0 -- -{} 2>/dev/null && echo alive || echo gone", group.as_raw_pid());
        assert_eq!(check(&mut cluster.lock("--id 2 a", &script), 0), "gone\n", "{who}");
        held.rest_of_output();
    }
}

#[test]
fn nobody_finds_a_node_dead_before_its_clients_have_acted() {
    let cluster = Cluster::new();
    let one = cluster.node("");
    let _two = cluster.node("");
    let mut held = Running::start(&mut cluster.lock("--id 1 a", STUBBORN));
    let group = held.printed_pid();
    // It cannot end the command now.
    held.signal(Signal::STOP);
    one.signal(Signal::KILL);
    check(&mut cluster.lock("--id 2 -w 1 a", "true"), 124);
    assert!(lives(group));
    held.signal(Signal::CONT);
    let script = format!("kill -0 -- -{} 2>/dev/null && echo alive || echo gone", group.as_raw_pid());
    assert_eq!(check(&mut cluster.lock("--id 2 a", &script), 0), "gone\n");
    held.check(79);
}
