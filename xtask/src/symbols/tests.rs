//! Objects made by hand, and the program that this test is.

use super::Symbols;

/// An object with these symbols: name, binding, number of its section.
fn object(symbols: &[(&str, u8, u16)]) -> Vec<u8> {
    let mut names = vec![0];
    let mut table = vec![0; 24];
    for (name, binding, section) in symbols {
        table.extend_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
        table.extend_from_slice(&[binding << 4, 0]);
        table.extend_from_slice(&section.to_le_bytes());
        table.extend_from_slice(&[0; 16]);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    let mut object = vec![0; 64];
    object[..6].copy_from_slice(b"\x7fELF\x02\x01");
    object[0x28] = 64;
    object[0x3c] = 3;
    let sections = [(0, 0..0, 0), (2, 256..256 + table.len(), 2), (3, 256 + table.len()..usize::MAX, 0)];
    for (kind, place, link) in sections {
        let mut header = [0; 64];
        header[4] = kind;
        header[0x18..0x20].copy_from_slice(&(place.start as u64).to_le_bytes());
        let len = place.end.min(256 + table.len() + names.len()) - place.start;
        header[0x20..0x28].copy_from_slice(&(len as u64).to_le_bytes());
        header[0x28] = link;
        object.extend_from_slice(&header);
    }
    object.extend_from_slice(&table);
    object.extend_from_slice(&names);
    object
}

fn archive(members: &[&[u8]]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for member in members {
        archive.extend_from_slice(format!("{:48}{:<10}`\n", "name/", member.len()).as_bytes());
        archive.extend_from_slice(member);
        archive.extend_from_slice(&b"\n"[..member.len() % 2]);
    }
    archive
}

fn list(names: &std::collections::BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn names_are_defined_or_wanted() {
    let one = object(&[("ours", 1, 1), ("hidden", 0, 1), ("malloc", 1, 0)]);
    let two = object(&[("weak", 2, 4), ("ours", 1, 0)]);
    let mut symbols = Symbols::default();
    symbols.add_archive(&archive(&[b"notes", &one, &two])).unwrap();
    assert_eq!(list(&symbols.defined), ["ours", "weak"]);
    assert_eq!(list(&symbols.wanted), ["malloc", "ours"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sound = object(&[("ours", 1, 1)]);
    for len in 0..sound.len() {
        let _ = Symbols::default().add_object(&sound[..len]);
    }
    assert!(Symbols::default().add_object(&sound[..sound.len() - 1]).is_none());
    assert!(Symbols::default().add_archive(b"no archive").is_none());
    let whole = archive(&[&sound]);
    assert!(Symbols::default().add_archive(&whole[..whole.len() - 2]).is_none());
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
#[test]
fn this_program_has_a_beginning_and_frees_what_it_takes() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut symbols = Symbols::default();
    symbols.add_object(&program).unwrap();
    assert!(symbols.defined.contains("main"), "{symbols:?}");
    assert!(symbols.wanted.iter().any(|name| name.starts_with("free")), "{:?}", symbols.wanted);
}
