use super::*;

const MODES: [Mode; 6] = Mode::ALL;

#[test]
fn compatibility_is_the_published_matrix() {
    let rows = ["111111", "111110", "111000", "110100", "110000", "100000"];
    for (held, row) in MODES.into_iter().zip(rows) {
        for (wanted, cell) in MODES.into_iter().zip(row.chars()) {
            assert_eq!(held.is_compatible(wanted), cell == '1', "{held} {wanted}");
            assert_eq!(held.is_compatible(wanted), wanted.is_compatible(held), "{held} {wanted}");
        }
    }
}

#[test]
fn strength_is_a_lattice() {
    for a in MODES {
        for b in MODES {
            let (join, meet) = (a.join(b), a.meet(b));
            assert!(join.covers(a) && join.covers(b) && a.covers(meet) && b.covers(meet));
            for c in MODES {
                assert!(!(c.covers(a) && c.covers(b)) || c.covers(join), "{a} {b} {c}");
                assert!(!(a.covers(c) && b.covers(c)) || meet.covers(c), "{a} {b} {c}");
                assert!(!(a.covers(b) && b.covers(c)) || a.covers(c), "{a} {b} {c}");
            }
            assert_eq!(a.covers(b) && b.covers(a), a == b);
        }
    }
}

#[test]
fn a_stronger_mode_is_compatible_with_less() {
    for a in MODES {
        for b in MODES.into_iter().filter(|b| a.covers(*b)) {
            for c in MODES {
                assert!(!a.is_compatible(c) || b.is_compatible(c), "{a} {b} {c}");
            }
        }
    }
}

#[test]
fn what_a_mode_leaves_is_the_strongest_compatible_one() {
    for wanted in MODES {
        let stay = wanted.leaves();
        assert!(stay.is_compatible(wanted));
        for held in MODES {
            assert_eq!(held.is_compatible(wanted), stay.covers(held), "{held} beside {wanted}");
        }
    }
}

#[test]
fn value_transfers_are_the_published_matrix() {
    let rows = ["RRRRRR", "-RRRRR", "--RRRR", "---RRR", "WWWWWR", "WWWWWW"];
    for (from, row) in MODES.into_iter().zip(rows) {
        for (to, cell) in MODES.into_iter().zip(row.chars()) {
            let expected = match cell {
                'R' => ValueTransfer::Read,
                'W' => ValueTransfer::Write,
                _ => ValueTransfer::Keep,
            };
            assert_eq!(Mode::value_transfer(Some(from), to), expected, "{from} {to}");
        }
    }
    assert!(MODES.into_iter().all(|to| Mode::value_transfer(None, to) == ValueTransfer::Read));
}

#[test]
fn queue_convert_is_for_upgrades_and_crossings() {
    let rows = ["-11111", "--1111", "---111", "--1-11", "-----1", "------"];
    for (from, row) in MODES.into_iter().zip(rows) {
        for (to, cell) in MODES.into_iter().zip(row.chars()) {
            assert_eq!(from.allows_queue_convert(to), cell == '1', "{from} {to}");
        }
    }
}

#[test]
fn letters_and_numbers_name_the_same_mode() {
    for mode in MODES {
        assert_eq!(Mode::from_letters(mode.letters()), Some(mode));
        assert_eq!(Mode::from_u8(mode as u8), Some(mode));
    }
    assert_eq!((Mode::from_u8(6), Mode::from_letters("XX")), (None, None));
}
