//! Messages and values as people like to read them in a trace.

use core::fmt;

use lockmaster_core::wire::{Body, Position, TransferBody, TransferMessage, Unit};
use lockmaster_core::{Mode, Value, ValueState, ValueWrite};

/// A body of a message, short.
#[derive(Clone, Copy, Debug)]
pub struct ShownBody<'a>(pub &'a Body);

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
            Body::UpdatedLocks(updated) => {
                write!(f, "UpdatedLocks of node {}: ", updated.from)?;
                show_position(&updated.position, f)
            }
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

/// A message about a transfer, short.
#[derive(Clone, Copy, Debug)]
pub struct ShownTransfer<'a, 'b>(pub &'a TransferMessage<'b>);

impl fmt::Display for ShownTransfer<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TransferMessage { range, version, body } = self.0;
        write!(f, "slots {range} under {}: ", version.count)?;
        let TransferBody::InitialLocks(chunk) = body else { return write!(f, "{body:?}") };
        let last = if chunk.is_last { ", the last" } else { "" };
        let (slot, position, sent) = (chunk.head.slot.0, chunk.head.position, chunk.sent);
        write!(f, "InitialLocks of slot {slot} at unit {position}{last}, {sent} bytes so far")?;
        chunk.units.into_iter().try_for_each(|unit| show_unit(&unit, f))
    }
}

fn show_unit(unit: &Unit<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match unit {
        Unit::Record(record) => {
            let name = core::str::from_utf8(record.name).unwrap_or("?");
            write!(f, " [{name:.1} {} locks", record.locks)?;
            if let Some(value) = &record.value {
                write!(f, ", {} of {}", ShownValue(value.state), value.version.grant)?;
            }
            f.write_str("]")
        }
        Unit::Lock(lock) => {
            let (held, wanted) = (letters(lock.held), letters(lock.wanted));
            write!(f, " [{:?} node {} #{} {held} > {wanted}", lock.queue, lock.node, lock.number.0)?;
            write!(f, ", answer {:?}, due {:?}]", lock.answer, lock.due)
        }
    }
}
