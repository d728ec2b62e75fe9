//! The notation of `data/traces.txt`: one queue, some lockers, what each step does and who learns what.

use core::fmt;
use std::collections::BTreeSet;

use lockmaster_core::{Flags, Mode, Token};

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Name of the row.
    pub id: String,
    /// What happens.
    pub steps: Vec<Step>,
    /// How the queues stand afterwards.
    pub queues: Queues,
}

/// One operation and all that comes of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The text of the step.
    pub text: String,
    /// What is done.
    pub operation: Operation,
    /// What must come of it, and nothing else.
    pub outcomes: BTreeSet<Outcome>,
}

/// What a locker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new request.
    New(char, Mode, Flags),
    /// A conversion.
    Convert(char, Mode, Flags),
    /// A release.
    Unlock(char),
    /// A cancel.
    Cancel(char),
}

/// What a locker learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It is granted a mode: alternate, demoted.
    Granted(char, Mode, Marks),
    /// It stands in the wait queue.
    Waits(char),
    /// It stands in the convert queue.
    Converts(char),
    /// It was asked not to wait, and would have to.
    Busy(char),
    /// It would wait in a conversion deadlock.
    Deadlock(char),
    /// It does something already.
    InFlight(char),
    /// It is released.
    Unlocked(char),
    /// Its wait has ended; it keeps this mode.
    Cancelled(char, Option<Mode>),
    /// There was nothing to cancel.
    NothingToCancel(char),
    /// Somebody waits for this mode, and it is in the way.
    Demanded(char, Mode),
}

/// What is special about a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marks {
    /// The alternate mode was granted.
    pub alternate: bool,
    /// The lock was demoted before.
    pub demoted: bool,
}

/// The three queues, each in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Who is granted, and in which mode.
    pub granted: Vec<(char, Mode)>,
    /// Who converts: from, to.
    pub convert: Vec<(char, Mode, Mode)>,
    /// Who waits, and for which mode.
    pub wait: Vec<(char, Mode)>,
}

/// Grants in the order of their tokens.
pub(crate) fn in_order(grants: &[(Token, Outcome)]) -> Vec<Outcome> {
    let mut grants = grants.to_vec();
    grants.sort_by_key(|(token, _)| *token);
    grants.into_iter().map(|(_, outcome)| outcome).collect()
}

impl Outcome {
    /// Who learns it.
    #[must_use]
    pub const fn who(self) -> char {
        match self {
            Self::Granted(who, ..)
            | Self::Waits(who)
            | Self::Converts(who)
            | Self::Busy(who)
            | Self::Deadlock(who)
            | Self::InFlight(who)
            | Self::Unlocked(who)
            | Self::Cancelled(who, _)
            | Self::NothingToCancel(who)
            | Self::Demanded(who, _) => who,
        }
    }
}

/// The whole table.
#[must_use]
pub fn traces() -> Vec<Trace> {
    let rows = include_str!("../data/traces.txt").lines();
    rows.filter(|row| !row.is_empty() && !row.starts_with('#')).map(Trace::parse).collect()
}

impl Trace {
    /// Reads a row.
    ///
    /// # Panics
    /// If it is not in the notation.
    #[must_use]
    pub fn parse(row: &str) -> Self {
        let parts: Vec<&str> = row.split('|').map(str::trim).collect();
        let [id, steps, queues] = parts[..] else { panic!("a row has three columns: {row}") };
        Self {
            id: id.to_owned(),
            steps: steps.split(';').map(|step| Step::parse(step.trim())).collect(),
            queues: Queues::parse(queues),
        }
    }
}

impl Step {
    fn parse(text: &str) -> Self {
        let (operation, outcomes) = text.split_once("->").expect("a step has an arrow");
        Self {
            text: text.to_owned(),
            operation: Operation::parse(operation.trim()),
            outcomes: split_outcomes(outcomes).into_iter().map(parse_outcome).collect(),
        }
    }
}

impl Operation {
    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let (verb, who) = (words.next().expect("a verb"), words.next().expect("a locker"));
        let who = parse_name(who);
        let mut mode = || parse_mode(words.next().expect("a mode"));
        match verb {
            "new" => Self::New(who, mode(), parse_flags(words)),
            "conv" => Self::Convert(who, mode(), parse_flags(words)),
            "unlock" => Self::Unlock(who),
            "cancel" => Self::Cancel(who),
            other => panic!("no operation: {other}"),
        }
    }
}

