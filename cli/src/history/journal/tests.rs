use lockmaster_tokio::lockmaster_core::Epoch;
use tempfile::TempDir;

use super::*;

fn token(grant: u64) -> Token {
    Token { epoch: Epoch(1), grant, local: 0 }
}

#[test]
fn lines_are_written_in_the_order_of_the_clock() {
    let directory = TempDir::new().unwrap();
    let journal = Arc::new(Journal::create(directory.path(), 3, 0).unwrap());
    std::thread::scope(|scope| {
        for owner in 0..4 {
            let scribe = Scribe::new(Arc::clone(&journal), owner);
            scope.spawn(move || {
                for grant in 0..1000 {
                    scribe.write(Happening::Granted, "page/1", Mode::ProtectedRead, token(grant));
                }
            });
        }
    });
    journal.close().unwrap();
    let text = fs::read_to_string(directory.path().join("node-3.jsonl")).unwrap();
    let times = text.lines().map(|line| {
        let line: crate::history::entry::Line<'_> = serde_json::from_str(line).unwrap();
        line.t
    });
    let times: Vec<u64> = times.collect();
    assert_eq!(times.len(), 4000);
    assert!(times.is_sorted());
    assert!(text.ends_with("}\n"));
}

#[test]
fn a_journal_that_was_not_closed_ends_in_the_middle_of_a_line() {
    let directory = TempDir::new().unwrap();
    let journal = Arc::new(Journal::create(directory.path(), 3, 0).unwrap());
    let scribe = Scribe::new(Arc::clone(&journal), 7);
    for grant in 0..4000 {
        scribe.write(Happening::Granted, "page/1", Mode::ProtectedRead, token(grant));
    }
    drop((journal, scribe));
    let text = fs::read_to_string(directory.path().join("node-3.jsonl")).unwrap();
    assert!(!text.is_empty());
    assert!(!text.ends_with(['}', '\n']));
}

#[test]
fn only_histories_are_cleared() {
    let directory = TempDir::new().unwrap();
    let place = directory.path().join("below");
    clear(&place).unwrap();
    for name in ["node-1.jsonl", "node-12.jsonl", "node-x.jsonl", "notes.txt"] {
        File::create(place.join(name)).unwrap();
    }
    clear(&place).unwrap();
    let mut left: Vec<_> = place.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["node-x.jsonl", "notes.txt"]);
}
