//! Members in one process; several processes are in `processes`.

mod odd_files;
mod processes;
mod records;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;

use lockmaster_core::{ClusterId, Epoch, Incarnation, Instant, NodeId};
use tempfile::TempDir;

use super::record::{Mark, Odd, Record};
use super::*;
use crate::membership::{ClusterMember, ClusterView, Hear};

/// How long a test waits for what must come.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Listens to a provider.
#[derive(Default)]
struct Log {
    told: Mutex<Told>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    views: Vec<ClusterView>,
    troubles: Vec<String>,
    fenced: Option<String>,
    is_over: bool,
    /// How often a provider asked whether it is over.
    looks: u32,
}

impl Log {
    fn change(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap());
        self.news.notify_all();
    }

    /// Waits until something was told.
    fn until<T>(&self, look: impl Fn(&Told) -> Option<T>) -> T {
        let told = self.told.lock().unwrap();
        let (told, _) = self.news.wait_timeout_while(told, GIVE_UP, |told| look(told).is_none()).unwrap();
        look(&told).unwrap_or_else(|| panic!("it is told in time: {told:?}"))
    }

    /// Waits for a view of these members.
    fn until_members(&self, nodes: &[u16]) -> ClusterView {
        self.until(|told| told.views.last().filter(|view| numbers(view) == nodes).cloned())
    }

    fn last(&self) -> ClusterView {
        self.told.lock().unwrap().views.last().unwrap().clone()
    }
}

impl Hear for Log {
    fn view(&self, view: ClusterView) {
        self.change(|told| {
            // The same view may be told twice: a node passes it over.
            if told.views.last() != Some(&view) {
                told.views.push(view);
            }
        });
    }

    fn certainty(&self, certainty: Certainty) {
        assert_eq!(certainty, Certainty::FOR_EVER);
    }

    fn fenced(&self, why: &str) {
        self.change(|told| told.fenced = Some(why.to_owned()));
    }

    fn trouble(&self, why: &str) {
        self.change(|told| told.troubles.push(why.to_owned()));
    }

    fn now(&self) -> Instant {
        Instant::START
    }

    fn last_alive(&self) -> Instant {
        Instant::START
    }

    fn is_over(&self) -> bool {
        self.change(|told| told.looks += 1);
        self.told.lock().unwrap().is_over
    }
}

/// A member, and what it was told.
struct Seat {
    log: Arc<Log>,
    node: NodeId,
    incarnation: Incarnation,
    digest: u64,
    session: Box<dyn Session>,
}

fn numbers(view: &ClusterView) -> Vec<u16> {
    view.members.iter().map(|member| member.node.0).collect()
}

fn candidate(node: Option<u16>) -> Candidate {
    let address = SocketAddr::from(([127, 0, 0, 1], 7000 + node.unwrap_or(0)));
    Candidate { cluster: ClusterId(1), node: node.map(NodeId), address, digests: vec![7] }
}

fn join_as(dir: &Path, candidate: &Candidate) -> Result<Seat, MembershipError> {
    let log = Arc::new(Log::default());
    let inbox = Inbox::new(Arc::clone(&log) as Arc<dyn Hear>);
    let Joined { node, incarnation, digest, session } = LocalDir::new(dir).join(candidate, inbox)?;
    Ok(Seat { log, node, incarnation, digest, session })
}

fn try_join(dir: &Path, node: u16) -> Result<Seat, MembershipError> {
    join_as(dir, &candidate(Some(node)))
}

fn join(dir: &Path, node: u16) -> Seat {
    try_join(dir, node).unwrap()
}

fn refusal(outcome: Result<Seat, MembershipError>) -> String {
    match outcome {
        Ok(_) => panic!("it is refused"),
        Err(error) => error.to_string(),
    }
}

fn dir() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("orders");
    (home, dir)
}

/// Everybody saw epochs rise, and the same view under the same epoch.
fn check_views<'a>(views: impl IntoIterator<Item = &'a [ClusterView]>) {
    let mut known: BTreeMap<Epoch, ClusterView> = BTreeMap::new();
    for views in views {
        assert!(views.windows(2).all(|pair| pair[0].epoch < pair[1].epoch), "epochs rise: {views:?}");
        for view in views {
            let same = known.entry(view.epoch).or_insert_with(|| view.clone());
            assert_eq!(same, view, "a view is the same for all");
        }
    }
}

