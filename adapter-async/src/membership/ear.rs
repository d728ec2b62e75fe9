//! The node's side of an inbox.
//!
//! ```text
//!            attach                 end
//!   Early ─────────────▶ Attached ─────────▶ Over
//!     └────────────────────────────────────────┘
//! ```
//!
//! What comes early is kept, the latest of each kind: the node may not exist yet, or be busy with the end of its
//! earlier life. Nothing is delivered while the ear's own mutex is held.

use std::sync::{Arc as StdArc, PoisonError};

use lockmaster_core::{Certainty, Instant};

use super::{ClusterView, Hear};
use crate::machines::Machines;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::trace;

pub(crate) struct Ear<R: Runtime> {
    runtime: Arc<R>,
    stage: Mutex<Stage<R>>,
}

enum Stage<R: Runtime> {
    /// With the node, if it is there already, at the end of its earlier life.
    Early(Mail, Option<StdArc<Machines<R>>>),
    Attached(Attached<R>),
    Over,
}

/// What was told before the node could take it.
#[derive(Default)]
struct Mail {
    certainty: Option<Certainty>,
    view: Option<ClusterView>,
    fenced: Option<String>,
}

/// One life of a node.
struct Attached<R: Runtime> {
    machines: StdArc<Machines<R>>,
    /// Of each machine.
    lives: StdArc<[u64]>,
}

impl<R: Runtime> Clone for Attached<R> {
    fn clone(&self) -> Self {
        Self { machines: StdArc::clone(&self.machines), lives: StdArc::clone(&self.lives) }
    }
}

impl<R: Runtime> Ear<R> {
    pub(crate) fn new(runtime: Arc<R>, machines: Option<StdArc<Machines<R>>>) -> Self {
        Self { runtime, stage: Mutex::new(Stage::Early(Mail::default(), machines)) }
    }

    /// The node can take what it is told, in this life. What came early is delivered first.
    pub(crate) fn attach(&self, machines: &StdArc<Machines<R>>, lives: Box<[u64]>) {
        let attached = Attached { machines: StdArc::clone(machines), lives: lives.into() };
        loop {
            let mail = {
                let mut stage = self.stage();
                let Stage::Early(mail, _) = &mut *stage else { return };
                if mail.is_empty() {
                    *stage = Stage::Attached(attached);
                    return;
                }
                core::mem::take(mail)
            };
            attached.deliver(mail);
        }
    }

    /// Nobody will listen.
    pub(crate) fn end(&self) {
        let before = core::mem::replace(&mut *self.stage(), Stage::Over);
        drop(before);
    }

    fn stage(&self) -> MutexGuard<'_, Stage<R>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to tell; nobody if `keep` has kept it for later, or if nobody listens.
    fn attached(&self, keep: impl FnOnce(&mut Mail)) -> Option<Attached<R>> {
        match &mut *self.stage() {
            Stage::Early(mail, _) => {
                keep(mail);
                None
            }
            Stage::Attached(attached) => Some(attached.clone()),
            Stage::Over => None,
        }
    }
}

impl Mail {
    const fn is_empty(&self) -> bool {
        self.certainty.is_none() && self.view.is_none() && self.fenced.is_none()
    }
}

impl<R: Runtime> Attached<R> {
    fn deliver(&self, mail: Mail) {
        let Mail { certainty, view, fenced } = mail;
        certainty.into_iter().for_each(|certainty| self.certainty(certainty));
        view.into_iter().for_each(|view| self.view(&view));
        fenced.into_iter().for_each(|why| self.fenced(&why));
    }

    fn view(&self, view: &ClusterView) {
        self.each().for_each(|(machine, life)| machine.hear_view(life, view.clone()));
    }

    fn certainty(&self, certainty: Certainty) {
        self.each().for_each(|(machine, life)| machine.hear_certainty(life, certainty));
    }

    fn fenced(&self, why: &str) {
        self.each().for_each(|(machine, life)| machine.hear_fenced(life, why));
    }

    /// The machines, each with its life.
    fn each(&self) -> impl Iterator<Item = (&Shared<R>, u64)> {
        self.machines.each().iter().map(|machine| &**machine).zip(self.lives.iter().copied())
    }
}

impl<R: Runtime> Hear for Ear<R> {
    fn view(&self, view: ClusterView) {
        let mut view = Some(view);
        let attached = self.attached(|mail| {
            let is_later = |known: &ClusterView| view.as_ref().is_some_and(|view| view.epoch > known.epoch);
            if mail.view.as_ref().is_none_or(is_later) {
                mail.view = view.take();
            }
        });
        if let (Some(attached), Some(view)) = (attached, view) {
            attached.view(&view);
        }
    }

    fn certainty(&self, certainty: Certainty) {
        if let Some(attached) = self.attached(|mail| mail.certainty = Some(certainty)) {
            attached.certainty(certainty);
        }
    }

    fn fenced(&self, why: &str) {
        if let Some(attached) = self.attached(|mail| mail.fenced = Some(why.to_owned())) {
            attached.fenced(why);
        }
    }

    fn trouble(&self, why: &str) {
        trace::trouble(self.attached(|_| ()).map(|attached| attached.machines.id()), why);
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn last_alive(&self) -> Instant {
        // The machine that has been stuck for longest.
        let attached = self.attached(|_| ());
        let alive = attached.and_then(|attached| attached.machines.look(|state| state.alive).min());
        alive.unwrap_or_else(|| self.runtime.now())
    }

    fn is_over(&self) -> bool {
        let (machines, lives) = match &*self.stage() {
            Stage::Early(_, None) => return false,
            Stage::Over => return true,
            // The life that is to begin has no number yet.
            Stage::Early(_, Some(machines)) => (StdArc::clone(machines), None),
            Stage::Attached(Attached { machines, lives }) => {
                (StdArc::clone(machines), Some(StdArc::clone(lives)))
            }
        };
        let is_another =
            |lives: StdArc<[u64]>| machines.look(|state| state.members.life()).ne(lives.iter().copied());
        machines.is_closed() || lives.is_some_and(is_another)
    }
}
