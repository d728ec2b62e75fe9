//! The same node where members come and go: what it is told of views is true, and all other members are liars.
//!
//! Nothing is safe from liars who are its masters or the coordinator, but the node itself: its tables agree with
//! themselves, its own owners never hold incompatible modes, it decides only about slots that it was given, it says and
//! grants nothing after its life has ended, and once all liars are gone it has every slot and every name to itself.

use core::time::Duration;

use lockmaster_core::wire::{
    Body, FrameHeader, FrameWriter, Hello, Message, Messages, TransferBody, ViewMessage,
};
use lockmaster_core::{
    Certainty, Config, Dropped, Epoch, Incarnation, Instant, Limits, NodeId, SlotId, Standing, View,
    ViewError, ViewMember,
};

use super::ghost::Ghost;
use super::laws::Count;
use super::liars::FRAME_LEN;
use super::{INCARNATIONS, MEMBERS, Party, SUBJECT, Scene, config, hello_of, limits, place};
use crate::choices::Choices;
use crate::words::{Echoes, ViewWords, Words, World};
use crate::written::{HEADER, push_chunk};

const OTHERS: [NodeId; 3] = [MEMBERS[1], MEMBERS[2], MEMBERS[3]];
/// Things that may happen until a node that is alone has everything.
const WAITS_MAX: usize = 2000;

/// What is true of the members.
pub(super) struct Engine {
    view: View,
    /// Lives of each member so far.
    lives: [u64; MEMBERS.len()],
    /// The node's life has left, and does not join again.
    has_left: bool,
    /// Slots that the node may decide about.
    given: Vec<bool>,
}

impl Engine {
    fn new(slots: u32) -> Self {
        let slots = usize::try_from(slots).expect("slots are few");
        Self { view: View::default(), lives: [1; MEMBERS.len()], has_left: false, given: vec![false; slots] }
    }

    fn incarnation(&self, node: NodeId) -> Incarnation {
        Incarnation(INCARNATIONS * self.lives[place(node)] + u64::from(node.0))
    }

    /// A life ends: it never joins again.
    fn leave(&mut self, node: NodeId) {
        let known = self.view.members.iter().position(|member| member.node == node);
        let Some(at) = known else { return };
        self.view.members.swap_remove(at);
        if node == SUBJECT {
            self.has_left = true;
        } else {
            self.lives[place(node)] += 1;
        }
    }

    /// A life begins: the last one inherits nothing.
    fn join(&mut self, node: NodeId, is_leaving: bool) {
        self.leave(node);
        let (incarnation, joined) = (self.incarnation(node), self.view.epoch);
        assert!(self.view.add(ViewMember { node, incarnation, joined, is_leaving }), "members are few");
    }

    fn give(&mut self, first: SlotId, len: u32) {
        let first = usize::try_from(first.0).expect("32 bits fit").min(self.given.len());
        let len = usize::try_from(len).expect("32 bits fit").min(self.given.len() - first);
        self.given[first..first + len].fill(true);
    }
}

/// Lets a node live among liars that come and go.
pub(super) fn views(mut choices: Choices<'_>, is_whole: bool) {
    let choice = choices.byte();
    let places = 2 + choice % 4;
    let limits = limits(choices.below(3));
    let mut scene = Scene::with_views(choices, limits, places);
    if choice >= 64 {
        // There was a cluster before: one of the liars is its coordinator.
        let engine = scene.engine();
        engine.view.epoch = Epoch(1);
        engine.join(OTHERS[usize::from(choice / 4) % 3], false);
    }
    if choice >= 224 && usize::from(places) >= MEMBERS.len() {
        scene.begin_rebuild();
    } else {
        scene.change_view();
    }
    let mut steps = 0;
    while !scene.choices.is_spent() && steps < super::STEPS_MAX {
        scene.step_of_views();
        steps += 1;
    }
    if is_whole {
        scene.end_of_views();
    }
}

fn config_of_views(places: u8) -> Config {
    let mut config = config(SUBJECT);
    config.members.clear();
    config.places = places;
    config
}

