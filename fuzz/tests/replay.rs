//! What fuzzing has kept, on any toolchain.

use core::panic::AssertUnwindSafe;
use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 5] = [
    ("decode", lockmaster_fuzz::decode),
    ("roundtrip", lockmaster_fuzz::roundtrip),
    ("node", lockmaster_fuzz::node),
    ("cluster", lockmaster_fuzz::cluster),
    ("table", lockmaster_fuzz::table),
];

/// Most files of a corpus, and most bytes: more of them find little more, and every test run pays for them.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 200 << 10;

fn corpus(target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let paths =
        fs::read_dir(directory).expect("there is a corpus").map(|entry| entry.expect("it is read").path());
    paths.map(|path| (path.clone(), fs::read(path).expect("it is read"))).collect()
}

fn replay(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("it is a target");
    let corpus = corpus(name);
    let bytes: usize = corpus.values().map(Vec::len).sum();
    assert!(corpus.len() >= 20, "{name} has a corpus");
    assert!(corpus.len() <= FILES_MAX && bytes <= BYTES_MAX, "{name}: {} files, {bytes} bytes", corpus.len());
    for (path, input) in corpus {
        let replayed = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(replayed.is_ok(), "{name} {}", path.display());
    }
}

#[test]
fn decode() {
    replay("decode");
}

#[test]
fn roundtrip() {
    replay("roundtrip");
}

#[test]
fn node() {
    replay("node");
}

#[test]
fn cluster() {
    replay("cluster");
}

#[test]
fn table() {
    replay("table");
}

#[test]
fn every_corpus_has_a_target() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "canary" || TARGETS.iter().any(|(known, _)| *known == name), "{name} has no target");
    }
}

#[test]
fn no_bytes_at_all_are_fine() {
    for (_, target) in TARGETS {
        target(&[]);
    }
}

#[test]
fn vectors_of_the_documentation_are_decoded() {
    let text = include_str!("../../docs/wire.md");
    let (_, block) = text.split_once("```vectors\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    for line in block.lines() {
        let (_, digits) = line.split_once(": ").unwrap();
        let bytes: Vec<u8> = digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        lockmaster_fuzz::decode(&bytes);
    }
}

#[test]
fn the_canary_is_quiet_where_fuzzing_begins() {
    for input in corpus("canary").values() {
        lockmaster_fuzz::canary(input);
    }
}

#[test]
#[should_panic(expected = "the canary was found")]
fn the_canary_can_be_found() {
    let text = include_str!("../../docs/wire.md");
    let (_, vector) = text.split_once("\ngrant-every-field: ").unwrap();
    let digits = vector.lines().next().unwrap();
    let bytes: Vec<u8> = digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    lockmaster_fuzz::canary(&bytes);
}
