//! Files that somebody has removed, or has put where others belong.

use std::fs::File;
use std::sync::mpsc::channel;

use rustix::fs::{CWD, Mode, mkfifoat};

use super::*;

/// Joins as this node but sees to nothing: as a process that was stopped.
fn join_and_sleep(dir: &Path, node: u16) -> Member {
    let store = Store::open(dir, ClusterId(1)).unwrap();
    let locked = store.try_lock().unwrap().unwrap();
    Member::admit(&store, &locked, &candidate(Some(node))).unwrap().0
}

/// What becomes of somebody who tries to join; a join that hangs is told from one that is refused.
fn refusal_in_time(dir: &Path, node: u16) -> String {
    let (tell, told) = channel();
    let dir = dir.to_owned();
    // It is not waited for, so that one that hangs ends with the test.
    thread::spawn(move || tell.send(refusal(try_join(&dir, node))));
    told.recv_timeout(GIVE_UP).expect("who joins does not hang")
}

/// Something that is no file, where one should be.
type Put = fn(&Path);

const ODD: [(&str, Put); 3] = [
    ("a pipe", |path| mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap()),
    ("a directory", |path| fs::create_dir(path).unwrap()),
    ("a link", |path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
        symlink(elsewhere, path).unwrap();
    }),
];

#[test]
fn what_is_no_file_is_refused_and_holds_nobody_up() {
    for (what, put) in ODD {
        for name in ["view", "mark", "lock", "members/1"] {
            let (_home, dir) = dir();
            drop(join(&dir, 1));
            let path = dir.join(name);
            fs::remove_file(&path).unwrap();
            put(&path);
            let refused = refusal_in_time(&dir, 1);
            assert!(refused.contains(&path.display().to_string()), "{what} as {name}: {refused}");
            assert!(refused.contains(&format!("it is {what}, and no file")), "{what} as {name}: {refused}");
        }
    }
}

#[test]
fn what_is_no_file_is_told_to_who_is_a_member_and_lets_it_go() {
    for (what, put) in ODD {
        for name in ["view", "mark", "lock", "members/2"] {
            let (_home, dir) = dir();
            let (one, two) = (join(&dir, 1), join(&dir, 2));
            one.log.until_members(&[1, 2]);
            // Not at the same time: a file that is gone for a moment is another case.
            let odd = dir.join("odd");
            put(&odd);
            fs::remove_file(dir.join(name)).and_then(|()| fs::rename(&odd, dir.join(name))).unwrap();
            let is_told = |trouble: &&String| trouble.contains(&format!("it is {what}, and no file"));
            one.log.until(|told| told.troubles.iter().find(is_told).cloned());
            assert_eq!(one.log.told.lock().unwrap().fenced, None, "{what} as {name}");
            // The threads end.
            drop((one.session, two.session));
        }
    }
}

#[test]
fn a_draft_that_is_no_file_is_removed_or_told() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    for (what, put) in ODD {
        let draft = dir.join("view.new");
        put(&draft);
        if what == "a directory" {
            assert!(refusal_in_time(&dir, 1).contains("view.new"));
            fs::remove_dir(&draft).unwrap();
        } else {
            drop(join(&dir, 1));
            assert!(fs::symlink_metadata(draft).is_err(), "{what}");
        }
    }
    let one = join(&dir, 1);
    let (tell, told) = channel();
    mkfifoat(CWD, dir.join("view.new"), Mode::from_raw_mode(0o600)).unwrap();
    thread::spawn(move || tell.send(one.session.announce_leaving()));
    let outcome = told.recv_timeout(GIVE_UP).expect("who writes does not hang");
    assert!(outcome.unwrap_err().to_string().contains("view.new: it is a pipe, and no file"));
}

#[test]
fn who_cannot_be_judged_is_not_taken_for_dead() {
    let (_home, dir) = dir();
    let (one, three) = (join(&dir, 1), join(&dir, 3));
    let two = join_and_sleep(&dir, 2);
    fs::remove_file(dir.join("members/2")).unwrap();
    // Its death is noticed, but nobody can tell about the other, so no view is made.
    drop(three.session);
    let trouble = one.log.until(|told| told.troubles.first().cloned());
    assert!(trouble.contains("members/2: it is gone"), "{trouble}");
    assert_eq!(numbers(&one.log.last()), [1, 2, 3]);
    drop(two);
}

#[test]
fn nobody_gets_the_number_of_a_member_whose_file_is_gone() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let two = join_and_sleep(&dir, 2);
    one.log.until_members(&[1, 2]);
    fs::remove_file(dir.join("members/2")).unwrap();
    for wanted in [Some(2), Some(3), None] {
        let refused = refusal(join_as(&dir, &candidate(wanted)));
        assert!(refused.contains("members/2: it is gone"), "{refused}");
    }
    assert!(!dir.join("members/2").exists());
    // Who makes it again says that the process has ended.
    drop(two);
    File::create_new(dir.join("members/2")).unwrap();
    fs::set_permissions(dir.join("members/2"), Permissions::from_mode(0o600)).unwrap();
    one.log.until_members(&[1]);
    assert_eq!(join(&dir, 2).node, NodeId(2));
}

#[test]
fn who_finds_its_file_gone_gives_its_place_up() {
    for is_replaced in [false, true] {
        let (_home, dir) = dir();
        let (one, two) = (join(&dir, 1), join(&dir, 2));
        one.log.until_members(&[1, 2]);
        let path = dir.join("members/2");
        if is_replaced {
            fs::write(dir.join("another"), "").unwrap();
            fs::rename(dir.join("another"), &path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert!(two.log.until(|told| told.fenced.clone()).contains("its file"));
        // As the node does when all losses are told.
        drop(two.session);
        if !is_replaced {
            one.log.until_members(&[1]);
            let again = join(&dir, 2);
            assert!(again.incarnation > two.incarnation);
            one.log.until_members(&[1, 2]);
        }
    }
}

#[test]
fn who_leaves_after_its_file_is_gone_has_left() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let two = join_and_sleep(&dir, 2);
    // Else the view that it had before would do.
    one.log.until_members(&[1, 2]);
    fs::remove_file(dir.join("members/2")).unwrap();
    two.leave().unwrap();
    one.log.until_members(&[1]);
    two.leave().unwrap();
    assert_eq!(one.log.last().epoch, Epoch(3), "who has left leaves nothing");
}
