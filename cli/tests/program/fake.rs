//! A node that says what a test wants it to say.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Running, program};

/// One that has granted a lock and been told that a command runs under it.
pub(crate) struct Fake {
    pub(crate) command: Running,
    pub(crate) client: Talk,
    pub(crate) leash: UnixStream,
    _directory: TempDir,
}

/// The node's end of a connection.
pub(crate) struct Talk {
    words: BufReader<UnixStream>,
}

impl Fake {
    /// Grants a lock with this certainty to a shell script.
    pub(crate) fn grant(arguments: &str, script: &str, until: Option<u64>) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let grant = std::thread::spawn(move || {
            let mut client = Talk::greet(&listener, 7);
            let mut leash = Talk::greet(&listener, 8);
            assert_eq!(leash.hear(), r#"{"leash":{"client":7}}"#);
            leash.say(r#""done""#);
            assert!(client.hear().starts_with(r#"{"lock":{"#));
            let until = until.map_or_else(|| "null".to_owned(), |until| until.to_string());
            client.say(&format!(r#"{{"granted":{{"token":"{:032x}","until":{until}}}}}"#, 5));
            assert!(client.hear().starts_with(r#"{"running":{"group":"#));
            (client, leash.words.into_inner())
        });
        let command = Running::start(&mut lock(&socket, arguments, script));
        let (client, leash) = grant.join().unwrap();
        Self { command, client, leash, _directory: directory }
    }
}

fn lock(socket: &Path, arguments: &str, script: &str) -> Command {
    let mut command = program("lock --socket");
    command
        .arg(PathBuf::from(socket))
        .args(arguments.split_whitespace())
        .args(["a", "--", "sh", "-c", script]);
    command
}

impl Talk {
    fn greet(listener: &UnixListener, client: u64) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let mut talk = Self { words: BufReader::new(stream) };
        assert_eq!(talk.hear(), r#"{"hello":{"protocol":1}}"#);
        talk.say(&format!(r#"{{"hello":{{"protocol":1,"program":"0","node":1,"client":{client}}}}}"#));
        talk
    }

    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn say(&mut self, word: &str) {
        writeln!(self.words.get_mut(), "{word}").unwrap();
    }
}
