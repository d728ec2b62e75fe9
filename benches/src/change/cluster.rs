//! The cluster as the bench sees it: processes that do what they are told, and views that the bench makes.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant as Clock;

use lockmaster_tokio::{ClusterMember, ClusterView, Epoch};

use super::{CALM, MEMBERS, PAUSE, ROLE, SLOTS, views};
use crate::compare::median;
use crate::transfer::load::Seen;

/// How often the bench looks whether something has ended, and the longest time that it may take.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// Processes, and the view that they were told last.
pub(super) struct Cluster {
    processes: Vec<Process>,
    view: ClusterView,
    locks: u32,
    /// How many of them have a load: the first.
    loaded: usize,
}

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    member: ClusterMember,
    copies: SocketAddr,
}

/// What nodes counted about a change, all together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) rebuilt: u64,
    pub(super) slots: u64,
    pub(super) purged: u64,
    pub(super) bytes: u64,
}

/// Nanoseconds from when the last survivor was told until a slot of the crashed node granted, of each slot that was probed; and
/// those from the first survivor that was told to the last.
pub(super) struct Pauses {
    of_slots: Vec<u64>,
    pub(super) spread: Duration,
}

impl Counters {
    pub(super) const fn since(self, before: Self) -> Self {
        Self {
            rebuilt: self.rebuilt - before.rebuilt,
            slots: self.slots - before.slots,
            purged: self.purged - before.purged,
            bytes: self.bytes - before.bytes,
        }
    }
}

impl Pauses {
    /// The pause of the slot so many quarters through, of all in the order of their pauses.
    pub(super) fn at(&self, quarters: usize) -> Duration {
        Duration::from_nanos(self.of_slots[(self.of_slots.len() - 1) * quarters / 4])
    }
}

impl Cluster {
    /// Five members that hold so many locks in all; the first of them can have a load.
    pub(super) fn start(locks: u32, loaded: usize) -> Self {
        let view = ClusterView::default();
        let mut cluster = Self { processes: Vec::new(), view, locks, loaded };
        for number in 1..=MEMBERS {
            cluster.add(number);
        }
        cluster.tell();
        cluster.ask("open");
        cluster.ask("hold");
        cluster
    }

    /// Starts a process that becomes a member by the next view.
    pub(super) fn add(&mut self, number: u16) {
        self.processes.push(Process::start(number, self.next(), self.locks));
    }

    /// Makes the next view and tells it to everybody at once.
    pub(super) fn tell(&mut self) {
        self.view.epoch = self.next();
        self.view.members = self.processes.iter().map(|process| process.member).collect();
        self.say(&views::to_line(&self.view));
    }

    const fn next(&self) -> Epoch {
        Epoch(self.view.epoch.0 + 1)
    }

    fn say(&mut self, line: &str) {
        self.processes.iter_mut().for_each(|process| process.say(line));
    }

    /// Tells all of them, then hears all of them.
    pub(super) fn ask(&mut self, line: &str) -> Vec<String> {
        self.ask_first(usize::MAX, line)
    }

    /// The same for the first of them.
    fn ask_first(&mut self, count: usize, line: &str) -> Vec<String> {
        self.processes.iter_mut().take(count).for_each(|process| process.say(line));
        self.processes.iter_mut().take(count).map(Process::hear).collect()
    }

    // ---- load ----

    /// Asks those that have a load.
    pub(super) fn ask_loaded(&mut self, line: &str) -> Vec<String> {
        self.ask_first(self.loaded, line)
    }

    pub(super) fn load(&mut self) {
        self.ask_loaded("load");
    }

    /// What is seen from now on counts.
    pub(super) fn renew(&mut self) {
        self.ask_loaded("renew");
    }

    /// Ends the load and tells what was seen.
    pub(super) fn end(&mut self) -> Seen {
        let seen = self.ask_loaded("end");
        let seen = seen.iter().map(|line| Seen::from_line(line));
        seen.reduce(|seen, other| seen.and(&other)).expect("there are members")
    }

    /// What the load sees while nothing else goes on.
    pub(super) fn calm(&mut self) -> Seen {
        self.load();
        std::thread::sleep(PAUSE);
        self.renew();
        std::thread::sleep(CALM);
        self.end()
    }

    // ---- a crash ----

    /// Kills a process; it is a member until the next view.
    pub(super) fn kill(&mut self, number: u16) {
        let at = self.place(number);
        let mut process = self.processes.remove(at);
        process.child.kill().expect("it can be killed");
        process.child.wait().expect("it can be waited for");
    }

    fn place(&self, number: u16) -> usize {
        let place = self.processes.iter().position(|process| process.member.node.0 == number);
        place.expect("it is a member")
    }

