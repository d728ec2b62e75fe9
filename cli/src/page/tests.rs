use lockmaster_tokio::lockmaster_core::Epoch;

use super::*;

const NUMBER: PageNumber = PageNumber(7);

fn token(grant: u64) -> Token {
    Token { epoch: Epoch(1), grant, local: 3 }
}

#[test]
fn a_new_page_is_whole_and_has_its_money() {
    let page = Page::opened(NUMBER, 1000);
    assert_eq!(page.check(NUMBER), Ok(()));
    assert_eq!(page.token(), Token::NONE);
    assert_eq!(page.total(), 1000 * u128::from(ACCOUNTS_PER_PAGE));
}

#[test]
fn a_sealed_page_has_its_writers_token() {
    let mut page = Page::opened(NUMBER, 1000);
    page.set_balance(AccountPlace::new(1019), 5);
    page.seal(token(9));
    assert_eq!(page.check(NUMBER), Ok(()));
    assert_eq!(page.token(), token(9));
    assert_eq!(page.balance(AccountPlace::new(1019)), 5);
    assert_eq!(page.balance(AccountPlace::new(1018)), 1000);
}

#[test]
fn any_changed_byte_is_noticed() {
    let mut page = Page::opened(NUMBER, 1000);
    for at in 0..PAGE_SIZE {
        page.bytes_mut()[at] ^= 1;
        assert!(matches!(page.check(NUMBER), Err(Torn::Checksum { .. })), "byte {at}");
        page.bytes_mut()[at] ^= 1;
    }
    assert_eq!(page.check(NUMBER), Ok(()));
}

#[test]
fn two_halves_of_two_writes_are_torn() {
    let (mut old, mut new) = (Page::opened(NUMBER, 1000), Page::opened(NUMBER, 1000));
    old.seal(token(1));
    new.set_balance(AccountPlace::new(1000), 1);
    new.seal(token(2));
    old.bytes_mut()[PAGE_SIZE / 2..].copy_from_slice(&new.bytes()[PAGE_SIZE / 2..]);
    assert!(matches!(old.check(NUMBER), Err(Torn::Checksum { .. })));
}

#[test]
fn a_page_in_anothers_place_is_torn() {
    let page = Page::opened(NUMBER, 1000);
    assert_eq!(page.check(PageNumber(8)), Err(Torn::Number(NUMBER)));
    assert!(Page::vacant().check(PageNumber(0)).is_err());
}
