//! Histories, right and wrong, and what is said about them.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::history::check::{Findings, Violation};

/// Time, `node/owner`, resource, event, mode, token.
type Entry<'a> = (u64, &'a str, &'a str, &'a str, &'a str, u64);

/// The line of an entry.
fn line((t, owner, resource, event, mode, token): Entry<'_>) -> String {
    let node = owner.split('/').next().unwrap();
    format!(
        r#"{{"t":{t},"node":{node},"owner":"{owner}","resource":"{resource}","event":"{event}","mode":"{mode}","token":"{token:032x}"}}"#
    ) + "\n"
}

/// A history with these texts as its files.
fn history(files: &[String]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (at, text) in files.iter().enumerate() {
        fs::write(directory.path().join(format!("node-{}.jsonl", at + 1)), text).unwrap();
    }
    directory
}

/// What is found in a history of these files, and the report on it.
fn find(files: &[String]) -> Result<(Findings, String), HistoryError> {
    let directory = history(files);
    let mut merge = Merge::open(directory.path())?;
    let mut checker = Checker::default();
    while let Some(step) = merge.next()? {
        match step {
            Step::Entry(seen) => checker.take(seen),
            Step::CutShort(file) => checker.cut_short(file),
        }
    }
    let findings = checker.finish();
    let text = report::render(&findings, &merge);
    Ok((findings, text))
}

