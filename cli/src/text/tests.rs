use super::*;

#[test]
fn counts_have_their_thousands_apart() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(count(number), text);
    }
    assert_eq!(counted(1, "file"), "1 file");
    assert_eq!(counted(2000, "file"), "2,000 files");
}

#[test]
fn durations_have_three_digits() {
    for (nanos, text) in [
        (0, "0 ns"),
        (950, "950 ns"),
        (1_234, "1.23 µs"),
        (12_345, "12.3 µs"),
        (99_960, "100 µs"),
        (123_456, "123 µs"),
        (1_500_000, "1.50 ms"),
        (7_890_000_000, "7.89 s"),
    ] {
        assert_eq!(duration(Duration::from_nanos(nanos)), text);
    }
}

#[test]
fn bytes_have_three_digits() {
    for (count, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (12_345, "12.1 KiB"),
        (1 << 20, "1.00 MiB"),
        (345 << 20, "345 MiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(bytes(count), text);
    }
}

#[test]
fn columns_are_as_wide_as_they_must_be() {
    let rows = [["", "slots"], ["node 1", "7"], ["µ", "1,000,000"]].map(|row| row.map(str::to_owned));
    assert_eq!(columns(&rows), "            slots\nnode 1          7\nµ       1,000,000\n");
}
