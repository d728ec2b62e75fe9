//! Names that object files define, and names that they want from others: as much of ELF and `ar` as that takes.

use std::collections::BTreeSet;

// Where the fields are that are read, and what stands in them, by the names of the specification of ELF.
const E_SHOFF: usize = 0x28;
const E_SHNUM: usize = 0x3c;
const SHDR_LEN: usize = 64;
const SH_TYPE: usize = 4;
const SH_OFFSET: usize = 0x18;
const SH_SIZE: usize = 0x20;
const SH_LINK: usize = 0x28;
const SHT_SYMTAB: usize = 2;
const SYM_LEN: usize = 24;
const ST_NAME: usize = 0;
const ST_INFO: usize = 4;
const ST_SHNDX: usize = 6;
const STB_LOCAL: u8 = 0;
const SHN_UNDEF: usize = 0;

/// What an archive of 64-bit ELF objects says of itself.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Names that others can use.
    pub(crate) defined: BTreeSet<String>,
    /// Names that are used; some of them may be defined here, too.
    pub(crate) wanted: BTreeSet<String>,
}

impl Symbols {
    /// Adds all objects of an archive, as a Rust library is one. Nothing if it is none, or an object makes no sense.
    pub(crate) fn add_archive(&mut self, archive: &[u8]) -> Option<()> {
        let mut rest = archive.strip_prefix(b"!<arch>\n")?;
        while !rest.is_empty() {
            let (header, members) = rest.split_at_checked(60)?;
            let len: usize = core::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
            let member = members.get(..len)?;
            // Beside the objects there are tables of names, and what the compiler notes for itself.
            if member.starts_with(b"\x7fELF") {
                self.add_object(member)?;
            }
            rest = members.get(len.next_multiple_of(2)..).unwrap_or_default();
        }
        Some(())
    }

    /// Adds one object or program.
    pub(crate) fn add_object(&mut self, object: &[u8]) -> Option<()> {
        // 64 bits, the least significant byte first.
        (object.get(4..6)? == [2, 1]).then_some(())?;
        let first = usize_at::<8>(object, E_SHOFF)?;
        let section = |number: usize| object.get(first + number * SHDR_LEN..)?.get(..SHDR_LEN);
        let mut count = usize_at::<2>(object, E_SHNUM)?;
        if count == 0 && first != 0 {
            // There are too many for the field.
            count = usize_at::<8>(section(0)?, SH_SIZE)?;
        }
        for number in 0..count {
            let header = section(number)?;
            if usize_at::<4>(header, SH_TYPE)? == SHT_SYMTAB {
                let names = contents(object, section(usize_at::<4>(header, SH_LINK)?)?)?;
                for symbol in contents(object, header)?.chunks_exact(SYM_LEN) {
                    self.add_symbol(symbol, names)?;
                }
            }
        }
        Some(())
    }

    fn add_symbol(&mut self, symbol: &[u8], names: &[u8]) -> Option<()> {
        let is_local = symbol[ST_INFO] >> 4 == STB_LOCAL;
        let name = names.get(usize_at::<4>(symbol, ST_NAME)?..)?;
        let name = String::from_utf8_lossy(&name[..name.iter().position(|byte| *byte == 0)?]);
        if is_local || name.is_empty() {
            return Some(());
        }
        let is_defined = usize_at::<2>(symbol, ST_SHNDX)? != SHN_UNDEF;
        let names = if is_defined { &mut self.defined } else { &mut self.wanted };
        names.insert(name.into_owned());
        Some(())
    }
}

fn contents<'a>(object: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    object.get(usize_at::<8>(header, SH_OFFSET)?..)?.get(..usize_at::<8>(header, SH_SIZE)?)
}

/// The number of so many bytes at this place.
fn usize_at<const LEN: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk::<LEN>()?;
    let mut wide = [0; 8];
    wide[..LEN].copy_from_slice(number);
    usize::try_from(u64::from_le_bytes(wide)).ok()
}

#[cfg(test)]
mod tests;