    /// Connects every two of those that stay, for the baseline.
    pub(super) fn connect(&mut self, count: usize) {
        let copies: Vec<_> = self.processes[..count].iter().map(|process| process.copies).collect();
        for (at, process) in self.processes[..count].iter_mut().enumerate() {
            let dialled = copies[..at].iter().map(|address| format!(" {address}"));
            let others = copies.len() - at - 1;
            process.say(&format!("connect {others}{}", dialled.collect::<String>()));
        }
        self.processes[..count].iter_mut().for_each(|process| drop(process.hear()));
    }

    /// Copies so many bytes, an equal part between every two processes, and tells the median of a few times.
    pub(super) fn copy(&mut self, bytes: u64, times: usize) -> Duration {
        let others = self.processes.len() - 1;
        let part = bytes / (self.processes.len() * others) as u64;
        let mut copy = || {
            let spans = self.ask(&format!("copy {part}"));
            let spans = spans.iter().map(|line| numbers(line));
            let (began, ended): (Vec<_>, Vec<_>) = spans.map(|span| (span[0], span[1])).unzip();
            let began = began.into_iter().min().expect("there are members");
            ended.into_iter().max().expect("there are members") - began
        };
        copy();
        Duration::from_nanos(median((0..times).map(|_| copy()).collect()))
    }

    /// Waits until every slot grants again.
    pub(super) fn pauses(&mut self) -> Pauses {
        let lines: Vec<Vec<u64>> = self.ask("pauses").iter().map(|line| numbers(line)).collect();
        let arrivals = || lines.iter().map(|numbers| numbers[0]);
        let last = arrivals().max().expect("somebody survives");
        let spread = Duration::from_nanos(last - arrivals().min().expect("somebody survives"));
        // Nobody can decide before all have the view: it has arrived when the last of them has it.
        let pauses_of = |numbers: &Vec<u64>| {
            let early = last - numbers[0];
            numbers[1..].iter().map(|pause| pause.saturating_sub(early)).collect::<Vec<_>>()
        };
        let mut of_slots: Vec<u64> = lines.iter().flat_map(pauses_of).collect();
        of_slots.sort_unstable();
        Pauses { of_slots, spread }
    }

    pub(super) fn counters(&mut self) -> Counters {
        let lines = self.ask("counters");
        lines.iter().map(|line| numbers(line)).fold(Counters::default(), |sum, numbers| Counters {
            rebuilt: sum.rebuilt + numbers[0],
            slots: sum.slots + numbers[1],
            purged: sum.purged + numbers[2],
            bytes: sum.bytes + numbers[3],
        })
    }

    /// Waits until nothing is left of the node that crashed; tells what was counted until then.
    pub(super) fn purged(&mut self) -> Counters {
        self.until(|cluster| cluster.ask("purged").iter().all(|line| line == "true").then_some(()));
        self.counters()
    }

    // ---- a member that comes and goes ----

    /// Waits until all members master alike many slots.
    pub(super) fn balanced(&mut self) {
        let least = SLOTS / u32::try_from(self.processes.len()).expect("a few");
        self.until(|cluster| {
            let shares: Vec<_> = cluster.ask("share").iter().map(|line| numbers(line)).collect();
            shares.iter().all(|share| share[0] >= u64::from(least) && share[1] == 0).then_some(())
        });
    }

    /// Locks that those with a load gave to other masters or were given until now.
    pub(super) fn moved(&mut self) -> u64 {
        self.ask_loaded("moved").iter().map(|line| numbers(line)[0]).sum()
    }

    /// A member gives away what it has and leaves.
    pub(super) fn leave(&mut self, number: u16) {
        let at = self.place(number);
        self.processes[at].say("leave");
        assert_eq!(self.processes[at].hear(), "leaving");
        self.processes[at].member.is_leaving = true;
        self.tell();
        assert_eq!(self.processes[at].hear(), "0 0", "nothing is left behind");
        drop(self.processes.remove(at));
        self.tell();
    }

    fn until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let started = Clock::now();
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(started.elapsed() < PATIENCE, "it takes too long");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Process {
    fn start(number: u16, joined: Epoch, locks: u32) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args([ROLE, &number.to_string(), &locks.to_string()]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("this program can be started");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it says its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let mut address = || addresses.next().expect("two addresses");
        let member = views::member(number, joined, address());
        Self { child, output, member, copies: address() }
    }

    fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        assert!(line.ends_with('\n'), "it answers");
        line.truncate(line.trim_end().len());
        line
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().map(|word| word.parse().expect("a number")).collect()
}