#[test]
fn the_first_member_makes_the_first_view() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    assert_eq!((one.node, one.incarnation), (NodeId(1), Incarnation(1)));
    let view = one.log.last();
    let own = ClusterMember {
        node: NodeId(1),
        incarnation: Incarnation(1),
        joined: Epoch(1),
        is_leaving: false,
        address: candidate(Some(1)).address,
    };
    assert_eq!(view, ClusterView { epoch: Epoch(1), members: vec![own] });
}

#[test]
fn members_are_told_who_joins_and_leaves() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let three = join(&dir, 3);
    let two = join(&dir, 2);
    assert_eq!(one.log.until_members(&[1, 2, 3]), two.log.last());
    let view = three.log.until_members(&[1, 2, 3]);
    let joined: Vec<_> = view.members.iter().map(|member| (member.incarnation.0, member.joined.0)).collect();
    assert_eq!((view.epoch, joined), (Epoch(3), vec![(1, 1), (3, 3), (2, 2)]));

    three.session.announce_leaving().unwrap();
    let leaving = one.log.until(|told| told.views.iter().find(|view| view.epoch == Epoch(4)).cloned());
    assert!(leaving.members.iter().all(|member| member.is_leaving == (member.node == NodeId(3))));
    three.session.leave();
    let left = one.log.until_members(&[1, 2]);
    assert_eq!(left.epoch, Epoch(5));
    assert_eq!(two.log.until_members(&[1, 2]), left);
}

#[test]
fn a_dropped_session_is_a_dead_member() {
    let (_home, dir) = dir();
    let seats = [1, 2, 3].map(|node| join(&dir, node));
    let [one, two, three] = seats;
    drop(one.session);
    assert_eq!(two.log.until_members(&[2, 3]), three.log.until_members(&[2, 3]));
    drop(three.session);
    assert_eq!(two.log.until_members(&[2]).epoch, Epoch(5));
}

#[test]
fn a_share_is_of_the_members_own_file_as_long_as_it_is_one() {
    let (_home, dir) = dir();
    let provider = LocalDir::new(&dir);
    assert!(provider.share().unwrap().is_none());
    let inbox = Inbox::new(Arc::new(Log::default()));
    let joined = provider.clone().join(&candidate(Some(3)), inbox).unwrap();
    let share = fs::File::from(provider.share().unwrap().unwrap()).metadata().unwrap();
    assert_eq!(share.ino(), fs::metadata(dir.join("members/3")).unwrap().ino());
    assert!(LocalDir::new(&dir).share().unwrap().is_none(), "another provider made no member");
    drop(joined);
    assert!(provider.share().unwrap().is_none());
}

#[test]
fn a_node_that_comes_back_is_another_incarnation() {
    let (_home, dir) = dir();
    let (one, two) = (join(&dir, 1), join(&dir, 2));
    drop(two.session);
    let again = join(&dir, 2);
    assert_eq!(again.incarnation, Incarnation(3));
    let is_again = |told: &Told| {
        let view = told.views.last()?;
        (view.member(NodeId(2))?.incarnation == Incarnation(3)).then(|| view.clone())
    };
    let view = one.log.until(is_again);
    assert_eq!(view.member(NodeId(2)).map(|member| member.joined), Some(view.epoch));
}

#[test]
fn after_a_total_restart_epochs_and_incarnations_go_on() {
    let (_home, dir) = dir();
    let seats = [1, 2, 3].map(|node| join(&dir, node));
    let last = seats[2].log.last().epoch;
    // All at once: nobody is left to make a view.
    let files = seats.map(|seat| {
        let Seat { session, log, .. } = seat;
        log.change(|told| told.is_over = true);
        session
    });
    drop(files);
    let before = Record::decode(&fs::read_to_string(dir.join("view")).unwrap()).unwrap();
    let two = join(&dir, 2);
    let view = two.log.last();
    assert_eq!(view.epoch, Epoch(before.view.epoch.0 + 1));
    assert!(view.epoch > last && two.incarnation > Incarnation(3));
    assert!(view.members.iter().all(|member| member.joined == view.epoch), "nobody remembers anything");
    assert_eq!(numbers(&view), [2]);
}

