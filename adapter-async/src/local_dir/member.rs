//! What one member does to the view, while the directory is locked.

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Instant as Clock;

use lockmaster_core::{Incarnation, MEMBERS_MAX, NodeId};

use super::record::Record;
use super::store::{Held, Locked, Pulse, Store, distrusted};
use crate::membership::{Candidate, ClusterMember, ClusterView, MembershipError};

/// How long to wait before the directory, which another changes, is tried again.
pub(super) const LOCK_AGAIN: Duration = Duration::from_millis(2);
/// Longest wait for the directory in a call that has to end.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A member, as long as its file is held.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) store: Store,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    /// The configuration in which all members run.
    pub(super) digest: u64,
    file: Held,
}

/// What became of those who seemed to be dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purge {
    /// All members live.
    Nobody,
    /// A view without the dead was made.
    Made(ClusterView),
    /// This member is in the view no more.
    Expelled,
}

impl Member {
    /// Makes a member of the candidate, and a view with it and without the dead.
    pub(super) fn admit(
        store: &Store,
        locked: &Locked<'_>,
        candidate: &Candidate,
    ) -> Result<(Self, ClusterView), MembershipError> {
        locked.clean()?;
        let before = locked.read()?.unwrap_or_else(|| Record {
            cluster: candidate.cluster,
            // Nobody runs in it.
            digest: 0,
            incarnations: 0,
            view: ClusterView::default(),
        });
        let (node, file) = admit_number(store, locked, &before.view, candidate.node)?;
        // Its own file is held now, so an earlier life of this node has ended.
        let mut members = living(locked, &before.view, Some(node))?;
        let of_members = (!members.is_empty()).then_some(before.digest);
        let digest = candidate.choose(of_members)?;
        if members.len() == MEMBERS_MAX {
            return Err(MembershipError::Configuration(format!("there are {MEMBERS_MAX} members already")));
        }
        let epoch = locked.next_epoch(before.view.epoch)?;
        let incarnations = before.incarnations.checked_add(1 + u64::from(locked.lost_max()?));
        let incarnations =
            incarnations.ok_or_else(|| distrusted(store.dir(), "its incarnations are used up"))?;
        let (incarnation, address) = (Incarnation(incarnations), candidate.address);
        members.push(ClusterMember { node, incarnation, joined: epoch, is_leaving: false, address });
        members.sort_unstable_by_key(|member| member.node);
        let view = ClusterView { epoch, members };
        let record = Record { digest, incarnations, view, ..before };
        locked.write(&record)?;
        Ok((Self { store: store.clone(), node, incarnation, digest, file }, record.view))
    }

    /// Another hold on this member's file.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.file.share()
    }

    /// Makes a view without the members that are dead.
    pub(super) fn purge(&self, locked: &Locked<'_>) -> Result<Purge, MembershipError> {
        // First: who has its file no more cannot be told from the dead, whatever the view says.
        if !locked.is_member(self.node, &self.file)? {
            return Ok(Purge::Expelled);
        }
        let Some(record) = self.own(locked)? else { return Ok(Purge::Expelled) };
        let mut members = living(locked, &record.view, Some(self.node))?;
        let is_all = members.len() + 1 == record.view.members.len();
        if is_all {
            return Ok(Purge::Nobody);
        }
        members.extend(record.view.member(self.node));
        Ok(Purge::Made(self.replace(locked, record, members)?))
    }

    /// Makes a view in which this member is about to leave.
    pub(super) fn announce_leaving(&self) -> Result<ClusterView, MembershipError> {
        self.with_lock(|locked, record| {
            let record = record
                .ok_or_else(|| distrusted(self.store.dir(), "this node's membership was taken away"))?;
            let mut members = record.view.members.clone();
            let own = members.iter_mut().filter(|member| member.node == self.node);
            own.for_each(|member| member.is_leaving = true);
            self.replace(locked, record, members)
        })
    }

    /// Makes a view without this member, also if its file is gone: then nobody else can.
    pub(super) fn leave(&self) -> Result<(), MembershipError> {
        self.with_lock(|locked, record| {
            let Some(record) = record else { return Ok(()) };
            let others = record.view.members.iter().filter(|member| member.node != self.node);
            let members = others.copied().collect();
            self.replace(locked, record, members).map(drop)
        })
    }

    /// Acts on the view, if this life is in it, as soon as nobody else changes the directory.
    fn with_lock<T>(
        &self,
        act: impl FnOnce(&Locked<'_>, Option<Record>) -> Result<T, MembershipError>,
    ) -> Result<T, MembershipError> {
        let until = Clock::now() + LOCK_WAIT;
        loop {
            if let Some(locked) = self.store.try_lock()? {
                let record = self.own(&locked)?;
                return act(&locked, record);
            }
            if Clock::now() >= until {
                let dir = self.store.dir().display();
                return Err(MembershipError::Unreachable(format!("{dir}: another process keeps it locked")));
            }
            thread::sleep(LOCK_AGAIN);
        }
    }

    /// The view, if this life is in it.
    fn own(&self, locked: &Locked<'_>) -> Result<Option<Record>, MembershipError> {
        let record = locked.read()?.ok_or_else(|| distrusted(self.store.dir(), "the view is gone"))?;
        let is_own = |member: &ClusterMember| member.incarnation == self.incarnation;
        let is_member = record.view.member(self.node).is_some_and(is_own);
        Ok(is_member.then_some(record))
    }

    fn replace(
        &self,
        locked: &Locked<'_>,
        before: Record,
        mut members: Vec<ClusterMember>,
    ) -> Result<ClusterView, MembershipError> {
        members.sort_unstable_by_key(|member| member.node);
        let view = ClusterView { epoch: locked.next_epoch(before.view.epoch)?, members };
        let record = Record { view, ..before };
        locked.write(&record)?;
        Ok(record.view)
    }
}

/// The number that the candidate wants, or the lowest that nobody has; with its file, which is held from now on.
fn admit_number(
    store: &Store,
    locked: &Locked<'_>,
    view: &ClusterView,
    wanted: Option<NodeId>,
) -> Result<(NodeId, Held), MembershipError> {
    let take = |node| locked.take_member(node, view.member(node).is_some());
    if let Some(node) = wanted {
        let file = take(node)?.ok_or(MembershipError::Taken(node))?;
        return Ok((node, file));
    }
    for number in 1..NodeId::GONE.0 {
        if let Some(file) = take(NodeId(number))? {
            return Ok((NodeId(number), file));
        }
    }
    Err(distrusted(store.dir(), "every number is taken"))
}

/// Members whose files are held, without this one.
fn living(
    locked: &Locked<'_>,
    view: &ClusterView,
    but: Option<NodeId>,
) -> Result<Vec<ClusterMember>, MembershipError> {
    let mut living = Vec::new();
    for member in view.members.iter().filter(|member| Some(member.node) != but) {
        if locked.pulse(member.node)? == Pulse::Alive {
            living.push(*member);
        }
    }
    Ok(living)
}
