//! Figures of Lockmaster, each beside its baseline in the same run: `cargo run --release -p lockmaster-benches`.

mod compare;
mod table;

fn main() {
    println!("{:<70} {:>10} {:>10} {:>7} {:>5}", "what", "ours ns", "base ns", "ratio", "aim");
    for run in [table::run] {
        let row = run();
        println!(
            "{:<70} {:>10.1} {:>10.1} {:>7.2} {:>5.1}",
            row.what,
            row.ours,
            row.theirs,
            row.ratio(),
            row.aim
        );
        println!("  beside: {}", row.baseline);
    }
}
