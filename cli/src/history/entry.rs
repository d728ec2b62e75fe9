//! One line of a history.

use core::fmt::{self, Write};
use std::borrow::Cow;

use lockmaster_tokio::{Mode, Token};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::history::names::NameIdx;

/// What happened to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Happening {
    /// Its owner has it.
    Granted,
    /// Its owner is about to give it back.
    Released,
    /// Its owner has been told that it is gone.
    Lost,
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Granted => "granted",
            Self::Released => "released",
            Self::Lost => "lost",
        })
    }
}

/// A fencing token as a number that compares as the token does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenNumber(pub(super) u128);

impl fmt::Display for TokenNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An owner anywhere in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its node.
    pub(super) node: u16,
    /// What it is called there.
    pub(super) name: NameIdx,
}

/// A line that was read, its names replaced by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) t: u64,
    pub(super) owner: Owner,
    pub(super) resource: NameIdx,
    pub(super) happening: Happening,
    pub(super) mode: Mode,
    pub(super) token: TokenNumber,
}

/// A line as it stands in the file. Fields of other names are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    pub(super) t: u64,
    pub(super) node: u16,
    #[serde(borrow)]
    pub(super) owner: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) resource: Cow<'a, str>,
    #[serde(rename = "event")]
    pub(super) happening: Happening,
    #[serde(deserialize_with = "mode")]
    pub(super) mode: Mode,
    #[serde(deserialize_with = "token")]
    pub(super) token: TokenNumber,
}

fn mode<'a, D: Deserializer<'a>>(input: D) -> Result<Mode, D::Error> {
    let letters: Cow<'_, str> = Deserialize::deserialize(input)?;
    Mode::from_letters(&letters).ok_or_else(|| D::Error::custom(format!("no mode is called `{letters}`")))
}

fn token<'a, D: Deserializer<'a>>(input: D) -> Result<TokenNumber, D::Error> {
    let digits: Cow<'_, str> = Deserialize::deserialize(input)?;
    // A sign would be taken for part of the number.
    let is_hex = digits.len() <= 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = if is_hex { u128::from_str_radix(&digits, 16).ok() } else { None };
    number
        .map(TokenNumber)
        .ok_or_else(|| D::Error::custom(format!("`{digits}` is no token of 32 hexadecimal digits")))
}

/// Everything of a line after its time, with the end of the line.
pub(super) fn write_rest(
    line: &mut String,
    (node, owner): (u16, &str),
    resource: impl fmt::Display,
    happening: Happening,
    (mode, token): (Mode, Token),
) {
    let written = writeln!(
        line,
        r#","node":{node},"owner":"{owner}","resource":"{resource}","event":"{happening}","mode":"{mode}","token":"{token}"}}"#
    );
    written.expect("a string takes everything");
}

#[cfg(test)]
mod tests;
