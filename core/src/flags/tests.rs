use super::*;
use Mode::{ConcurrentRead, ConcurrentWrite, Exclusive, Null, ProtectedRead, ProtectedWrite};

#[test]
fn a_new_request_takes_no_conversion_flags() {
    for flag in [Flags::QUEUE_CONVERT, Flags::DEMOTE_ON_DEADLOCK] {
        assert_eq!(flag.check_request(Exclusive), Err(FlagsError::ConversionOnly));
    }
}

#[test]
fn expedite_is_for_new_null_locks_that_may_wait() {
    assert_eq!(Flags::EXPEDITE.check_request(Null), Ok(()));
    assert_eq!(Flags::EXPEDITE.check_request(ConcurrentRead), Err(FlagsError::Expedite));
    assert_eq!((Flags::EXPEDITE | Flags::NO_QUEUE).check_request(Null), Err(FlagsError::Expedite));
    assert_eq!(Flags::EXPEDITE.check_convert(Null, Null), Err(FlagsError::Expedite));
}

#[test]
fn queue_convert_is_for_conversions_that_may_wait() {
    assert_eq!(Flags::QUEUE_CONVERT.check_convert(ProtectedRead, ConcurrentWrite), Ok(()));
    for (held, wanted) in [(Null, Null), (Exclusive, Null), (ProtectedWrite, ProtectedRead)] {
        assert_eq!(Flags::QUEUE_CONVERT.check_convert(held, wanted), Err(FlagsError::QueueConvert));
    }
}

#[test]
fn flags_that_exclude_each_other_are_refused() {
    let demote = Flags::DEMOTE_ON_DEADLOCK;
    assert_eq!(demote.check_convert(Null, Exclusive), Ok(()));
    assert_eq!((demote | Flags::NO_QUEUE).check_convert(Null, Exclusive), Err(FlagsError::DemoteWithNoQueue));
    assert_eq!(Flags::NO_QUEUE_DEMAND.check_request(Exclusive), Err(FlagsError::DemandWithoutNoQueue));
    let both = Flags::ALTERNATE_PR | Flags::ALTERNATE_CW;
    assert_eq!(both.check_request(Exclusive), Err(FlagsError::TwoAlternates));
}

#[test]
fn unknown_bits_are_dropped() {
    assert_eq!(Flags::from_bits(u16::MAX).bits(), Flags::KNOWN);
}
