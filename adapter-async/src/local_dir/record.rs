//! What the files of the directory say: text that a person can read, closed by a checksum.
//!
//! ```text
//! lockmaster view 1
//! cluster 8f6e34a2c9d01b57
//! digest 0c5d9f2b77aa4e13
//! epoch 7
//! incarnations 12
//! member 1 incarnation 5 joined 3 at 127.0.0.1:7001
//! member 2 incarnation 12 joined 7 at 127.0.0.1:7002 leaving
//! sum 5b1f0c83de6a9274
//! ```

use core::fmt::Write;
use core::net::SocketAddr;
use core::str::FromStr;

use lockmaster_core::{ClusterId, Epoch, Incarnation, MEMBERS_MAX, NodeId, SpaceId, hash};

use crate::membership::{ClusterMember, ClusterView};

/// Longest file that is read: more than 64 members need.
pub(super) const LEN_MAX: u64 = 16 << 10;

/// The view, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) cluster: ClusterId,
    /// Digest of the configuration in which all members run.
    pub(super) digest: u64,
    /// The highest incarnation that was given away.
    pub(super) incarnations: u64,
    /// It may have no members: all have left.
    pub(super) view: ClusterView,
}

/// How far the directory has come: it tells a view that somebody has put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) cluster: ClusterId,
    /// No view before this one is the latest.
    pub(super) epoch: Epoch,
    /// The run of the machine in which it was written.
    pub(super) boot: String,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    /// It is cut off, was changed, or is no file of ours.
    #[error("it is damaged")]
    Damaged,
    /// It is whole, but says what cannot be.
    #[error("it contradicts itself")]
    Unsound,
}

impl Record {
    pub(super) fn encode(&self) -> String {
        let Self { cluster, digest, incarnations, view } = self;
        let mut text = String::from("lockmaster view 1\n");
        let head = write!(
            text,
            "cluster {:016x}\ndigest {digest:016x}\nepoch {}\nincarnations {incarnations}\n",
            cluster.0, view.epoch.0
        );
        head.expect("a string takes all");
        for member in &view.members {
            let ClusterMember { node, incarnation, joined, is_leaving, address } = member;
            let (node, incarnation, joined) = (node.0, incarnation.0, joined.0);
            let leaving = if *is_leaving { " leaving" } else { "" };
            let line = writeln!(
                text,
                "member {node} incarnation {incarnation} joined {joined} at {address}{leaving}"
            );
            line.expect("a string takes all");
        }
        seal(text)
    }

    pub(super) fn decode(text: &str) -> Result<Self, Odd> {
        let mut lines = unseal(text)?.lines();
        if lines.next() != Some("lockmaster view 1") {
            return Err(Odd::Damaged);
        }
        let cluster = ClusterId(hex(field(&mut lines, "cluster")?)?);
        let digest = hex(field(&mut lines, "digest")?)?;
        let epoch = Epoch(number(field(&mut lines, "epoch")?)?);
        let incarnations = number(field(&mut lines, "incarnations")?)?;
        let members: Result<Vec<_>, Odd> = lines.map(decode_member).collect();
        let record = Self { cluster, digest, incarnations, view: ClusterView { epoch, members: members? } };
        if record.is_sound() { Ok(record) } else { Err(Odd::Unsound) }
    }

    fn is_sound(&self) -> bool {
        let members = &self.view.members;
        let is_odd = |(at, member): (usize, &ClusterMember)| {
            member.node == NodeId::GONE
                || !(1..=self.incarnations).contains(&member.incarnation.0)
                || !(Epoch(1)..=self.view.epoch).contains(&member.joined)
                || members[..at].iter().any(|other| other.node == member.node)
        };
        members.len() <= MEMBERS_MAX && !members.iter().enumerate().any(is_odd)
    }
}

impl Mark {
    pub(super) fn encode(&self) -> String {
        let Self { cluster, epoch, boot } = self;
        seal(format!("lockmaster mark 1\ncluster {:016x}\nepoch {}\nboot {boot}\n", cluster.0, epoch.0))
    }

    pub(super) fn decode(text: &str) -> Result<Self, Odd> {
        let mut lines = unseal(text)?.lines();
        if lines.next() != Some("lockmaster mark 1") {
            return Err(Odd::Damaged);
        }
        let cluster = ClusterId(hex(field(&mut lines, "cluster")?)?);
        let epoch = Epoch(number(field(&mut lines, "epoch")?)?);
        let boot = field(&mut lines, "boot")?.to_owned();
        Ok(Self { cluster, epoch, boot })
    }
}

fn decode_member(line: &str) -> Result<ClusterMember, Odd> {
    let words: Vec<&str> = line.split(' ').collect();
    let (words, is_leaving) = match words.as_slice() {
        [words @ .., "leaving"] => (words, true),
        words => (words, false),
    };
    let ["member", node, "incarnation", incarnation, "joined", joined, "at", address] = *words else {
        return Err(Odd::Damaged);
    };
    let address: SocketAddr = address.parse().map_err(|_| Odd::Damaged)?;
    let (node, incarnation) = (NodeId(number(node)?), Incarnation(number(incarnation)?));
    Ok(ClusterMember { node, incarnation, joined: Epoch(number(joined)?), is_leaving, address })
}

/// The rest of a line that begins with this word.
fn field<'a>(lines: &mut impl Iterator<Item = &'a str>, word: &str) -> Result<&'a str, Odd> {
    let line = lines.next().ok_or(Odd::Damaged)?;
    line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' ')).ok_or(Odd::Damaged)
}

fn number<T: FromStr>(word: &str) -> Result<T, Odd> {
    word.parse().map_err(|_| Odd::Damaged)
}

fn hex(word: &str) -> Result<u64, Odd> {
    u64::from_str_radix(word, 16).map_err(|_| Odd::Damaged)
}

fn seal(mut text: String) -> String {
    let sum = hash(0, SpaceId(0), text.as_bytes());
    writeln!(text, "sum {sum:016x}").expect("a string takes all");
    text
}

/// The text before its checksum, which must be right.
fn unseal(text: &str) -> Result<&str, Odd> {
    let text = text.strip_suffix('\n').ok_or(Odd::Damaged)?;
    let (head, last) = text.rsplit_once('\n').ok_or(Odd::Damaged)?;
    let sum = hex(last.strip_prefix("sum ").ok_or(Odd::Damaged)?)?;
    let sealed = &text[..=head.len()];
    if hash(0, SpaceId(0), sealed.as_bytes()) == sum { Ok(sealed) } else { Err(Odd::Damaged) }
}
