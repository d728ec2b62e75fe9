//! Messages and values as people like to read them in a trace.

use core::fmt;

use lockmaster_core::wire::{Body, Position};
use lockmaster_core::{Mode, Value, ValueState, ValueWrite};

/// A body of a message, short.
pub(crate) struct ShownBody<'a>(pub(crate) &'a Body);

/// A value block by the number that its writer put in front.
pub(crate) struct ShownValue(pub(crate) ValueState);

/// What is done to a value block.
pub(crate) struct ShownWrite(pub(crate) ValueWrite);

/// The letters of a mode, or a dash.
pub(crate) fn letters(mode: Option<Mode>) -> &'static str {
    mode.map_or("-", Mode::letters)
}

fn number_in(value: &Value) -> u64 {
    let digits = value.as_bytes().iter().take(8);
    digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl fmt::Display for ShownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ValueState::Absent => f.write_str("no value"),
            ValueState::Valid(value) => write!(f, "value {}", number_in(value)),
            ValueState::Invalid(value) => write!(f, "invalid value {}", number_in(value)),
        }
    }
}

impl fmt::Display for ShownWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ValueWrite::Keep => Ok(()),
            ValueWrite::Set(value) => write!(f, ", writes {}", number_in(value)),
            ValueWrite::Invalidate => f.write_str(", invalidates"),
        }
    }
}

impl fmt::Display for ShownBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Body::Position(position) => show_position(position, f),
            Body::Queued(queued) => write!(f, "Queued #{}, ticket {}", queued.number.0, queued.ticket.count),
            Body::Grant(grant) => {
                write!(f, "Grant #{} {} under {}", grant.number.0, grant.mode, grant.token.grant)?;
                if let Some(value) = &grant.value {
                    write!(f, ", {} of {}", ShownValue(value.state), value.version.grant)?;
                }
                if let Some((id, stay)) = grant.demand {
                    write!(f, ", demand {} until {stay}", id.0)?;
                }
                Ok(())
            }
            Body::Deny(deny) => write!(f, "Deny #{} {:?}", deny.number.0, deny.reason),
            Body::Demand(demand) => {
                let kind = if demand.demote { "Demotion" } else { "Demand" };
                let (id, number, held, stay) = (demand.id.0, demand.number.0, demand.held, demand.stay);
                write!(f, "{kind} {id} of #{number} {held} until {stay}")
            }
            Body::Written(number) => write!(f, "Written #{}", number.0),
            Body::Redirect(redirect) => write!(f, "{redirect:?}"),
        }
    }
}

fn show_position(position: &Position, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (held, pinned, wanted) = (letters(position.held), position.pinned, letters(position.wanted));
    write!(f, "{:?} #{} (asked #{}) {held}", position.kind, position.number.0, position.asked.0)?;
    if let Some(pinned) = pinned {
        write!(f, "({pinned})")?;
    }
    write!(f, " > {wanted} {:?}, copy of {}", position.flags, position.copy.grant)?;
    if position.answers.0 != 0 {
        write!(f, ", answers {}", position.answers.0)?;
    }
    if let Some(write) = &position.write {
        let value = write.value.map_or(ValueState::Invalid(Value::EMPTY), ValueState::Valid);
        write!(f, ", writes {} under {}", ShownValue(value), write.version.grant)?;
    }
    Ok(())
}
