use tempfile::TempDir;

use super::*;

const NUMBER: PageNumber = PageNumber(7);

fn token(epoch: u32, grant: u64) -> Token {
    Token { epoch: Epoch(epoch), grant, local: 1 }
}

fn page(number: PageNumber, token: Token) -> Page {
    let mut page = Page::opened(number, 5);
    page.seal(token);
    page
}

#[test]
fn what_was_announced_is_found_until_it_is_done() {
    let directory = TempDir::new().unwrap();
    let log = RedoLog::open(&directory.path().join("redo"), 3).unwrap();
    let (one, other) = (page(NUMBER, token(1, 4)), page(PageNumber(8), token(1, 9)));
    log.announce(1, &[&one, &other]).unwrap();
    log.announce(2, &[&page(NUMBER, token(1, 3))]).unwrap();
    assert_eq!(log.pages(0).unwrap().len(), 0);
    assert_eq!(log.pages(1).unwrap().len(), 2);
    let latest = log.latest().unwrap();
    assert_eq!(latest.keys().copied().collect::<Vec<_>>(), [NUMBER, PageNumber(8)]);
    assert_eq!(latest[&NUMBER].token(), token(1, 4));
    log.done(1).unwrap();
    assert_eq!(log.latest().unwrap()[&NUMBER].token(), token(1, 3));
}

#[test]
fn an_entry_that_is_not_whole_is_none() {
    let directory = TempDir::new().unwrap();
    let log = RedoLog::open(&directory.path().join("redo"), 1).unwrap();
    log.announce(0, &[&page(NUMBER, token(1, 4))]).unwrap();
    log.file.write_all_at(&[0xff], HEAD as u64 + 100).unwrap();
    assert_eq!(log.pages(0).unwrap().len(), 0);
}

#[test]
fn only_what_is_older_or_torn_is_mended_and_only_after_a_new_view() {
    let directory = TempDir::new().unwrap();
    let log = RedoLog::open(&directory.path().join("redo"), 1).unwrap();
    let check = |mut found: Page, ours: Token, mended: Token| {
        log.mend(NUMBER, ours, &mut found).unwrap();
        assert_eq!(found.token(), mended);
    };
    check(page(NUMBER, token(1, 2)), token(1, 5), token(1, 2));
    log.announce(0, &[&page(NUMBER, token(1, 4))]).unwrap();
    // In the same view its writer lives, and would not have let go of the lock.
    check(page(NUMBER, token(1, 2)), token(1, 5), token(1, 2));
    check(page(NUMBER, token(1, 2)), token(2, 1), token(1, 4));
    check(page(NUMBER, token(2, 1)), token(2, 2), token(2, 1));
    let mut torn = page(NUMBER, token(1, 9));
    torn.bytes_mut()[5000] ^= 1;
    check(torn, token(2, 3), token(1, 4));
}
