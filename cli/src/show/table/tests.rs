use super::*;

fn lock(name: &str, level: Level, holder: u64, held: Option<&str>, wanted: Option<&str>) -> Row {
    Row::Lock(LockRow {
        space: "default".to_owned(),
        name: name.to_owned(),
        master: 2,
        level,
        holder,
        pid: (level == Level::Owner).then_some(4711),
        queue: "granted".to_owned(),
        held: held.map(str::to_owned),
        wanted: wanted.map(str::to_owned),
        token: "01".to_owned(),
    })
}

#[test]
fn columns_are_under_their_titles() {
    let rows = [
        lock("a", Level::Node, 1, Some("PR"), Some("EX")),
        lock("a long name", Level::Owner, 12, None, Some("EX")),
    ];
    assert_eq!(
        render(&rows),
        "space    name         master  queue    mode    whose     pid   token\n\
         default  a            2       granted  PR->EX  node 1    -     01\n\
         default  a long name  2       granted  ->EX    owner 12  4711  01\n"
    );
}

#[test]
fn tables_of_several_kinds_are_apart() {
    let rows = [
        Row::Share(ShareRow { master: Some(1), slots: 4096, moving: 0 }),
        Row::Range(RangeRow { first: 0, last: 4095, master: Some(1), is_moving: true }),
    ];
    assert_eq!(
        render(&rows),
        "master  slots  moving\n1       4,096  0\n\nslots    master\n0..4095  1       moving\n"
    );
}

#[test]
fn nothing_makes_no_table() {
    assert_eq!(render(&[]), "");
}

#[test]
fn a_long_time_has_two_units() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3_661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 400, "400 d 0 h"),
    ] {
        assert_eq!(uptime(Duration::from_secs(seconds)), text);
    }
}
