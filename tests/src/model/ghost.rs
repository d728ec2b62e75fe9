//! What owners were told, and nothing else: the model's own account of who holds what.

use lockmaster_core::{Cancelled, Denial, Mode, Token, ValueState};

use super::locals::{Told, block_of};

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Two owners were told that they hold modes that are not compatible.
    Exclusion,
    /// Two nodes hold modes that are not compatible.
    Physical,
    /// A grant's token is not above that of an earlier grant that it is incompatible with.
    Tokens,
    /// An owner was told something that it does not wait for: it had cancelled, released, or was told before.
    ExactlyOnce,
    /// A master has granted one request twice, under two tokens: a lock that was released has come back.
    GrantedTwice,
    /// A grant in another mode than was asked for, a denial without a cause, or a mode that a denial took away.
    Answer,
    /// Two nodes decide about a resource at the same time.
    Authority,
    /// What a master has on record of a node is weaker than what the node's owners hold.
    Coverage,
    /// A value block is not the one that was written last.
    Values,
    /// The network heals and everybody releases, but somebody waits for ever, or the nodes never come to rest.
    Liveness,
    /// The core's own checks found its tables in disorder.
    Core,
}

/// Where an owner knows its lock to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Waiting(Mode),
    Held(Mode),
    Converting { held: Mode, wanted: Mode },
}

/// One live lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) name: u8,
    pub(crate) member: u8,
    pub(crate) resource: u8,
    pub(crate) standing: Standing,
}

/// Everything that owners know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    pub(crate) owners: Vec<Owner>,
    pub(crate) resources: Vec<History>,
    /// Transfers that have ended, and those that were refused or withdrawn.
    pub(crate) ended: u8,
}

/// What has happened to a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// The highest token of a grant in each mode.
    highest: [Option<Token>; 6],
    /// The count that was written last.
    pub(crate) count: u8,
}

impl Owner {
    pub(crate) const fn holds(&self) -> Option<Mode> {
        match self.standing {
            Standing::Waiting(_) => None,
            Standing::Held(mode) | Standing::Converting { held: mode, .. } => Some(mode),
        }
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.standing, Standing::Waiting(_) | Standing::Converting { .. })
    }
}

impl Ghost {
    pub(crate) fn new(resources: usize) -> Self {
        Self { owners: Vec::new(), resources: vec![History::default(); resources], ended: 0 }
    }

    pub(crate) fn asks(&mut self, name: u8, member: u8, resource: u8, mode: Mode) {
        self.owners.push(Owner { name, member, resource, standing: Standing::Waiting(mode) });
    }

    pub(crate) fn converts(&mut self, name: u8, wanted: Mode) {
        let at = self.at(name).expect("the owner is live");
        let held = self.owners[at].holds().expect("a conversion is from a mode");
        self.owners[at].standing = Standing::Converting { held, wanted };
    }

    /// An owner that may have written releases.
    pub(crate) fn releases(&mut self, name: u8, write: Option<u8>) {
        let at = self.at(name).expect("the owner is live");
        self.writes(at, write);
        self.owners.remove(at);
    }

    pub(crate) fn writes_with(&mut self, name: u8, write: Option<u8>) {
        let at = self.at(name).expect("the owner is live");
        self.writes(at, write);
    }

    fn writes(&mut self, at: usize, write: Option<u8>) {
        if let Some(count) = write {
            self.resources[usize::from(self.owners[at].resource)].count = count;
        }
    }

    fn at(&self, name: u8) -> Option<usize> {
        self.owners.iter().position(|owner| owner.name == name)
    }

    // ---- what owners are told ----

