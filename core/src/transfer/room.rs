//! Room for the records of a transfer: what the new master keeps free, and the old one's account of it (rules R2 and
//! R11).

use super::Room;
use super::pack::Unsound;
use crate::error::Full;
use crate::machine::{Change, Machine};
use crate::record::Course;
use crate::time::Instant;

/// Room for what comes while this many records move: for a burst of new ones, and for their share of a long transfer.
const fn spare_for(used: u32) -> u32 {
    used / 4 + 64
}

/// So much of it is left when more is asked for; nothing of a kind that is not used.
const fn margin_for(used: u32) -> u32 {
    if used > 0 { used / 16 + 16 } else { 0 }
}

/// What the new master gives of what it can spare: the rest is for its own owners, and for other transfers.
const fn share_of(free: u32) -> u32 {
    free / 4
}

/// Room at the new master, as the old one keeps account of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// What the new master has made in all.
    granted: Room,
    /// What the slots take of it.
    used: Room,
    /// What the last offer said that they take, and what it asked for.
    needed: Room,
    asked: Room,
    asking: Asking,
    /// A new master that had no more, or has not answered, is not asked again before this.
    ask_at: Instant,
}

/// How far a larger offer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    No,
    Due,
    Sent,
}

impl Allowance {
    /// The slots take this much, and nothing has been asked for yet.
    pub(super) const fn of(used: Room) -> Self {
        Self {
            granted: Room::NONE,
            used,
            needed: Room::NONE,
            asked: Room::NONE,
            asking: Asking::No,
            ask_at: Instant::START,
        }
    }

    /// What an offer says now: what the slots take, and that with something for what comes while they move.
    pub(super) fn offer(&self) -> (Room, Room) {
        (self.used, self.used + self.used.zip(Room::NONE, |used, _| spare_for(used)))
    }

    pub(super) const fn was_offered(&mut self, (needed, asked): (Room, Room), ask_at: Instant) {
        self.needed = needed;
        self.asked = asked;
        self.ask_at = ask_at;
        if let Asking::Due = self.asking {
            self.asking = Asking::Sent;
        }
    }

    /// The new master has made this room in all.
    pub(super) fn grant(&mut self, room: Room, ask_at: Instant) {
        self.granted = self.granted.zip(room, u32::max);
        self.asking = Asking::No;
        self.ask_at = ask_at;
    }

    /// The kind of record, if any, for which there is not room enough now.
    pub(super) fn lacks(&self, more: Room) -> Option<Full> {
        (self.used + more).beyond(self.granted)
    }

    /// Had the new master less of a kind of record than the slots took when it was asked?
    pub(super) fn is_refused(&self, kind: Full) -> bool {
        self.needed.of(kind) > self.granted.of(kind)
    }

    /// Had it less than it was asked for?
    fn is_exhausted(&self, kind: Full) -> bool {
        self.asked.of(kind) > self.granted.of(kind)
    }

    /// Is a larger offer to be sent?
    pub(super) fn is_due(&self) -> bool {
        self.asking == Asking::Due
    }

    #[cfg(feature = "check")]
    pub(super) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        feed.put(&(self.granted, self.used, self.needed, self.asked, self.asking));
        feed.put_until(self.ask_at);
    }

    /// An offer that was not answered is made again.
    pub(super) fn repeat(&mut self) {
        if self.asking == Asking::Sent {
            self.asking = Asking::Due;
        }
    }

    /// Asks for more if little is left; says whether it does so from now on.
    fn ask(&mut self, now: Instant) -> bool {
        let margin = self.used.zip(Room::NONE, |used, _| margin_for(used));
        let Some(kind) = self.lacks(margin) else { return false };
        let is_news = match self.asking {
            Asking::No => !self.is_exhausted(kind) || now >= self.ask_at,
            Asking::Due => false,
            // The timer of the transfer is put off by each answer to a chunk.
            Asking::Sent => now >= self.ask_at,
        };
        if is_news {
            self.asking = Asking::Due;
        }
        is_news
    }
}

