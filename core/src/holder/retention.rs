//! What a node keeps after its last owner has gone, and for how long (rule H7).
//!
//! Idle physical locks of a space stand in one queue, oldest first, with a mark for use since: a lock that is
//! taken and released again stays where it stands, so that neither costs more than setting the mark. One that
//! is marked when its turn comes gets another turn. So it goes after one to two idle times without use.

use crate::config::Retention;
use crate::id::SpaceId;
use crate::machine::Machine;
use crate::record::Resource;
use crate::table::Idx;
use crate::time::Instant;

/// Marked locks that are passed over when room must be made; after that the next one goes.
const SECOND_CHANCES: u32 = 8;

/// Idle locks that one call gives up to make room.
const SHED_A_CALL: u32 = 2;

impl Machine<'_> {
    pub(crate) fn is_retaining(&self, at: Idx<Resource>) -> bool {
        let space = self.resources[at].space;
        self.s.config.spaces[usize::from(space.0)].retention != Retention::Never
    }

    /// An owner comes: the lock is not idle any more.
    pub(crate) fn touch(&mut self, at: Idx<Resource>) {
        let resource = &mut self.resources[at];
        resource.is_used = true;
        resource.holding.is_touched = true;
        if core::mem::take(&mut resource.holding.is_idle) {
            self.s.idle[usize::from(resource.space.0)].count -= 1;
        }
    }

    /// Counts a lock that has lost its last owner among the idle ones, and makes room for it there.
    pub(crate) fn retain(&mut self, at: Idx<Resource>) {
        let resource = &mut self.resources[at];
        let holding = &mut resource.holding;
        let is_idle = holding.held.is_some() && holding.locks.is_empty() && !holding.is_asking();
        let space = usize::from(resource.space.0);
        if is_idle == holding.is_idle {
            return;
        }
        holding.is_idle = is_idle;
        if !is_idle {
            self.s.idle[space].count -= 1;
            return;
        }
        self.s.idle[space].count += 1;
        if !holding.idle.is_linked() {
            self.stand_idle(at);
        }
        let most = self.s.config.spaces[space].retained_max;
        for _ in 0..SHED_A_CALL {
            if self.s.idle[space].count > most {
                if !self.shed(space) {
                    break;
                }
                self.settle();
            }
        }
    }

    fn stand_idle(&mut self, at: Idx<Resource>) {
        let resource = &mut self.resources[at];
        resource.holding.is_touched = false;
        let space = usize::from(resource.space.0);
        resource.idle_at = match self.s.config.spaces[space].retention {
            Retention::Idle(span) => self.s.now.after(span),
            Retention::Never | Retention::UntilDemanded => Instant::NEVER,
        };
        let until = resource.idle_at;
        self.s.idle[space].queue.push_back(&mut self.resources, at);
        if until != Instant::NEVER {
            self.note_deadline(until);
        }
    }

    /// Gives up some idle locks of each space, because a request found a table full (rule M7).
    pub(crate) fn shed_for_room(&mut self) {
        let mut is_any = false;
        for space in 0..self.s.config.spaces.len() {
            for _ in 0..SHED_A_CALL {
                if !self.shed(space) {
                    break;
                }
                is_any = true;
                self.settle();
            }
        }
        self.s.wants_lent |= !is_any && self.s.lent > 0;
    }

    /// Gives up one idle lock: the first that was not used since it was put there; says whether there was one.
    fn shed(&mut self, space: usize) -> bool {
        for chance in 0..=SECOND_CHANCES {
            let Some(at) = self.s.idle[space].queue.head() else { return false };
            if self.take_idle(at, chance == SECOND_CHANCES) {
                return true;
            }
        }
        false
    }

    /// Gives up one lock that is merely retained, of any space; says whether there was one.
    pub(crate) fn shed_one(&mut self) -> bool {
        let is_any = (0..self.s.config.spaces.len()).any(|space| self.shed(space));
        self.s.wants_lent |= !is_any && self.s.lent > 0;
        is_any
    }

    /// The turn of an idle lock has come; says whether it was given up.
    fn take_idle(&mut self, at: Idx<Resource>, is_last_chance: bool) -> bool {
        let space = usize::from(self.resources[at].space.0);
        self.s.idle[space].queue.remove(&mut self.resources, at);
        let holding = &self.resources[at].holding;
        if !holding.is_idle {
            // It has owners; it comes back when the last of them goes.
            return false;
        }
        if holding.is_touched && !is_last_chance {
            self.stand_idle(at);
            return false;
        }
        self.s.stats.retained_dropped += 1;
        self.position_at(at, None);
        true
    }

    pub(crate) fn leave_idle(&mut self, at: Idx<Resource>) {
        let resource = &mut self.resources[at];
        let idle = &mut self.s.idle[usize::from(resource.space.0)];
        if core::mem::take(&mut resource.holding.is_idle) {
            idle.count -= 1;
        }
        idle.queue.remove_if_linked(&mut self.resources, at);
    }

    /// The idle lock whose turn comes first in a space, and when.
    pub(crate) fn first_idle(&self, space: SpaceId) -> Option<Instant> {
        let at = self.s.idle[usize::from(space.0)].queue.head()?;
        Some(self.resources[at].idle_at).filter(|until| *until != Instant::NEVER)
    }

    /// Works off one idle lock whose turn has come.
    pub(crate) fn expire_idle(&mut self, space: SpaceId) {
        let at = self.s.idle[usize::from(space.0)].queue.head().expect("an idle lock is due");
        if self.take_idle(at, false) {
            self.settle();
            self.drop_if_unused(at);
        }
    }
}