impl<'a> Scene<'a> {
    fn with_views(choices: Choices<'a>, limits: Limits, places: u8) -> Self {
        let mut subject = Party::with(config_of_views(places), limits);
        let names = (0_u16..8).map(|at| {
            let begin: &[u8] = if at % 4 == 3 { b"a name that is too long to stand inline" } else { b"name" };
            (lockmaster_core::SpaceId(at % 2), [begin, &at.to_le_bytes()].concat())
        });
        let slots = subject.node.all_slots().len;
        let world = World {
            names: names.collect(),
            slots,
            epoch: Epoch(0),
            incarnations: INCARNATIONS,
            echoes: Echoes::default(),
        };
        subject.node.handle_certainty(Instant::START, Certainty::FOR_EVER);
        Self {
            choices,
            now: Instant::START,
            honest: vec![subject],
            under_way: std::collections::VecDeque::new(),
            world,
            slots: Vec::new(),
            ghost: Ghost::of_views(),
            engine: Some(Engine::new(slots)),
        }
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("there are views")
    }

    fn step_of_views(&mut self) {
        match self.choices.below(24) {
            0..9 => self.lie_in_view(),
            9 | 10 => self.change_view(),
            11..17 => self.own(SUBJECT),
            17 => self.give_away(),
            18 | 19 => self.wait_in_view(),
            20 => self.connect_in_view(),
            21 => self.clog_any(),
            22 => self.make_certain(),
            _ => self.end_or_begin(),
        }
    }

    /// The node joins all others, and is given all slots, which they are yet to report.
    fn begin_rebuild(&mut self) {
        let engine = self.engine();
        OTHERS.into_iter().for_each(|node| engine.join(node, false));
        engine.view.epoch.0 += 1;
        engine.join(SUBJECT, false);
        self.tell_view();
        let now = self.now;
        for peer in OTHERS {
            let incarnation = self.engine().incarnation(peer);
            let party = self.party(SUBJECT);
            let epoch = party.node.view().epoch;
            let hello = Hello { incarnation, epoch, ..hello_of(peer, party.node.hello().digest) };
            party.node.handle_hello(now, &hello).expect("a member is met");
            party.connected[place(peer)] = true;
            self.settle(SUBJECT);
        }
        let view = self.engine().view.clone();
        let coordinator = *view.coordinator().expect("there are members");
        let (from, incarnation) = (coordinator.node, coordinator.incarnation);
        let header = FrameHeader { epoch: view.epoch, from, incarnation, ..HEADER };
        let mut buf = [0; FRAME_LEN];
        let mut frame = FrameWriter::new(header, &mut buf);
        assert!(ViewWords::gift(&self.world, SUBJECT).push_to(&mut frame), "a page of one run is short");
        let len = frame.finish();
        let taken = self.party(SUBJECT).node.handle_frame(now, from, &buf[..len]);
        assert_eq!(taken, Ok(()), "a frame of a member is taken");
        self.hear_of_slots(&buf[..len], true, view.epoch);
        self.settle(SUBJECT);
    }

    // ---- what is true ----

    /// The members change, and the node hears of it; it may have heard nothing of some views before.
    fn change_view(&mut self) {
        let choice = usize::from(self.choices.byte());
        let engine = self.engine();
        engine.view.epoch.0 += 1;
        if engine.view.member(SUBJECT).is_none() && !engine.has_left {
            engine.join(SUBJECT, false);
        }
        let other = OTHERS[choice % 3];
        match choice / 3 % 8 {
            0..3 => engine.join(other, false),
            3 | 4 => engine.leave(other),
            5 => engine.join(other, true),
            6 => {
                OTHERS.into_iter().for_each(|node| engine.join(node, false));
            }
            _ => engine.leave(SUBJECT),
        }
        // Sometimes the next view comes before the node has heard of this one. A view of nobody is told to nobody.
        let is_empty = engine.view.members.is_empty();
        if is_empty {
            return;
        }
        if choice < 200 || engine.view.member(SUBJECT).is_none() {
            self.tell_view();
        }
    }

    fn tell_view(&mut self) {
        let now = self.now;
        let before: Vec<bool> = self.slots_taken();
        let view = self.engine().view.clone();
        let node = &mut self.party(SUBJECT).node;
        let (digest, epoch, standing) = (node.digest(), node.view().epoch, node.standing(now));
        let told = node.handle_view(now, &view);
        match told {
            Ok(()) => {}
            Err(ViewError::Places) => assert_eq!(node.digest(), digest, "L7: a refused view changes nothing"),
            Err(ViewError::Fenced) => assert_eq!(standing, Standing::Fenced),
            Err(ViewError::Old) => assert_eq!(view.epoch, epoch),
            Err(error @ (ViewError::Static | ViewError::Unsound)) => {
                panic!("a true view is refused: {error}")
            }
        }
        if told.is_ok() {
            let node = &mut self.party(SUBJECT).node;
            assert!(node.view().epoch == view.epoch || node.standing(now) != Standing::Member);
            let is_coordinator = view.coordinator().is_some_and(|member| member.node == SUBJECT);
            self.engine().given = before.into_iter().map(|was| was || is_coordinator).collect();
            self.world.epoch = view.epoch;
        }
        self.party(SUBJECT).forget_the_gone();
        self.settle(SUBJECT);
    }

