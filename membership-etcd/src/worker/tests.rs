use std::sync::mpsc::{Receiver, Sender, channel};

use lockmaster_async::lockmaster_core::{Certainty, ClusterId};
use lockmaster_async::{Candidate, ClusterView, Hear, NodeId};

use super::*;
use crate::floor::Floor;
use crate::keys::Keys;
use crate::member::Plan;
use crate::options::EtcdOptions;

/// When a test gives up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// A node that is asked when its driver last ran, and has somebody else do something to the member meanwhile.
struct Asked {
    shared: Mutex<Receiver<Arc<Shared>>>,
    was_free: Sender<bool>,
}

impl Hear for Asked {
    fn view(&self, _: ClusterView) {}
    fn certainty(&self, _: Certainty) {}
    fn fenced(&self, _: &str) {}
    fn trouble(&self, _: &str) {}

    fn now(&self) -> Instant {
        Instant::START
    }

    fn last_alive(&self) -> Instant {
        if let Ok(shared) = self.shared.lock().unwrap().recv() {
            let (done, other) = channel();
            thread::spawn(move || {
                shared.with(|_, _| ());
                // Nobody waits for it if it took too long.
                let _ = done.send(());
            });
            self.was_free.send(other.recv_timeout(GIVE_UP).is_ok()).unwrap();
        }
        Instant::START
    }

    fn is_over(&self) -> bool {
        false
    }
}

#[test]
fn nobody_waits_for_the_member_while_the_node_is_asked_whether_it_is_alive() {
    let folder = tempfile::tempdir().unwrap();
    let options = Arc::new(EtcdOptions::new(["http://127.0.0.1:1"], folder.path()));
    let (timing, keys) = (options.check().unwrap(), Keys::new(ClusterId(1)));
    let plan = Plan {
        keys: keys.clone(),
        candidate: Candidate {
            cluster: ClusterId(1),
            node: Some(NodeId(1)),
            address: "127.0.0.1:7001".parse().unwrap(),
            digests: vec![7],
        },
        digest: 7,
        timing,
        previous: None,
        floor: Floor::default(),
        seed: 1,
    };
    let (share, shared) = channel();
    let (was_free, told) = channel();
    let inbox = Inbox::new(Arc::new(Asked { shared: Mutex::new(shared), was_free }));
    let floor = FloorFile::new(folder.path(), ClusterId(1), Some(NodeId(1)));
    let member = Member::new(Instant::START, plan);
    let link = || Link::new(Arc::clone(&options), keys.clone(), timing);
    let worker = start(member, inbox, floor, link).unwrap();
    share.send(Arc::clone(&worker)).unwrap();
    assert!(told.recv().unwrap());
    drop(share);
    worker.stop();
}
