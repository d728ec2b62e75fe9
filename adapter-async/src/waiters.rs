//! Tasks that wait for a change in the life of the node.

use core::task::Waker;

use crate::stale::Stale;

/// Names one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(usize);

/// Those who wait. A place is kept from the first wait to [`Waiters::remove`].
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    places: Vec<Place>,
    vacant: Vec<usize>,
}

#[derive(Debug)]
enum Place {
    Vacant,
    /// Without a waker if it was woken, or gave none yet.
    Taken(Option<Waker>),
}

impl Waiters {
    /// `waker` is woken at the next change. `id` is absent at the first call, and kept by the caller.
    pub(crate) fn wait(&mut self, id: &mut Option<WaiterId>, waker: &Waker, stale: &mut Stale) {
        let WaiterId(at) = *id.get_or_insert_with(|| self.wait_place());
        let Place::Taken(known) = &mut self.places[at] else { unreachable!("who waits has a place") };
        stale.replace(known, waker);
    }

    fn wait_place(&mut self) -> WaiterId {
        let at = self.vacant.pop().unwrap_or(self.places.len());
        if at == self.places.len() {
            self.places.push(Place::Vacant);
        }
        self.places[at] = Place::Taken(None);
        WaiterId(at)
    }

    /// Does nobody wait?
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.places.iter().all(|place| matches!(place, Place::Vacant))
    }

    /// One that waited is gone.
    pub(crate) fn remove(&mut self, WaiterId(at): WaiterId, stale: &mut Stale) {
        if let Place::Taken(Some(waker)) = core::mem::replace(&mut self.places[at], Place::Vacant) {
            stale.add(waker);
        }
        self.vacant.push(at);
    }

    /// Something has changed: hands out all wakers.
    pub(crate) fn wake(&mut self, mut wake: impl FnMut(Waker)) {
        for place in &mut self.places {
            if let Place::Taken(waker) = place {
                waker.take().into_iter().for_each(&mut wake);
            }
        }
    }
}
