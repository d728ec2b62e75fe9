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

use std::sync::PoisonError;

use lockmaster_core::{Certainty, Instant};

use super::{ClusterView, Hear};
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
    Early(Mail, Option<Arc<Shared<R>>>),
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
    shared: Arc<Shared<R>>,
    life: u64,
}

impl<R: Runtime> Clone for Attached<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), life: self.life }
    }
}

impl<R: Runtime> Ear<R> {
    pub(crate) fn new(runtime: Arc<R>, node: Option<Arc<Shared<R>>>) -> Self {
        Self { runtime, stage: Mutex::new(Stage::Early(Mail::default(), node)) }
    }

    /// The node can take what it is told, in this life. What came early is delivered first.
    pub(crate) fn attach(&self, shared: &Arc<Shared<R>>, life: u64) {
        let attached = Attached { shared: Arc::clone(shared), life };
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
        let Self { shared, life } = self;
        certainty.into_iter().for_each(|certainty| shared.hear_certainty(*life, certainty));
        view.into_iter().for_each(|view| shared.hear_view(*life, view));
        fenced.into_iter().for_each(|why| shared.hear_fenced(*life, &why));
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
        if let (Some(Attached { shared, life }), Some(view)) = (attached, view) {
            shared.hear_view(life, view);
        }
    }

    fn certainty(&self, certainty: Certainty) {
        if let Some(Attached { shared, life }) = self.attached(|mail| mail.certainty = Some(certainty)) {
            shared.hear_certainty(life, certainty);
        }
    }

    fn fenced(&self, why: &str) {
        if let Some(Attached { shared, life }) = self.attached(|mail| mail.fenced = Some(why.to_owned())) {
            shared.hear_fenced(life, why);
        }
    }

    fn trouble(&self, why: &str) {
        match self.attached(|_| ()) {
            Some(Attached { shared, .. }) => trace::trouble(Some(shared.id()), why),
            None => trace::trouble(None, why),
        }
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn last_alive(&self) -> Instant {
        match self.attached(|_| ()) {
            Some(Attached { shared, .. }) => shared.lock().alive,
            None => self.runtime.now(),
        }
    }

    fn is_over(&self) -> bool {
        let (shared, life) = match &*self.stage() {
            Stage::Early(_, None) => return false,
            Stage::Over => return true,
            Stage::Early(_, Some(shared)) => (Arc::clone(shared), None),
            Stage::Attached(Attached { shared, life }) => (Arc::clone(shared), Some(*life)),
        };
        let state = shared.lock();
        state.lifecycle.is_closed() || life.is_some_and(|life| life != state.members.life())
    }
}
