//! Numbers to and from bytes, little-endian but for tokens. Neither side panics.

use core::mem;

use crate::id::Token;

/// The bytes ended before what was to be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short;

/// Takes fields from the front of some bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not taken yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Short)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Fields of a fixed length together, so that reading each of them checks nothing more.
    #[inline]
    pub(super) fn fields<const N: usize>(&mut self) -> Result<Self, Short> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(Self { rest: head })
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Short)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn token(&mut self) -> Result<Token, Short> {
        self.array().map(Token::from_be_bytes)
    }
}

/// Puts fields at the front of a buffer.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    rest: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(super) const fn new(buf: &'a mut [u8]) -> Self {
        Self { rest: buf }
    }

    /// Bytes still free.
    pub(super) const fn room(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, bytes: [u8; N]) -> Result<(), Short> {
        let (head, rest) = mem::take(&mut self.rest).split_first_chunk_mut().ok_or(Short)?;
        *head = bytes;
        self.rest = rest;
        Ok(())
    }

    /// A place for fields of a fixed length together, so that writing each of them checks nothing more.
    #[inline]
    pub(super) fn fields<const N: usize>(&mut self) -> Result<Self, Short> {
        let (head, rest) = mem::take(&mut self.rest).split_first_chunk_mut::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(Self { rest: head })
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Short> {
        let (head, rest) = mem::take(&mut self.rest).split_at_mut_checked(bytes.len()).ok_or(Short)?;
        head.copy_from_slice(bytes);
        self.rest = rest;
        Ok(())
    }

    #[inline]
    pub(super) fn u8(&mut self, number: u8) -> Result<(), Short> {
        self.array(number.to_le_bytes())
    }

    #[inline]
    pub(super) fn u16(&mut self, number: u16) -> Result<(), Short> {
        self.array(number.to_le_bytes())
    }

    #[inline]
    pub(super) fn u32(&mut self, number: u32) -> Result<(), Short> {
        self.array(number.to_le_bytes())
    }

    #[inline]
    pub(super) fn u64(&mut self, number: u64) -> Result<(), Short> {
        self.array(number.to_le_bytes())
    }

    #[inline]
    pub(super) fn token(&mut self, token: Token) -> Result<(), Short> {
        self.array(token.to_be_bytes())
    }
}