#[test]
fn a_number_is_taken_once() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    assert!(matches!(try_join(&dir, 1), Err(MembershipError::Taken(NodeId(1)))));
    let next = join_as(&dir, &candidate(None)).unwrap();
    assert_eq!(next.node, NodeId(2));
    drop(one.session);
    assert_eq!(join_as(&dir, &candidate(None)).unwrap().node, NodeId(1));
}

#[test]
fn who_joins_at_once_loses_no_view() {
    let (_home, dir) = dir();
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (1..=8)
        .map(|node| {
            let (dir, start) = (dir.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                join(&dir, node)
            })
        })
        .collect();
    let seats: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let all = [1, 2, 3, 4, 5, 6, 7, 8];
    for seat in &seats {
        assert_eq!(seat.log.until_members(&all).epoch, Epoch(8));
    }
    let logs: Vec<_> = seats.iter().map(|seat| seat.log.told.lock().unwrap()).collect();
    check_views(logs.iter().map(|told| told.views.as_slice()));
}

#[test]
fn several_who_find_one_dead_make_one_view() {
    let (_home, dir) = dir();
    let mut seats: Vec<_> = (1..=6).map(|node| join(&dir, node)).collect();
    for gone in 1..=4 {
        let Seat { session, .. } = seats.remove(0);
        drop(session);
        let rest: Vec<u16> = (gone + 1..=6).collect();
        let epochs: Vec<_> = seats.iter().map(|seat| seat.log.until_members(&rest).epoch).collect();
        assert!(epochs.iter().all(|epoch| *epoch == Epoch(6 + u32::from(gone))), "{epochs:?}");
    }
    let logs: Vec<_> = seats.iter().map(|seat| seat.log.told.lock().unwrap()).collect();
    check_views(logs.iter().map(|told| told.views.as_slice()));
}

/// What somebody does to the view while a member lives; nobody can join then, and the member loses nothing.
fn check_distrust(spoil: impl FnOnce(&Path), why: &str) {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let two = join(&dir, 2);
    one.log.until_members(&[1, 2]);
    two.session.leave();
    let before = one.log.until_members(&[1]);
    spoil(&dir.join("view"));
    let refused = try_join(&dir, 2);
    assert!(matches!(&refused, Err(MembershipError::Untrusted(_))));
    let refused = refusal(refused);
    assert!(refused.contains(why) && refused.contains("view"), "{refused}");
    let trouble = one.log.until(|told| told.troubles.first().cloned());
    assert!(trouble.contains("view"), "{trouble}");
    let told = one.log.told.lock().unwrap();
    assert_eq!((told.views.last(), &told.fenced), (Some(&before), &None), "nothing is lost");
}

#[test]
fn a_view_that_is_cut_off_is_refused() {
    check_distrust(
        |view| {
            let text = fs::read(view).unwrap();
            fs::write(view, &text[..text.len() / 2]).unwrap();
        },
        "damaged",
    );
}

#[test]
fn a_view_that_was_changed_is_refused() {
    check_distrust(
        |view| {
            let text = fs::read_to_string(view).unwrap();
            fs::write(view, text.replace("epoch 3", "epoch 9")).unwrap();
        },
        "damaged",
    );
}

#[test]
fn an_empty_view_is_refused() {
    check_distrust(|view| fs::write(view, "").unwrap(), "damaged");
}

#[test]
fn a_view_that_is_gone_is_refused() {
    check_distrust(|view| fs::remove_file(view).unwrap(), "gone");
}

#[test]
fn a_view_that_was_put_back_is_refused() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let old = fs::read(dir.join("view")).unwrap();
    let two = join(&dir, 2);
    let latest = one.log.until_members(&[1, 2]);
    fs::write(dir.join("view"), &old).unwrap();
    assert!(refusal(try_join(&dir, 3)).contains("older than it was"));
    let is_known = |trouble: &&String| trouble.contains("older than it was");
    two.log.until(|told| told.troubles.iter().find(is_known).map(drop));
    drop((one.session, two.session));
    assert!(refusal(try_join(&dir, 3)).contains("older than it was"), "not even when all have gone");
    assert_eq!(one.log.last(), latest);
}

