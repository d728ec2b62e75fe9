//! The control socket in the hands of clients that know no manners.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::common::{Cluster, check, until};

const HELLO: &str = "{\"hello\":{\"protocol\":1}}\n";

struct Talk(BufReader<UnixStream>);

impl Talk {
    fn begin(cluster: &Cluster) -> Self {
        Self(BufReader::new(UnixStream::connect(cluster.socket(1)).unwrap()))
    }

    /// Has said hello. Returns its number too.
    fn greeted(cluster: &Cluster) -> (Self, u64) {
        let mut talk = Self::begin(cluster);
        talk.say(HELLO.as_bytes());
        let hello: serde_json::Value = serde_json::from_str(&talk.hear()).unwrap();
        (talk, hello["hello"]["client"].as_u64().unwrap())
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// All that it is still told, until the end of the connection.
    fn rest(mut self) -> String {
        let mut text = String::new();
        // The node may hang up while it is still spoken to.
        let _reset = self.0.read_to_string(&mut text);
        text
    }
}

/// What the node says to whoever says this; it hangs up then.
fn check_hangs_up(cluster: &Cluster, bytes: &[u8], sign: &str) {
    let mut talk = Talk::begin(cluster);
    // It may hang up before it has heard all.
    let _broken = talk.0.get_mut().write_all(bytes);
    let text = talk.rest();
    assert!(text.contains(sign), "{:?} {text}", bytes.escape_ascii().to_string());
    check(&mut cluster.command("status", ""), 0);
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let greeted = |word: &str| [HELLO.as_bytes(), word.as_bytes(), b"\n"].concat();
    for bytes in [&b"\n"[..], b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\0\0\n", b"{\"hello\":{}}\n", b"[[[[[[\n"]
    {
        check_hangs_up(&cluster, bytes, r#""reason":"protocol""#);
    }
    check_hangs_up(&cluster, &[b'x'; 1 << 20], r#""text":"a line is longer than 65536 bytes""#);
    check_hangs_up(&cluster, &[b"[".repeat(60_000), b"\n".to_vec()].concat(), r#""reason":"protocol""#);
    check_hangs_up(&cluster, b"\"status\"\n", "say hello first");
    check_hangs_up(&cluster, b"{\"hello\":{\"protocol\":2}}\n", r#""reason":"version""#);
    for word in ["\"release\"", r#"{"running":{"group":5}}"#, HELLO.trim_end()] {
        check_hangs_up(&cluster, &greeted(word), "a word out of turn");
    }
    check_hangs_up(&cluster, &greeted(r#"{"leash":{"client":99999}}"#), "there is no such client");
    let lock = r#"{"lock":{"space":null,"name":"a","mode":"EX","wait_ms":null}}"#;
    check_hangs_up(&cluster, &greeted(lock), "a lock needs a leash first");
}

#[test]
fn half_a_message_is_none() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut talk = Talk::begin(&cluster);
    talk.say(&HELLO.as_bytes()[..10]);
    talk.0.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(talk.rest(), "");
    // In pieces it is one.
    let mut talk = Talk::begin(&cluster);
    for byte in HELLO.as_bytes().chunks(3) {
        talk.say(byte);
    }
    assert!(talk.hear().starts_with(r#"{"hello":{"#));
}

#[test]
fn questions_may_follow_each_other() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut talk = Talk::begin(&cluster);
    talk.say(format!("{HELLO}\"status\"\n\"waiters\"\n").as_bytes());
    assert!(talk.hear().starts_with(r#"{"hello":{"#));
    assert!(talk.hear().starts_with(r#"{"row":{"row":"node","#));
    assert_eq!(talk.hear(), "\"done\"\n");
    assert_eq!(talk.hear(), "\"done\"\n");
}

#[test]
fn only_so_many_are_let_in() {
    const CLIENTS_MAX: usize = 512;
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let mut talks: Vec<Talk> = (0..CLIENTS_MAX).map(|_| Talk::greeted(&cluster).0).collect();
    assert!(Talk::begin(&cluster).hear().contains(r#""reason":"crowded""#));
    talks.pop();
    until("there is room again", || {
        let mut talk = Talk::begin(&cluster);
        talk.say(HELLO.as_bytes());
        talk.hear().starts_with(r#"{"hello":{"#)
    });
}

#[test]
fn only_so_many_large_answers_are_sent_at_a_time() {
    const ANSWERS_MAX: usize = 4;
    let cluster = Cluster::new();
    let _node = cluster.node("");
    // A row for each of these is more than the system keeps of what nobody receives.
    let _idle: Vec<Talk> = (0..480).map(|_| Talk::greeted(&cluster).0).collect();
    let begin = |talk: &mut Talk| {
        talk.say(b"\"dump\"\n");
        talk.hear()
    };
    let mut slow: Vec<Talk> = (0..ANSWERS_MAX).map(|_| Talk::greeted(&cluster).0).collect();
    for talk in &mut slow {
        assert!(begin(talk).starts_with(r#"{"row":"#));
    }
    let (mut other, _) = Talk::greeted(&cluster);
    let refused = begin(&mut other);
    assert!(refused.contains(r#""reason":"crowded""#), "{refused}");
    assert!(refused.contains("4 other clients are still receiving answers: ask again"), "{refused}");
    other.say(b"\"status\"\n");
    assert!(other.hear().starts_with(r#"{"row":{"row":"node","#), "a small answer needs no turn");
    assert_eq!(other.hear(), "\"done\"\n");
    while slow[0].hear() != "\"done\"\n" {}
    assert!(begin(&mut other).starts_with(r#"{"row":"#));
}

#[test]
fn slots_that_are_not_there_are_named() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let (mut talk, _) = Talk::greeted(&cluster);
    for (range, text) in [
        (r#""first":0,"last":4294967295"#, "there is no slot 4294967295: the last one is "),
        (r#""first":0,"last":70000"#, "there is no slot 70000: the last one is "),
        (r#""first":2,"last":1"#, "the range ends before it begins"),
    ] {
        talk.say(format!("{{\"transfer\":{{{range},\"to\":1}}}}\n").as_bytes());
        let refused = talk.hear();
        assert!(refused.contains(text), "{refused}");
    }
}

/// A client with a leash that has asked for a lock and got it.
fn granted(cluster: &Cluster) -> (Talk, Talk) {
    let (mut talk, client) = Talk::greeted(cluster);
    let (mut leash, _) = Talk::greeted(cluster);
    leash.say(format!("{{\"leash\":{{\"client\":{client}}}}}\n").as_bytes());
    assert_eq!(leash.hear(), "\"done\"\n");
    talk.say(b"{\"lock\":{\"space\":null,\"name\":\"a\",\"mode\":\"EX\",\"wait_ms\":null}}\n");
    assert!(talk.hear().starts_with(r#"{"granted":{"token":""#));
    (talk, leash)
}

fn is_busy(cluster: &Cluster) -> bool {
    let (code, _) = crate::common::Running::start(&mut cluster.lock("-n a", "true")).end();
    code == Some(75)
}

#[test]
fn a_lock_lives_until_its_client_and_its_leash_have_gone() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let (talk, leash) = granted(&cluster);
    drop(talk);
    until("the node has seen it go", || {
        // The leash is the only connection beside the one that asks.
        check(&mut cluster.command("dump", ""), 0).contains("clients    3")
    });
    assert!(is_busy(&cluster));
    drop(leash);
    until("the lock is free", || !is_busy(&cluster));

    // What is written on a leash means nothing.
    let (mut talk, mut leash) = granted(&cluster);
    leash.say(&[b'x'; 10_000]);
    talk.say(b"\"release\"\n");
    assert_eq!(talk.hear(), "\"done\"\n");
    until("the lock is free", || !is_busy(&cluster));
}

#[test]
fn a_word_out_of_turn_does_not_free_the_lock_before_the_leash_ends() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    for word in
        ["\"status\"\n", "no word\n", "{\"running\":{\"group\":1}}\n", "{\"running\":{\"group\":-5}}\n"]
    {
        let (mut talk, leash) = granted(&cluster);
        talk.say(word.as_bytes());
        talk.rest();
        assert!(is_busy(&cluster), "{word}");
        drop(leash);
        until("the lock is free", || !is_busy(&cluster));
    }
}
