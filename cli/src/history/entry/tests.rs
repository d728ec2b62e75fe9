use lockmaster_tokio::lockmaster_core::Epoch;

use super::*;

const TOKEN: Token = Token { epoch: Epoch(1), grant: 2, local: 3 };

#[test]
fn what_is_written_is_read() {
    let mut line = r#"{"t":81"#.to_owned();
    let lock = (Mode::ProtectedRead, TOKEN);
    write_rest(&mut line, (1, "1/17"), format_args!("page/{}", 42), Happening::Released, lock);
    assert_eq!(
        line,
        concat!(
            r#"{"t":81,"node":1,"owner":"1/17","resource":"page/42","event":"released","mode":"PR","#,
            r#""token":"00000001000000000000000200000003"}"#,
            "\n"
        )
    );
    let read: Line<'_> = serde_json::from_str(&line).unwrap();
    assert_eq!((read.t, read.node, &*read.owner, &*read.resource), (81, 1, "1/17", "page/42"));
    assert_eq!((read.happening, read.mode), (Happening::Released, Mode::ProtectedRead));
    assert_eq!(read.token.0.to_be_bytes(), TOKEN.to_be_bytes());
}

#[test]
fn tokens_compare_as_numbers() {
    let higher = Token { epoch: Epoch(2), grant: 0, local: 0 };
    let number = |token: Token| TokenNumber(u128::from_be_bytes(token.to_be_bytes()));
    assert!(number(TOKEN) < number(higher));
    assert_eq!(number(TOKEN).to_string(), TOKEN.to_string());
}

#[test]
fn wrong_fields_are_refused() {
    let line = r#"{"t":1,"node":1,"owner":"a","resource":"r","event":"granted","mode":"EX","token":"0a"}"#;
    assert!(serde_json::from_str::<Line<'_>>(line).is_ok());
    for (right, wrong) in [
        (r#""t":1"#, r#""t":-1"#),
        (r#""t":1,"#, ""),
        (r#""EX""#, r#""XX""#),
        (r#""0a""#, r#""""#),
        (r#""0a""#, r#""+a""#),
        (r#""0a""#, r#""0123456789abcdef0123456789abcdef0""#),
        ("granted", "taken"),
    ] {
        let line = line.replace(right, wrong);
        assert!(serde_json::from_str::<Line<'_>>(&line).is_err(), "{line}");
    }
}