    /// Slots that the node masters or moves.
    fn slots_taken(&mut self) -> Vec<bool> {
        let node = &mut self.party(SUBJECT).node;
        let slots = node.all_slots().slots();
        slots
            .map(|slot| {
                let view = node.slot(slot).expect("the slot exists");
                view.master == Some(SUBJECT) || view.is_moving
            })
            .collect()
    }

    fn make_certain(&mut self) {
        let choice = self.choices.byte();
        let after = |now: Instant, bits: u8| now.after(Duration::from_micros(1 << (bits % 16 + 4)));
        let suspect_at = after(self.now, choice);
        let certainty = match choice / 64 {
            0 => Certainty { suspect_at, fenced_at: after(suspect_at, choice / 16) },
            1 => Certainty { suspect_at: self.now, fenced_at: Instant::NEVER },
            _ => Certainty::FOR_EVER,
        };
        let now = self.now;
        self.party(SUBJECT).node.handle_certainty(now, certainty);
        self.settle(SUBJECT);
    }

    /// The node's life ends, or the next one begins.
    fn end_or_begin(&mut self) {
        let now = self.now;
        if self.party(SUBJECT).node.standing(now) == Standing::Fenced {
            self.rejoin();
        } else if self.choices.one_in(2) {
            self.party(SUBJECT).node.fence(now);
            self.settle(SUBJECT);
        }
    }

    fn rejoin(&mut self) {
        let now = self.now;
        let engine = self.engine();
        engine.leave(SUBJECT);
        engine.has_left = false;
        engine.lives[place(SUBJECT)] += 1;
        let incarnation = engine.incarnation(SUBJECT);
        let rejoined = self.party(SUBJECT).node.rejoin(now, incarnation);
        assert_eq!(rejoined, Ok(()), "all of the life before was given up");
        self.settle(SUBJECT);
    }

    // ---- what is said ----

    /// A member, or one that was or will be, says something, mostly in the view that the node has.
    fn lie_in_view(&mut self) {
        let choice = usize::from(self.choices.byte());
        let from = OTHERS[choice % 3];
        let mut incarnation = self.engine().incarnation(from);
        let view = self.party(SUBJECT).node.view().clone();
        let mut epoch = view.epoch;
        match choice / 3 % 16 {
            0 => epoch.0 += 1,
            1 => epoch.0 = epoch.0.saturating_sub(1),
            2 => epoch.0 = u32::MAX,
            3 => incarnation.0 += 1,
            _ => {}
        }
        let header = FrameHeader { epoch, from, incarnation, ..HEADER };
        let mut buf = [0; FRAME_LEN];
        let mut frame = FrameWriter::new(header, &mut buf);
        let mut words = Words::new(self.choices.clone(), Some(&self.world));
        for _ in 0..=choice / 48 % 4 {
            let _ = push_any(&mut words, &mut frame);
        }
        self.choices = words.choices;
        let len = frame.finish();
        if len == 0 {
            return;
        }
        let member = view.member(from).filter(|member| member.incarnation == incarnation);
        // Who joined with this view may have to wait for a place of somebody who departed.
        let (is_member, is_new) =
            (member.is_some(), member.is_some_and(|member| member.joined == view.epoch));
        let expected = match (is_member, epoch == view.epoch) {
            (false, _) => Err(Dropped::Peer),
            (true, false) => Err(Dropped::Epoch),
            (true, true) => Ok(()),
        };
        let now = self.now;
        let node = &mut self.party(SUBJECT).node;
        let digest = (expected == Err(Dropped::Peer)).then(|| node.digest());
        let taken = node.handle_frame(now, from, &buf[..len]);
        let is_over = node.standing(now) == Standing::Fenced;
        let is_unseated = taken == Err(Dropped::Peer) && is_new && node.standing(now) == Standing::Suspect;
        assert!(taken == expected || is_over || is_unseated, "{taken:?} of {expected:?}, {from:?}, {view:?}");
        if let Some(digest) = digest.filter(|_| !is_over) {
            let after = self.party(SUBJECT).node.digest();
            assert_eq!(after, digest, "a frame of a stranger changes nothing");
        }
        if taken == Ok(()) {
            let is_coordinator = view.coordinator().is_some_and(|member| member.node == from);
            self.hear_of_slots(&buf[..len], is_coordinator, view.epoch);
        }
        self.settle(SUBJECT);
    }

