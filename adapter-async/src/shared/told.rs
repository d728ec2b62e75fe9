//! Nothing is told to `tracing` while the node's mutex is held.

use core::cell::RefCell;
use core::fmt;
use std::sync::{Once, TryLockError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Event, Metadata, Subscriber};

use super::still::{EX, ME, Still, granted, outsider, view};
use super::{Arc, Shared};

/// A node, and what was told since.
type Watched = (Arc<Shared<Still>>, Vec<String>);

thread_local! {
    /// What this thread watches.
    static WATCHED: RefCell<Option<Watched>> = const { RefCell::new(None) };
}

/// Looks whether the mutex is free when it is told something.
struct Ears;

impl Subscriber for Ears {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        WATCHED.with_borrow_mut(|watched| {
            let Some((shared, told)) = watched else { return };
            event.record(&mut Message(told));
            let is_free = !matches!(shared.state.try_lock(), Err(TryLockError::WouldBlock));
            assert!(is_free, "nothing is told under the mutex: {told:?}");
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Keeps the text of an event.
struct Message<'a>(&'a mut Vec<String>);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.push(format!("{value:?}"));
        }
    }
}

#[test]
fn what_happens_is_told_when_the_mutex_is_free() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| set_global_default(Ears).expect("nobody else listens"));
    let node = outsider();
    WATCHED.set(Some((Arc::clone(node.machines().lead()), Vec::new())));
    node.machines().lead().hear_view(1, view(1, 1, &[]));
    let _guard = granted(node.lock("a", EX));
    // This node twice: a view that contradicts itself.
    node.machines().lead().hear_view(1, view(2, 1, &[ME]));
    node.machines().lead().hear_fenced(1, "on purpose");
    let (_, told) = WATCHED.take().expect("this thread has watched");
    for expected in [
        "new view",
        "standing changed",
        "every member was heard",
        "membership is in trouble",
        "membership has ended: every lock is lost",
        "lock lost",
    ] {
        assert!(told.iter().any(|text| text == expected), "{expected}: {told:?}");
    }
}
