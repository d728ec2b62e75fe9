//! Kinds of faults: each may be left out of a run, and each is counted.

use core::ops::AddAssign;

/// Something that goes wrong in a run if its seed says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// Frames are lost on the way.
    Loss,
    /// Frames are delivered once more, soon.
    Repeat,
    /// Frames are delivered once more, much later.
    Late,
    /// Any frame that was ever sent is delivered once more.
    Haunt,
    /// Frames take much longer than the others.
    Tail,
    /// One direction between two nodes loses everything for a while.
    Cut,
    /// A connection is lost, and made again.
    Disconnect,
    /// An outbox is not drained for a while.
    Clog,
    /// A timeout comes that nobody asked for.
    EarlyTimeout,
    /// A timer fires after its deadline.
    LateTimer,
    /// A hello of a stranger, or of another life, is refused.
    Stranger,
    /// Events are not polled before the next input.
    Deaf,
    /// The cluster falls in two parts that do not hear each other for a while.
    Split,
    /// A node is heard by nobody for a while, or hears nobody.
    Mute,
    /// A node takes its time with everything that it sends and gets.
    Slow,
    /// A node stops for a while: what comes to it waits, and so do its timers.
    Pause,
    /// A node's clock is too fast or too slow, by a thousandth at most.
    Drift,
    /// A node's clock leaps ahead.
    Leap,
    /// Tables have less room than owners can ask for.
    Tight,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Loss,
        Self::Repeat,
        Self::Late,
        Self::Haunt,
        Self::Tail,
        Self::Cut,
        Self::Disconnect,
        Self::Clog,
        Self::EarlyTimeout,
        Self::LateTimer,
        Self::Stranger,
        Self::Deaf,
        Self::Split,
        Self::Mute,
        Self::Slow,
        Self::Pause,
        Self::Drift,
        Self::Leap,
        Self::Tight,
    ];

    /// What to call it on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Repeat => "repeat",
            Self::Late => "late",
            Self::Haunt => "haunt",
            Self::Tail => "tail",
            Self::Cut => "cut",
            Self::Disconnect => "disconnect",
            Self::Clog => "clog",
            Self::EarlyTimeout => "early-timeout",
            Self::LateTimer => "late-timer",
            Self::Stranger => "stranger",
            Self::Deaf => "deaf",
            Self::Split => "split",
            Self::Mute => "mute",
            Self::Slow => "slow",
            Self::Pause => "pause",
            Self::Drift => "drift",
            Self::Leap => "leap",
            Self::Tight => "tight",
        }
    }

    /// What is counted of it.
    #[must_use]
    pub const fn counted(self) -> &'static str {
        match self {
            Self::Loss => "frames lost",
            Self::Repeat => "frames delivered twice",
            Self::Late => "frames delivered again much later",
            Self::Haunt => "frames of any time delivered again",
            Self::Tail => "frames that took much longer",
            Self::Cut => "frames lost because their direction was cut",
            Self::Disconnect => "connections lost",
            Self::Clog => "outboxes not drained for a while",
            Self::EarlyTimeout => "timeouts that nobody asked for",
            Self::LateTimer => "timers after their deadline",
            Self::Stranger => "hellos of strangers",
            Self::Deaf => "inputs whose events were polled after the next",
            Self::Split => "frames lost because the cluster was split",
            Self::Mute => "frames lost because a node was mute or deaf",
            Self::Slow => "frames that a slow node held back",
            Self::Pause => "inputs that waited for a paused node",
            Self::Drift => "timers of clocks that are too fast or too slow",
            Self::Leap => "leaps of clocks",
            Self::Tight => "refusals of full tables",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Does it need a second node?
    pub(crate) const fn is_between_nodes(self) -> bool {
        match self {
            Self::Loss | Self::Repeat | Self::Late | Self::Haunt | Self::Tail => true,
            Self::Cut | Self::Disconnect | Self::Clog | Self::Split | Self::Mute | Self::Slow => true,
            Self::EarlyTimeout | Self::LateTimer | Self::Stranger | Self::Deaf => false,
            Self::Pause | Self::Drift | Self::Leap | Self::Tight => false,
        }
    }
}

/// Some kinds of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultKinds(u32);

impl FaultKinds {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << FaultKind::ALL.len()) - 1);

    /// These kinds and one more.
    #[must_use]
    pub const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// Is the kind one of them?
    #[must_use]
    pub const fn has(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// The kinds, in order.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL.into_iter().filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<FaultKind> for FaultKinds {
    fn from_iter<I: IntoIterator<Item = FaultKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

/// How often something happened, and in how many runs it could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCount {
    /// How often it happened.
    pub times: u64,
    /// Runs whose seed had it on.
    pub runs: u64,
    /// Runs in which it happened.
    pub runs_hit: u64,
}

/// The counts of every kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([FaultCount; FaultKind::ALL.len()]);

impl FaultCounts {
    /// The count of a kind.
    #[must_use]
    pub const fn of(&self, kind: FaultKind) -> FaultCount {
        self.0[kind as usize]
    }

    /// Every kind with its count.
    pub fn all(&self) -> impl Iterator<Item = (FaultKind, FaultCount)> + use<> {
        FaultKind::ALL.into_iter().zip(self.0)
    }

    pub(crate) fn hit(&mut self, kind: FaultKind) {
        self.0[kind as usize].times += 1;
    }

    /// The counts of one run are complete; these kinds were on in it.
    pub(crate) fn close(&mut self, on: FaultKinds) {
        for (kind, count) in FaultKind::ALL.into_iter().zip(&mut self.0) {
            count.runs = u64::from(on.has(kind));
            count.runs_hit = u64::from(count.times > 0);
        }
    }
}

impl AddAssign for FaultCounts {
    fn add_assign(&mut self, other: Self) {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            count.times += other.times;
            count.runs += other.runs;
            count.runs_hit += other.runs_hit;
        }
    }
}
