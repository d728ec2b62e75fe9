//! What liars say.

use lockmaster_core::wire::{Body, FrameHeader, FrameWriter};
use lockmaster_core::{ClusterId, Dropped, Incarnation, NodeId, Number};

use super::{EPOCH, HONEST, INCARNATIONS, LIARS, SUBJECT, Scene};
use crate::words::{Words, World};
use crate::written::{HEADER, push_chunk};

/// Room for what a liar says at once.
pub(super) const FRAME_LEN: usize = 4096;

fn header(from: NodeId) -> FrameHeader {
    let incarnation = Incarnation(INCARNATIONS + u64::from(from.0));
    FrameHeader { cluster: ClusterId(7), epoch: EPOCH, from, incarnation, ..HEADER }
}

/// Appends something that a liar may say.
fn push(words: &mut Words<'_, '_>, frame: &mut FrameWriter<'_>, world: &World) -> bool {
    let choice = words.choices.byte();
    if choice >= 248 {
        // Where members never change it is passed over.
        return words.view_message().push_to(frame);
    }
    match choice % 8 {
        0..5 => {
            let named = words.named();
            let mut body = words.body();
            let is_honest = world.names[..HONEST].contains(&named);
            if is_honest && matches!(body, Body::Position(_)) {
                // To ask for it is no lie.
                body = Body::Written(Number(words.choices.count()));
            }
            frame.push(&Words::lock_message(&named, body))
        }
        5 | 6 => frame.push_transfer(&words.transfer_message()),
        _ => push_chunk(frame, &words.chunk()),
    }
}

impl Scene<'_> {
    /// A liar says something in a frame that is all right.
    pub(super) fn lie(&mut self) {
        let choice = self.choices.byte();
        let from = LIARS[usize::from(choice) % 2];
        let mut buf = [0; FRAME_LEN];
        let mut frame = FrameWriter::new(header(from), &mut buf);
        let mut words = Words::new(self.choices.clone(), Some(&self.world));
        for _ in 0..=choice / 2 % 4 {
            let _ = push(&mut words, &mut frame, &self.world);
        }
        self.choices = words.choices;
        let len = frame.finish();
        if len > 0 {
            let now = self.now;
            let honest = self.ghost.honest();
            let taken = self.party(SUBJECT).node.handle_frame(now, from, &buf[..len]);
            assert_eq!(taken, Ok(()), "a frame of a member is taken");
            self.settle(SUBJECT);
            assert_eq!(
                self.ghost.honest(),
                honest,
                "M1: a lie grants and denies nothing that is not the liar's"
            );
        }
    }

    /// A frame comes that is of nobody, of somebody else, of another time, or no frame: it has no effect.
    pub(super) fn pester(&mut self) {
        let choice = self.choices.byte();
        let from = LIARS[usize::from(choice) % 2];
        let mut header = header(from);
        let expected = match choice / 2 % 6 {
            0 => {
                header.incarnation.0 += 1;
                Dropped::Peer
            }
            1 => {
                header.cluster.0 += 1;
                Dropped::Cluster
            }
            2 => {
                header.epoch.0 += 1;
                Dropped::Epoch
            }
            3 => {
                header.from = SUBJECT;
                Dropped::Peer
            }
            4 => {
                header.from = NodeId(0);
                Dropped::Peer
            }
            _ => Dropped::Malformed,
        };
        let mut buf = [0; FRAME_LEN];
        let mut frame = FrameWriter::new(header, &mut buf);
        let mut words = Words::new(self.choices.clone(), Some(&self.world));
        let is_said = push(&mut words, &mut frame, &self.world);
        self.choices = words.choices;
        let len = frame.finish();
        if !is_said {
            return;
        }
        let is_cut = expected == Dropped::Malformed;
        let said = &buf[..len - usize::from(is_cut)];
        let now = self.now;
        let node = &mut self.party(SUBJECT).node;
        let before = node.digest();
        assert_eq!(node.handle_frame(now, from, said), Err(expected));
        assert_eq!(node.digest(), before, "a frame that was dropped changes nothing");
    }
}