    /// Who may give slots to the node has given these.
    fn hear_of_slots(&mut self, frame: &[u8], is_coordinator: bool, epoch: Epoch) {
        let (_, messages) = Messages::new(frame).expect("the frame was taken");
        for message in messages {
            match message {
                Message::Transfer(message) => match message.body {
                    TransferBody::Offer { to: SUBJECT, .. } | TransferBody::InitialLocks(_) => {
                        self.engine().give(message.range.first, message.range.len);
                    }
                    TransferBody::Offer { .. }
                    | TransferBody::OfferAnswer(_)
                    | TransferBody::Withdraw
                    | TransferBody::Received { .. }
                    | TransferBody::NewMaster { .. }
                    | TransferBody::NewMasterAck
                    | TransferBody::End
                    | TransferBody::EndAck
                    | TransferBody::WithdrawAck => {}
                },
                Message::View(ViewMessage::MapInstall(page)) if is_coordinator => {
                    let mut first = page.first;
                    for run in page.runs {
                        if run.master == Some(SUBJECT) && run.version.epoch == epoch && run.version.count == 0
                        {
                            self.engine().give(first, run.len);
                        }
                        first.0 += run.len;
                    }
                }
                Message::Lock(_) | Message::View(_) => {}
            }
        }
    }

    /// A connection is lost or made, or a stranger knocks.
    fn connect_in_view(&mut self) {
        let choice = usize::from(self.choices.byte());
        let peer = OTHERS[choice % 3];
        let now = self.now;
        let incarnation = self.engine().incarnation(peer);
        let party = self.party(SUBJECT);
        if choice / 3 % 4 == 0 {
            party.node.handle_disconnect(now, peer);
            (party.connected[place(peer)], party.owed[place(peer)]) = (false, false);
            self.settle(SUBJECT);
            return;
        }
        let mut hello = Hello { incarnation, ..hello_of(peer, party.node.hello().digest) };
        match choice / 12 {
            0 => hello.incarnation.0 += 1,
            1 => hello.epoch = Epoch(u32::MAX),
            2 => hello.epoch.0 = party.node.view().epoch.0 + 1,
            3 => hello.digest ^= 1,
            _ => hello.epoch = party.node.view().epoch,
        }
        let member = party.node.view().member(peer).copied();
        let is_member = member.is_some_and(|member| member.incarnation == hello.incarnation);
        let is_welcome = is_member && choice / 12 != 3;
        let met = party.node.handle_hello(now, &hello);
        let is_new = member.is_some_and(|member| member.joined == party.node.view().epoch);
        let is_unseated = met.is_err() && is_new && party.node.standing(now) == Standing::Suspect;
        assert!(met.is_ok() == is_welcome || is_unseated, "{met:?} for {hello:?}");
        if met.is_ok() && party.node.standing(now) != Standing::Fenced {
            party.connected[place(peer)] = true;
        }
        self.settle(SUBJECT);
    }

    fn clog_any(&mut self) {
        let peer = OTHERS[self.choices.below(3)];
        self.party(SUBJECT).clogged[place(peer)] ^= true;
        self.settle(SUBJECT);
    }

    // ---- what the node does ----

    fn give_away(&mut self) {
        let choice = self.choices.byte();
        let now = self.now;
        match choice % 4 {
            0 => {
                self.party(SUBJECT).node.release_retained(now);
            }
            1 => self.balance(),
            2 => {
                if let Some((_, transfer)) = self.ghost.transfers.last().copied() {
                    let _ = self.party(SUBJECT).node.withdraw(now, transfer);
                }
            }
            _ => {
                let mut words = Words::new(self.choices.clone(), Some(&self.world));
                let range = words.range();
                self.choices = words.choices;
                self.transfer(SUBJECT, range, OTHERS[usize::from(choice / 4) % 3]);
            }
        }
        self.settle(SUBJECT);
    }