/// Checks how many violations of each kind are in a history of these files of lines; returns the report.
fn check(files: &[&[Entry<'_>]], violations: [u64; 5]) -> String {
    let files: Vec<String> = files.iter().map(|lines| lines.iter().copied().map(line).collect()).collect();
    let (findings, text) = find(&files).unwrap();
    assert_eq!(findings.violations, violations, "{text}");
    assert_eq!(findings.is_clean(), text.contains("verdict    clean"), "{text}");
    text
}

const CLEAN: [u64; 5] = [0; 5];

#[test]
fn a_right_history_is_clean() {
    let text = check(
        &[
            &[
                (10, "1/1", "a", "granted", "EX", 1),
                (20, "1/1", "a", "released", "EX", 1),
                (31, "1/2", "a", "granted", "PR", 3),
                (40, "1/2", "a", "released", "PR", 3),
            ],
            &[
                (11, "2/1", "b", "granted", "EX", 1),
                (30, "2/1", "a", "granted", "PR", 2),
                (41, "2/1", "b", "lost", "EX", 1),
                (42, "2/1", "a", "released", "PR", 2),
            ],
        ],
        CLEAN,
    );
    assert!(text.starts_with("history    2 files with 8 lines over 32 ns\n"), "{text}");
    assert!(text.contains("of         3 owners, 2 resources\n"), "{text}");
    assert!(text.contains("granted    4  PR 2  EX 2\nreleased   3\nlost       1\n"), "{text}");
}

#[test]
fn incompatible_locks_at_once_are_found() {
    let text = check(
        &[
            &[(10, "1/1", "a", "granted", "EX", 1), (21, "1/1", "a", "released", "EX", 1)],
            &[(20, "2/1", "a", "granted", "PR", 2), (30, "2/1", "a", "released", "PR", 2)],
        ],
        [1, 0, 0, 0, 0],
    );
    assert!(text.contains("violation 1: a: incompatible locks held at once\n"), "{text}");
    assert!(text.contains("node-1.jsonl:1: t 10 node 1 owner 1/1 a granted EX token 0000"), "{text}");
    assert!(text.contains("node-2.jsonl:1: t 20 node 2 owner 2/1 a granted PR token 0000"), "{text}");
    assert!(text.ends_with("verdict    FAILED: 1 incompatible locks held at once\n"), "{text}");
}

#[test]
fn incompatible_locks_of_one_node_are_found() {
    let lines = [
        (10, "1/1", "a", "granted", "PW", 1),
        (20, "1/2", "a", "granted", "CW", 2),
        (30, "1/1", "a", "released", "PW", 1),
        (31, "1/2", "a", "released", "CW", 2),
    ];
    check(&[&lines], [1, 0, 0, 0, 0]);
}

#[test]
fn modes_are_compared_by_the_table() {
    for held in lockmaster_tokio::Mode::ALL {
        for granted in lockmaster_tokio::Mode::ALL {
            let lines = [
                (10, "1/1", "a", "granted", held.letters(), 1),
                (20, "1/2", "a", "granted", granted.letters(), 2),
                (30, "1/1", "a", "released", held.letters(), 1),
                (40, "1/2", "a", "released", granted.letters(), 2),
            ];
            check(&[&lines], [u64::from(!held.is_compatible(granted)), 0, 0, 0, 0]);
        }
    }
}

#[test]
fn a_release_and_a_grant_at_one_instant_do_not_overlap() {
    // The file of the grant comes first, so only the rule for equal times puts the release before it.
    check(
        &[
            &[(20, "1/1", "a", "granted", "EX", 2), (30, "1/1", "a", "released", "EX", 2)],
            &[(10, "2/1", "a", "granted", "EX", 1), (20, "2/1", "a", "released", "EX", 1)],
        ],
        CLEAN,
    );
}

#[test]
fn a_token_that_goes_back_is_found() {
    for token in [4, 5] {
        let text = check(
            &[
                &[(10, "1/1", "a", "granted", "EX", 5), (20, "1/1", "a", "released", "EX", 5)],
                &[(30, "2/1", "a", "granted", "PR", token), (40, "2/1", "a", "released", "PR", token)],
            ],
            [0, 1, 0, 0, 0],
        );
        assert!(text.contains("tokens not higher than an earlier one\n"), "{text}");
    }
}

#[test]
fn a_token_is_compared_with_the_highest_of_all_incompatible_grants() {
    let lines = [
        (10, "1/1", "a", "granted", "EX", 9),
        (11, "1/1", "a", "released", "EX", 9),
        (20, "1/1", "a", "granted", "PR", 10),
        (21, "1/1", "a", "released", "PR", 10),
        // Compatible with the grant before it, so its token may be lower, but not than that of the EX.
        (30, "1/2", "a", "granted", "PR", 9),
        (31, "1/2", "a", "released", "PR", 9),
        (40, "1/3", "a", "granted", "CR", 3),
        (41, "1/3", "a", "released", "CR", 3),
        (50, "1/4", "a", "granted", "EX", 10),
        (51, "1/4", "a", "released", "EX", 10),
    ];
    check(&[&lines], [0, 3, 0, 0, 0]);
}

#[test]
fn shared_grants_need_no_order() {
    let lines = [
        (10, "1/1", "a", "granted", "PR", 9),
        (11, "1/1", "a", "released", "PR", 9),
        (20, "1/2", "a", "granted", "PR", 8),
        (21, "1/2", "a", "released", "PR", 8),
    ];
    check(&[&lines], CLEAN);
}

#[test]
fn a_second_grant_to_one_owner_is_found() {
    let lines = [
        (10, "1/1", "a", "granted", "PR", 1),
        (20, "1/1", "a", "granted", "PR", 2),
        (30, "1/1", "a", "released", "PR", 1),
        (40, "1/1", "a", "released", "PR", 2),
    ];
    check(&[&lines], [0, 0, 1, 0, 0]);
}

#[test]
fn an_end_without_a_grant_is_found() {
    let text = check(
        &[&[(10, "1/1", "a", "granted", "PR", 1), (20, "1/2", "a", "released", "PR", 1)]],
        [0, 0, 0, 1, 0],
    );
    assert!(text.contains("open       1 lock without an end, which is no violation\n"), "{text}");
    check(&[&[(20, "1/2", "a", "lost", "PR", 1)]], [0, 0, 0, 1, 0]);
    let twice = [
        (10, "1/1", "a", "granted", "PR", 1),
        (20, "1/1", "a", "lost", "PR", 1),
        (30, "1/1", "a", "released", "PR", 1),
    ];
    check(&[&twice], [0, 0, 0, 1, 0]);
}

#[test]
fn an_end_in_another_mode_or_with_another_token_is_found() {
    let otherwise = [
        (10, "1/1", "a", "granted", "EX", 1),
        (20, "1/1", "a", "released", "PR", 1),
        (30, "1/1", "a", "granted", "EX", 2),
        (40, "1/1", "a", "released", "EX", 3),
    ];
    check(&[&otherwise], [0, 0, 0, 0, 2]);
}

#[test]
fn a_lock_that_ends_nowhere_is_held_to_the_end() {
    let open = [(10, "1/1", "a", "granted", "EX", 1)];
    let text = check(&[&open], CLEAN);
    assert!(text.contains("           node-1.jsonl:1: t 10 "), "{text}");
    check(
        &[&open, &[(20, "2/1", "a", "granted", "EX", 2), (30, "2/1", "a", "released", "EX", 2)]],
        [1, 0, 0, 0, 0],
    );
}

#[test]
fn many_violations_are_counted_but_not_all_shown() {
    let lines: Vec<_> = (0..100).map(|t| (t, "1/1", "a", "released", "EX", 1)).collect();
    let text = check(&[&lines], [0, 0, 0, 100, 0]);
    assert!(text.contains("violation 5:") && !text.contains("violation 6:"), "{text}");
    assert!(text.ends_with("FAILED: 100 locks ended that were not held\n"), "{text}");
}

#[test]
fn a_file_that_was_cut_short_is_read_to_the_cut() {
    let whole = line((10, "1/1", "a", "granted", "EX", 1));
    let cut = line((20, "1/1", "a", "released", "EX", 1));
    let other = line((30, "2/1", "a", "granted", "EX", 2)) + &line((40, "2/1", "a", "released", "EX", 2));
    for len in [1, cut.len() / 2, cut.len() - 2] {
        let (findings, text) = find(&[format!("{whole}{}", &cut[..len]), other.clone()]).unwrap();
        assert!(findings.is_clean(), "{text}");
        assert_eq!((findings.open.len(), findings.unjudged), (1, 1));
        assert!(text.contains("cut short  node-1.jsonl:2: "), "{text}");
        assert!(text.contains("unjudged   1 later grant "), "{text}");
    }
}

#[test]
fn a_killed_process_that_is_started_again_has_a_history_of_its_own() {
    let killed = line((10, "1/1", "a", "granted", "EX", 5)) + "{";
    let later = |token| {
        line((20, "1/1", "a", "granted", "EX", token))
            + &line((21, "1/1", "a", "released", "EX", token))
            + &line((22, "1/2", "a", "granted", "EX", token + 1))
            + &line((23, "1/2", "a", "released", "EX", token + 1))
    };
    let (findings, text) = find(&[killed.clone(), later(6)]).unwrap();
    assert!(findings.is_clean(), "{text}");
    // Only of the first is it unknown whether it came too early.
    assert_eq!(findings.unjudged, 1, "{text}");
    // The tokens tell of an earlier grant that the process had.
    let (findings, text) = find(&[killed, later(4)]).unwrap();
    assert_eq!(findings.violations, [0, 2, 0, 0, 0], "{text}");
}

#[test]
fn a_last_line_without_an_end_counts_if_it_is_whole() {
    let text = line((10, "1/1", "a", "granted", "EX", 1)) + &line((20, "1/1", "a", "released", "EX", 1));
    let (findings, text) = find(&[text.trim_end().to_owned()]).unwrap();
    assert_eq!((findings.entries, findings.open.len()), ([1, 1, 0], 0), "{text}");
    assert!(!text.contains("cut short"), "{text}");
}

#[test]
fn a_line_that_is_no_entry_is_an_error() {
    let good = line((10, "1/1", "a", "granted", "EX", 1));
    for garbage in ["garbage\n", "\n", "{}\n", "{\"t\":1,\n", "\u{0}\n"] {
        let error = find(&[good.clone(), format!("{good}{garbage}{good}")]).err().unwrap();
        assert!(error.to_string().starts_with("node-2.jsonl:2: no entry of a history: "), "{error}");
        assert!(matches!(Failure::from(error), Failure::Broken(_)));
    }
}

#[test]
fn a_file_out_of_order_is_an_error() {
    let lines = [(10, "1/1", "a", "granted", "EX", 1), (9, "1/1", "a", "released", "EX", 1)];
    let error = find(&[lines.into_iter().map(line).collect()]).err().unwrap();
    assert_eq!(error.to_string(), "node-1.jsonl:2: earlier than the line before it");
}

#[test]
fn a_directory_without_a_history_is_an_error() {
    let directory = TempDir::new().unwrap();
    let error = Merge::open(directory.path()).err().unwrap();
    assert!(error.to_string().ends_with(": no *.jsonl files"));
    assert!(matches!(Failure::from(error), Failure::Usage(_)));
    let error = Merge::open(&directory.path().join("absent")).err().unwrap();
    assert!(matches!(Failure::from(error), Failure::Usage(_)));
}

#[test]
fn an_empty_history_is_clean() {
    let (findings, text) = find(&[String::new()]).unwrap();
    assert!(findings.is_clean());
    assert!(text.starts_with("history    1 file with 0 lines over 0 ns\n"), "{text}");
}

#[test]
fn every_kind_of_violation_has_a_name_of_its_own() {
    let mut names = Violation::KINDS.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Violation::KINDS.len());
}
