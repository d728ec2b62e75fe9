use super::*;
use crate::demo::data_file::Suspect;
use crate::demo::tests::args;
use crate::page::{PageNumber, Torn};

/// Checks the verdict on a run that was right but for this change.
fn check(change: impl FnOnce(&mut Summary<'_>), is_clean: bool) {
    let args = args();
    let mut summary = Summary::new(&args, Duration::from_secs(10), false);
    summary.audit.total = summary.expected_total();
    change(&mut summary);
    assert_eq!(summary.is_clean(), is_clean);
}

#[test]
fn a_right_run_is_clean() {
    check(|_| {}, true);
    check(|summary| summary.was_interrupted = true, true);
}

#[test]
fn lost_or_made_money_fails() {
    check(|summary| summary.audit.total -= 1, false);
    check(|summary| summary.audit.total += 1, false);
}

#[test]
fn a_torn_page_fails() {
    let torn = Suspect::Torn(PageNumber(1), Torn::Number(PageNumber(2)));
    check(|summary| summary.audit.torn.push(torn), false);
    check(|summary| summary.figures.torn = 1, false);
}

#[test]
fn a_token_that_went_back_fails() {
    check(|summary| summary.figures.tokens_back = 1, false);
}

#[test]
fn a_missing_node_a_stuck_task_and_a_refused_lock_fail() {
    check(|summary| summary.missing.push("node 1 died".to_owned()), false);
    check(|summary| summary.figures.unfinished = 1, false);
    check(|summary| summary.figures.refused = 1, false);
}

#[test]
fn a_stuck_transfer_and_nodes_that_disagree_fail() {
    check(|summary| summary.figures.slots.unfinished = 1, false);
    let node = |node, shares: [u32; 2]| NodeSummary {
        node,
        transfers: SlotTransfers::default(),
        survey: Some(Survey { shares: shares.to_vec(), ..Survey::default() }),
    };
    check(|summary| summary.nodes = vec![node(1, [5, 7]), node(2, [5, 7])], true);
    check(|summary| summary.nodes = vec![node(1, [5, 7]), node(2, [6, 6])], false);
}