    /// Its transfers have no names before the first news of them.
    fn balance(&mut self) {
        let now = self.now;
        let running = self.party(SUBJECT).node.balance(now, 2);
        let told = self.ghost.transfers.len();
        self.ghost.unmet = running.saturating_sub(told);
    }

    fn wait_in_view(&mut self) {
        let choice = self.choices.byte();
        match choice % 3 {
            0 => {
                self.wait_for_deadline();
            }
            1 => {
                self.now = self.now.after(Duration::from_micros(1 << (choice / 8)));
                self.fire(SUBJECT);
            }
            _ => self.fire(SUBJECT),
        }
    }

    // ---- what must hold ----

    /// What one node can know of itself after every input.
    pub(super) fn check_views(&mut self) {
        let now = self.now;
        let Some(engine) = &self.engine else { return };
        let node = &mut self.honest[place(SUBJECT)].node;
        let standing = node.standing(now);
        let slots: Vec<_> = node.all_slots().slots().collect();
        for (slot, given) in slots.into_iter().zip(&engine.given) {
            let view = node.slot(slot).expect("the slot exists");
            let is_mine = view.master == Some(SUBJECT);
            assert!(!is_mine || *given, "{slot:?} was not given to the node");
            let is_member = matches!(standing, Standing::Member | Standing::Suspect);
            assert!(is_member || !is_mine, "a {standing:?} node masters {slot:?}");
            let known = view.master.is_none_or(|master| node.view().member(master).is_some());
            assert!(known, "{slot:?} has a master that is no member: {view:?}");
        }
        if standing == Standing::Fenced {
            let is_held = self.ghost.locks.iter().any(|lock| lock.held.is_some());
            assert!(!is_held, "a life has ended, and a lock is held");
        }
    }

    /// All liars are gone: the node has everything to itself.
    fn end_of_views(&mut self) {
        self.end_of_owners(SUBJECT);
        let now = self.now;
        let party = self.party(SUBJECT);
        party.clogged.fill(false);
        party.node.handle_certainty(now, Certainty::FOR_EVER);
        if self.engine().has_left {
            // It may not have heard that it is no member any more.
            self.party(SUBJECT).node.fence(now);
        }
        self.settle(SUBJECT);
        if self.party(SUBJECT).node.standing(now) == Standing::Fenced {
            self.rejoin();
            self.party(SUBJECT).node.handle_certainty(now, Certainty::FOR_EVER);
        }
        let engine = self.engine();
        engine.view.members.retain(|member| member.node == SUBJECT);
        engine.view.epoch.0 += 1;
        if engine.view.member(SUBJECT).is_none() {
            engine.join(SUBJECT, false);
        }
        self.tell_view();
        let mut waits = 0;
        while !self.is_alone_at_last() {
            waits += 1;
            assert!(waits < WAITS_MAX, "the node does not settle");
            assert!(self.wait_for_deadline(), "the node waits for nothing, and has not settled");
        }
        for name in 0..self.world.names.len() {
            self.use_alone(SUBJECT, name);
        }
    }

    fn is_alone_at_last(&mut self) -> bool {
        let party = self.party(SUBJECT);
        let node = &mut party.node;
        let slots: Vec<_> = node.all_slots().slots().collect();
        let is_mine = slots
            .into_iter()
            .all(|slot| node.slot(slot).is_some_and(|view| view.master == Some(SUBJECT) && !view.is_moving));
        is_mine && node.is_settled() && Count::of(party).physical as usize <= self.world.names.len()
    }
}

impl Party {
    /// Connections to nodes that are no members any more are closed.
    fn forget_the_gone(&mut self) {
        for node in OTHERS {
            if self.node.view().member(node).is_none() {
                (self.connected[place(node)], self.owed[place(node)]) = (false, false);
            }
        }
    }
}

/// Appends something that a liar may say.
fn push_any(words: &mut Words<'_, '_>, frame: &mut FrameWriter<'_>) -> bool {
    match words.choices.below(10) {
        0..3 => {
            let named = words.named();
            let body: Body = words.body();
            frame.push(&Words::lock_message(&named, body))
        }
        3 => frame.push_transfer(&words.transfer_message()),
        4 => push_chunk(frame, &words.chunk()),
        _ => words.view_message().push_to(frame),
    }
}