    /// Takes note of what an owner is told; `with_values` if it reads the value block.
    pub(crate) fn hear(&mut self, told: &Told, with_values: bool) -> Result<(), Rule> {
        match *told {
            Told::Granted { owner, mode, token, value } => {
                let at = self.at(owner).ok_or(Rule::ExactlyOnce)?;
                self.granted(at, mode, token)?;
                if with_values && mode.keeps_value_current() { self.reads(at, value) } else { Ok(()) }
            }
            Told::Denied { owner, reason, held } => {
                let at = self.at(owner).ok_or(Rule::ExactlyOnce)?;
                self.denied(at, reason, held)
            }
            Told::Refused { owner } => {
                let at = self.at(owner).ok_or(Rule::ExactlyOnce)?;
                self.ends_waiting(at)
            }
            Told::Cancelled { owner, found } => {
                let at = self.at(owner).ok_or(Rule::ExactlyOnce)?;
                self.cancelled(at, found)
            }
            Told::Stays => {
                self.ended += 1;
                Ok(())
            }
            Told::Transfer(stage) => {
                self.ended += u8::from(stage.is_end());
                Ok(())
            }
        }
    }

    fn granted(&mut self, at: usize, mode: Mode, token: Token) -> Result<(), Rule> {
        let owner = self.owners[at];
        let wanted = match owner.standing {
            Standing::Waiting(wanted) | Standing::Converting { wanted, .. } => wanted,
            Standing::Held(_) => return Err(Rule::ExactlyOnce),
        };
        if wanted != mode {
            return Err(Rule::Answer);
        }
        let others = self.owners.iter().filter(|other| other.name != owner.name);
        let mut held = others.filter(|other| other.resource == owner.resource).filter_map(Owner::holds);
        if held.any(|held| !held.is_compatible(mode)) {
            return Err(Rule::Exclusion);
        }
        let history = &mut self.resources[usize::from(owner.resource)];
        let mut earlier = Mode::ALL.into_iter().filter(|earlier| !earlier.is_compatible(mode));
        if earlier.any(|earlier| history.highest[earlier as usize].is_some_and(|highest| highest >= token)) {
            return Err(Rule::Tokens);
        }
        let highest = &mut history.highest[mode as usize];
        *highest = (*highest).max(Some(token));
        self.owners[at].standing = Standing::Held(mode);
        Ok(())
    }

    /// Under CW or more nobody else can have written since the last write.
    fn reads(&self, at: usize, value: ValueState) -> Result<(), Rule> {
        let count = self.resources[usize::from(self.owners[at].resource)].count;
        let is_right = match value {
            ValueState::Absent => count == 0,
            ValueState::Valid(block) => block == block_of(count),
            ValueState::Invalid(_) => false,
        };
        if is_right { Ok(()) } else { Err(Rule::Values) }
    }

    fn denied(&mut self, at: usize, reason: Denial, held: Option<Mode>) -> Result<(), Rule> {
        let owner = self.owners[at];
        let is_right = match (owner.standing, reason) {
            (Standing::Converting { held: kept, .. }, Denial::Deadlock) => held == Some(kept),
            (Standing::Held(_), _) => return Err(Rule::ExactlyOnce),
            (Standing::Waiting(_) | Standing::Converting { .. }, _) => false,
        };
        if is_right { self.ends_waiting(at) } else { Err(Rule::Answer) }
    }

    fn cancelled(&mut self, at: usize, found: Cancelled) -> Result<(), Rule> {
        match (self.owners[at].standing, found) {
            (Standing::Waiting(_), Cancelled::Request)
            | (Standing::Converting { .. }, Cancelled::Conversion) => self.ends_waiting(at),
            (Standing::Waiting(_) | Standing::Converting { .. } | Standing::Held(_), _) => {
                Err(Rule::ExactlyOnce)
            }
        }
    }

    /// A request that is over leaves nothing, a conversion what it was from.
    fn ends_waiting(&mut self, at: usize) -> Result<(), Rule> {
        match self.owners[at].standing {
            Standing::Waiting(_) => {
                self.owners.remove(at);
            }
            Standing::Converting { held, .. } => self.owners[at].standing = Standing::Held(held),
            Standing::Held(_) => return Err(Rule::ExactlyOnce),
        }
        Ok(())
    }
}
