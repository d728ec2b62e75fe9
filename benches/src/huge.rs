//! Large tables on huge pages, for both sides of every line.
//!
//! The C library's own switch for that (`glibc.malloc.hugetlb`) works in some runs and not in others: with glibc 2.36
//! it reads the kernel's setting each time, and then asks for huge pages or does not.

#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one only aligns, and advises the kernel"
)]

use core::alloc::{GlobalAlloc, Layout};
use std::alloc::System;

use rustix::mm::{Advice, madvise};

/// Bytes of a huge page.
const PAGE: usize = 2 << 20;

/// The system's allocator, but that what is as large as a huge page begins with one.
pub(crate) struct HugePages;

/// What is asked of the system instead.
fn aligned(layout: Layout) -> Layout {
    if layout.size() < PAGE { layout } else { layout.align_to(PAGE).unwrap_or(layout) }
}

// SAFETY: every call is passed on to the system's allocator, with one and the same layout for a block's whole life.
// Reallocation is that of the trait: by these two.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = aligned(layout);
        // SAFETY: the caller's promises are handed on; the size is the caller's.
        let block = unsafe { System.alloc(layout) };
        let len = layout.size() / PAGE * PAGE;
        if len > 0 && !block.is_null() {
            // SAFETY: the block is this large, and how its pages are made changes nothing of it. A kernel that has no
            // huge pages says so, and is only slower.
            let _refused = unsafe { madvise(block.cast(), len, Advice::LinuxHugepage) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on, and the layout is that of `alloc`.
        unsafe { System.dealloc(block, aligned(layout)) }
    }
}
