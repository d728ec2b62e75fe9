//! The three of them, and what they do together.

use core::future::Future;
use core::time::Duration;
use std::thread;

use lockmaster_async::{Builder, LocalDir, LockOptions, Node, Runtime};
use lockmaster_core::{
    ClusterId, Config, Incarnation, Limits, Mode, NodeId, SlotId, SlotRange, SpaceConfig, SpaceId, Stage,
    Token, ValueState, hash,
};
use lockmaster_smol::SmolRuntime;
use lockmaster_tokio::TokioRuntime;

use super::by_hand::{ByHand, socket};

const EX: Mode = Mode::Exclusive;
const PR: Mode = Mode::ProtectedRead;
/// Slots of the space.
const SLOTS: u32 = 48;
/// Names that are tried until one has the wanted master.
const NAMES: u32 = 10_000;
/// How long a test may take on the slowest machine.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Runs a test: tokio is the only one that has to be entered.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // So that what never comes is a failure and no hang.
    runtime.block_on(async { tokio::time::timeout(GIVE_UP, test).await }).expect("it comes to its end");
}

/// Number 1 is on tokio, number 2 on smol, number 3 is driven by hand.
struct Trio {
    tokio: Node<TokioRuntime>,
    smol: Node<SmolRuntime>,
    by_hand: ByHand,
}

fn space() -> SpaceConfig {
    SpaceConfig { slots: SLOTS, ..SpaceConfig::new("default").unwrap() }
}

impl Trio {
    async fn start() -> Self {
        let sockets = [socket(), socket(), socket()];
        let [one, two, three] = sockets.each_ref().map(|(_, address)| *address);
        let [first, second, third] = sockets.map(|(listener, _)| listener);
        let tokio = builder(TokioRuntime, 1).listener(first).member(2, two).member(3, three);
        let smol = builder(SmolRuntime::default(), 2).listener(second).member(1, one).member(3, three);
        let cluster = ClusterId(hash(0, SpaceId(0), b"mixed"));
        let mut config = Config::new(cluster, NodeId(3), Incarnation(1));
        config.spaces.push(space()).unwrap();
        config.members.extend_from_slice(&[NodeId(1), NodeId(2), NodeId(3)]).unwrap();
        let by_hand = ByHand::start(config, third);
        let trio = Self { tokio: tokio.start().await.unwrap(), smol: smol.start().await.unwrap(), by_hand };
        trio.tokio.opened().await;
        trio.smol.opened().await;
        until(|| trio.by_hand.is_open()).await;
        trio
    }

    /// Names, one that each node masters, as all of them see it.
    fn names(&self) -> [String; 3] {
        [1, 2, 3].map(|master| {
            let mut names = (0..NAMES).map(|number| format!("resource {number}"));
            let is_its_own = |name: &String| {
                let masters = [
                    self.tokio.master_of(SpaceId(0), name),
                    self.smol.master_of(SpaceId(0), name),
                    self.by_hand.master_of(name),
                ];
                masters == [Some(NodeId(master)); 3]
            };
            names.find(is_its_own).expect("a node masters its share of names")
        })
    }

    async fn end(self) {
        self.tokio.shutdown().await;
        self.smol.shutdown().await;
        self.by_hand.end();
    }
}

fn builder<R: Runtime>(runtime: R, number: u16) -> Builder<R> {
    Builder::new("mixed", runtime).node(number).space(space()).limits(Limits::uniform(4096))
}

/// Lets other tasks run until a condition holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// Takes a lock in EX, adds one to the number in its value block, and lets go. Gives the token and the new number.
async fn add<R: Runtime>(node: &Node<R>, name: &str) -> (Token, u64) {
    let mut guard = node.lock_with(name, LockOptions::new(EX).value(true)).await.unwrap();
    let number = match guard.value() {
        Some(ValueState::Absent) => 0,
        Some(ValueState::Valid(value)) => u64::from_le_bytes(value.as_bytes().try_into().unwrap()),
        other => panic!("nobody has died: {other:?}"),
    };
    guard.set_value(&(number + 1).to_le_bytes()).unwrap();
    (guard.fencing_token(), number + 1)
}

/// Adds to every name so often, and gives what came of it.
async fn add_all<R: Runtime>(node: Node<R>, names: [String; 3], rounds: usize) -> Vec<(usize, Token, u64)> {
    let mut added = Vec::new();
    for _ in 0..rounds {
        for (at, name) in names.iter().enumerate() {
            let (token, number) = add(&node, name).await;
            added.push((at, token, number));
        }
    }
    added
}

