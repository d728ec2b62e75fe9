//! The histories of a run, after it: put in order, judged by `lockmaster check-history`, and read for figures.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result, broken, require};

/// The history of a process that has ended.
pub(crate) struct Ended {
    pub(crate) history: PathBuf,
    /// An instant before its end, if it was killed: until then it held what it held.
    pub(crate) killed_at: Option<u64>,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    t: u64,
    node: u16,
    owner: String,
    resource: String,
    event: String,
    mode: String,
    token: String,
    #[serde(default)]
    asked: u64,
    #[serde(default)]
    master: u16,
}

/// The time in which something was wrong, and with whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    pub(crate) began: u64,
    pub(crate) healed: u64,
    /// The nodes that had to suffer from it.
    pub(crate) struck: BTreeSet<u16>,
}

/// What the waits of a run come to: the longest of each kind that fell into the fault, and how many there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    /// Neither the node nor the master was struck.
    pub(crate) unaffected: Longest,
    /// The master was struck.
    pub(crate) at_struck: Longest,
    /// The node that asked was struck.
    pub(crate) of_struck: Longest,
    pub(crate) granted: u64,
    pub(crate) lost: u64,
}

/// The longest of some waits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Longest {
    pub(crate) count: u64,
    pub(crate) span: Duration,
}

impl Longest {
    fn add(&mut self, nanos: u64) {
        self.count += 1;
        self.span = self.span.max(Duration::from_nanos(nanos));
    }
}

/// Puts the histories in order, has them checked, and reads the waits.
pub(crate) fn judge(checker: &Path, folder: &Path, ended: &[Ended], fault: &Fault) -> Result<Waits> {
    let mut waits = Waits::default();
    let checked = folder.join("checked");
    fs::create_dir_all(&checked).map_err(broken("the histories"))?;
    for process in ended {
        let path = &process.history;
        let text = fs::read_to_string(path).map_err(broken(path.display()))?;
        let mut lines = read(path, &text)?;
        if let Some(killed_at) = process.killed_at {
            bury(&mut lines, killed_at);
        }
        lines.sort_by_key(|line| line.t);
        lines.iter().for_each(|line| waits.add(line, fault));
        let mut sorted = String::new();
        for line in &lines {
            sorted += &serde_json::to_string(line).map_err(broken("a history"))?;
            sorted.push('\n');
        }
        let name = path.file_name().expect("a history has a name");
        fs::write(checked.join(name), sorted).map_err(broken("a history"))?;
    }
    let mut command = Command::new(checker);
    command.arg("check-history").arg(&checked);
    let output = command.output().map_err(broken(format!("{command:?}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(Failure::Unclean(format!("{said}{}", String::from_utf8_lossy(&output.stderr))));
    }
    require(waits.granted > 0, || "nothing was granted".to_owned())?;
    Ok(waits)
}

/// All whole lines.
fn read(path: &Path, text: &str) -> Result<Vec<Line>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().map(|line| serde_json::from_str(line).map_err(broken(path.display())));
    lines.collect()
}

/// What a killed process held was lost when it was killed, and not earlier.
fn bury(lines: &mut Vec<Line>, killed_at: u64) {
    let mut open: BTreeMap<String, Line> = BTreeMap::new();
    for line in &*lines {
        match line.event.as_str() {
            "granted" => open.insert(line.owner.clone(), line.clone()),
            _ => open.remove(&line.owner),
        };
    }
    for (_, granted) in open {
        let t = granted.t.max(killed_at);
        lines.push(Line { t, event: "lost".to_owned(), ..granted });
    }
}

impl Waits {
    fn add(&mut self, line: &Line, fault: &Fault) {
        self.lost += u64::from(line.event == "lost");
        if line.event != "granted" {
            return;
        }
        self.granted += 1;
        let is_within = line.t >= fault.began && line.asked <= fault.healed;
        // Others' locks are not in the way of what a node has for itself.
        if !is_within || !line.resource.starts_with("own/") {
            return;
        }
        let kind = match (fault.struck.contains(&line.node), fault.struck.contains(&line.master)) {
            (true, _) => &mut self.of_struck,
            (false, true) => &mut self.at_struck,
            (false, false) => &mut self.unaffected,
        };
        kind.add(line.t.saturating_sub(line.asked));
    }
}