#[test]
fn a_directory_that_others_may_use_is_refused() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (name, open, closed) in [
        ("", 0o750, 0o700),
        ("members", 0o701, 0o700),
        ("view", 0o640, 0o600),
        ("mark", 0o604, 0o600),
        ("lock", 0o660, 0o600),
        ("members/1", 0o620, 0o600),
    ] {
        let path = if name.is_empty() { dir.clone() } else { dir.join(name) };
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, closed, "{name}");
        mode(&path, open);
        assert!(refusal(try_join(&dir, 1)).contains("others may use it"), "{name}");
        mode(&path, closed);
    }
    drop(join(&dir, 1));
    fs::rename(dir.join("view"), dir.join("elsewhere")).unwrap();
    symlink(dir.join("elsewhere"), dir.join("view")).unwrap();
    assert!(refusal(try_join(&dir, 1)).contains("view"), "links are not followed");
}

#[test]
fn what_somebody_left_who_died_is_removed() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    for name in ["view.new", "mark.new"] {
        fs::write(dir.join(name), "half a vi").unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let one = join(&dir, 1);
    assert!(["view.new", "mark.new"].iter().all(|name| !dir.join(name).exists()));
    assert_eq!(one.log.last().epoch, Epoch(2));
}

#[test]
fn the_directory_of_another_cluster_is_refused() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    let other = Candidate { cluster: ClusterId(2), ..candidate(Some(1)) };
    assert!(refusal(join_as(&dir, &other)).contains("another cluster"));
}

#[test]
fn who_is_configured_otherwise_joins_only_if_nobody_lives() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let other = Candidate { digests: vec![8, 9], ..candidate(Some(2)) };
    assert!(matches!(join_as(&dir, &other), Err(MembershipError::Configuration(_))));
    assert_eq!(numbers(&one.log.last()), [1]);
    drop(one.session);
    assert_eq!(numbers(&join_as(&dir, &other).unwrap().log.last()), [2]);
}

#[test]
fn who_can_run_as_the_members_do_does_so() {
    let (_home, dir) = dir();
    let one = join(&dir, 1);
    let other = Candidate { digests: vec![8, 7], ..candidate(Some(2)) };
    let two = join_as(&dir, &other).unwrap();
    assert_eq!((two.digest, numbers(&two.log.last())), (7, vec![1, 2]));
    drop((one.session, two.session));
    assert_eq!(join_as(&dir, &other).unwrap().digest, 8, "nobody lives any more");
    let nothing = Candidate { digests: Vec::new(), ..candidate(Some(3)) };
    assert!(matches!(join_as(&dir, &nothing), Err(MembershipError::Configuration(_))));
}

#[test]
fn after_a_restart_of_the_machine_an_epoch_is_left_out() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    let text = fs::read_to_string(dir.join("mark")).unwrap();
    let mark = Mark::decode(&text).unwrap();
    let earlier = Mark { boot: "an earlier run".to_owned(), ..mark };
    fs::write(dir.join("mark"), earlier.encode()).unwrap();
    let one = join(&dir, 1);
    // The view before may have been one that others had seen and that was lost.
    assert_eq!((one.log.last().epoch, one.incarnation), (Epoch(3), Incarnation(3)));
    drop(one.session);
    assert_eq!(join(&dir, 1).log.last().epoch, Epoch(4));
}

#[test]
fn who_joins_waits_while_another_changes_the_view() {
    let (_home, dir) = dir();
    drop(join(&dir, 1));
    let store = Store::open(&dir, ClusterId(1)).unwrap();
    let locked = store.try_lock().unwrap().unwrap();
    assert!(store.try_lock().unwrap().is_none());
    let log = Arc::new(Log::default());
    let inbox = Inbox::new(Arc::clone(&log) as Arc<dyn Hear>);
    let joining = {
        let dir = dir.clone();
        thread::spawn(move || LocalDir::new(&dir).join(&candidate(Some(1)), inbox).map(drop))
    };
    log.until(|told| (told.looks >= 3).then_some(()));
    log.change(|told| told.is_over = true);
    assert!(matches!(joining.join().unwrap(), Err(MembershipError::Abandoned)));
    drop(locked);
    drop(join(&dir, 1));
}
