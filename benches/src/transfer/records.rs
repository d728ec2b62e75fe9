//! The baseline: a table of records that all go to another process over TCP, and nothing else.

use core::time::Duration;
use std::time::Instant as Clock;

use hashbrown::HashTable;
use lockmaster_core::{SpaceId, hash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::compare::name;

const SEED: u64 = 7;
/// Bytes of a resource with a name of 16 bytes and of one lock on it, as a transfer sends them.
const RECORD: usize = 76;
const NAME: usize = 16;
/// Records that are written at a time: as many bytes as a frame has.
const BATCH: usize = 65_536 / RECORD;

type Record = [u8; RECORD];

/// A slab of records with an index over their names, hashed as the core hashes, and the way to the other process.
pub(crate) struct Records {
    slab: Vec<Record>,
    free: Vec<u32>,
    index: HashTable<u32>,
    stream: TcpStream,
}

impl Records {
    /// Room for so many records, and none.
    pub(crate) fn new(room: u32, stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP option");
        Self {
            slab: vec![[0; RECORD]; room as usize],
            free: (0..room).rev().collect(),
            index: HashTable::with_capacity(room as usize),
            stream,
        }
    }

    /// As many as there is room for.
    pub(crate) fn fill(&mut self) {
        for number in 0..self.free.len() as u64 {
            let mut record = [1; RECORD];
            record[..NAME].copy_from_slice(&name(number));
            self.insert(record);
        }
    }

    /// Sends all of them, until the other process has said that it has them. They are deleted as they are sent.
    pub(crate) async fn give(&mut self) -> Duration {
        let started = Clock::now();
        let mut buf = Vec::with_capacity(BATCH * RECORD);
        for first in (0..self.slab.len()).step_by(BATCH) {
            buf.clear();
            for at in first..self.slab.len().min(first + BATCH) {
                buf.extend_from_slice(&self.slab[at]);
                self.remove(at);
            }
            self.stream.write_all(&buf).await.expect("the connection stays");
        }
        self.stream.read_u8().await.expect("the connection stays");
        assert!(self.index.is_empty(), "what is given is deleted");
        started.elapsed()
    }

    /// Receives as many as there is room for, and says so.
    pub(crate) async fn take(&mut self) {
        let mut buf = Vec::with_capacity(2 * BATCH * RECORD);
        while !self.free.is_empty() {
            let len = self.stream.read_buf(&mut buf).await.expect("the connection stays");
            assert!(len > 0, "the connection stays");
            let whole = buf.len() / RECORD * RECORD;
            for record in buf[..whole].chunks_exact(RECORD) {
                self.insert(record.try_into().expect("a chunk of this size"));
            }
            buf.drain(..whole);
        }
        self.stream.write_u8(1).await.expect("the connection stays");
    }

    fn insert(&mut self, record: Record) {
        let Self { slab, free, index, .. } = self;
        let at = free.pop().expect("there is room");
        slab[at as usize] = record;
        index.insert_unique(hash_of(&record), at, |other| hash_of(&slab[*other as usize]));
    }

    fn remove(&mut self, at: usize) {
        let hash = hash_of(&self.slab[at]);
        let Ok(entry) = self.index.find_entry(hash, |other| *other as usize == at) else {
            unreachable!("every record is in the index")
        };
        let (at, _) = entry.remove();
        self.free.push(at);
    }
}

fn hash_of(record: &Record) -> u64 {
    hash(SEED, SpaceId(0), &record[..NAME])
}
