//! Steps that are chosen from outside instead of by chance.

use core::time::Duration;

use lockmaster_core::{NodeId, Storage};

use super::Cluster;
use super::ear::Ear;
use super::workload::Action;
use crate::random::Random;
use crate::report::Violation;

/// What owners do seldom.
const SELDOM: [Action; 3] = [Action::Abandon, Action::Watch, Action::Nonsense];

/// True in all of a thousand cases.
const ALWAYS: u32 = 1000;

impl<S: Storage> Cluster<S> {
    /// Nothing happens by chance from now on. If they shall, all nodes meet first.
    pub(crate) fn be_guided(&mut self, shall_meet: bool) -> Result<(), Violation> {
        let weather = &mut self.plan.weather;
        (weather.early_timeout, weather.late_timer, weather.stranger, weather.deaf) = (0, 0, 0, 0);
        (self.plan.mobility.rate, self.plan.mobility.at_once) = (1, 1);
        self.network.be_guided();
        while shall_meet && self.network.waiting() > 0 {
            self.arrive()?;
        }
        Ok(())
    }

    /// One step: what is done, and with what.
    pub(crate) fn guided_step(&mut self, what: u8, a: u8, b: u8) -> Result<(), Violation> {
        self.report.steps += 1;
        match what % 24 {
            0..4 => self.guided_arrival(usize::from(a)),
            4 => self.guided_arrivals(a % 16),
            5 => self.network.lose_nth(usize::from(a)),
            6 => self.network.repeat_nth(self.now, usize::from(a)),
            7 => self.network.haunt(usize::from(u16::from_le_bytes([a, b]))),
            8 => return self.guided_timer(),
            9 => return self.guided_timeout(a, b),
            10..13 => return self.guided_owner(Action::Request, a, b),
            13 => return self.guided_owner(Action::Convert, a, b),
            14 | 15 => return self.guided_owner(Action::Release, a, b),
            16 => return self.guided_owner(Action::Cancel, a, b),
            17 => return self.guided_owner(SELDOM[usize::from(a) % SELDOM.len()], a, b),
            18 | 19 => return self.guided_move((0, 0), a, b),
            20 => return self.guided_move((ALWAYS, 0), a, b),
            21 => return self.guided_move((0, ALWAYS), a, b),
            22 => self.network.break_way(self.now, usize::from(a), b.is_multiple_of(2)),
            _ => {
                let node = self.guided_node(a);
                let ear = if b.is_multiple_of(2) { Ear::Open } else { Ear::deaf(u64::from(b / 2)) };
                return self.listen(node, ear);
            }
        }
        self.guided_arrived()
    }

    fn guided_node(&self, choice: u8) -> NodeId {
        let nodes = u16::try_from(self.members.len()).expect("nodes are few");
        NodeId(u16::from(choice) % nodes)
    }

    // ---- frames ----

    /// One that is on its way comes next, whoever it overtakes.
    fn guided_arrival(&mut self, which: usize) {
        self.network.hasten(which, 1);
    }

    fn guided_arrivals(&mut self, count: u8) {
        self.network.hasten(0, usize::from(count) + 1);
    }

    /// What was hastened arrives.
    fn guided_arrived(&mut self) -> Result<(), Violation> {
        while self.network.is_hastened() {
            self.arrive()?;
        }
        Ok(())
    }

    // ---- time ----

    /// The clock goes on to the next deadline, and its node's timer fires.
    fn guided_timer(&mut self) -> Result<(), Violation> {
        let deadlines = self.nodes().filter_map(|node| {
            let deadline = self.members[usize::from(node.0)].node.poll_timeout();
            deadline.map(|deadline| (deadline, node))
        });
        let Some((deadline, node)) = deadlines.min() else { return Ok(()) };
        self.now = self.now.max(deadline);
        self.fire(node)
    }

    /// The clock goes on somewhat, and a timer fires that is due, late or early.
    fn guided_timeout(&mut self, a: u8, b: u8) -> Result<(), Violation> {
        self.now = self.now.after(Duration::from_micros(1 << (b % 24)));
        self.fire(self.guided_node(a))
    }

    // ---- owners and slots ----

    fn guided_owner(&mut self, action: Action, a: u8, b: u8) -> Result<(), Violation> {
        self.plan.appetite.weights = [0; Action::ALL.len()];
        self.plan.appetite.weights[action as usize] = 1;
        self.random = Random::new(u64::from(u16::from_le_bytes([a, b])));
        self.act()
    }

    /// Slots move, a transfer is taken back, or a call makes no sense.
    fn guided_move(&mut self, (withdraw, nonsense): (u32, u32), a: u8, b: u8) -> Result<(), Violation> {
        (self.plan.mobility.withdraw, self.plan.mobility.nonsense) = (withdraw, nonsense);
        self.mover = Random::new(u64::from(u16::from_le_bytes([a, b])));
        self.move_slots()
    }
}
