//! All scenarios, and the moves that they are made of.

use core::time::Duration;

use crate::cluster::{self, Cluster, Kind, NODES, PATIENCE, hosts};
use crate::engine::{ENGINE, Engine, TTL};
use crate::failure::{Failure, Result, require};
use crate::scenario::{Network, Scenario};
use crate::weather::Rates;

/// How long a fault lasts that has no end by itself.
const FAULT: Duration = secs(4);
/// Some of those who ask a master that is away for as long as a fault lasts must wait for so long.
const NOTICED: Duration = secs(2);
/// How long etcd is stopped where nobody is to lose its membership: half of a lease.
const HICCUP: Duration = Duration::from_millis(TTL * 500);
/// Rates of bad weather.
const WEATHER: Rates = Rates {
    loss: 20,
    double: 20,
    straggle: 50,
    delay: Duration::from_millis(1),
    jitter: Duration::from_millis(5),
};
/// How far a clock is ahead.
const DAY: Duration = secs(86_400);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// All scenarios, in the order in which they are run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "calm",
        what: "nothing",
        shows: "no view changes",
        act: |cluster, _| cluster.last(FAULT / 2),
        kind: Kind::Directory,
        fenced: &[],
        struck: &[],
        views: (0, 0),
        waits_at_struck: None,
        network: Network::Well,
    },
    Scenario {
        name: "weather",
        what: "2 % of all packets are lost, 2 % come twice, 5 % are overtaken, all are up to 16 ms late",
        shows: "no view changes; everybody is served",
        act: |cluster, seed| {
            cluster.net.weather(WEATHER, seed)?;
            cluster.last(FAULT)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &NODES,
        views: (0, 0),
        waits_at_struck: None,
        network: Network::Weather,
    },
    Scenario {
        name: "kill in bad weather",
        what: "2 is killed and comes back in the same weather",
        shows: "the maps of both views are agreed and what 2 mastered is rebuilt although frames cross and come late",
        act: |cluster, seed| {
            cluster.net.weather(WEATHER, seed)?;
            cluster.kill(2)?;
            until_without(cluster, &[1, 3, 4, 5])?;
            cluster.start(2, Duration::ZERO)?;
            cluster.last(FAULT / 2)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &NODES,
        views: (2, 2),
        waits_at_struck: None,
        network: Network::Weather,
    },
    Scenario {
        name: "restart in bad weather",
        what: "all are killed and come back in the same weather",
        shows: "a map is agreed upon although members come one after the other and frames come late",
        act: |cluster, seed| {
            cluster.net.weather(WEATHER, seed)?;
            NODES.into_iter().try_for_each(|node| cluster.kill(node))?;
            NODES.into_iter().try_for_each(|node| cluster.start(node, Duration::ZERO))?;
            cluster.until_whole()
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &NODES,
        views: (1, 10),
        waits_at_struck: None,
        network: Network::Weather,
    },
    Scenario {
        name: "split",
        what: "1 and 2 are cut from 3, 4 and 5",
        shows: "no view changes, as the directory is there for all; waits across the cut end after it",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[1, 2]), &hosts(&[3, 4, 5]))?;
            cluster.last(FAULT)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[1, 2],
        views: (0, 0),
        waits_at_struck: Some(NOTICED..=secs(20)),
        network: Network::Drops,
    },
    Scenario {
        name: "one way",
        what: "what 2 says to 1 and 3 is dropped, what they say to it comes",
        shows: "the same",
        act: |cluster, _| {
            cluster.net.cut_one_way(&hosts(&[2]), &hosts(&[1, 3]))?;
            cluster.last(FAULT)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[2],
        views: (0, 0),
        waits_at_struck: Some(NOTICED..=secs(20)),
        network: Network::Drops,
    },
    Scenario {
        name: "kill",
        what: "2 is killed (SIGKILL) and started again once the others have a view without it",
        shows: "one view without it, one with it again; what it mastered is rebuilt",
        act: |cluster, _| {
            cluster.kill(2)?;
            until_without(cluster, &[1, 3, 4, 5])?;
            cluster.start(2, Duration::ZERO)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[2],
        views: (2, 2),
        waits_at_struck: Some(Duration::ZERO..=secs(8)),
        network: Network::Well,
    },
    Scenario {
        name: "kill two",
        what: "1, which has been a member for longest, and 4 are killed",
        shows: "views without them, then with them; what they mastered is rebuilt",
        act: |cluster, _| {
            cluster.kill(1)?;
            cluster.kill(4)?;
            until_without(cluster, &[2, 3, 5])?;
            cluster.start(4, Duration::ZERO)?;
            cluster.start(1, Duration::ZERO)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[1, 4],
        views: (2, 4),
        waits_at_struck: Some(Duration::ZERO..=secs(8)),
        network: Network::Well,
    },
    Scenario {
        name: "kill unheard",
        what: "3 is cut off, then killed, so that no connection of it is seen to end; it comes back in a whole network",
        shows: "as when it is killed: membership does not rest on connections",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[3]), &hosts(&NODES))?;
            cluster.kill(3)?;
            until_without(cluster, &[1, 2, 4, 5])?;
            cluster.net.heal()?;
            cluster.start(3, Duration::ZERO)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[3],
        views: (2, 2),
        waits_at_struck: Some(Duration::ZERO..=secs(8)),
        network: Network::Drops,
    },
    Scenario {
        name: "pause",
        what: "4 is stopped (SIGSTOP) and goes on later (SIGCONT)",
        shows: "no view changes: a directory knows nothing of time; what 4 masters or holds waits for it",
        act: |cluster, _| {
            cluster.pause(4)?;
            cluster.last(FAULT)?;
            cluster.resume(4)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[4],
        views: (0, 0),
        waits_at_struck: Some(NOTICED..=secs(10)),
        network: Network::Well,
    },
    Scenario {
        name: "clocks",
        what: "5 is killed and comes back with a clock that is a day ahead of the others'",
        shows: "as when it is killed: nodes do not compare their clocks",
        act: |cluster, _| {
            cluster::require_clocks()?;
            cluster.kill(5)?;
            until_without(cluster, &[1, 2, 3, 4])?;
            cluster.start(5, DAY)
        },
        kind: Kind::Directory,
        fenced: &[],
        struck: &[5],
        views: (2, 2),
        waits_at_struck: Some(Duration::ZERO..=secs(8)),
        network: Network::Well,
    },
    Scenario {
        name: "etcd weather",
        what: "the same weather, on the way to etcd too",
        shows: "no view changes; everybody is served",
        act: |cluster, seed| {
            cluster.net.weather(WEATHER, seed)?;
            cluster.last(FAULT)
        },
        kind: Kind::Etcd,
        fenced: &[],
        struck: &NODES,
        views: (0, 0),
        waits_at_struck: None,
        network: Network::Weather,
    },
    Scenario {
        name: "etcd kill",
        what: "2 is killed and started again once the others have a view without it",
        shows: "the same as with a directory, but a lease later",
        act: |cluster, _| {
            cluster.kill(2)?;
            until_without(cluster, &[1, 3, 4, 5])?;
            cluster.start(2, Duration::ZERO)
        },
        kind: Kind::Etcd,
        fenced: &[],
        struck: &[2],
        views: (2, 2),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Well,
    },
    Scenario {
        name: "etcd pause",
        what: "2 is stopped until the others have a view without it, then goes on",
        shows: "it finds itself fenced when it wakes, and comes back as another incarnation",
        act: |cluster, _| {
            cluster.pause(2)?;
            until_without(cluster, &[1, 3, 4, 5])?;
            cluster.resume(2)?;
            until_outside(cluster, &[2])
        },
        kind: Kind::Etcd,
        fenced: &[2],
        struck: &[2],
        views: (2, 2),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Well,
    },
    Scenario {
        name: "etcd cut off",
        what: "2 is cut off from etcd alone",
        shows: "it is fenced before the others have a view without it, and comes back",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[2]), &[ENGINE])?;
            until_outside(cluster, &[2])?;
            require_still_seen(cluster, 2)?;
            until_without(cluster, &[1, 3, 4, 5])
        },
        kind: Kind::Etcd,
        fenced: &[2],
        struck: &[2],
        views: (2, 2),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Drops,
    },
    Scenario {
        name: "etcd unheard",
        what: "what 2 says to etcd is dropped, what etcd says to it comes",
        shows: "the same",
        act: |cluster, _| {
            cluster.net.cut_one_way(&hosts(&[2]), &[ENGINE])?;
            until_outside(cluster, &[2])?;
            require_still_seen(cluster, 2)?;
            until_without(cluster, &[1, 3, 4, 5])
        },
        kind: Kind::Etcd,
        fenced: &[2],
        struck: &[2],
        views: (2, 2),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Drops,
    },
    Scenario {
        name: "etcd lonely",
        what: "2 is cut off from all other nodes, but not from etcd, and comes back while it is",
        shows: "the larger side has its lease revoked, and goes on without it; it stays away for a while, and then again",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[2]), &hosts(&NODES))?;
            until_outside(cluster, &[2])?;
            until_back(cluster, &[1, 3, 4, 5])?;
            until_without(cluster, &[1, 3, 4, 5])?;
            // It stays away for twice as long now. Most of that is not to count as healing.
            cluster.last(secs(2))
        },
        kind: Kind::Etcd,
        fenced: &[2],
        struck: &[2],
        views: (4, 6),
        waits_at_struck: Some(HICCUP..=secs(25)),
        network: Network::Drops,
    },
    Scenario {
        name: "etcd split",
        what: "1 and 2 are cut from 3, 4, 5 and etcd",
        shows: "1 and 2 are fenced, the others go on",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[1, 2]), &hosts(&[3, 4, 5, 6]))?;
            until_outside(cluster, &[1, 2])?;
            until_without(cluster, &[3, 4, 5])
        },
        kind: Kind::Etcd,
        fenced: &[1, 2],
        struck: &[1, 2],
        views: (2, 4),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Drops,
    },
    Scenario {
        name: "etcd minority",
        what: "3, 4 and 5 are cut from 1, 2 and etcd",
        shows: "who has etcd goes on, be it the smaller side",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[3, 4, 5]), &hosts(&[1, 2, 6]))?;
            until_outside(cluster, &[3, 4, 5])?;
            until_without(cluster, &[1, 2])
        },
        kind: Kind::Etcd,
        fenced: &[3, 4, 5],
        struck: &[3, 4, 5],
        views: (2, 6),
        waits_at_struck: Some(HICCUP..=secs(15)),
        network: Network::Drops,
    },
    Scenario {
        name: "etcd hiccup",
        what: "etcd is stopped for half of a lease",
        shows: "nodes are suspect meanwhile; no view changes, nobody is fenced",
        act: |cluster, _| stall(cluster, HICCUP),
        kind: Kind::Etcd,
        fenced: &[],
        struck: &NODES,
        views: (0, 0),
        waits_at_struck: None,
        network: Network::Well,
    },
    Scenario {
        name: "etcd stall",
        what: "etcd is stopped until all are fenced, then goes on",
        shows: "everybody comes back as another incarnation",
        act: |cluster, _| stall_until_fenced(cluster),
        kind: Kind::Etcd,
        fenced: &[1, 2, 3, 4, 5],
        struck: &NODES,
        views: (1, 10),
        waits_at_struck: None,
        network: Network::Well,
    },
];

