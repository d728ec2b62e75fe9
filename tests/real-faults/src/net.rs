//! The network: hosts around a router, each in a namespace of its own.
//!
//! ```text
//!   node 1 ──┐             ┌── node 4        10.77.1.2 … 10.77.5.2
//!   node 2 ──┼── router ───┼── node 5
//!   node 3 ──┘             └── engine        10.77.6.2
//! ```
//!
//! Everything that two hosts say to each other goes through the router, which is where it is dropped, by the kernel, or
//! handed to the [`Weather`].

use core::fmt::Write;
use core::net::Ipv4Addr;
use std::collections::BTreeSet;

use crate::failure::{Result, broken};
use crate::space::{Space, feed, run};
use crate::weather::{POKED, QUEUE, Rates, Toll, Weather};

/// A place in the network, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(pub(crate) u8);

impl Host {
    /// Its address.
    pub(crate) const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 2)
    }

    /// The router's address at its cable.
    const fn router(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 1)
    }
}

/// The network of a run.
pub(crate) struct Net {
    router: Space,
    hosts: Vec<Space>,
    /// Nothing passes from the first to the second.
    cuts: BTreeSet<(Host, Host)>,
    weather: Option<Weather>,
    /// Packets that cuts dropped which are over.
    dropped: u64,
    /// What weathers did that are over.
    toll: Toll,
}

impl Net {
    /// So many hosts, all of which reach each other.
    pub(crate) fn new(hosts: u8) -> Result<Self> {
        let router = Space::new("router")?;
        run(router.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
        let mut net = Self {
            router,
            hosts: Vec::new(),
            cuts: BTreeSet::new(),
            weather: None,
            dropped: 0,
            toll: Toll::default(),
        };
        for host in (1..=hosts).map(Host) {
            let space = Space::new(host.0)?;
            net.router.join(&format!("host{}", host.0), host.router(), &space, host.address())?;
            net.hosts.push(space);
        }
        net.lay()?;
        Ok(net)
    }

    /// Where a host's programs run.
    pub(crate) fn space(&self, host: Host) -> &Space {
        &self.hosts[usize::from(host.0) - 1]
    }

    /// From now on nothing passes from any of the first to any of the second.
    pub(crate) fn cut_one_way(&mut self, from: &[Host], to: &[Host]) -> Result<()> {
        for from in from {
            self.cuts.extend(to.iter().filter(|to| *to != from).map(|to| (*from, *to)));
        }
        self.lay()
    }

    /// From now on nothing passes between the first and the second.
    pub(crate) fn cut(&mut self, some: &[Host], others: &[Host]) -> Result<()> {
        self.cut_one_way(some, others)?;
        self.cut_one_way(others, some)
    }

    /// From now on packets are lost, doubled and late at these rates, by lot.
    pub(crate) fn weather(&mut self, rates: Rates, seed: u64) -> Result<()> {
        self.end_weather()?;
        self.weather = Some(Weather::start(&self.router, rates, seed)?);
        self.lay()
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) -> Result<()> {
        self.cuts.clear();
        self.end_weather()
    }

    /// Nothing is handed to the weather any more when it ends.
    fn end_weather(&mut self) -> Result<()> {
        let weather = self.weather.take();
        self.lay()?;
        if let Some(weather) = weather {
            self.toll += weather.end()?;
        }
        Ok(())
    }

    /// Packets that cuts have dropped, those that are still on included.
    pub(crate) fn dropped(&self) -> Result<u64> {
        Ok(self.dropped + self.dropping()?)
    }

    /// What weathers have done that are over.
    pub(crate) fn toll(&self) -> Toll {
        self.toll
    }

    /// Packets that the cuts have dropped which are on.
    fn dropping(&self) -> Result<u64> {
        let saved = run(self.router.command("iptables-save").arg("-c"))?;
        let counts = String::from_utf8_lossy(&saved.stdout).lines().filter_map(dropped_by).sum();
        Ok(counts)
    }

    /// Puts all rules in place at once.
    fn lay(&mut self) -> Result<()> {
        self.dropped += self.dropping()?;
        let mut rules = String::from("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n");
        for (from, to) in &self.cuts {
            let (from, to) = (from.address(), to.address());
            writeln!(rules, "-A FORWARD -s {from} -d {to} -j DROP").map_err(broken("rules"))?;
        }
        if self.weather.is_some() {
            writeln!(rules, "-A FORWARD -j NFQUEUE --queue-num {QUEUE}").map_err(broken("rules"))?;
        }
        let (poked, port) = (POKED.ip(), POKED.port());
        let poke = format!("-A OUTPUT -d {poked} -p udp --dport {port} -j NFQUEUE --queue-num {QUEUE}\n");
        rules += &poke;
        rules += "COMMIT\n";
        feed(&mut self.router.command("iptables-restore"), &rules).map(drop)
    }
}

/// Packets that a rule has dropped, as it is saved: `[12:720] -A FORWARD … -j DROP`.
fn dropped_by(line: &str) -> Option<u64> {
    let (counts, rule) = line.strip_prefix('[')?.split_once(']')?;
    let (packets, _) = counts.split_once(':')?;
    if rule.ends_with("-j DROP") { packets.parse().ok() } else { None }
}