impl Queues {
    fn parse(text: &str) -> Self {
        let mut queues = Self::default();
        let mut queue = 'G';
        for word in text.split_whitespace() {
            let mut word = word;
            if let Some((name, rest)) = word.split_once(':') {
                queue = parse_name(name);
                word = rest;
            }
            if word == "0" {
                continue;
            }
            let (who, modes) = word.split_once('=').expect("a lock has a mode");
            let who = parse_name(who);
            match (queue, modes.split_once('>')) {
                ('G', None) => queues.granted.push((who, parse_mode(modes))),
                ('C', Some((held, wanted))) => {
                    queues.convert.push((who, parse_mode(held), parse_mode(wanted)));
                }
                ('W', Some(("-", wanted))) => queues.wait.push((who, parse_mode(wanted))),
                _ => panic!("no place in a queue: {word}"),
            }
        }
        queues
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("G:")?;
        for (who, held) in &self.granted {
            write!(f, " {who}={held}")?;
        }
        f.write_str(" C:")?;
        for (who, held, wanted) in &self.convert {
            write!(f, " {who}={held}>{wanted}")?;
        }
        f.write_str(" W:")?;
        for (who, wanted) in &self.wait {
            write!(f, " {who}=->{wanted}")?;
        }
        Ok(())
    }
}

/// Outcomes are separated by commas, but a demand has one inside.
fn split_outcomes(text: &str) -> Vec<&str> {
    let mut outcomes = Vec::new();
    let (mut begin, mut depth) = (0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                outcomes.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    outcomes.push(text[begin..].trim());
    outcomes
}

fn parse_outcome(text: &str) -> Outcome {
    if let Some(inside) = text.strip_prefix("bast(") {
        let (who, mode) = inside.trim_end_matches(')').split_once(',').expect("a demand names a mode");
        return Outcome::Demanded(parse_name(who), parse_mode(mode.trim()));
    }
    let (who, what) = text.split_once(':').expect("an outcome is somebody's");
    let who = parse_name(who);
    let words: Vec<&str> = what.split_whitespace().collect();
    match words[..] {
        ["GRANT", mode] => {
            let (mode, mark) = mode.split_once('(').unwrap_or((mode, ""));
            let marks = Marks { alternate: mark == "ALTMODE)", demoted: mark == "demoted)" };
            Outcome::Granted(who, parse_mode(mode), marks)
        }
        ["WAIT"] => Outcome::Waits(who),
        ["CONVWAIT"] => Outcome::Converts(who),
        ["EAGAIN"] => Outcome::Busy(who),
        ["EDEADLK"] => Outcome::Deadlock(who),
        ["EBUSY"] => Outcome::InFlight(who),
        ["EUNLOCK"] => Outcome::Unlocked(who),
        ["ECANCEL", "gone"] => Outcome::Cancelled(who, None),
        ["ECANCEL", "keep", mode] => Outcome::Cancelled(who, Some(parse_mode(mode))),
        ["cancel", "no-op"] => Outcome::NothingToCancel(who),
        _ => panic!("no outcome: {text}"),
    }
}

fn parse_name(text: &str) -> char {
    let mut letters = text.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { panic!("no name: {text}") };
    letter
}

fn parse_mode(text: &str) -> Mode {
    Mode::from_letters(text).unwrap_or_else(|| panic!("no mode: {text}"))
}

fn parse_flags<'a>(words: impl Iterator<Item = &'a str>) -> Flags {
    let flags = words.map(|word| match word {
        "NOQUEUE" => Flags::NO_QUEUE,
        "NOQUEUEBAST" => Flags::NO_QUEUE_DEMAND,
        "QUECVT" => Flags::QUEUE_CONVERT,
        "EXPEDITE" => Flags::EXPEDITE,
        "NOORDER" => Flags::NO_ORDER,
        "HEADQUE" => Flags::HEAD_OF_QUEUE,
        "ALTPR" => Flags::ALTERNATE_PR,
        "ALTCW" => Flags::ALTERNATE_CW,
        "CONVDEADLK" => Flags::DEMOTE_ON_DEADLOCK,
        "NODLCKWT" => Flags::NO_DEADLOCK_WAIT,
        other => panic!("no flag: {other}"),
    });
    flags.fold(Flags::NONE, |all, flag| all | flag)
}
