//! Figures as people like to read them.

use core::time::Duration;
use std::io::Write;

/// Prints lines to the standard output; a reader that has gone away is no error.
pub(crate) fn print(lines: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe wants no more of it, and nobody else could be told.
    let _gone = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun, which takes an s unless it is one: `1 file`, `2 files`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A time with three significant digits: `950 ns`, `1.23 µs`, `45.6 ms`, `7.89 s`.
pub(crate) fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let (unit, scale) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => ("µs", 1e6),
        1_000_000..1_000_000_000 => ("ms", 1e3),
        _ => ("s", 1.0),
    };
    three_digits(time.as_secs_f64() * scale, unit)
}

/// Bytes with three significant digits: `950 B`, `1.23 KiB`, `45.6 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let step = count.ilog2() / 10;
    three_digits(count as f64 / (1_u64 << (10 * step)) as f64, UNITS[step as usize - 1])
}

fn three_digits(value: f64, unit: &str) -> String {
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// A table: the first column to the left, the others to the right, each as wide as it must be.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = core::array::from_fn(width);
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            text.push_str(&cell);
        }
        text.push('\n');
    }
    text
}

/// A table: all columns to the left, each as wide as it must be, and no blanks at the ends of lines.
pub(crate) fn columns_left<const N: usize>(rows: &[[String; N]]) -> String {
    let mut text = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = core::array::from_fn(width);
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
