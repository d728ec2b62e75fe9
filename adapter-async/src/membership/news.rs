//! What a provider told, given to the node in a turn.

use lockmaster_core::{Certainty, Incarnation, ViewError};

use super::{ClusterView, MembershipError};
use crate::errands::Errands;
use crate::machines::Machines;
use crate::runtime::{Runtime, Writer};
use crate::shared::{LONG_BUDGET, Shared, State};
use crate::trace::{self, Note};

impl<R: Runtime> Shared<R> {
    /// There is a new view, in this life.
    pub(crate) fn hear_view(&self, life: u64, view: ClusterView) {
        self.hear(life, |state, errands| state.install(view, errands));
    }

    /// Membership is certain for so long, in this life.
    pub(crate) fn hear_certainty(&self, life: u64, certainty: Certainty) {
        self.hear(life, |state, _| {
            let now = state.now();
            state.node.handle_certainty(now, certainty);
        });
    }

    /// This life has ended.
    pub(crate) fn hear_fenced(&self, life: u64, why: &str) {
        self.hear(life, |state, errands| state.fence(why, errands));
    }

    /// One turn, unless the node has begun another life.
    fn hear(&self, life: u64, act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>)) {
        let now = self.runtime.now();
        let mut errands = Errands::new();
        let _: Option<()> = self.turn_with(&mut errands, LONG_BUDGET, |state, errands| {
            state.advance(now);
            if state.members.life() == life {
                act(state, errands);
            }
        });
        errands.run(self);
    }

    /// The machine begins another life, whose number is returned; nothing if it is shut down.
    pub(crate) fn rejoin(&self, incarnation: Incarnation) -> Result<Option<u64>, MembershipError> {
        let now = self.runtime.now();
        let life = self.turn(|state, _| {
            let now = state.advance(now);
            state.node.rejoin(now, incarnation).map(|()| state.members.life())
        });
        life.transpose().map_err(|refused| MembershipError::Untrusted(refused.to_string()))
    }

    /// The engine was told that the node is about to leave, or could not be.
    fn announced(&self, is_told: bool) {
        let _: Option<()> = self.turn(|state, errands| {
            let now = state.now();
            state.members.announced(now, is_told);
            state.lifecycle.waiters.wake(|waker| errands.wake(waker));
        });
    }
}

impl<R: Runtime> Machines<R> {
    /// Every machine begins another life; nothing if the node is shut down. Returns their numbers.
    ///
    /// All machines have had the same lives, and all have ended them: either the first refuses, or none does.
    pub(crate) fn rejoin(&self, incarnation: Incarnation) -> Result<Option<Box<[u64]>>, MembershipError> {
        self.each()
            .iter()
            .map(|machine| machine.rejoin(incarnation).transpose())
            .collect::<Option<_>>()
            .transpose()
    }

    /// The engine was told that the node is about to leave, or could not be.
    pub(crate) fn announced(&self, told: Result<(), MembershipError>) {
        if let Err(error) = &told {
            trace::trouble(Some(self.id()), &error.to_string());
        }
        self.each().iter().for_each(|machine| machine.announced(told.is_ok()));
    }
}

impl<W: Writer> State<W> {
    /// Takes a view in, and hangs up on those that are not in it.
    pub(crate) fn install(&mut self, view: ClusterView, errands: &mut Errands<W>) {
        let (now, id) = (self.now(), self.node.config().node);
        let taken = match view.to_core() {
            Some(view) => self.node.handle_view(now, &view),
            None => Err(ViewError::Unsound),
        };
        match taken {
            Ok(()) => {}
            // A provider may tell a view twice, and one that is on its way when the node is fenced.
            Err(ViewError::Old | ViewError::Fenced) => return,
            // Those that have departed are about to make room.
            Err(ViewError::Places) => return self.members.put_off(view),
            Err(error @ (ViewError::Unsound | ViewError::Static)) => {
                return errands.notes.add(id, Note::Troubled(error.to_string()));
            }
        }
        errands.notes.add(id, Note::Viewed { epoch: view.epoch, members: view.members.len() });
        self.members.install(view);
        for (peer, detached) in self.links.follow(self.members.peers()) {
            self.node.handle_disconnect(now, peer);
            errands.hang_up(detached);
        }
        self.balance.call_for();
        self.lifecycle.waiters.wake(|waker| errands.wake(waker));
    }

    fn fence(&mut self, why: &str, errands: &mut Errands<W>) {
        let now = self.now();
        errands.notes.add(self.node.config().node, Note::Fenced(why.to_owned()));
        self.node.fence(now);
    }
}
