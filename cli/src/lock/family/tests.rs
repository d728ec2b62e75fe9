use super::*;

#[test]
fn a_name_may_be_anything() {
    let parsed = Process::parse("42 (a) Z (b) c) S 7 40 40 0 -1 4194560 9\n").unwrap();
    let expected = Process { pid: Pid::from_raw(42).unwrap(), state: b'S', parent: 7, group: 40 };
    assert_eq!(parsed, expected);
    assert_eq!(Process::parse(""), None);
    assert_eq!(Process::parse("42 (cut"), None);
    assert_eq!(Process::parse("42 (cut) S 7"), None);
}

#[test]
fn this_process_is_among_all() {
    let me = processes().into_iter().find(|process| process.pid == getpid()).unwrap();
    assert!(me.lives());
    assert_eq!(me.group, rustix::process::getpgrp().as_raw_pid());
}
