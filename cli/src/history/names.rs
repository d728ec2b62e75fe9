//! Names of owners and resources, each kept once.

use core::ops::Index;
use std::collections::BTreeMap;

/// Place of a name among [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameIdx(u32);

impl NameIdx {
    /// The place, to keep something for each name in an array.
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }
}

/// All names that were seen.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_text: BTreeMap<Box<str>, NameIdx>,
    texts: Vec<Box<str>>,
}

impl Names {
    /// The place of this name, a new one if it was never seen.
    pub(super) fn place(&mut self, text: &str) -> NameIdx {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let name = NameIdx(u32::try_from(self.texts.len()).expect("memory ends before the numbers do"));
        self.texts.push(text.into());
        self.by_text.insert(text.into(), name);
        name
    }
}

impl Index<NameIdx> for Names {
    type Output = str;

    fn index(&self, name: NameIdx) -> &str {
        &self.texts[name.place()]
    }
}
