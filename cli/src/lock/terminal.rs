//! The terminal, whose keys send signals to the process group in its foreground.

use std::io::{IsTerminal, stdin};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, getpgrp};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// The terminal of the standard input, in whose foreground this process is.
#[derive(Debug)]
pub(super) struct Terminal {
    own: Pid,
}

impl Terminal {
    /// If the standard input is a terminal and this process in its foreground.
    pub(super) fn of_input() -> Option<Self> {
        let own = getpgrp();
        let is_in_foreground = stdin().is_terminal() && tcgetpgrp(stdin()).is_ok_and(|group| group == own);
        is_in_foreground.then_some(Self { own })
    }

    /// Puts another group into the foreground, if this process is there.
    pub(super) fn give(&self, group: Pid) {
        if tcgetpgrp(stdin()).is_ok_and(|group| group == self.own) {
            set_foreground(group);
        }
    }

    /// Puts this process into the foreground again.
    pub(super) fn take_back(&self) {
        set_foreground(self.own);
    }
}

/// Puts the group of this process into the foreground of the terminal.
pub(super) fn give_input_to_self() {
    set_foreground(getpgrp());
}

/// Does so from the background too, for which the kernel would stop this process otherwise.
fn set_foreground(group: Pid) {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    // The terminal may have gone; then there is no foreground.
    let _gone = stop.thread_block().map(|()| tcsetpgrp(stdin(), group));
    let _blocked = stop.thread_unblock();
}