/// What blocks has a thread of its own.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// All three add at the same time while `meanwhile` goes on. No two ever get the same number, none is left out, and
/// who adds later has the higher token.
async fn all_add(trio: &Trio, names: &[String; 3], rounds: usize, meanwhile: impl Future<Output = ()>) {
    let one = tokio::spawn(add_all(trio.tokio.clone(), names.clone(), rounds));
    let two = smol::spawn(add_all(trio.smol.clone(), names.clone(), rounds));
    let (by_hand, own) = (trio.by_hand.clone(), names.clone());
    let three = thread::spawn(move || {
        let mut added = Vec::new();
        for _ in 0..rounds {
            for (at, name) in own.iter().enumerate() {
                let (token, number) = by_hand.add(name);
                added.push((at, token, number));
            }
        }
        added
    });
    meanwhile.await;
    let mut added = one.await.unwrap();
    added.extend(two.await);
    added.extend(on_thread(|| three.join().unwrap()).await);
    for at in 0..names.len() {
        let mut numbers: Vec<_> = added
            .iter()
            .filter(|(name, ..)| *name == at)
            .map(|(_, token, number)| (*number, *token))
            .collect();
        numbers.sort_unstable_by_key(|(number, _)| *number);
        assert!(numbers.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0].1 < pair[1].1), "tokens rise: {numbers:?}");
        assert_eq!(numbers.len(), 3 * rounds);
    }
}

#[test]
fn they_exclude_each_other_and_pass_values_on() {
    run(async {
        let trio = Trio::start().await;
        let names = trio.names();
        all_add(&trio, &names, 200, async {}).await;
        trio.end().await;
    });
}

#[test]
fn they_share_what_can_be_shared() {
    run(async {
        let trio = Trio::start().await;
        for name in trio.names() {
            let one = trio.tokio.lock(&name, PR).await.unwrap();
            let two = trio.smol.lock(&name, PR).await.unwrap();
            let (by_hand, own) = (trio.by_hand.clone(), name.clone());
            let (three, token) = on_thread(move || by_hand.lock(&own, PR)).await;
            assert!(trio.tokio.try_lock(&name, EX).await.is_err());
            drop((one, two));
            assert!(trio.smol.try_lock(&name, EX).await.is_err(), "who is driven by hand has it");
            trio.by_hand.release(three);
            assert!(trio.smol.lock(&name, EX).await.unwrap().fencing_token() > token);
        }
        trio.end().await;
    });
}

/// The first slots that follow each other and are this member's.
fn slots_of<R: Runtime>(node: &Node<R>, master: u16) -> SlotRange {
    let is_its_own = |slot: &u32| node.slot(SlotId(*slot)).unwrap().master == Some(NodeId(master));
    let first = (0..SLOTS).find(is_its_own).unwrap();
    let len = (first..SLOTS).take_while(is_its_own).count();
    SlotRange { first: SlotId(first), len: u32::try_from(len).unwrap() }
}

#[test]
fn slots_go_round_while_their_locks_are_used() {
    run(async {
        let trio = Trio::start().await;
        let names = trio.names();
        let held = trio.smol.lock("held all along", EX).await.unwrap();
        let ranges = [1, 2, 3].map(|master| slots_of(&trio.tokio, master));
        let going_round = async {
            for _ in 0..5 {
                // Each range goes all the way: from its master to the next, and so on until it is back.
                for (at, range) in ranges.into_iter().enumerate() {
                    for step in 0..3 {
                        let from = (at + step) % 3;
                        let to = NodeId([2, 3, 1][from]);
                        let end = match from {
                            0 => trio.tokio.transfer(range, to).await.unwrap(),
                            1 => trio.smol.transfer(range, to).await.unwrap(),
                            _ => {
                                let by_hand = trio.by_hand.clone();
                                on_thread(move || by_hand.transfer(range, to)).await
                            }
                        };
                        assert_eq!((end.stage, end.range, end.to), (Stage::Done, range, to));
                    }
                }
            }
        };
        all_add(&trio, &names, 200, going_round).await;
        assert!(!held.is_lost());
        let (by_hand, before) = (trio.by_hand.clone(), held.fencing_token());
        drop(held);
        let (_, token) = on_thread(move || by_hand.lock("held all along", EX)).await;
        assert!(token > before);
        trio.end().await;
    });
}

#[test]
fn members_of_both_runtimes_come_and_go_in_one_directory() {
    run(async {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("members");
        let tokio = builder(TokioRuntime, 1).listener(socket().0).join(LocalDir::new(&directory));
        let tokio = tokio.start().await.unwrap();
        tokio.opened().await;
        let smol = builder(SmolRuntime::default(), 2).listener(socket().0).join(LocalDir::new(&directory));
        let smol = smol.start().await.unwrap();
        smol.opened().await;
        until(|| tokio.is_settled() && smol.is_settled()).await;
        let held = smol.lock("a", EX).await.unwrap();
        assert!(tokio.try_lock("a", PR).await.is_err());
        let waiting = tokio::spawn({
            let tokio = tokio.clone();
            async move { tokio.lock("a", EX).await.map(|guard| guard.fencing_token()) }
        });
        let before = held.fencing_token();
        drop(held);
        assert!(waiting.await.unwrap().unwrap() > before);
        // What the one mastered is the other's then.
        assert!(smol.leave(Duration::from_secs(60)).await.is_clean());
        until(|| tokio.members().len() == 1 && tokio.map().slots_of(NodeId(1)) == SLOTS).await;
        drop(tokio.lock("a", EX).await.unwrap());
        tokio.shutdown().await;
    });
}
