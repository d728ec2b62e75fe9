use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

#[test]
fn sockets_are_found_in_the_order_of_their_numbers() {
    let directory = TempDir::new().unwrap();
    for name in
        ["control-10.sock", "control-2.sock", "control-x.sock", "control-3.sock.new", "view", "control-.sock"]
    {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let found = all_in_directory(directory.path()).unwrap();
    assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 10]);
    assert_eq!(found[0].1, in_directory(directory.path(), 2));
    assert!(all_in_directory(&directory.path().join("absent")).is_err());
}

#[test]
fn the_file_goes_with_the_place_but_only_its_own() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let (listener, place) = Place::listen(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Place::listen(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(listener);
    // Nobody answers any more, so another takes its place.
    let (_listener, other) = Place::listen(&path).unwrap();
    drop(place);
    assert!(path.exists());
    drop(other);
    assert!(!path.exists());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_path_that_is_too_long_is_told() {
    let directory = TempDir::new().unwrap();
    let error = Place::listen(&directory.path().join("n".repeat(PATH_MAX))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("103 bytes"), "{error}");
}

#[test]
fn nobody_else_can_connect_from_the_first_instant_on() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let _listener = listen_privately(&path).unwrap();
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_node_that_accepts_nobody_keeps_its_socket_and_nobody_waits_for_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let (_listener, _place) = Place::listen(&path).unwrap();
    let address = SocketAddrUnix::new(&path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = socket(SocketFlags::NONBLOCK).unwrap();
        let connected = rustix::net::connect(&client, &address);
        waiting.push(client);
        if connected.is_err() {
            break;
        }
    }
    let error = Place::listen(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let directory = TempDir::new().unwrap();
    let (path, draft) = (directory.path().join("socket"), directory.path().join("socket.new"));
    fs::write(&draft, "precious").unwrap();
    assert_eq!(Place::listen(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&draft).unwrap(), "precious");
    fs::remove_file(&draft).unwrap();
    // A socket that was left there by who died is replaced.
    drop(listen_privately(&draft).unwrap());
    Place::listen(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(Place::listen(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_directory_that_somebody_keeps_locked_is_not_waited_for_long() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("socket");
    let other = File::open(directory.path()).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    assert_eq!(Place::listen(&path).unwrap_err().kind(), ErrorKind::TimedOut);
    drop(other);
    Place::listen(&path).unwrap();
}
