//! Why a run did not end as it should.

use core::fmt::Display;

/// What went wrong, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something that the machine has to have is not there: nothing was shown, neither good nor bad.
    #[error("{0}")]
    Missing(String),
    /// Somebody wants this process to end.
    #[error("interrupted")]
    Interrupted,
    /// The history shows locks that cannot have been held so.
    #[error("the history is not clean:\n{0}")]
    Unclean(String),
    /// The scenery broke, or what was to be shown is not so.
    #[error("{0}")]
    Broken(String),
}

pub(crate) type Result<T> = core::result::Result<T, Failure>;

/// A failure while doing this.
pub(crate) fn broken<E: Display>(doing: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Broken(format!("{doing}: {error}"))
}

/// An error unless it is so.
pub(crate) fn require(is_so: bool, what: impl FnOnce() -> String) -> Result<()> {
    if is_so { Ok(()) } else { Err(Failure::Broken(what())) }
}
