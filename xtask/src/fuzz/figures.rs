//! What libFuzzer says of a run.

/// What each row of the table has.
pub(super) const HEADING: &str = "target     executions   each second   coverage   new inputs";

/// Figures of one run; those that were not said are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) executions: u64,
    pub(super) per_second: u64,
    /// Places of the code that were reached.
    pub(super) coverage: u64,
    pub(super) new_inputs: u64,
}

impl Figures {
    /// Reads them off the lines that were written.
    pub(super) fn read(said: &str) -> Self {
        let stat = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            value.and_then(|value| value.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
        };
        let coverage = said.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
        Self {
            executions: stat("number_of_executed_units"),
            per_second: stat("average_exec_per_sec"),
            coverage: coverage.and_then(|coverage| coverage.parse().ok()).unwrap_or(0),
            new_inputs: stat("new_units_added"),
        }
    }

    pub(super) fn row(&self, name: &str) -> String {
        let Self { executions, per_second, coverage, new_inputs } = self;
        // It was over within the first second.
        let per_second = if *per_second == 0 { "-".to_owned() } else { per_second.to_string() };
        format!("{name:<10} {executions:>10} {per_second:>13} {coverage:>10} {new_inputs:>12}")
    }
}

/// The lines that people want to see of a run that failed: from the panic to libFuzzer's word on it, or the last ones.
pub(super) fn last_lines(said: &str) -> String {
    let is_progress =
        |line: &str| line.starts_with('#') || line.starts_with("INFO:") || line.starts_with('"');
    let lines: Vec<&str> = said.lines().filter(|line| !is_progress(line)).collect();
    let find = |word: &str| lines.iter().position(|line| line.contains(word));
    let begin = find("panicked at").or_else(|| find("ERROR:"));
    let begin = begin.unwrap_or_else(|| lines.len().saturating_sub(10));
    let end = lines[begin..].iter().position(|line| line.contains("ERROR:"));
    lines[begin..end.map_or(lines.len(), |end| begin + end + 1)].join("\n")
}
