//! Tasks that wait for a change in the life of the node.

use core::task::Waker;

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
    /// Was woken, or gave no waker yet.
    Taken,
    Waiting(Waker),
}

impl Waiters {
    /// `waker` is woken at the next change. `id` is absent at the first call, and kept by the caller.
    pub(crate) fn wait(&mut self, id: &mut Option<WaiterId>, waker: &Waker) {
        let WaiterId(at) = *id.get_or_insert_with(|| self.wait_place());
        assert!(!matches!(self.places[at], Place::Vacant), "who waits has a place");
        self.places[at] = Place::Waiting(waker.clone());
    }

    fn wait_place(&mut self) -> WaiterId {
        let at = self.vacant.pop().unwrap_or(self.places.len());
        if at == self.places.len() {
            self.places.push(Place::Taken);
        }
        self.places[at] = Place::Taken;
        WaiterId(at)
    }

    /// One that waited is gone.
    pub(crate) fn remove(&mut self, WaiterId(at): WaiterId) {
        self.places[at] = Place::Vacant;
        self.vacant.push(at);
    }

    /// Something has changed: hands out all wakers.
    pub(crate) fn wake(&mut self, mut wake: impl FnMut(Waker)) {
        for place in &mut self.places {
            if let Place::Waiting(waker) = place {
                wake(waker.clone());
                *place = Place::Taken;
            }
        }
    }
}