impl Machine<'_> {
    // ---- at the old master ----

    /// The transfer that gives a slot away, if it has room of the new master's to keep account of.
    fn allowance_of(&self, slot: u32) -> Option<&Allowance> {
        let (Course::Outgoing(place) | Course::Packing(place)) = self.slot(slot).course else { return None };
        let entry = &self.s.transfers.outgoing[usize::from(place)];
        entry.is_moving().then_some(&entry.allowance)
    }

    /// Is there room, at the master that a slot is going to, for records that are to be made in it?
    pub(crate) fn slot_room(&self, slot: u32, more: Room) -> Result<(), Full> {
        self.allowance_of(slot).and_then(|allowance| allowance.lacks(more)).map_or(Ok(()), Err)
    }

    /// There is no room for a record of some kind in a slot: may it be that the new master has more?
    pub(crate) fn may_get_room(&mut self, slot: u32, kind: Full) -> bool {
        self.ask_for_room();
        self.allowance_of(slot)
            .is_some_and(|allowance| allowance.asking != Asking::No || !allowance.is_exhausted(kind))
    }

    /// Keeps account of what the slots of a transfer take at the new master.
    pub(crate) fn tally_outgoing(&mut self, slot: u32, records: Room, change: Change) {
        let (Course::Outgoing(place) | Course::Packing(place)) = self.slot(slot).course else { return };
        let entry = &mut self.s.transfers.outgoing[usize::from(place)];
        if entry.stream.is_closed(slot) {
            // What goes here was packed, and is there.
            return;
        }
        let used = &mut entry.allowance.used;
        match change {
            Change::More => {
                *used += records;
                self.ask_for_room_of(usize::from(place));
            }
            Change::Fewer => *used = used.minus(records),
        }
    }

    /// Asks the new masters for more room where a transfer has little left.
    pub(crate) fn ask_for_room(&mut self) {
        for place in super::places(self.s.transfers.giving) {
            self.ask_for_room_of(place);
        }
    }

    pub(super) fn ask_for_room_of(&mut self, place: usize) {
        let now = self.s.now;
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.is_moving() && entry.allowance.ask(now) {
            let to = entry.to();
            self.mark_ready(to);
        }
    }

    // ---- at the new master ----

    /// The kind of record, if any, that is wanting for slots that take this much.
    pub(super) fn lacks_room(&self, needed: Room) -> Option<Full> {
        needed.beyond(self.free_room().minus(self.kept()))
    }

    /// Keeps records free for what the slots take, and of what is asked for beyond that, at most a quarter of what is
    /// then left; tells how many in all.
    pub(super) fn make_room(&mut self, place: usize, needed: Room, asked: Room) -> Room {
        let free = self.free_room().minus(self.kept());
        let entry = &mut self.s.transfers.incoming[place];
        if entry.is_complete() {
            return entry.granted;
        }
        let first = needed.minus(entry.granted).zip(free, u32::min);
        let spare = free.minus(first).zip(Room::NONE, |left, _| share_of(left));
        let more = first + asked.minus(entry.granted + first).zip(spare, u32::min);
        entry.granted += more;
        entry.room += more;
        let is_short = needed.beyond(entry.granted).is_some();
        let granted = entry.granted;
        self.s.transfers.reserved += more;
        // What is merely retained gives way, so that there is more when it is asked for again.
        self.s.is_short |= is_short;
        granted
    }

    pub(super) fn give_room_back(&mut self, place: usize) {
        let entry = &mut self.s.transfers.incoming[place];
        let room = core::mem::take(&mut entry.room);
        self.s.transfers.reserved = self.s.transfers.reserved.minus(room);
    }

    /// Uses up room that was kept free, and what is free beside it.
    #[inline]
    pub(super) fn draw(&mut self, place: usize, needed: Room) -> Result<(), Unsound> {
        let transfers = &self.s.transfers;
        let kept = transfers.incoming[place].room;
        if needed.is_within(kept) {
            let transfers = &mut self.s.transfers;
            transfers.incoming[place].room = kept.minus(needed);
            transfers.reserved = transfers.reserved.minus(needed);
            return Ok(());
        }
        let free = self.free_room().minus(self.kept()) + kept;
        if needed.beyond(free).is_some() {
            return Err(Unsound);
        }
        let drawn = needed.zip(kept, u32::min);
        let transfers = &mut self.s.transfers;
        transfers.incoming[place].room = kept.minus(drawn);
        transfers.reserved = transfers.reserved.minus(drawn);
        Ok(())
    }
}
