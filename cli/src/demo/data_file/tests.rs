use lockmaster_tokio::lockmaster_core::Epoch;
use tempfile::TempDir;

use super::*;
use crate::page::AccountPlace;

const PAGES: u32 = 4;
const NUMBER: PageNumber = PageNumber(2);

fn token(grant: u64) -> Token {
    Token { epoch: Epoch(1), grant, local: 0 }
}

/// A data file whose page 2 was written under token 5.
fn written() -> (TempDir, DataFile) {
    let directory = TempDir::new().unwrap();
    let file = DataFile::create(&directory.path().join("accounts"), PAGES).unwrap();
    let mut page = Page::vacant();
    file.read(NUMBER, token(5), &mut page, None).unwrap();
    let (poor, rich) = (AccountPlace::new(1), AccountPlace::new(1000));
    page.set_balance(poor, page.balance(poor) - 10);
    page.set_balance(rich, page.balance(rich) + 10);
    page.seal(token(5));
    file.write(NUMBER, &page).unwrap();
    (directory, file)
}

#[test]
fn what_is_written_is_read() {
    let (directory, _) = written();
    let file = DataFile::open(&directory.path().join("accounts")).unwrap();
    let mut page = Page::vacant();
    file.read(NUMBER, token(6), &mut page, None).unwrap();
    assert_eq!((page.token(), page.balance(AccountPlace::new(1000))), (token(5), BALANCE + 10));
    let audit = file.audit(PAGES, None).unwrap();
    assert_eq!((audit.total, audit.torn.len()), (expected_total(PAGES), 0));
}

#[test]
fn a_token_that_goes_back_is_refused() {
    let (_directory, file) = written();
    for ours in [token(4), token(5)] {
        match file.read(NUMBER, ours, &mut Page::vacant(), None) {
            Err(ReadError::Suspect(suspect)) => {
                assert_eq!(suspect, Suspect::TokenBack { page: NUMBER, written: token(5), ours });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_torn_page_is_refused_and_its_money_is_missing() {
    let (_directory, file) = written();
    let half = Page::opened(NUMBER, BALANCE);
    file.file.write_all_at(&half.bytes()[..PAGE_SIZE / 2], offset(NUMBER)).unwrap();
    let error = file.read(NUMBER, token(9), &mut Page::vacant(), None).unwrap_err();
    assert!(matches!(error, ReadError::Suspect(Suspect::Torn(NUMBER, Torn::Checksum { .. }))));
    let audit = file.audit(PAGES, None).unwrap();
    assert_eq!((audit.total, audit.torn.len()), (expected_total(PAGES - 1), 1));
}

#[test]
fn a_page_written_to_anothers_place_is_torn() {
    let (_directory, file) = written();
    file.write(PageNumber(1), &Page::opened(NUMBER, BALANCE)).unwrap();
    let audit = file.audit(PAGES, None).unwrap();
    assert_eq!(audit.torn, [Suspect::Torn(PageNumber(1), Torn::Number(NUMBER))]);
}

#[test]
fn a_data_file_is_never_written_over() {
    let (directory, _) = written();
    let again = DataFile::create(&directory.path().join("accounts"), PAGES);
    assert_eq!(again.err().unwrap().kind(), io::ErrorKind::AlreadyExists);
}
