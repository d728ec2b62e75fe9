//! Choices made by bytes: a fuzzer that changes a byte changes one decision.

/// Bytes that are spent one decision after the other. When none are left every choice is the first one.
#[derive(Clone, Debug)]
pub(crate) struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Is there nothing left to decide by?
    pub(crate) const fn is_spent(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    /// A number below `bound`, which is from 1 to 256.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// True in one of so many cases; not when nothing is left.
    pub(crate) fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == cases - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A number of any size: mostly small, now and then at an edge, or of eight bytes.
    pub(crate) fn count(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=191 => u64::from(small),
            power @ 192..=223 => 1 << ((power - 192) * 2 + 1),
            edge @ 224..=239 => (u64::MAX / 2).wrapping_add(8).wrapping_sub(u64::from(edge - 224)),
            top @ 240..=251 => u64::MAX - u64::from(top - 240),
            _ => u64::from_le_bytes(core::array::from_fn(|_| self.byte())),
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        let count = self.count();
        // The upper half if there is one, so that the edges of 64 bits are edges of 32, too.
        u32::try_from(count).unwrap_or_else(|_| u32::try_from(count >> 32).expect("half of 64 bits"))
    }

    pub(crate) fn u16(&mut self) -> u16 {
        let count = self.u32();
        u16::try_from(count).unwrap_or_else(|_| u16::try_from(count >> 16).expect("half of 32 bits"))
    }

    /// As many bytes, or as many as are left and zeros after them.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }
}