/// Waits until these are the members by the view of each of them.
fn until_without(cluster: &mut Cluster, left: &'static [u16]) -> Result<()> {
    let what = format!("a view of {left:?} alone");
    cluster.until(what.clone(), PATIENCE, |cluster| left.iter().all(|node| cluster.sees(*node, left)))?;
    cluster.note(&what);
    Ok(())
}

/// Waits until each of these knows that it is no member any more.
fn until_outside(cluster: &mut Cluster, nodes: &'static [u16]) -> Result<()> {
    let what = format!("{nodes:?} fenced");
    cluster.until(what.clone(), PATIENCE, |cluster| {
        let fenced = cluster.fenced();
        nodes.iter().all(|node| fenced.contains(node))
    })?;
    cluster.note(&what);
    Ok(())
}

/// Waits until these have a view of all nodes again, after one without some of them.
fn until_back(cluster: &mut Cluster, nodes: &'static [u16]) -> Result<()> {
    let what = format!("all nodes in the view of {nodes:?} again");
    let least = cluster.epoch() + 2;
    let is_back =
        |cluster: &Cluster| cluster.epoch() >= least && nodes.iter().all(|node| cluster.sees(*node, &NODES));
    cluster.until(what.clone(), PATIENCE, is_back)?;
    cluster.note(&what);
    Ok(())
}

/// Nobody may have taken its place yet when a node knows that it is no member any more.
fn require_still_seen(cluster: &Cluster, node: u16) -> Result<()> {
    let mut others = NODES.into_iter().filter(|other| *other != node);
    let is_seen = others.all(|other| cluster.sees(other, &NODES));
    require(is_seen, || format!("others have a view without node {node}, which has only just been fenced"))
}

/// Stops etcd for so long.
fn stall(cluster: &mut Cluster, span: Duration) -> Result<()> {
    engine(cluster)?.pause()?;
    cluster.last(span)?;
    engine(cluster)?.resume()
}

/// Stops etcd until everybody has lost its membership.
fn stall_until_fenced(cluster: &mut Cluster) -> Result<()> {
    engine(cluster)?.pause()?;
    until_outside(cluster, &NODES)?;
    engine(cluster)?.resume()
}

fn engine(cluster: &Cluster) -> Result<&Engine> {
    let engine = cluster.engine.as_ref();
    engine.ok_or_else(|| Failure::Broken("the engine is no process here".to_owned()))
}
